# SPDX-License-Identifier: Apache-2.0
"""Memory over versions and ends of years, and what a source or a caller cannot ask for."""

from datetime import date
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.billing.charges import plan_bill
from tariffs import (
    Bill,
    BillMemory,
    MalformedTariff,
    MemoryKey,
    MemoryRefused,
    Tariff,
    TariffError,
    bounds_of,
    compute_bill,
    metered_parts,
    total_from_amounts,
    total_from_energy_amount,
)
from tariffs.clock import ZoneClock
from tariffs.memory import Quantity
from tariffs.source import load_toml
from tests.support.memory_year import (
    bill_of,
    example,
    moment,
    use_of,
)
from tests.tariffs.memory_pieces import (
    BANDS,
    ENERGY,
    HEAD,
    LOOK_BACK,
    SLOT,
    VALID,
    ZONE,
    in_pieces,
    tariff_of,
)

TWO_VERSIONS = """
[[version]]
valid_from = 2025-01-01
valid_until = 2025-07-01
charge = [{{ name = "e", kind = "blocks", interval = "year", {first}, block = [{{ up_to = "1000",
 price = "0.50" }}, {{ price = "0.10" }}] }}]
{before}
[[version]]
valid_from = 2025-07-01
valid_until = 2026-01-01
charge = [{{ name = "{name}", kind = "blocks", interval = "year", {second}, block = [{{ up_to =
 "1000", price = "0.40" }}, {{ price = "0.20" }}] }}]
{after}
"""


def versions(
    name: str = "e", second: str = "cumulative = true", before: str = "", after: str = ""
) -> Tariff:
    text = TWO_VERSIONS.format(
        name=name, first="cumulative = true", second=second, before=before, after=after
    )
    return load_toml(HEAD + text.replace("\n price", " price").replace("=\n", "="))


JUNE_TO_JULY = [date(2025, 6, 1), date(2025, 7, 1), date(2025, 8, 1)]


@pytest.mark.parametrize("days", [JUNE_TO_JULY, [JUNE_TO_JULY[0], JUNE_TO_JULY[2]]])
def test_a_version_of_the_same_shape_goes_on_and_another_begins_anew(days: list[date]) -> None:
    used = sum(use_of(ZONE, days[0], days[-1], SLOT, Random(1), 9000, 9000).drawn)
    goes_on = in_pieces(versions(), days, 1)[-1]
    anew = in_pieces(versions(name="f"), days, 1)[-1]
    quarterly = in_pieces(versions(second='cumulative = true, register = "export"'), days, 1)[-1]
    assert goes_on.memory is not None
    assert goes_on.memory.values == {MemoryKey("e", 0, 20089): used}
    assert anew.memory is not None
    assert 0 < anew.memory.values[MemoryKey("f", 0, 20089)] < used
    assert quarterly.memory is not None
    assert quarterly.memory.values[MemoryKey("e", 0, 20089)] < used


CREDIT = 'step = { name = "c", kind = "credit" }'
YEARLY = 'step = { name = "c", kind = "credit", settled = "year", year_begins = "BEGINS" }'
INSTALMENT = (
    'step = { name = "c", kind = "instalment", per_month = "5", true_up = "year",'
    ' year_begins = "BEGINS" }'
)
LEAST = 'step = { name = "c", kind = "minimum", per_year = "5", cumulative = true }'


def test_what_is_owed_stays_in_later_versions_until_its_year_ends() -> None:
    assert versions(before=CREDIT, after=CREDIT).has_memory
    assert versions(after=CREDIT).has_memory
    july, may = YEARLY.replace("BEGINS", "07-01"), YEARLY.replace("BEGINS", "05-01")
    assert versions(before=july).has_memory
    assert versions(before=INSTALMENT.replace("BEGINS", "07-01"), after=CREDIT).has_memory
    for before in (CREDIT, may, INSTALMENT.replace("BEGINS", "05-01"), LEAST):
        for after in ("", july if before == may else may):
            with pytest.raises(MalformedTariff, match="step c: it carries what is owed"):
                versions(before=before, after=after)


