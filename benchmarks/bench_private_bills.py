# SPDX-License-Identifier: Apache-2.0
"""Private bills of a month of 2,976 quarter-hours: proved, verified, beside the naive way.

    pytest benchmarks/bench_private_bills.py --benchmark-only    each with its distribution
    python benchmarks/bench_private_bills.py                     a table, one core, processor time

Each bill is what the billing applet plans and the hub proves from certified days: one rounded
total, over the commitments to their slots where it compares them, else over one commitment a day.
It is verified as the utility does, signatures and chain of the days apart. A second table shows
what the rounding costs: the same time-of-use total told to the cent and told exactly, in both
schemes, also in batches of 100 and with all that the utility checks of a bill. The naive way
(`bit by bit`)
is the same statement over the same library with a proof for each bit of each range (Cramer,
Damgård and Schoenmakers) instead of one Bulletproof for all of them; for limits of power (`slot by
slot`) the one choice and the two ranges for each slot that `compare.positive_part` takes.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import pytest

from applets.billing import statement
from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT, check_bill
from applets.common.questions import About
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.amounts import Excess, Total
from protocols.metrology import CommitmentScheme, Period, Series
from protocols.proofs import (
    NumbersContext,
    Quantity,
    Session,
    Source,
    _gathered,
    many_ranges,
    numbers,
    numbers_check,
    open_numbers,
    positive_part,
    registers_by_slots,
    verify_all,
    verify_numbers,
)
from tariffs import Tariff
from tariffs.rounding import format_decimal
from tariffs.source import load_toml
from tests.support.statements import sent

ZONE = "Europe/Berlin"
SERIES = Series(b"bench", bytes.fromhex("0100010800ff"), ZONE, 15)
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
MAY = Period.month(2025, 5)
LONG = (Period.quarter(2025, 2), Period.year(2025))
SEED = bytes(32)

HEAD = """
format = 1
name = "bench"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-up", decimals = 2 }
"""
DAY_NIGHT = """
[[charge]]
name = "energy"
kind = "energy"
[[charge.band]]
name = "day"
price = "0.3112"
when = { times = "06:00-22:00" }
[[charge.band]]
name = "night"
price = "0.2489"
"""
VAT = """
[[step]]
name = "VAT"
kind = "tax"
percent = "19"
"""
TIERS = """
[[charge]]
name = "tiers"
kind = "blocks"
interval = "month"
[[charge.band]]
name = "day"
block = [{ up_to = "80", price = "0.21" }, { up_to = "200", price = "0.28" }, { price = "0.36" }]
when = { days = "Mon-Fri", times = "06:00-22:00" }
[[charge.band]]
name = "other"
block = [{ up_to = "120", price = "0.17" }, { up_to = "250", price = "0.22" }, { price = "0.3" }]
"""
BASELINE = """
[[charge]]
name = "baseline"
kind = "blocks"
interval = "day"
block = [{ up_to = "6", price = "-0.04" }, { price = "0" }]
"""
PEAK = """
[[charge]]
name = "demand"
kind = "demand"
price_per_kw = "4.10"
per = "month"
"""
HIGHEST = """
[[charge]]
name = "demand"
kind = "demand"
figure = "mean-of-daily-peaks"
highest = 3
window = "60min"
price_per_kw = "4.10"
per = "month"
"""
ALWAYS = """
[[charge]]
name = "network"
kind = "blocks"
block = [{ up_to_kw = "1.6", price = "0.07" }, { price = "0.12" }]
"""
EVENTS = """
[[charge]]
name = "network"
kind = "blocks"
[[charge.band]]
name = "usual"
block = [{ up_to_kw = "1000", price = "0.07" }, { price = "0.07" }]
[[charge.event]]
name = "shortage"
block = [{ up_to_kw = "1.6", price = "0.07" }, { price = "0.95" }]
at = [
    "2025-05-02 17:00-19:00", "2025-05-05 17:00-19:00", "2025-05-08 17:00-19:00",
    "2025-05-11 17:00-19:00", "2025-05-14 17:00-19:00", "2025-05-17 17:00-19:00",
    "2025-05-20 17:00-19:00", "2025-05-23 17:00-19:00", "2025-05-26 17:00-19:00",
    "2025-05-29 17:00-19:00",
]
"""
BILLS = {
    "day and night": DAY_NIGHT,
    "day and night, with VAT": DAY_NIGHT + VAT,
    "tiers by time of use": TIERS,
    "a baseline for each day": DAY_NIGHT + BASELINE,
    "highest quarter-hour": DAY_NIGHT + PEAK,
    "mean of the 3 highest daily hours": DAY_NIGHT + HIGHEST,
    "above 1.6 kW, always": DAY_NIGHT + ALWAYS,
    "above 1.6 kW, in 10 events of 8 slots": DAY_NIGHT + EVENTS,
}
YEARLY = """
[[charge]]
name = "tax"
kind = "blocks"
interval = "year"
block = [{ up_to = "1000", price = "0.12" }, { up_to = "2900", price = "0.08" }, { price = "0.04" }]
[[step]]
name = "at least"
kind = "minimum"
on = ["energy"]
per_year = "1500"
"""
LONG_BILLS = {
    "day and night, with VAT": DAY_NIGHT + VAT,
    "blocks and a minimum of the year": DAY_NIGHT + YEARLY + VAT,
    "tiers by time of use": TIERS,
}
NAIVE = ("tiers by time of use", "a baseline for each day")
SLOT_BY_SLOT = ("above 1.6 kW, always", "above 1.6 kW, in 10 events of 8 slots")


@dataclass(frozen=True)
class Case:
    """A bill to prove and verify."""

    total: Total
    context: NumbersContext
    known: Source
    hidden: Source


@cache
def certified(period: Period = MAY) -> tuple[Certification, ...]:
    dice, register, readings = random.Random(1), 0, []
    begin, end = period.bounds(ZONE)
    for moment in range(begin, end + 1, 900):
        readings.append(Reading(moment, register))
        register += dice.choice((25, 40, 60, 450)) + dice.randrange(60)
    certifier, previous, done = Certifier(SERIES, KEYS), None, []
    for grid in period.grids(ZONE, 15):
        first = (grid.begin - begin) // 900
        own = readings[first : first + len(grid) + 1]
        previous = certifier.certify(grid.day, own, previous)
        done.append(previous)
    return tuple(done)


@cache
def case(name: str, scheme: CommitmentScheme | None = None, billed: Period = MAY) -> Case:
    """Return a bill, proved over what it needs, or over commitments of this scheme."""
    tariff: Tariff = load_toml(HEAD + (BILLS if billed is MAY else LONG_BILLS)[name])
    days = certified(billed)
    begin, end = billed.bounds(ZONE)
    starts = [t for one in days for t in one.use.grid.boundaries()[:-1]]
    states = [int(state) for one in days for state in one.use.states]
    total = plan_bill(tariff, starts, 900, states, begin, end).total
    context = NumbersContext(
        SERIES.meter,
        (SERIES.register,),
        begin,
        end,
        15,
        tariff.digest,
        RECIPIENT,
        PURPOSE,
        bytes(16),
    )
    certifier = Certifier(SERIES, KEYS)
    [by_slots] = registers_by_slots([total], 1)
    if scheme is not None:
        by_slots = scheme is CommitmentScheme.SLOTS
    period = sent(certifier, days, by_slots=by_slots)
    opening = certifier.opening(days, needs_slots=by_slots)
    known, hidden = (period.source(one, needs_slots=by_slots) for one in (opening, None))
    return Case(total, context, known, hidden)


def prove(one: Case) -> bytes:
    return open_numbers(one.context, [one.known], [one.total], SEED)[1]


def verify(one: Case, proof: bytes) -> tuple[int, ...]:
    return verify_numbers(one.context, [one.hidden], [one.total], proof, "the bill")[0]


@pytest.mark.parametrize("name", BILLS)
def test_prove(benchmark: Any, name: str) -> None:
    benchmark.pedantic(prove, (case(name),), rounds=1, warmup_rounds=0)


@pytest.mark.parametrize("name", BILLS)
def test_verify(benchmark: Any, name: str) -> None:
    proof = prove(case(name))
    values = benchmark.pedantic(verify, (case(name), proof), rounds=1)
    uses = [wh for one in certified() for wh in one.use.uses]
    assert values == (case(name).total.value_of([uses]),)


def excess_slot_by_slot(parts: Session, label: str, source: Source, amount: Excess) -> Quantity:
    """Return what the statement makes of an excess, the long way."""
    [total] = parts.forms(label, source, [amount.form.spread(source.size)])
    for one in amount.above:
        for first, count, weight in one.form.runs:
            windows = [range(place, place + 1) for place in range(first, first + count)]
            for use in parts.windows(label, source, windows):
                total += positive_part(parts, label, use - one.limit, 24) * weight
    return total


def up_to_in_two_ranges(parts: Session, label: str, quantity: Quantity, largest: int) -> Quantity:
    """Prove 0 <= quantity <= largest, the long way."""
    parts.require_range(label, quantity, largest.bit_length())
    parts.require_range(label, -quantity + largest, largest.bit_length())
    return Quantity(quantity.point, largest, quantity.secret)


@contextmanager
def bit_by_bit() -> Iterator[None]:
    """Look nothing up, and prove each bit of each range by itself."""
    with (
        patch.object(Session, "require_up_to", up_to_in_two_ranges),
        patch.object(_gathered, "FEW_BITS", 1 << 40),
        patch.object(many_ranges, "MANY_BITS", 1 << 40),
    ):
        yield


def measure(one: Case) -> tuple[float, float, int]:
    """Return processor seconds to prove and to verify, and the proof's bytes."""
    begun = time.process_time()
    proof = prove(one)
    proved = time.process_time()
    verify(one, proof)
    return proved - begun, time.process_time() - proved, len(proof)


