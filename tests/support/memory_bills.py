# SPDX-License-Identifier: Apache-2.0
"""Tariffs with memory out of the hat, and chains of bills in the open and on hidden values."""

import csv
import gzip
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from applets.billing.charges import Plan, plan_bill
from protocols.amounts import Carried
from protocols.carried import CarriedState, CarriedValue
from tariffs import Register, Tariff, TariffError, billed_registers, compute_bill
from tariffs.bill import Bill
from tariffs.clock import ZoneClock, day_number
from tariffs.errors import MalformedTariff, MemoryRefused
from tariffs.memory import BillMemory
from tariffs.source import load_toml
from tests.support.shared import LONDON, require_shared
from tests.support.two_registers import SOLAR_HOME

ACCOUNT = bytes(range(16))
METER = b"LCL"
RULES = ("half-up", "half-even", "down")
NO_POINT = b"\x02" + bytes(32)
MICRO = 10**6


@dataclass
class Hat:
    """What tariffs with memory are drawn from; one shape, and prices anew for each version."""

    dice: random.Random
    shape: dict[str, str] = field(default_factory=dict)

    def drawn(self, name: str, *choices: str) -> str:
        """Return the tariff's one choice of this name."""
        return self.shape.setdefault(name, self.dice.choice(choices))

    def price(self, low: int = 1, high: int = 4000) -> str:
        """Return a price in quotes."""
        return f'"{self.dice.randrange(low, high) / 10_000:.4f}"'

    def rounding(self) -> str:
        """Return a component's own rounding, or none."""
        if self.dice.random() < 0.7:
            return ""
        rule, decimals = self.dice.choice(RULES), self.dice.randrange(5)
        return f'rounding = {{ rule = "{rule}", decimals = {decimals} }}\n'

    def banded(self, name: str, scale: str, other: str) -> str:
        """Return one scale, or an evening's and another."""
        if self.drawn(f"{name} bands", "one", "two") == "one":
            return scale
        return (
            f'[[charge.band]]\nname = "evening"\n{scale}when = {{ times = "17:00-21:00" }}\n'
            f'[[charge.band]]\nname = "rest"\n{other}'
        )

    def peaks(self) -> str:
        """Return a demand charge that looks back."""
        rule = self.drawn("rule", "mean", "highest")
        share = self.drawn("share", "80", "100", "33.3")
        lines = [
            '[[charge]]\nname = "peaks"\nkind = "demand"',
            f'interval = "{self.drawn("peaks", "month", "quarter")}"',
            f"look_back = {self.drawn('look back', '1', '2', '11')}",
            f'look_back_rule = "{rule}"',
            f'look_back_share = "{share}"' if rule == "highest" else "",
            self.drawn("within", "", 'look_back_within = "year"'),
            f'per = "month"\nfloor_kw = "{self.dice.choice(("0", "2.5", "1.001"))}"',
        ]

        def scale() -> str:
            if self.drawn("scale", "price", "steps") == "price":
                return f"price_per_kw = {self.price(1, 90_000)}\n"
            limits = sorted(self.dice.sample(range(5, 40), 2))
            ends = ", ".join(f'{{ up_to_kw = "{n / 10}", amount = "{n}.5" }}' for n in limits)
            return f'step = [{ends}, {{ amount = "{self.dice.randrange(90)}.25" }}]\n'

        head = "\n".join(line for line in lines if line) + "\n" + self.rounding()
        return head + self.banded("peaks", scale(), scale())

    def blocks(self) -> str:
        """Return blocks that count on."""
        interval = self.drawn("blocks", "month", "quarter", "year")

        def rising() -> str:
            limits = sorted(self.dice.sample(range(1, 4000), self.dice.randint(1, 3)))
            ends = "".join(f'{{ up_to = "{limit}", price = {self.price()} }}, ' for limit in limits)
            return f"block = [{ends}{{ price = {self.price()} }}]\n"

        head = f'[[charge]]\nname = "blocks"\nkind = "blocks"\ninterval = "{interval}"\n'
        head += f"cumulative = true\n{self.rounding()}"
        return head + self.banded("blocks", rising(), rising())

    def net(self) -> str:
        """Return net metering, by one of its rules."""
        rules = (
            'interval = "month"\ncumulative = true\n',
            'interval = "year"\ncumulative = true\n',
            "carry = true\n",
            'interval = "month"\n',
        )

        def prices() -> str:
            return f"price = {self.price()}\ncredit_price = {self.price(0)}\n"

        head = f'[[charge]]\nname = "net"\nkind = "net"\n{self.drawn("net", *rules)}'
        return head + self.rounding() + self.banded("net", prices(), prices())

    def version(self, wanted: set[str], last: str) -> str:
        """Return the components of one version."""
        dice = self.dice
        energy = f'[[charge]]\nname = "energy"\nkind = "energy"\nprice = {self.price()}\n'
        found = {
            "energy": energy + self.rounding(),
            "standing": '[[charge]]\nname = "standing"\nkind = "standing"\nper_month = "7.77"\n',
            "peaks": self.peaks(),
            "blocks": self.blocks(),
            "net": self.net(),
        }
        charges = {name: text for name, text in found.items() if name in wanted}
        limit = self.drawn("limit", "cap", "minimum")
        steps = {
            "rebate": f'kind = "rebate"\npercent = "{dice.randrange(90)}.5"\n'
            f'on = ["{dice.choice(sorted(charges))}"]\n',
            "limit": f'kind = "{limit}"\nper_year = "{dice.randrange(100, 3000)}.33"\n'
            f"cumulative = true\n{self.rounding()}",
            "VAT": f'kind = "tax"\npercent = "19"\n{self.rounding()}',
            "credit": 'kind = "credit"\n' + self.drawn("settled", "", 'settled = "year"\n'),
            "instalment": 'kind = "instalment"\ntrue_up = "year"\n'
            f'per_{dice.choice(("month", "day"))} = "{dice.randrange(1, 99)}.37"\n',
        }
        chosen = [
            f'[[step]]\nname = "{name}"\n{text}'
            for name, text in steps.items() if name in wanted or name == last
        ]  # fmt: skip
        return "".join([*charges.values(), *chosen])