def test_a_bill_across_the_end_of_a_settlement_is_refused_with_what_to_do() -> None:
    tariff = versions(before=INSTALMENT.replace("BEGINS", "07-01"))
    assert in_pieces(tariff, JUNE_TO_JULY, 1)[-1].total != "0.00"
    with pytest.raises(MemoryRefused, match="step c: it ends with its year, before 2025-07-01"):
        in_pieces(tariff, [JUNE_TO_JULY[0], JUNE_TO_JULY[2]], 1)


def test_a_credit_is_of_the_whole_bill_over_a_change_of_version() -> None:
    days = [JUNE_TO_JULY[0], JUNE_TO_JULY[2]]
    bill = in_pieces(versions(before=CREDIT, after=CREDIT), days, 1)[0]
    plain = in_pieces(versions(), days, 1)[0]
    assert [item.kind for item in bill.items].count("credit") == 1
    assert bill.total == plain.total


# Years


@pytest.mark.parametrize(
    "step",
    [
        'kind = "instalment"\nper_month = "50"\ntrue_up = "year"',
        'kind = "credit"\nsettled = "year"',
        'kind = "minimum"\nper_year = "50"\ncumulative = true',
        'kind = "cap"\nper_year = "50"\ncumulative = true',
    ],
)
def test_a_bill_across_the_end_of_a_year_is_refused_with_what_to_do(step: str) -> None:
    tariff = tariff_of(f'{ENERGY}[[step]]\nname = "s"\n{step}\nyear_begins = "04-01"\n')
    with pytest.raises(MemoryRefused, match=r"step s: its year ends before 2025-04-01, within the"):
        in_pieces(tariff, [date(2025, 3, 1), date(2025, 4, 2)], 1)
    assert in_pieces(tariff, [date(2025, 3, 1), date(2025, 4, 1), date(2025, 4, 2)], 1)


