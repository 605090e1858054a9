# SPDX-License-Identifier: Apache-2.0
"""The slots of a local calendar day.

    |00:00 ------- 00:15 ------- 00:30 ---- ... ---- 23:45 ------- 24:00|
     begin  slot 0        slot 1                            slot 95   end

A day lasts from the first instant at which the zone's calendar shows its date to the first
instant of the next day, so that days follow each other without a gap whatever the clock does:
96 quarter-hours, 92 or 100 when the clock changes by an hour, 94 or 98 when by half an hour.
Slots are numbered in the order of time; instants are whole seconds since 1970 in UTC.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from protocols.canonical.day_zone import zone_named
from protocols.metrology.errors import GridError

SLOT_MINUTES: Final = (5, 15, 30, 60)
"""The slot lengths a grid may have."""

_YEARS: Final = range(1970, 2200)
_ONE_DAY: Final = timedelta(days=1)


class SlotState(enum.IntEnum):
    """How the use of a slot is known; one byte in a certified day."""

    MEASURED = 0
    ESTIMATED = 1
    """The register was read before and after, but not at the slot's ends."""
    SUBSTITUTED = 2
    """The meter or its source marked the register's value as doubtful."""
    MISSING = 3
    """Nothing is known; the use is given as 0."""


@dataclass(frozen=True, slots=True)
class DayGrid:
    """The slots of one local day, e.g. `DayGrid(date(2025, 3, 30), "Europe/Berlin", 15)`."""

    day: date
    zone: str
    slot_minutes: int
    begin: int = field(init=False, compare=False)
    """The first second of the day."""
    end: int = field(init=False, compare=False)
    """The second after the day."""

    def __post_init__(self) -> None:
        if self.slot_minutes not in SLOT_MINUTES:
            raise GridError(f"slots of {self.slot_minutes} minutes: only 5, 15, 30 or 60")
        zone = find_zone(self.zone)
        if not _exists(self.day, zone):
            raise GridError(f"{self.day} does not exist in {self.zone}: the calendar skipped it")
        object.__setattr__(self, "begin", _first_second(self.day, zone))
        object.__setattr__(self, "end", _first_second(self.day + _ONE_DAY, zone))
        if (self.end - self.begin) % self.slot_seconds:
            raise GridError(
                f"{self.day} in {self.zone} lasts {timedelta(seconds=self.end - self.begin)},"
                f" not a whole number of slots of {self.slot_minutes} minutes"
            )

    @property
    def slot_seconds(self) -> int:
        """The length of a slot."""
        return 60 * self.slot_minutes

    def __len__(self) -> int:
        return (self.end - self.begin) // self.slot_seconds

    def boundaries(self) -> range:
        """Return the slots' ends: begin, ..., end; one more than there are slots."""
        return range(self.begin, self.end + 1, self.slot_seconds)

    def slot_at(self, time: int) -> int:
        """Return the number of the slot that `time` lies in; raise `GridError` if none."""
        if not self.begin <= time < self.end:
            raise GridError(f"{time} is not on {self.day} in {self.zone}")
        return (time - self.begin) // self.slot_seconds


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise GridError(f"the period's first day, {self.first}, is after {self.last}")
        if self.first.year not in _YEARS or self.last.year not in _YEARS:
            raise GridError(f"{self.first} to {self.last}: only the years 1970 to 2199")

    @classmethod
    def month(cls, year: int, month: int) -> "Period":
        """Return a calendar month."""
        if year not in _YEARS or month not in range(1, 13):
            raise GridError(f"there is no month {year}-{month}")
        following = date(year + month // 12, month % 12 + 1, 1)
        return cls(date(year, month, 1), following - _ONE_DAY)

    @classmethod
    def quarter(cls, year: int, quarter: int) -> "Period":
        """Return a quarter of a calendar year, 1 to 4."""
        if year not in _YEARS or quarter not in range(1, 5):
            raise GridError(f"there is no quarter {year}-Q{quarter}")
        return cls(cls.month(year, 3 * quarter - 2).first, cls.month(year, 3 * quarter).last)

    @classmethod
    def year(cls, year: int) -> "Period":
        """Return a calendar year."""
        if year not in _YEARS:
            raise GridError(f"there is no year {year}; only 1970 to 2199")
        return cls(date(year, 1, 1), date(year, 12, 31))

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Return the period written 2025, 2025-Q1, 2025-03, or 2025-03-10..2025-04-09.

        Both days of the last form are included, and one day may stand alone. Raises `GridError`.
        """
        try:
            period = cls._read(text)
        except ValueError:
            period = None
        if period is None or text not in (str(period), f"{period.first}..{period.last}"):
            raise GridError(
                f"{text!r} is no period; write 2025, 2025-Q1, 2025-03 or 2025-03-10..2025-04-09"
            )
        return period

    @classmethod
    def _read(cls, text: str) -> "Period":
        first, dots, last = text.partition("..")
        if dots or len(text) == len("2025-03-10"):
            return cls(date.fromisoformat(first), date.fromisoformat(last if dots else first))
        if text[4:6] == "-Q":
            return cls.quarter(int(text[:4]), int(text[6:]))
        if len(text) == len("2025-03"):
            return cls.month(int(text[:4]), int(text[5:]))
        return cls.year(int(text))

    def __str__(self) -> str:
        """Return how the period is said: 2025-03, 2025-Q1, 2025, or its first and last day."""
        year, month = self.first.year, self.first.month
        if self.first.day == 1 and self == Period.month(year, month):
            return f"{year}-{month:02}"
        if self.first.day == 1 and month % 3 == 1 and self == Period.quarter(year, month // 3 + 1):
            return f"{year}-Q{month // 3 + 1}"
        if (self.first, self.last) == (date(year, 1, 1), date(year, 12, 31)):
            return str(year)
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    @property
    def day_count(self) -> int:
        """How many calendar days it has."""
        return (self.last - self.first).days + 1

    def within(self, other: "Period") -> bool:
        """Return whether all of its days are the other's, too."""
        return other.first <= self.first and self.last <= other.last

    @classmethod
    def touching(cls, begin: int, end: int, zone: str) -> "Period":
        """Return the local days that [begin, end) touches; raise `GridError` if there are none."""
        info = find_zone(zone)
        try:
            return cls(date_at(begin, info), date_at(end - 1, info))
        except (GridError, OverflowError, ValueError, OSError):
            raise GridError(f"{begin} to {end} is no time of days") from None

    @classmethod
    def filling(cls, begin: int, end: int, zone: str) -> "Period":
        """Return the local days that fill [begin, end); raise `GridError` if none do just that."""
        period = cls.touching(begin, end, zone)
        if period.bounds(zone) != (begin, end):
            raise GridError(f"{begin} to {end} are not whole days in {zone}")
        return period

    def days(self, zone: str) -> Iterator[date]:
        """Yield the period's days; one that `zone`'s calendar skipped is left out."""
        info, day = find_zone(zone), self.first
        while day <= self.last:
            if _exists(day, info):
                yield day
            day += _ONE_DAY

    def grids(self, zone: str, slot_minutes: int) -> tuple[DayGrid, ...]:
        """Return the grids of all days."""
        return tuple(DayGrid(day, zone, slot_minutes) for day in self.days(zone))

    def bounds(self, zone: str) -> tuple[int, int]:
        """Return the first second and the second after the period, local time."""
        info = find_zone(zone)
        return _first_second(self.first, info), _first_second(self.last + _ONE_DAY, info)


def date_at(time: int, zone: tzinfo) -> date:
    """Return the local day of a moment."""
    return datetime.fromtimestamp(time, UTC).astimezone(zone).date()


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone whose days are meant; raise `GridError` if there is none of that name.

    It is an IANA zone, or one whose days begin at another hour (`protocols.canonical.day_zone`).
    """
    try:
        return zone_named(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise GridError(f"there is no time zone {name!r}") from None


def _exists(day: date, zone: ZoneInfo) -> bool:
    """Return whether the zone's calendar has this day (Samoa had no 30 December 2011)."""
    if day.year not in _YEARS:
        raise GridError(f"{day}: only the years 1970 to 2199")
    return date_at(_first_second(day, zone), zone) == day


@lru_cache(maxsize=1024)
def _first_second(day: date, zone: ZoneInfo) -> int:
    """Return the first instant whose local date is `day`, or later if the day was skipped."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    # Of a midnight that comes twice, fold=0 is the first. One that the clock jumps over maps to
    # an instant after the jump (fold=0) and one before (fold=1): the jump is between.
    late = int(midnight.timestamp())
    early = int(midnight.replace(fold=1).timestamp())
    if date_at(late - 1, zone) < day:
        return late
    while late - early > 1:
        middle = (late + early) // 2
        early, late = (middle, late) if date_at(middle, zone) < day else (early, middle)
    return late