BATCH = 100
TIMES_OF_USE = "day and night, with VAT"


def exactly(one: Case) -> Case:
    """The same total, told as exactly as it is reckoned."""
    return replace(one, total=replace(one.total, divisor=1))


def many(one: Case) -> list[tuple[NumbersContext, bytes]]:
    contexts = [replace(one.context, nonce=n.to_bytes(16, "big")) for n in range(BATCH)]
    return [(context, prove(replace(one, context=context))) for context in contexts]


def verify_batch(one: Case, proofs: list[tuple[NumbersContext, bytes]]) -> None:
    verify_all(
        [
            numbers_check(context, [one.hidden], [one.total], proof, "the bill")[1]
            for context, proof in proofs
        ]
    )


def whole_check(
    one: Case, *, is_exact: bool, text: str = BILLS[TIMES_OF_USE], period: Period = MAY
) -> Callable[[], object]:
    """Return what checks a whole answer: form, days, signatures, chain, plan, proof and total.

    The exact one takes the same way with a plan whose total is not rounded.
    """
    tariff, about = load_toml(HEAD + text), one.context
    (number,), proof = open_numbers(about, [one.known], [one.total], SEED)
    decimals = 9 if is_exact else 2
    answer = BillAnswer(
        SERIES.meter, about.begin, about.end, about.nonce,
        Decimal(format_decimal(number, decimals)), tariff.digest, proof,
        {SERIES.register: tuple(day.day.encode() for day in certified(period))},
    )  # fmt: skip
    question = BillQuestion(About(SERIES.meter, about.begin, about.end, about.nonce), b"signed")
    data = answer.encode()

    def plan_exactly(*arguments: Any, **more: Any) -> Plan:
        return replace(plan_bill(*arguments, **more), total=one.total, decimals=decimals)

    def check() -> object:
        statement._plan_of.cache_clear()  # of every customer alike: here each bill has its own
        with patch.object(statement, "plan_bill", plan_exactly):
            return check_bill(question, data, tariff, period, SERIES, KEYS.public_key)

    return check