@pytest.mark.parametrize(("kind", "asked"), [("minimum", 9000), ("cap", 10)])
def test_a_contract_within_a_year_has_its_share_of_the_years_limit(kind: str, asked: int) -> None:
    body = f'{ENERGY}[[step]]\nname = "s"\nkind = "{kind}"\nper_year = "{asked}"\ncumulative = true'
    days = [date(2025, 10, 12), date(2025, 11, 1), date(2025, 12, 24), date(2026, 1, 1)]
    bills = in_pieces(tariff_of(body), days, 2)
    total = sum(bill.total_exact for bill in bills)
    assert abs(total - asked * 10**15 * 81 // 365) < 10**10  # 81 days; each bill's sum to 10^-6
    assert bills[-1].memory is not None
    assert bills[-1].memory.values == {}


def test_a_yearly_credit_is_paid_out_with_the_bill_that_ends_the_year() -> None:
    body = f'{ENERGY}[[step]]\nname = "s"\nkind = "credit"\nsettled = "year"\n'
    tariff, paid = tariff_of(body), 20_000 * 10**6
    use = use_of(ZONE, date(2025, 12, 1), date(2026, 1, 1), 3600, Random(1))
    bill = bill_of(tariff, use, paid=paid)
    assert bill.total == f"{sum(use.drawn) * 3 / 10_000 - 20_000:.2f}"
    assert bill.memory == BillMemory(use.end, {})


def test_bills_of_hours_leave_nothing_out_at_the_end_of_a_year() -> None:
    """A day counts from its middle on: the last hours of a year belong to the next one's bills."""
    body = ENERGY + '[[step]]\nname = "s"\nkind = "minimum"\nper_year = "3650"\ncumulative = true\n'
    tariff, midnight = tariff_of(body), moment(ZONE, date(2026, 1, 1))
    hours = [-24, -8, -4, 0, 4, 30, 24 * 365 - 4]
    bills: list[Bill] = []
    for since, until in pairwise(hours):
        starts = range(midnight + 3600 * since, midnight + 3600 * until, 3600)
        memory = bills[-1].memory if bills else None
        bills.append(compute_bill(tariff, starts, 3600, [1] * len(starts), memory=memory))
    asked = [item for bill in bills for item in bill.items if item.kind == "minimum"]
    assert [item.amount_exact > 0 for item in asked] == [True, False, False, False, False, True]
    assert bills[0].total == "10.00"  # for one day
    assert sum(bill.total_exact for bill in bills[1:]) == 3650 * 10**15


def test_a_surplus_of_a_band_that_the_last_bill_lacks_is_paid_all_the_same() -> None:
    prices = 'price = "0.3"\ncredit_price = "0.1"'
    bands = BANDS.format(day=prices, night=prices)
    tariff = tariff_of(f'[[charge]]\nname = "n"\nkind = "net"\ncarry = true\n{bands}')
    clock = ZoneClock(ZONE)
    end = moment(ZONE, date(2026, 1, 1))
    begin = end - 3600
    day = clock.day_of(moment(ZONE, date(2025, 1, 1)))
    memory = BillMemory(begin, {MemoryKey("n", 0, day): 7000, MemoryKey("n", 1, day): 500})
    bill = compute_bill(tariff, [begin], 3600, [400], export_wh=[0], memory=memory)
    labels = {item.label: (item.quantity, item.amount_exact) for item in bill.items}
    assert labels == {
        "night, surplus": (100, -(10**13)),
        "day, surplus": (7000, -7 * 10**14),
    }
    assert bill.memory == BillMemory(end, {})


# What cannot be said in a source


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (LOOK_BACK.replace("11", "61"), r"tariff:\d+: charge power: it looks back over 1 to 60"),
        (LOOK_BACK + 'figure = "mean-of-daily-peaks"\n', "only a peak can look back"),
        (LOOK_BACK + 'interval = "period"\n', "has an interval of the calendar"),
        (LOOK_BACK + 'look_back_share = "80"\n', "goes with the highest peak before"),
        (LOOK_BACK + 'year_begins = "04-01"\n', "goes with something yearly"),
        (LOOK_BACK.replace("look_back = 11\n", ""), "unknown key 'look_back_rule'"),
        (ENERGY + 'cumulative = true\n', "unknown key 'cumulative'"),
        (
            '[[charge]]\nname = "b"\nkind = "blocks"\ninterval = "period"\ncumulative = true\n'
            'block = [{ up_to = "1", price = "1" }, { price = "2" }]\n',
            "charge b: what is cumulative is so in each month, quarter or year",
        ),
        (
            '[[charge]]\nname = "b"\nkind = "blocks"\ninterval = "year"\ncumulative = true\n'
            'block = [{ up_to_per_day = "1", price = "1" }, { price = "2" }]\n',
            "only limits of energy can be cumulative",
        ),
        (
            '[[charge]]\nname = "n"\nkind = "net"\nprice = "1"\ninterval = "month"\ncarry = true\n',
            "charge n: a surplus is carried from bill to bill",
        ),
        (
            '[[charge]]\nname = "n"\nkind = "net"\nprice = "1"\ncumulative = true\ncarry = true\n',
            "leaves no surplus",
        ),
        (
            '[[charge]]\nname = "n"\nkind = "net"\nprice = "1"\ncredit_price = "-1"\n'
            'interval = "year"\n',
            "is not below 0",
        ),
        (
            ENERGY + '[[step]]\nname = "c"\nkind = "credit"\n'
            '[[step]]\nname = "t"\nkind = "tax"\npercent = "1"\n',
            r"tariff:\d+: step c: a step of the kind 'credit' is the last",
        ),
        (ENERGY + '[[step]]\nname = "c"\nkind = "credit"\non = "energy"\n', "unknown key 'on'"),
        (ENERGY + '[[step]]\nname = "energy"\nkind = "credit"\n', "two components have the name"),
        (
            ENERGY + '[[step]]\nname = "i"\nkind = "instalment"\nper_month = "5"\n',
            "'true_up' is missing",
        ),
        (
            ENERGY + '[[step]]\nname = "m"\nkind = "minimum"\nper_month = "5"\ncumulative = true\n',
            "step m: what is cumulative has a limit for a year",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_where_it_stands(body: str, reason: str) -> None:
    with pytest.raises(MalformedTariff, match=reason):
        tariff_of(body)


@pytest.mark.parametrize(
    ("begins", "reason"),
    [
        ("02-29", "a day that every year has"),
        ("13-01", "a day that every year has"),
        ("2025-04-01", "impossible day of every year"),
        ("4-1", "impossible dates"),
        ("04-01", "nothing of the tariff is yearly"),
    ],
)
def test_years_begin_on_a_day_that_every_year_has(begins: str, reason: str) -> None:
    with pytest.raises(MalformedTariff, match=reason) as refused:
        tariff_of(ENERGY, VALID + f'year_begins = "{begins}"\n')
    assert refused.value.line == 9


def test_tariffs_without_memory_have_none() -> None:
    tariff = tariff_of(ENERGY)
    use = use_of(ZONE, date(2025, 1, 1), date(2025, 2, 1), 3600, Random(1))
    assert not tariff.has_memory
    assert bill_of(tariff, use).memory is None
    assert "memory" not in bill_of(tariff, use).as_json()
    with pytest.raises(MemoryRefused, match="has no credit"):
        bill_of(tariff, use, paid=1)


def test_net_metering_within_a_bill_needs_no_memory() -> None:
    body = '[[charge]]\nname = "n"\nkind = "net"\nprice = "0.30"\ncredit_price = "0.10"\n'
    for interval, total in (("period", "0.60"), ("month", "2.60")):
        tariff = tariff_of(body + f'interval = "{interval}"\n')
        assert not tariff.has_memory
        starts = [moment(ZONE, date(2025, 2, 1)) - 3600, moment(ZONE, date(2025, 2, 1))]
        bill = compute_bill(tariff, starts, 3600, [2000, 12_000], export_wh=[12_000, 0])
        assert bill.total == total


def test_doors_that_know_no_memory_refuse_a_tariff_with_one() -> None:
    tariff = example("dk-electric-heating-2025")
    begin, end = moment(tariff.zone, date(2025, 1, 1)), moment(tariff.zone, date(2025, 2, 1))
    starts = range(begin, end, 3600)
    amounts = {"energy and grid": 1, "electricity duty": 1}
    with pytest.raises(TariffError, match="a tariff with memory"):
        total_from_amounts(tariff, [amounts], begin, end)
    with pytest.raises(TariffError, match="a tariff with memory"):
        total_from_energy_amount(tariff, 1, begin, end)
    with pytest.raises(TariffError, match="a tariff with memory"):
        plan_bill(tariff, starts, 3600, [0] * len(starts), begin, end)
    assert len(metered_parts(tariff, starts, 3600, [0] * len(starts), begin, end)) == 1


def test_carried_values_have_public_bounds() -> None:
    version = example("us-net-metering-2025").versions[0]
    assert bounds_of(version, MemoryKey("energy", 0, 20_148)) == Quantity.WATT_HOURS.bounds
    assert bounds_of(version, MemoryKey("yearly minimum", 0, 20_148)) == Quantity.MONEY.bounds
    with pytest.raises(MemoryRefused, match="carries no 'other/0/-'"):
        bounds_of(version, MemoryKey("other", 0, 0))


@given(st.text(max_size=40))
def test_a_text_is_a_key_or_refused(text: str) -> None:
    try:
        key = MemoryKey.parse(text)
    except MemoryRefused:
        return
    assert key.text == text
