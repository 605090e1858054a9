# SPDX-License-Identifier: Apache-2.0
"""Bills that go on from each other: totals over a year, versions, hidden values, refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import (
    BillMemory,
    MemoryKey,
    Tariff,
    bounds_of,
    compute_bill,
)
from tariffs.arithmetic import WHOLE
from tariffs.charges import RememberingCharge, remembers
from tariffs.clock import ZoneClock
from tariffs.demand import DemandCharge
from tariffs.rounding import Rounding, RoundingRule, divide
from tariffs.source import load_toml
from tariffs.steps import Cap
from tariffs.usage import KnownUsage, Part
from tests.support.memory_tariffs import drawn_tariff
from tests.support.memory_year import (
    FOLDER,
    bill_of,
    bills_of,
    memory_of,
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


def beside(path: Path) -> Tariff:
    return load_toml(path.read_text(), files=lambda name: (path.parent / name).read_text())


EXAMPLES = [one for one in map(beside, sorted(FOLDER.glob("*.toml"))) if one.has_memory]


DRAWN = [drawn_tariff(seed) for seed in range(16)]
REMEMBERING = [*EXAMPLES, *(one for one in DRAWN if one.has_memory)]


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


@settings(deadline=None, max_examples=25)
@given(counting_tariffs(), cuts(date(2025, 1, 20), date(2026, 2, 3)), st.integers(0, 99))
def test_bills_that_count_on_come_to_what_one_bill_of_all_does(
    tariff: Tariff, days: list[date], seed: int
) -> None:
    bills = in_pieces(tariff, days, seed)
    whole = in_pieces(tariff, [days[0], days[-1]], seed)[0]
    assert sum(bill.total_exact for bill in bills) == whole.total_exact
    assert bills[-1].memory == whole.memory


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["per_month", "per_day", "per_bill", "per_year"]),
    st.integers(0, 10**9),
    st.integers(0, 6),
    cuts(date(2025, 5, 1), date(2026, 4, 1)),
    st.integers(0, 99),
)
def test_instalments_and_what_they_leave_open_come_to_the_bills(
    per: str, amount: int, decimals: int, days: list[date], seed: int
) -> None:
    head = HEAD.replace("decimals = 2", f"decimals = {decimals}")
    tax = '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "20.13"\n'
    plan = f'[[step]]\nname = "plan"\nkind = "instalment"\n{per} = "{amount // 10**6}.'
    plan += f'{amount % 10**6:06}"\ntrue_up = "year"\nyear_begins = "04-01"\n'
    alone = in_pieces(load_toml(head + VALID + ENERGY + tax), days, seed)
    bills = in_pieces(load_toml(head + VALID + ENERGY + tax + plan), days, seed)
    open_ = Fraction(0)
    for bill, plain in zip(bills, alone, strict=True):
        open_ += Fraction(plain.total) - Fraction(bill.total)
        carried = memory_of(bill).values
        assert Fraction(sum(carried.values()), 10**6) == open_
    assert memory_of(bills[-1]).values == {}
    assert open_ == 0


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(0, 2000 * 10**6), min_size=12, max_size=12),
    cuts(date(2025, 5, 1), date(2026, 4, 1)),
    st.integers(0, 99),
)
def test_a_credit_is_neither_lost_nor_made(paid: list[int], days: list[date], seed: int) -> None:
    fed = '[[charge]]\nname = "fed in"\nkind = "feed-in"\nprice = "0.29"\n'  # some sums below 0
    alone = in_pieces(tariff_of(ENERGY + fed), days, seed)
    credit = '[[step]]\nname = "c"\nkind = "credit"\n'
    bills = in_pieces(tariff_of(ENERGY + fed + credit), days, seed, paid=paid)
    left = Fraction(0)
    for bill, plain, advance in zip(bills, alone, paid, strict=False):
        owed = Fraction(plain.total) - left - Fraction(advance, 10**6)
        left = Fraction(sum(memory_of(bill).values.values()), 10**6)
        assert left == max(-owed, 0)
        whole = Fraction(bill.total_exact, 10**bill.exact_decimals)
        assert whole == max(owed, 0)


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


@pytest.mark.parametrize("tariff", REMEMBERING, ids=lambda tariff: tariff.name)
def test_hidden_values_are_reckoned_with_as_known_ones_are(tariff: Tariff) -> None:
    """So that what is kept, and under which keys, cannot depend on what was used."""
    seconds = 900 if tariff in EXAMPLES else 3600
    months = [
        use_of(tariff.zone, date(2025 + n // 12, n % 12 + 1, 1),
               date(2025 + (n + 1) // 12, (n + 1) % 12 + 1, 1), seconds, Random(n), 900, 900)
        for n in range(3, 16)
    ]  # fmt: skip
    memory = BillMemory(months[0].starts[0], {})
    clock, rule = ZoneClock(tariff.zone), tariff.rounding.rule
    for use in months:
        begin, end, carried = use.starts[0], use.end, memory.values
        part = Part(begin, end, begin, end, clock, rule)
        version = next(one for one in tariff.versions if begin < clock.day_begin(one.valid_until))
        known = KnownUsage(seconds, use.starts, use.drawn, use.fed)
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
            low, high = bounds_of(tariff.versions[-1], key)
            assert low <= value <= high
            assert MemoryKey.parse(key.text) == key


@pytest.mark.parametrize("tariff", REMEMBERING, ids=lambda tariff: tariff.name)
def test_which_keys_are_kept_does_not_depend_on_the_use(tariff: Tariff) -> None:
    def kept(level: int) -> list[set[MemoryKey]]:
        uses = [
            use_of(
                tariff.zone,
                date(2025, n, 1),
                date(2025, n + 1, 1),
                900 if tariff in EXAMPLES else 3600,
                Random(n),
                level,
                level,
            )
            for n in (5, 6, 7)
        ]
        return [set(bill.memory.values) for bill in bills_of(tariff, uses) if bill.memory]

    assert kept(4) == kept(3000)


@pytest.mark.parametrize("tariff", REMEMBERING, ids=lambda tariff: tariff.name)
def test_a_tariff_with_memory_comes_back_from_its_document(tariff: Tariff) -> None:
    assert Tariff.decode(tariff.encode()) == tariff
