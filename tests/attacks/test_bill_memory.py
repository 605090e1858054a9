# SPDX-License-Identifier: Apache-2.0
"""Memory of bills turned against them: skipped, used twice, taken from elsewhere, made up."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from protocols.canonical import cbor
from tariffs import BillMemory, MalformedTariff, MemoryKey, MemoryRefused, Tariff
from tariffs.clock import day_number
from tests.support.memory_year import bill_of, bills_of, example, memory_of, months_of_use

DUTY = example("dk-electric-heating-2025")
CAPACITY = example("be-capacity-rolling-2025")
PREPAID = example("de-prepaid-2025")
USES = months_of_use("Europe/Copenhagen", date(2025, 1, 1), 4)
MEMORY = memory_of(bills_of(DUTY, USES[:2])[-1])
JANUARY = day_number(date(2025, 1, 1))


def test_a_bill_cannot_be_left_out() -> None:
    with pytest.raises(MemoryRefused, match="with none left out"):
        bill_of(DUTY, USES[3], MEMORY)


def test_a_memory_is_used_for_the_bill_that_follows_only() -> None:
    assert bill_of(DUTY, USES[2], MEMORY).memory is not None
    for earlier in USES[:2]:
        with pytest.raises(MemoryRefused, match="the bill before ends at 2025-02-28T23:00:00Z"):
            bill_of(DUTY, earlier, MEMORY)


@pytest.mark.parametrize("other", [CAPACITY, PREPAID, example("gb-economy7-2013")])
def test_a_memory_of_another_tariff_is_refused(other: Tariff) -> None:
    uses = months_of_use(other.zone, date(other.valid_from.year, 3, 1), 1, seconds=900)
    memory = BillMemory(uses[0].starts[0], MEMORY.values)
    with pytest.raises(MemoryRefused, match=r"'electricity duty/0/2025-01-01' is carried, which"):
        bill_of(other, uses[0], memory)


@pytest.mark.parametrize(
    "key",
    [
        MemoryKey("electricity duty", 1, JANUARY),  # a band that is not there
        MemoryKey("electricity duty", -1, JANUARY),
        MemoryKey("electricity duty", 0, 0),
        MemoryKey("electricity duty", 0, JANUARY + 1),  # no year begins there
        MemoryKey("electricity duty", 0, day_number(date(2024, 1, 1))),  # a year that is over
        MemoryKey("electricity duty", 0, day_number(date(2026, 1, 1))),  # one that is to come
        MemoryKey("energy and grid", 0, JANUARY),  # a charge without memory
    ],
)
def test_a_value_under_a_key_that_no_bill_leaves_is_refused(key: MemoryKey) -> None:
    with pytest.raises(MemoryRefused, match="which the tariff does not know on 2025-03-01"):
        bill_of(DUTY, USES[2], replace(MEMORY, values={**MEMORY.values, key: 1}))


@pytest.mark.parametrize("value", [-1, (1 << 44) + 1, -(1 << 60)])
def test_a_value_out_of_its_bounds_is_refused(value: int) -> None:
    """So that nobody starts a year with energy that is negative, or a number that wraps round."""
    forged = dict.fromkeys(MEMORY.values, value)
    with pytest.raises(MemoryRefused, match=f"is carried as {value}, not 0 to"):
        bill_of(DUTY, USES[2], replace(MEMORY, values=forged))


def test_a_peak_too_old_to_count_is_refused_rather_than_dropped() -> None:
    uses = months_of_use("Europe/Brussels", date(2025, 1, 1), 13, seconds=900)
    bills = bills_of(CAPACITY, uses)
    memory = memory_of(bills[-1])
    assert MemoryKey("capacity tariff", 0, JANUARY) not in memory.values
    more = months_of_use("Europe/Brussels", date(2026, 2, 1), 1, seconds=900)[0]
    stale = {**memory.values, MemoryKey("capacity tariff", 0, JANUARY): 9000}
    with pytest.raises(MemoryRefused, match="'capacity tariff/0/2025-01-01' is carried"):
        bill_of(CAPACITY, more, replace(memory, values=stale))
    assert bill_of(CAPACITY, more, memory).memory is not None


@pytest.mark.parametrize("paid", [-1, (1 << 56) + 1])
def test_no_less_than_nothing_is_paid_in_advance(paid: int) -> None:
    use = months_of_use("Europe/Berlin", date(2025, 1, 1), 1)[0]
    with pytest.raises(MemoryRefused, match="out of bounds"):
        bill_of(PREPAID, use, paid=paid)


def test_nothing_is_paid_in_advance_of_an_instalment() -> None:
    use = months_of_use("Europe/London", date(2025, 4, 1), 1)[0]
    with pytest.raises(MemoryRefused, match="nothing is paid in advance under it"):
        bill_of(example("gb-budget-2025"), use, paid=1)


@pytest.mark.parametrize(
    "text", ["", "x", "x/0", "x/00/-", "x/0/2025-1-1", "x/0/2025-02-30", "x/0/1970-01-01", "x/-1/-",
             "/0/-", "x/٣/-", "x/0/-\n"],
)  # fmt: skip
def test_a_key_has_one_text(text: str) -> None:
    with pytest.raises(MemoryRefused, match="names no value that a bill carries"):
        MemoryKey.parse(text)


def changed(tariff: Tariff, component: int, **members: object) -> bytes:
    tree: Any = cbor.decode(tariff.encode())
    tree["versions"][0]["charges"][component].update(members)
    return cbor.encode(tree)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (changed(DUTY, 1, cumulative=0), "not in canonical form"),
        (changed(DUTY, 1, cumulative=2), "neither 0 nor 1"),
        (changed(DUTY, 1, year_begins=[1, 1]), "other than 1 January"),
        (changed(DUTY, 1, year_begins=[2, 29]), "a day that every year has"),
        (changed(DUTY, 1, year_begins=[4]), "not a month and a day"),
        (changed(DUTY, 0, cumulative=1), "unknown key 'cumulative'"),
        (changed(CAPACITY, 1, look_back={"intervals": 10**9, "rule": "mean", "share": 10**6,
                                         "within_year": 0}), "looks back over 1 to 60"),
        (changed(CAPACITY, 1, look_back={"intervals": 11, "rule": "mean", "share": 10**6}),
         "lacks within_year"),
        (changed(CAPACITY, 1, look_back={"intervals": 11, "rule": "highest", "share": 0,
                                         "within_year": 0}), "not within 100 %"),
    ],
)  # fmt: skip
def test_a_document_says_its_memory_in_one_way(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedTariff, match=reason):
        Tariff.decode(data)


def test_a_settlement_is_exact_in_what_is_carried() -> None:
    tree: Any = cbor.decode(PREPAID.encode())
    tree["rounding"] = {"rule": "half-up", "decimals": 7}
    with pytest.raises(MalformedTariff, match="rounded to 6 decimals at most"):
        Tariff.decode(cbor.encode(tree))
