# SPDX-License-Identifier: Apache-2.0
"""Bills that go on from each other: totals over a year, versions, hidden values, refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from hypothesis import given, settings
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
from tariffs.arithmetic import WHOLE
from tariffs.charges import RememberingCharge, remembers
from tariffs.clock import ZoneClock
from tariffs.demand import DemandCharge
from tariffs.memory import Quantity
from tariffs.rounding import Rounding, RoundingRule, divide
from tariffs.source import load_toml
from tariffs.steps import Cap
from tariffs.usage import KnownUsage, Part
from tests.support.memory_year import FOLDER, bill_of, bills_of, example, moment, use_of

ZONE = "Asia/Tokyo"
"""Without summer time, so that a period may be cut into slots of six hours at any day."""
SLOT = 21_600
HEAD = f"""format = 1
name = "drawn"
revision = 1
currency = "EUR"
zone = "{ZONE}"
rounding = {{ rule = "half-up", decimals = 2 }}
"""
VALID = "valid_from = 2024-01-01\nvalid_until = 2027-01-01\n"
BANDS = """[[charge.band]]
name = "day"
{day}
when = {{ times = "06:00-18:00" }}
[[charge.band]]
name = "night"
{night}
"""
LOOK_BACK = """[[charge]]
name = "power"
kind = "demand"
look_back = 11
look_back_rule = "mean"
price_per_kw = "4"
"""
ENERGY = '[[charge]]\nname = "energy"\nkind = "energy"\nprice = "0.30"\n'


def beside(path: Path) -> Tariff:
    return load_toml(path.read_text(), files=lambda name: (path.parent / name).read_text())


EXAMPLES = [one for one in map(beside, sorted(FOLDER.glob("*.toml"))) if one.has_memory]


def tariff_of(body: str, valid: str = VALID) -> Tariff:
    return load_toml(HEAD + valid + body)


def micro(draw: st.DrawFn, low: int, high: int) -> str:
    number = draw(st.integers(low, high))
    return f"{'-' * (number < 0)}{abs(number) // 10**6}.{abs(number) % 10**6:06}"


@st.composite
def counting_tariffs(draw: st.DrawFn) -> Tariff:
    """Cumulative blocks and net metering, by band or not, over years that begin on any day."""

    def blocks() -> str:
        limits = sorted(draw(st.sets(st.integers(1, 6000), min_size=1, max_size=3)))
        inner = [f'{{ up_to = "{n}", price = "{micro(draw, -(10**6), 10**6)}" }}' for n in limits]
        return f"block = [{', '.join([*inner, '{ price = ' + repr(micro(draw, 0, 10**6)) + ' }'])}]"

    def prices() -> str:
        price, credit = micro(draw, -(10**6), 10**6), micro(draw, 0, 10**6)
        return f'price = "{price}"\ncredit_price = "{credit}"'

    body = ""
    for name, kind, values in (("b", "blocks", blocks), ("n", "net", prices)):
        body += f'[[charge]]\nname = "{name}"\nkind = "{kind}"\ncumulative = true\n'
        interval = draw(st.sampled_from(["month", "quarter", "year"]))
        body += f'interval = "{interval}"\n'
        if interval == "year":
            begins = date(2001, 1, 1) + timedelta(draw(st.integers(0, 364)))
            body += f'year_begins = "{begins:%m-%d}"\n'
        banded = draw(st.booleans())
        body += BANDS.format(day=values(), night=values()) if banded else values() + "\n"
    return tariff_of(body)


@st.composite
def cuts(draw: st.DrawFn, first: date, after: date) -> list[date]:
    days = (after - first).days
    inner = draw(st.sets(st.integers(1, days - 1), min_size=1, max_size=9))
    return [first, *(first + timedelta(n) for n in sorted(inner)), after]


def in_pieces(tariff: Tariff, days: list[date], seed: int, seconds: int = SLOT) -> list[Bill]:
    """A bill from each of the days to the next, of the use that a seed makes for the whole."""
    zone = tariff.zone
    whole = use_of(zone, days[0], days[-1], seconds, Random(seed), 9000, 9000)
    bills: list[Bill] = []
    for first, after in pairwise(days):
        begin, end = moment(zone, first), moment(zone, after)
        part = slice(whole.starts.index(begin), (end - whole.starts[0]) // seconds)
        use = replace(
            whole, starts=whole.starts[part], drawn=whole.drawn[part], fed=whole.fed[part]
        )
        bills.append(bill_of(tariff, use, bills[-1].memory if bills else None))
    return bills


@settings(deadline=None, max_examples=25)
@given(counting_tariffs(), cuts(date(2025, 1, 20), date(2026, 2, 3)), st.integers(0, 99))
def test_bills_that_count_on_come_to_what_one_bill_of_all_does(
    tariff: Tariff, days: list[date], seed: int
) -> None:
    bills = in_pieces(tariff, days, seed)
    whole = in_pieces(tariff, [days[0], days[-1]], seed)[0]
    assert sum(bill.total_exact for bill in bills) == whole.total_exact
    assert bills[-1].memory == whole.memory


@settings(deadline=None, max_examples=15)
@given(counting_tariffs(), cuts(date(2025, 11, 20), date(2026, 2, 3)), st.integers(0, 99))
def test_what_slots_add_comes_to_the_bills_amount_by_blocks(
    tariff: Tariff, days: list[date], seed: int
) -> None:
    memory = None
    for first, after in pairwise(days):
        use = use_of(ZONE, first, after, SLOT, Random(seed), 9000, 9000)
        bill = compute_bill(
            tariff, use.starts, SLOT, use.drawn, export_wh=use.fed, memory=memory, by_slot=True
        )
        memory = bill.memory
        blocks = sum(item.amount_exact for item in bill.items if item.kind == "blocks")
        assert sum(slot.amount_exact for slot in bill.slots) == blocks


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(["mean", "highest"]),
    st.integers(1, 14),
    st.booleans(),
    st.booleans(),
    cuts(date(2025, 1, 1), date(2026, 3, 1)),
    st.integers(0, 99),
)
def test_a_month_billed_in_parts_has_the_peak_of_all_of_it(
    rule: str, count: int, within: bool, banded: bool, days: list[date], seed: int
) -> None:
    body = f'[[charge]]\nname = "p"\nkind = "demand"\nlook_back = {count}\n'
    body += f'look_back_rule = "{rule}"\n' + 'look_back_within = "year"\n' * within
    price = 'price_per_kw = "4"'
    body += BANDS.format(day=price, night='price_per_kw = "1"') if banded else price
    tariff = tariff_of(body)
    months = [date(2025 + n // 12, n % 12 + 1, 1) for n in range(15)]
    pieces, whole = in_pieces(tariff, days, seed), in_pieces(tariff, months, seed)
    assert pieces[-1].memory == whole[-1].memory
    assert whole[-1].memory is not None
    intervals = {key.day for key in whole[-1].memory.values}
    assert len(intervals) == min(count, 2 if within else 14)


def test_a_flemish_december_comes_to_13_36_and_not_to_23_89() -> None:
    """A case of our own: eleven months with a peak of about 3,115 W, and one evening of 6,000 W."""
    body = LOOK_BACK.replace('"4"', '"46.88"\nper = "year"\nfloor_kw = "2.5"\nwindow = "15min"')
    tariff = load_toml(HEAD.replace(ZONE, "Europe/Brussels") + VALID + body)
    alone = load_toml(
        HEAD.replace(ZONE, "Europe/Brussels")
        + VALID
        + "\n".join(line for line in body.splitlines() if "look_back" not in line)
    )
    memory = None
    for month in range(1, 13):
        after = date(2025 + month // 12, month % 12 + 1, 1)
        zone = "Europe/Brussels"
        use = use_of(zone, date(2025, month, 1), after, 900, Random(1), 400)
        drawn = [300] * len(use.starts)
        drawn[1700] = 1500 if month == 12 else 0
        drawn[1701] = 778 + (month <= 7)  # 3,112 W, or 3,116 W
        use = replace(use, drawn=drawn)
        bill = bill_of(tariff, use, memory)
        memory = bill.memory
    assert bill_of(alone, use).total == "23.89"
    assert bill.total == "13.36"


# Hidden values


@dataclass(frozen=True, eq=False)
class Hidden:
    """A number that can be reckoned with and not looked at."""

    secret: int

    def __add__(self, other: "Hidden") -> "Hidden":
        return Hidden(self.secret + other.secret)

    def __sub__(self, other: "Hidden") -> "Hidden":
        return Hidden(self.secret - other.secret)

    def __mul__(self, factor: int) -> "Hidden":
        return Hidden(self.secret * factor)

    def __bool__(self) -> NoReturn:
        raise AssertionError("a hidden value was looked at")

    def __lt__(self, other: object) -> NoReturn:
        raise AssertionError("hidden values were compared")

    __eq__ = __le__ = __gt__ = __ge__ = __lt__
    __hash__ = None  # type: ignore[assignment]


class HiddenNumbers:
    def constant(self, number: int, /) -> Hidden:
        return Hidden(number)

    def least(self, value: Hidden, other: Hidden, /) -> Hidden:
        return Hidden(min(value.secret, other.secret))

    def most(self, value: Hidden, other: Hidden, /) -> Hidden:
        return Hidden(max(value.secret, other.secret))

    def quotient(self, value: Hidden, divisor: int, rule: RoundingRule, /) -> Hidden:
        return Hidden(divide(value.secret, divisor, rule))


def hidden(values: Mapping[MemoryKey, int]) -> dict[MemoryKey, Hidden]:
    return {key: Hidden(value) for key, value in values.items()}


def seen(values: Mapping[MemoryKey, Hidden]) -> dict[MemoryKey, int]:
    return {key: value.secret for key, value in values.items()}


def same_lines(
    charge: RememberingCharge, part: Part, use: KnownUsage, carried: Mapping[MemoryKey, int]
) -> None:
    own = charge.own(part, use)
    lines, kept = charge.remembered(part, own, carried, WHOLE)
    others, hidden_kept = charge.remembered(part, hidden(own), hidden(carried), HiddenNumbers())
    assert [(one.label, one.quantity, one.nano) for one in lines] == [
        (one.label, one.quantity.secret, one.nano.secret) for one in others
    ]
    assert kept == seen(hidden_kept)
    if isinstance(charge, DemandCharge):
        places = replace(use, import_wh=range(len(use.starts)))
        figures = charge.figures(part, places)
        assert set(own) == {charge.key_of(one.band, one.stretch) for one in figures}


@pytest.mark.parametrize("tariff", EXAMPLES, ids=lambda tariff: tariff.name)
def test_hidden_values_are_reckoned_with_as_known_ones_are(tariff: Tariff) -> None:
    """So that what is kept, and under which keys, cannot depend on what was used."""
    months = [
        use_of(tariff.zone, date(2025 + n // 12, n % 12 + 1, 1),
               date(2025 + (n + 1) // 12, (n + 1) % 12 + 1, 1), 900, Random(n), 900, 900)
        for n in range(3, 16)
    ]  # fmt: skip
    memory = BillMemory(months[0].starts[0], {})
    clock, rule = ZoneClock(tariff.zone), tariff.rounding.rule
    for use in months:
        begin, end, carried = use.starts[0], use.end, memory.values
        part = Part(begin, end, begin, end, clock, rule)
        version = tariff.versions[0]
        known = KnownUsage(900, use.starts, use.drawn, use.fed)
        for charge in version.metered:
            if remembers(charge):
                same_lines(charge, part, known, carried)
        for step in version.steps:
            if isinstance(step, Cap) and step.is_cumulative:
                amount, kept = step.remembered(part, 10**16, 15, carried, WHOLE)
                other, more = step.remembered(
                    part, Hidden(10**16), 15, hidden(carried), HiddenNumbers()
                )
                assert (amount, kept) == (other.secret, seen(more))
        if (last := version.settlement) is not None:
            cents = Rounding(rule, 2)
            due, kept = last.remembered(part, 70_000_000, 0, cents, carried, WHOLE)
            other, more = last.remembered(
                part, Hidden(70_000_000), 0, cents, hidden(carried), HiddenNumbers()
            )
            assert (due, kept) == (other.secret, seen(more))
        bill = bill_of(tariff, use, memory)
        assert bill.memory is not None
        memory = bill.memory
        for key, value in memory.values.items():
            low, high = bounds_of(version, key)
            assert low <= value <= high
            assert MemoryKey.parse(key.text) == key


@pytest.mark.parametrize("tariff", EXAMPLES, ids=lambda tariff: tariff.name)
def test_which_keys_are_kept_does_not_depend_on_the_use(tariff: Tariff) -> None:
    def kept(level: int) -> list[set[MemoryKey]]:
        uses = [
            use_of(
                tariff.zone, date(2025, n, 1), date(2025, n + 1, 1), 900, Random(n), level, level
            )
            for n in (4, 5)
        ]
        return [set(bill.memory.values) for bill in bills_of(tariff, uses) if bill.memory]

    assert kept(4) == kept(3000)


# Versions

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


def test_a_step_that_carries_money_stays_in_later_versions() -> None:
    credit = 'step = { name = "c", kind = "credit" }'
    other = 'step = { name = "c", kind = "instalment", per_month = "5", true_up = "year" }'
    assert versions(before=credit, after=credit).has_memory
    assert versions(after=credit).has_memory
    for after in ("", other):
        with pytest.raises(MalformedTariff, match="step c: it carries money"):
            versions(before=credit, after=after)


def test_a_credit_is_of_the_whole_bill_over_a_change_of_version() -> None:
    credit = 'step = { name = "c", kind = "credit" }'
    days = [JUNE_TO_JULY[0], JUNE_TO_JULY[2]]
    bill = in_pieces(versions(before=credit, after=credit), days, 1)[0]
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
