# SPDX-License-Identifier: Apache-2.0
"""Bands: which of a tariff's prices is in force at a moment.

A band is in force where one of its rules is: a rule names weekdays (holidays being a weekday of
their own), times of day and dates. One band may have no rule: it is in force for the rest of the
time. A schedule is complete (no hole) and unambiguous (no overlap) for every date and every kind
of day, which is checked when it is made.

The work is done on integers: a stretch of constant offset from UTC turns moments into local days
and seconds; a day's kind and dates select one of a few plans, which list the day's bands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Final

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.clock import DAY, ZoneClock, date_of, day_number
from tariffs.errors import MalformedTariff

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "holiday")
HOLIDAY: Final = 7
ALL_DAYS: Final = 0xFF
MINUTES: Final = 24 * 60
MAX_BANDS: Final = 128
MAX_RULES: Final = 256
MAX_DATE_RANGES: Final = 64
MONTH_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

Plan = tuple[tuple[int, int, int], ...]
"""From second, until second, band: the bands of a day in order, neighbours distinct."""
Segment = tuple[int, int, int]
"""From moment, until moment, band."""
Calendar = frozenset[int]
"""The numbers of the days that are holidays."""


@dataclass(frozen=True, slots=True)
class DateRange:
    """Dates from `first` to `last`, both included; a year of 0 means every year."""

    first: tuple[int, int, int]
    last: tuple[int, int, int]

    def __post_init__(self) -> None:
        for year, month, day in (self.first, self.last):
            if not (1 <= month <= 12 and 1 <= day <= MONTH_DAYS[month - 1]):
                raise MalformedTariff(f"impossible date {month:02}-{day:02}")
            if year and not (1970 <= year < 2200 and _exists(year, month, day)):
                raise MalformedTariff(f"impossible date {year}-{month:02}-{day:02}")
        if (self.first[0] == 0) != (self.last[0] == 0):
            raise MalformedTariff("a range of dates has the year at both ends or at neither")
        if self.first[0] and self.first > self.last:
            raise MalformedTariff(f"the dates {self} end before they begin")

    def __str__(self) -> str:
        return " to ".join(
            f"{year}-{month:02}-{day:02}" if year else f"{month:02}-{day:02}"
            for year, month, day in (self.first, self.last)
        )

    def includes(self, day: date) -> bool:
        """Return whether a date lies in the range; a yearly one may span the new year."""
        if self.first[0]:
            return self.first <= (day.year, day.month, day.day) <= self.last
        here = (0, day.month, day.day)
        if self.first <= self.last:
            return self.first <= here <= self.last
        return here >= self.first or here <= self.last

    def boundaries(self, years: range) -> Iterator[int]:
        """Yield the days on which the range may begin or cease to hold."""
        for year in [self.first[0]] if self.first[0] else years:
            yield _ordinal(year, *self.first[1:])
        for year in [self.last[0]] if self.last[0] else years:
            yield _ordinal(year, *self.last[1:]) + (_exists(year, *self.last[1:]))


def _exists(year: int, month: int, day: int) -> bool:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= MONTH_DAYS[month - 1] - (month == 2 and not leap)


def _ordinal(year: int, month: int, day: int) -> int:
    # 29 February of a common year stands for the day after the 28th.
    if _exists(year, month, day):
        return day_number(date(year, month, day))
    return day_number(date(year, month + 1, 1))


@dataclass(frozen=True, slots=True)
class When:
    """Days of the week, times of day and dates that all must hold."""

    days: int = ALL_DAYS
    """A bit for each of `DAY_NAMES`."""
    times: tuple[tuple[int, int], ...] = ((0, MINUTES),)
    """Minutes of the local day, from and until; in order and apart."""
    dates: tuple[DateRange, ...] = ()
    """Any of these; empty: the whole year."""

    def __post_init__(self) -> None:
        if not 0 < self.days <= ALL_DAYS:
            raise MalformedTariff("a rule names no days")
        if not self.times:
            raise MalformedTariff("a rule names no times")
        for begin, until in self.times:
            if not 0 <= begin < until <= MINUTES:
                raise MalformedTariff(
                    f"impossible time {minute_text(begin)}-{minute_text(until)}: it must begin"
                    " before it ends, within one day (write 22:00-24:00 and 00:00-06:00)"
                )
        for (_, until), (begin, _) in pairwise(self.times):
            if begin < until:
                raise MalformedTariff(f"times are out of order or overlap at {minute_text(begin)}")


def minute_text(minute: int) -> str:
    """Return a minute of the day as a clock shows it."""
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Bands by time of day, weekday, date and holiday, without hole or overlap."""

    clock: ZoneClock
    names: tuple[str, ...]
    """The bands."""
    rules: tuple[tuple[When, ...], ...]
    """The rules of each band; none: the rest of the time."""
    holidays: Calendar | None = None
    """Days that are holidays instead of their weekday; None: the schedule knows none."""

    _dates: tuple[tuple[DateRange, ...], ...] = field(init=False, repr=False, compare=False)
    _plans: Mapping[tuple[int, int], Plan] = field(init=False, repr=False, compare=False)
    _cache: dict[int, Plan] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.rules):
            raise MalformedTariff("there is no band")
        if len(set(self.names)) != len(self.names):
            raise MalformedTariff("two bands have the same name")
        if sum(not rules for rules in self.rules) > 1:
            raise MalformedTariff("two bands claim the rest of the time: only one may lack 'when'")
        self._check_size()
        dates = tuple(dict.fromkeys(rule.dates for rules in self.rules for rule in rules))
        object.__setattr__(self, "_dates", dates)
        object.__setattr__(self, "_plans", self._make_plans())
        object.__setattr__(self, "_cache", {})
        used = {band for plan in self._plans.values() for _, _, band in plan}
        for band, name in enumerate(self.names):
            if band not in used:
                raise MalformedTariff("the band is never in force", component=f"band {name}")

    def _check_size(self) -> None:
        # Checking for holes takes time by the product of these; a document may be hostile.
        dates = {one for rules in self.rules for rule in rules for one in rule.dates}
        for what, count, most in (
            ("bands", len(self.names), MAX_BANDS),
            ("rules", sum(map(len, self.rules)), MAX_RULES),
            ("ranges of dates", len(dates), MAX_DATE_RANGES),
        ):
            if count > most:
                raise MalformedTariff(f"more than {most} {what}")

    @property
    def effort(self) -> int:
        """What it takes to check the schedule, in rules without dates."""
        return sum(rule_effort(len(rule.dates)) for rules in self.rules for rule in rules)

    @classmethod
    def flat(cls, clock: ZoneClock, name: str) -> "Schedule":
        """Return the schedule of one band."""
        return cls(clock, (name,), ((),))

    # Plans

    def _signature(self, day: date) -> int:
        return sum(
            1 << i
            for i, ranges in enumerate(self._dates)
            if not ranges or any(one.includes(day) for one in ranges)
        )

    def _signatures(self) -> dict[int, int]:
        """Return every combination of dates that occurs, and the first day that has it."""
        ranges = [one for several in self._dates for one in several]
        years = {year for one in ranges for year, _, _ in (one.first, one.last) if year}
        # Yearly ranges repeat; eight years hold a leap year even around 2100.
        around = range(min(years, default=2000) - 8, max(years, default=2000) + 9)
        first = day_number(date(around.start, 1, 1))
        days = {first, *(day for one in ranges for day in one.boundaries(around))}
        found: dict[int, int] = {}
        for day in sorted(days):
            found.setdefault(self._signature(date_of(day)), day)
        return found

    def _make_plans(self) -> dict[tuple[int, int], Plan]:
        kinds = range(7 if self.holidays is None else 8)
        return {
            (signature, kind): self._make_plan(signature, kind, day)
            for signature, day in self._signatures().items()
            for kind in kinds
        }

    def _make_plan(self, signature: int, kind: int, example: int) -> Plan:
        index = {ranges: i for i, ranges in enumerate(self._dates)}
        claims = sorted(
            (begin, until, band)
            for band, rules in enumerate(self.rules)
            for rule in rules
            if rule.days >> kind & 1 and signature >> index[rule.dates] & 1
            for begin, until in rule.times
        )
        rest = next((band for band, rules in enumerate(self.rules) if not rules), None)
        plan: list[tuple[int, int, int]] = []
        at = 0
        for begin, until, band in [*claims, (MINUTES, MINUTES, -1)]:
            if begin < at:
                other = self.names[plan[-1][2]]
                raise MalformedTariff(
                    f"the bands {other} and {self.names[band]} overlap at {minute_text(begin)}"
                    + self._where(kind, example)
                )
            if begin > at:
                if rest is None:
                    raise MalformedTariff(
                        f"no band is in force at {minute_text(at)}-{minute_text(begin)}"
                        + self._where(kind, example)
                    )
                _append(plan, at, begin, rest)
            if band >= 0:
                _append(plan, begin, until, band)
            at = until
        return tuple((begin * 60, until * 60, band) for begin, until, band in plan)

    def _where(self, kind: int, example: int) -> str:
        season = f" when the dates are as on {date_of(example)}" if any(self._dates) else ""
        return f" on {DAY_NAMES[kind]}{season}"

    def _plan(self, day: int) -> Plan:
        plan = self._cache.get(day)
        if plan is None:
            holiday = self.holidays is not None and day in self.holidays
            kind = HOLIDAY if holiday else (day + 3) % 7
            plan = self._plans[self._signature(date_of(day)), kind]
            if len(self._cache) > 1024:
                self._cache.clear()
            self._cache[day] = plan
        return plan

    # Moments

    def segments(self, begin: int, end: int) -> Iterator[Segment]:
        """Yield the stretches of [begin, end) in order, each with its band; neighbours differ."""
        open_from, open_band = begin, -1
        for span_begin, span_end, offset in self.clock.spans(begin, end):
            at = span_begin
            while at < span_end:
                day, second = divmod(at + offset, DAY)
                for _, until, band in self._plan(day):
                    if until <= second:
                        continue
                    if band != open_band:
                        if open_band >= 0:
                            yield open_from, at, open_band
                        open_from, open_band = at, band
                    at = until + day * DAY - offset
                    if at >= span_end:
                        break
                at = min(at, span_end)
        if open_band >= 0:
            yield open_from, end, open_band

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the schedule as a document holds it."""
        tree: dict[int | str, CborValue] = {
            "zone": self.clock.zone,
            "standard": int(self.clock.standard),
            "bands": [
                {"name": name, "when": [_rule_tree(rule) for rule in rules]}
                for name, rules in zip(self.names, self.rules, strict=True)
            ],
        }
        if self.holidays is not None:
            tree["holidays"] = sorted(self.holidays)
        return tree

    @classmethod
    def from_canonical(cls, value: CborValue) -> "Schedule":
        """Return the schedule that a document holds."""
        fields = TariffReader(value, "schedule")
        clock = ZoneClock(fields.text("zone"), fields.flag("standard"))
        names, rules = [], []
        for item in fields.items("bands"):
            band = TariffReader(item, "band")
            names.append(band.text("name"))
            rules.append(tuple(_rule(rule) for rule in band.items("when")))
            band.done()
        holidays = frozenset(fields.integers("holidays")) if "holidays" in fields else None
        fields.done()
        return cls(clock, tuple(names), tuple(rules), holidays)


def _append(plan: list[tuple[int, int, int]], begin: int, until: int, band: int) -> None:
    if plan and plan[-1][2] == band:
        begin = plan.pop()[0]
    plan.append((begin, until, band))


def rule_effort(ranges: int) -> int:
    """Return what it takes to check a rule that has so many ranges of dates."""
    return 1 + 16 * ranges


def _rule_tree(rule: When) -> CborValue:
    return {
        "days": rule.days,
        "times": rule.times,
        "dates": [[*one.first, *one.last] for one in rule.dates],
    }


def _rule(value: CborValue) -> When:
    fields = TariffReader(value, "rule")
    dates = []
    for item in fields.items("dates"):
        match item:
            case [int(a), int(b), int(c), int(d), int(e), int(f)]:
                dates.append(DateRange((a, b, c), (d, e, f)))
            case _:
                raise MalformedTariff("a range of dates is not six integers")
    rule = When(fields.integer("days"), fields.pairs("times"), tuple(dates))
    fields.done()
    return rule
