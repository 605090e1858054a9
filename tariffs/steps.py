# SPDX-License-Identifier: Apache-2.0
"""Steps: what is reckoned from amounts alone, in the order of the document.

    tax       a share of the items it names, added
    rebate    a share of the items it names, taken off
    cap       what the items it names exceed a limit by, taken off
    minimum   what the items it names fall short of a limit by, added

A step names the items it is reckoned on, charges or earlier steps, and adds an item of its own.
Rates are integers in parts per million, so that an amount of d decimals gives one of d + 6. Limits
are for a day, month, year or bill, or for each kilowatt-hour that was drawn.

A cap or minimum for a year may count on over its bills (`is_cumulative`): the bill that ends the
year, or the contract, asks or gives back the difference. A contract that began or ends within the
year has its share of the limit, by days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, TypeAlias

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.arithmetic import Arithmetic, V
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff, TariffError
from tariffs.fixed import NANO_PER_MICRO, share_of
from tariffs.memory import MemoryKey, MemoryShape, Quantity, year_of_bill
from tariffs.periods import (
    NEW_YEAR,
    Interval,
    YearStart,
    check_year_start,
    read_year_start,
    share,
    year_start_member,
)
from tariffs.rounding import power_of_ten
from tariffs.usage import Part

MILLION: Final = 10**6
NANO_DECIMALS: Final = 9
MICRO_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Tax:
    """A share of the items it names, added to them."""

    kind: ClassVar = "tax"
    added_decimals: ClassVar = 6
    sign: ClassVar = 1

    name: str
    ppm: int
    """190_000 for 19 %."""
    on: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.ppm <= 10 * MILLION:
            raise MalformedTariff("the rate is not between 0 and 1000 %")

    def amount(self, base: int, decimals: int, part: Part, energy_wh: int | None) -> int:
        """Return the share of `base`, in the same decimals, which leave room for it."""
        amount, rest = divmod(base * self.ppm, MILLION)
        assert not rest, "exact_decimals leaves room for every step"
        return self.sign * amount

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the step as a document holds it."""
        return {"ppm": self.ppm}


@dataclass(frozen=True, slots=True)
class Rebate(Tax):
    """A share of the items it names, taken off them."""

    kind: ClassVar = "rebate"
    sign: ClassVar = -1

    def __post_init__(self) -> None:
        if not 0 <= self.ppm <= MILLION:
            raise MalformedTariff("the rate is not between 0 and 100 %")