def best_of(do: Callable[[], object], times: int) -> float:
    """Return the least processor seconds of so many times."""
    took = []
    for _ in range(times):
        begun = time.process_time()
        do()
        took.append(time.process_time() - begun)
    return min(took)


def print_rounding() -> None:
    print(f"\n{'a time-of-use total of a month':40}{'exact':>13}{'to the cent':>14}{'ratio':>9}")
    for scheme in CommitmentScheme:
        rounded = case(TIMES_OF_USE, scheme)
        exact = exactly(rounded)
        pair = exact, rounded
        rows = {
            "proved": [best_of(partial(prove, one), 3) for one in pair],
            "verified": [best_of(partial(verify, one, prove(one)), 5) for one in pair],
            f"verified, {BATCH} at once": [
                best_of(partial(verify_batch, one, many(one)), 3) for one in pair
            ],
        }
        if scheme is CommitmentScheme.VECTOR:  # what such a bill is made of
            rows["a whole bill verified"] = [
                best_of(whole_check(one, is_exact=one is exact), 9) for one in pair
            ]
        for what, (plain, told) in rows.items():
            name = f"{scheme}, {what}"
            print(f"{name:40}{1000 * plain:10,.1f} ms{1000 * told:11,.1f} ms{told / plain:8.2f}x")
        sizes = [len(prove(one)) for one in pair]
        print(f"{f'{scheme}, bytes of the proof':40}{sizes[0]:13,}{sizes[1]:14,}")


def print_long() -> None:
    print(f"\n{'quarter-hours of longer periods':40}{'prove':>10}{'check all':>11}{'bytes':>11}")
    for billed in LONG:
        for name, text in LONG_BILLS.items():
            one = case(name, None, billed)
            took, _, size = measure(one)
            check = best_of(whole_check(one, is_exact=False, text=text, period=billed), 3)
            print(
                f"{f'{billed}, {name}':40}{1000 * took:7,.0f} ms{1000 * check:8,.0f} ms{size:11,}"
            )


def main() -> None:
    print(f"{'a month of 2,976 slots':40}{'prove':>10}{'verify':>10}{'bytes':>11}")
    for name in BILLS:
        took, checked, size = measure(case(name))
        print(f"{name:40}{1000 * took:7,.0f} ms{1000 * checked:7,.0f} ms{size:11,}")
        naive: Any = bit_by_bit()
        way = "  bit by bit"
        if name in SLOT_BY_SLOT:
            naive = patch.object(numbers, "excess_of", excess_slot_by_slot)
            way = "  slot by slot"
        if name in (*NAIVE, *SLOT_BY_SLOT) or "--all" in sys.argv:
            with naive:
                slow, slower, large = measure(case(name))
            print(f"{way:40}{1000 * slow:7,.0f} ms{1000 * slower:7,.0f} ms{large:11,}")
            ratios = f"{slow / took:9.1f}x{slower / checked:9.1f}x{large / size:10.1f}x"
            print(f"{'  ratio':40}{ratios}")
    print_rounding()
    print_long()


if __name__ == "__main__":
    main()