def memory_tariff_drawn(seed: int, first: date = date(2025, 1, 1), reach: int = 700) -> Tariff:
    """Return a tariff that has something with memory, of one price version or two.

    Where there is a second one, it is in force within `reach` days.
    """
    dice = random.Random(seed)
    hat = Hat(dice)
    names = ("peaks", "blocks", "net", "limit", "rebate", "VAT", "standing")
    wanted = {"energy"} | {name for name in names if dice.random() < 0.45}
    last = dice.choice(("credit", "instalment", "", ""))
    if not last and not wanted & {"peaks", "blocks", "limit"}:
        last = "credit"
    heading = (
        f'format = 1\nname = "drawn {seed}"\nrevision = 1\ncurrency = "GBP"\n'
        f'zone = "Europe/London"\nmissing = "{dice.choice(("omit", "week-before"))}"\n'
        f'rounding = {{ rule = "{dice.choice(RULES)}", decimals = {dice.choice((2, 2, 0, 4))} }}\n'
    )
    days = [first, first + timedelta(days=1200)]
    if dice.random() < 0.6:
        days.insert(1, first + timedelta(days=dice.randrange(20, reach)))
    text = "".join(
        f"[[version]]\nvalid_from = {begin}\nvalid_until = {end}\n"
        + hat.version(wanted, last).replace("[[", "[[version.")
        for begin, end in pairwise(days)
    )
    year = f'year_begins = "{dice.choice(("01-01", "04-01", "07-15"))}"\n'
    try:
        return load_toml(heading + year + text)
    except MalformedTariff as error:
        if "nothing of the tariff is yearly" not in str(error):
            raise
        return load_toml(heading + text)


@dataclass
class Home:
    """What a home draws and feeds in, by the hour, with slots that nobody knows."""

    dice: random.Random
    slot_seconds: int = 3600
    scale: int = 900

    def uses(self, starts: Sequence[int]) -> tuple[dict[Register, list[int]], list[int]]:
        """Return the uses of both registers and the states of some slots."""
        uses = {
            Register.IMPORT: [self.dice.randrange(3 * self.scale) for _ in starts],
            Register.EXPORT: [
                self.dice.randrange(2 * self.scale) if self.dice.random() < 0.4 else 0
                for _ in starts
            ],
        }
        states = [0] * len(starts)
        for missing in self.dice.sample(range(len(starts)), self.dice.choice((0, 0, 1))):
            states[missing] = 3
            for use in uses.values():
                use[missing] = 0
        return uses, states