@dataclass(frozen=True, slots=True)
class Cap:
    """What the items exceed a limit by, taken off."""

    kind: ClassVar = "cap"
    added_decimals: ClassVar = 0

    name: str
    on: tuple[str, ...]
    price: int
    """The limit, in micro-units of the currency for a day, month, year, bill or kWh."""
    per: Interval | None
    """None: the limit is for each kilowatt-hour that was drawn."""
    is_cumulative: bool = False
    """Whether the items of a year are counted together, over its bills."""
    year_begins: YearStart = NEW_YEAR

    def __post_init__(self) -> None:
        check_price(self.price)
        check_year_start(self.year_begins)
        if self.is_cumulative and self.per is not Interval.YEAR:
            raise MalformedTariff("what is cumulative has a limit for a year")
        if self.year_begins != NEW_YEAR and not self.is_cumulative:
            raise MalformedTariff("'year_begins' goes with something yearly and cumulative")

    @property
    def memory_shape(self) -> MemoryShape | None:
        """What is carried: the items so far of the year, since the day that is counted from."""
        if not self.is_cumulative:
            return None
        return MemoryShape(
            kind=self.kind,
            name=self.name,
            quantity=Quantity.MONEY,
            interval=Interval.YEAR,
            year_begins=self.year_begins,
            is_since=True,
            is_owed=True,
            is_yearly=True,
        )

    def remembered(
        self,
        part: Part,
        own: V,
        decimals: int,
        carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[V, dict[MemoryKey, V]]:
        """Return what the step adds, given the items of the part, and what is carried on.

        Amounts have so many decimals; what is carried is in 10^-6, each part rounded once.
        Raises `MemoryRefused` for a part that reaches beyond the end of a year.
        """
        year = year_of_bill(part, self.year_begins, f"step {self.name}")
        since = [key for key in carried if key.component == self.name]
        unit = power_of_ten(decimals - MICRO_DECIMALS)
        key = since[0] if since else MemoryKey(self.name, 0, year.first_billed)
        if not year.is_ended:
            so_far = arithmetic.quotient(own, unit, part.rule)
            so_far = carried[key] + so_far if since else so_far
            return arithmetic.constant(0), {key: so_far}
        total = own + carried[key] * unit if since else own
        # the days that were counted: to the year's end, or to that of the contract
        times = Fraction(year.after_billed - key.day, year.after - year.first)
        nano = share_of(self.price * NANO_PER_MICRO, times, part.rule)
        limit = arithmetic.constant(nano * power_of_ten(decimals - NANO_DECIMALS))
        return self._beyond(limit - total, arithmetic), {}

    def _beyond(self, room: V, arithmetic: Arithmetic[V]) -> V:
        return arithmetic.least(room, arithmetic.constant(0))

    def limit(self, decimals: int, part: Part, energy_wh: int | None) -> int:
        """Return the limit for a part of a bill."""
        if self.per is not None:
            nano = share_of(self.price * NANO_PER_MICRO, share(self.per, part), part.rule)
        elif energy_wh is not None:
            nano = self.price * energy_wh
        else:
            raise TariffError(
                "its limit is by energy, which is not known here", component=f"step {self.name}"
            )
        return nano * power_of_ten(decimals - NANO_DECIMALS)

    def amount(self, base: int, decimals: int, part: Part, energy_wh: int | None) -> int:
        """Return what `base` exceeds the limit by, as a credit."""
        return min(0, self.limit(decimals, part, energy_wh) - base)

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the step as a document holds it."""
        members: dict[int | str, CborValue] = {
            "price": self.price,
            "per": "kWh" if self.per is None else self.per,
        }
        if self.is_cumulative:
            members["cumulative"] = 1
        return members | year_start_member(self.year_begins)


@dataclass(frozen=True, slots=True)
class Minimum(Cap):
    """What the items fall short of a limit by, added."""

    kind: ClassVar = "minimum"

    def amount(self, base: int, decimals: int, part: Part, energy_wh: int | None) -> int:
        """Return what `base` falls short of the limit by."""
        return max(0, self.limit(decimals, part, energy_wh) - base)

    def _beyond(self, room: V, arithmetic: Arithmetic[V]) -> V:
        return arithmetic.most(room, arithmetic.constant(0))


Step: TypeAlias = Tax | Cap


def step_canonical(step: Step) -> CborValue:
    """Return a step as a document holds it."""
    return {"kind": step.kind, "name": step.name, "on": step.on, **step.canonical()}


def step_from_canonical(value: CborValue) -> Step:
    """Return the step that a document holds."""
    fields = TariffReader(value, "step")
    kind, name, on = fields.text("kind"), fields.text("name"), fields.texts("on")
    step: Step
    try:
        match kind:
            case "tax" | "rebate":
                step = (Tax if kind == "tax" else Rebate)(name, fields.integer("ppm"), on)
            case "cap" | "minimum":
                price, per = fields.integer("price"), _per(fields)
                cumulative = fields.flag("cumulative") if "cumulative" in fields else False
                begins = read_year_start(fields)
                step = (Cap if kind == "cap" else Minimum)(name, on, price, per, cumulative, begins)
            case _:
                raise MalformedTariff(f"unknown kind of step {kind!r}")
        fields.done()
    except MalformedTariff as error:
        raise error.within(f"step {name}") from None
    return step


def _per(fields: TariffReader) -> Interval | None:
    value = fields.text("per")
    if value == "kWh":
        return None
    try:
        return Interval(value)
    except ValueError:
        raise MalformedTariff(f"unknown interval {value!r}") from None
