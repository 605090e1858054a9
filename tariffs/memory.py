# SPDX-License-Identifier: Apache-2.0
"""Memory: what a bill carries to the next one.

A charge or step with memory keeps values, each under a key: the highest power of a month, the
energy of a year so far, a credit. Which keys a bill keeps follows from the tariff, its period and
the keys it was handed alone, never from the values. So a bill can be proved, and the next one
chained to it, while the values stay hidden. The last bill of a contract settles what is owed, and
keeps nothing (`Part.is_last`).

A later version of the tariff goes on from what a component keeps if its own component of the same
name has the same `MemoryShape`. Else a charge begins anew; a step that carries money has to be
kept, which `Tariff` checks.
"""

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Generic, NamedTuple, Protocol, Self

from tariffs.arithmetic import V
from tariffs.clock import date_of, day_number
from tariffs.errors import MemoryRefused
from tariffs.periods import (
    NEW_YEAR,
    Interval,
    Stretch,
    YearStart,
    billed_days,
    interval_before,
    interval_days,
)
from tariffs.usage import KnownUsage, Part

NO_DAY: Final = 0
KEY_TEXT: Final = re.compile(r"(.+)/(0|[1-9][0-9]{0,3})/(-|[0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)


class MemoryKey(NamedTuple):
    """Names a value that is carried."""

    component: str
    """The charge or step."""
    part: int
    """The number of the band in the charge's timetable; 0 where there is none."""
    day: int
    """The number of the first local day of what the value is of; 0 where there is none."""

    @property
    def text(self) -> str:
        """The key in words, such as "capacity/0/2025-01-01"."""
        return f"{self.component}/{self.part}/{date_of(self.day) if self.day else '-'}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that a text names; raise `MemoryRefused` for any other text."""
        match = KEY_TEXT.fullmatch(text)
        try:
            day = (
                NO_DAY if not match or match[3] == "-" else day_number(date.fromisoformat(match[3]))
            )
        except ValueError:
            match = None
        key = cls(match[1], int(match[2]), day) if match else None
        if key is None or key.text != text:
            raise MemoryRefused(f"{text!r} names no value that a bill carries")
        return key


class Quantity(enum.Enum):
    """What a carried value is, and the bounds it is within."""

    WATTS = (0, 1 << 36)
    WATT_HOURS = (0, 1 << 44)
    NET_WATT_HOURS = (-(1 << 44), 1 << 44)
    MONEY = (-(1 << 56), 1 << 56)
    """In 10^-6 of the currency."""

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value, both included."""
        return self.value


@dataclass(frozen=True, slots=True)
class BillMemory:
    """What a bill hands to the next one."""

    end: int
    """The moment up to which was billed: the next bill has to begin there."""
    values: Mapping[MemoryKey, int]

    def as_json(self) -> dict[str, int]:
        """Return the values by the texts of their keys."""
        return {key.text: self.values[key] for key in sorted(self.values)}


@dataclass(frozen=True, slots=True)
class MemoryLine(Generic[V]):
    """What a charge with memory asks for a quantity."""

    label: str
    quantity: V
    unit: str
    rate: int | None
    nano: V


@dataclass(frozen=True, slots=True)
class MemoryShape:
    """Which keys a component keeps. Two that are equal go on from each other."""

    kind: str
    """The kind of the component."""
    name: str
    quantity: Quantity
    bands: tuple[str, ...] = ("",)
    interval: Interval | None = None
    """What a value is of; None: of nothing but the contract."""
    year_begins: YearStart = NEW_YEAR
    is_since: bool = False
    """Whether the key's day is the first that was counted of the interval, maybe a later one."""
    reach: int = field(default=0, compare=False)
    """How many intervals before that of the moment are remembered."""
    is_within_year: bool = field(default=False, compare=False)
    """Whether only intervals of the moment's year are."""
    is_owed: bool = field(default=False, compare=False)
    """Whether the value is somebody's money or energy: it must not be lost."""
    is_yearly: bool = field(default=False, compare=False)
    """Whether the end of a year settles what is owed."""

    def knows(self, key: MemoryKey, day: int) -> bool:
        """Tell whether a bill that begins or ends on a local day may find or leave this key."""
        if key.component != self.name or not 0 <= key.part < len(self.bands):
            return False
        if self.interval is None:
            return key.day == NO_DAY
        if not 0 < key.day <= day + self.is_since:  # a day is counted from its middle on
            return False
        first = interval_before(self.interval, day, self.reach, self.year_begins)
        if self.is_within_year:
            first = max(first, interval_days(Interval.YEAR, day, self.year_begins)[0])
        begins = interval_days(self.interval, key.day, self.year_begins)[0]
        return key.day >= first and (self.is_since or key.day == begins)

    def kept(self, values: Mapping[MemoryKey, V], day: int) -> dict[MemoryKey, V]:
        """Return those of the values that a bill which ends on a local day leaves."""
        return {key: value for key, value in values.items() if self.knows(key, day)}


class Remembering(Protocol):
    """A version of a tariff, as far as its memory goes."""

    @property
    def memory_shapes(self) -> Mapping[str, MemoryShape]:
        """The memory of each component that has one, by name."""


def bounds_of(version: Remembering, key: MemoryKey) -> tuple[int, int]:
    """Return the bounds of a value; raise `MemoryRefused` for one the version does not have."""
    shape = version.memory_shapes.get(key.component)
    if shape is None:
        raise MemoryRefused(f"the tariff carries no {key.text!r}")
    return shape.quantity.bounds


def carried_into(
    before: Remembering, after: Remembering, values: Mapping[MemoryKey, V], day: int
) -> dict[MemoryKey, V]:
    """Return what the version `after` goes on from, of what `before` left on a local day."""
    shapes = {
        name: shape
        for name, shape in after.memory_shapes.items()
        if shape == before.memory_shapes.get(name)
    }
    return {
        key: value
        for key, value in values.items()
        if key.component in shapes and shapes[key.component].knows(key, day)
    }


def check_values(version: Remembering, values: Mapping[MemoryKey, int], day: int) -> None:
    """Refuse values that a bill under this version, from a local day on, cannot go on from."""
    for key, value in values.items():
        shape = version.memory_shapes.get(key.component)
        if shape is None or not shape.knows(key, day):
            raise MemoryRefused(
                f"{key.text!r} is carried, which the tariff does not know on {date_of(day)}"
            )
        low, high = shape.quantity.bounds
        if not low <= value <= high:
            raise MemoryRefused(f"{key.text!r} is carried as {value}, not {low} to {high}")


@dataclass(frozen=True, slots=True)
class BillYear:
    """The year that a bill, or a part of one, lies in."""

    first: int
    after: int
    """The first days of the year and of the next."""
    first_billed: int
    after_billed: int
    """The first day that is billed, and the one after the last."""
    is_ended: bool
    """Whether what is owed is settled: the year's last day is billed, or the contract's."""


def year_of_bill(part: Part, begins: YearStart, component: str) -> BillYear:
    """Return the year of a part; raise `MemoryRefused` where it reaches beyond the year's end."""
    days = billed_days(part)
    first, after = interval_days(Interval.YEAR, days.start, begins)
    if days.stop > after:
        raise MemoryRefused(
            f"its year ends before {date_of(after)}, within the bill: ask for a bill up to that"
            " day and for one from then on",
            component=component,
        )
    is_ended = part.is_last or days.stop == after
    return BillYear(first, after, days.start, days.stop, is_ended)


def slots_by_key(
    name: str, intervals: Sequence[Stretch], bands: Callable[[KnownUsage], list[int]],
    usage: KnownUsage,
) -> dict[MemoryKey, list[int]]:  # fmt: skip
    """Return which slots (their indices in `usage`) belong to each interval and band."""
    found: dict[MemoryKey, list[int]] = {}
    first = 0
    for stretch in intervals:
        inside = usage.between(stretch.begin, stretch.end)
        day = day_number(stretch.first)
        for slot, band in enumerate(bands(inside), start=first):
            found.setdefault(MemoryKey(name, band, day), []).append(slot)
        first += len(inside.starts)
    return found