@dataclass
class RealHome(Home):
    """What real homes have drawn and fed in, half hour by half hour, each split into two slots.

    A slot without a value in the data is one that nobody knows.
    """

    rows: Sequence[tuple[int | None, int]] = ()
    """Watt-hours drawn and fed in; two years of them."""
    place: int = 0

    def uses(self, starts: Sequence[int]) -> tuple[dict[Register, list[int]], list[int]]:
        """Return the next uses of both registers and the states of some slots."""
        rows = self.rows[self.place : self.place + len(starts) // 2]
        self.place += len(rows)
        drawn = [wh for row, _ in rows for wh in _halves(row or 0)]
        fed_in = [wh for row, sun in rows for wh in _halves(0 if row is None else sun)]
        states = [3 if row is None else 0 for row, _ in rows for _ in range(2)]
        return {Register.IMPORT: drawn, Register.EXPORT: fed_in}, states


def _halves(watt_hours: int) -> tuple[int, int]:
    return watt_hours // 2, watt_hours - watt_hours // 2


def two_real_years() -> list[tuple[int | None, int]]:
    """Return two years of real London homes, one each, with a real Australian home's panels."""

    def column(path: Path, name: str) -> list[int | None]:
        with gzip.open(require_shared(path), "rt") as file:
            cells = [row[name] for row in csv.DictReader(file)]
        return [int(Decimal(cell).scaleb(3)) if cell else None for cell in cells]

    drawn = column(LONDON, "MAC000002") + column(LONDON, "MAC000004")
    sun = [wh or 0 for wh in column(SOLAR_HOME, "pv_generation_kWh")]
    return [(wh, sun[place % len(sun)]) for place, wh in enumerate(drawn)]


@dataclass(frozen=True)
class PlannedBill:
    """One bill of a chain, in the open and as it is planned on hidden values."""

    bounds: tuple[int, int]
    starts: Sequence[int]
    uses: dict[Register, list[int]]
    states: Sequence[int]
    paid: int
    plain: Bill
    plan: Plan
    before: CarriedState


class Unprovable(Exception):
    """A peak of a slot twice, by gaps, or steps of too many cases: both are refused by name."""


def state_of(plan: Plan, before: CarriedState, end: int) -> CarriedState:
    """Return the state that a plan leaves, its points left out."""
    values = [
        CarriedValue(Carried(one.name, one.low, one.bits), NO_POINT) for one in plan.total.kept
    ]
    return before.following(end, values)


def chain(
    tariff: Tariff, home: Home, days: Sequence[date], *, ends: bool = False
) -> Iterator[PlannedBill]:
    """Yield the bills between days, one after the other, each compared with the plain one.

    `ends` says that the contract ends with the last of the days.
    A period that reaches beyond the end of a year is refused in the open and on hidden values, and
    is billed up to that day and from then on.
    """
    clock = ZoneClock(tariff.zone)
    moments = [clock.day_begin(day_number(day)) for day in days]
    state = CarriedState.opening(METER, ACCOUNT, moments[0])
    memory: BillMemory | None = None
    carried: dict[str, int] = {}
    waiting = [(begin, end) for begin, end in pairwise(moments)]
    while waiting:
        begin, end = waiting.pop(0)
        is_last = ends and not waiting
        starts = range(begin, end, home.slot_seconds)
        uses, slot_states = home.uses(starts)
        registers = billed_registers(tariff, begin, end)
        paid = home.dice.randrange(300 * MICRO) if _takes_credit(tariff, end) else 0
        exports = uses[Register.EXPORT] if Register.EXPORT in registers else None

        plain = partial(
            compute_bill, tariff, starts, home.slot_seconds, uses[Register.IMPORT], slot_states,
            export_wh=exports, begin=begin, end=end, memory=memory, paid=paid,
            is_last=is_last,
        )  # fmt: skip
        try:
            plan = plan_bill(
                tariff, starts, home.slot_seconds, slot_states, begin, end, state, paid,
                is_last=is_last,
            )  # fmt: skip
        except MemoryRefused as refused:
            with pytest.raises(MemoryRefused, match=re.escape(str(refused))):
                plain()
            middle = clock.day_begin((clock.day_of(begin) + clock.day_of(end)) // 2)
            if not begin < middle < end:
                raise
            waiting[:0] = [(begin, middle), (middle, end)]
            continue
        except TariffError as error:
            if "stands in for a missing one" in str(error) or "too many cases" in str(error):
                raise Unprovable from None
            raise
        bill, values = plain(), [uses[register] for register in registers]
        assert str(plan.amount_of(plan.total.value_of(values, carried))) == str(Decimal(bill.total))
        carried = plan.total.kept_of(values, carried)
        assert bill.memory is not None
        assert carried == bill.memory.as_json()
        yield PlannedBill((begin, end), starts, uses, slot_states, paid, bill, plan, state)
        state, memory = state_of(plan, state, end), bill.memory


def _takes_credit(tariff: Tariff, end: int) -> bool:
    settlement = tariff.parts([end - 3600], 3600)[0][0].settlement
    return settlement is not None and settlement.kind == "credit"


def months(first: date, count: int) -> list[date]:
    """Return the first days of so many months, and the one after."""
    place = 12 * first.year + first.month - 1
    return [date(n // 12, n % 12 + 1, 1) for n in range(place, place + count + 1)]
