# SPDX-License-Identifier: Apache-2.0
"""Compiles the bands, events and signals of a charge's source into a timetable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from tariffs._csv_series import read_series
from tariffs._table import TomlTable
from tariffs._words import (
    parse_date_range,
    parse_days,
    parse_event,
    parse_month_day,
    parse_seconds,
    parse_times,
)
from tariffs.clock import ZoneClock
from tariffs.errors import MalformedTariff
from tariffs.periods import NEW_YEAR, YearStart
from tariffs.schedule import ALL_DAYS, MINUTES, Calendar, DateRange, Schedule, When
from tariffs.timetable import UNKNOWN, Exceptions, Signal, Timetable

CLOCKS: Final = {"local": False, "standard": True}
LABELS: Final = {"start": False, "end": True}

Files = Callable[[str], str]
"""Returns the text of a file that a source refers to."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """What charges refer to by name."""

    clock: ZoneClock
    calendars: Mapping[str, Calendar]
    seasons: Mapping[str, tuple[DateRange, ...]]
    files: Files | None
    year_begins: YearStart = NEW_YEAR
    """Where a component that goes by years does not say when they begin."""

    def file(self, table: TomlTable) -> tuple[str, str]:
        """Return the name and text of the file that a table names."""
        name = table.text("file")
        with table.at("file"):
            if self.files is None:
                raise MalformedTariff(f"refers to the file {name!r}, but there is no folder")
            try:
                return name, self.files(name)
            except (OSError, UnicodeDecodeError, EOFError) as error:
                reason = getattr(error, "strerror", None) or error
                raise MalformedTariff(f"{name}: {reason}") from None


def charge_clock(item: TomlTable, context: Context) -> ZoneClock:
    """Return a charge's own clock, or the tariff's."""
    clock = context.clock
    if "zone" in item or "clock" in item:
        zone = item.text("zone") if "zone" in item else clock.zone
        with item.at("zone"):
            clock = ZoneClock(zone, item.choice("clock", CLOCKS, default=clock.standard))
    return clock


def read_year_begins(item: TomlTable, default: YearStart) -> YearStart:
    """Return the month and day on which years begin."""
    return item.parsed("year_begins", parse_month_day) if "year_begins" in item else default


def read_timetable(
    item: TomlTable, context: Context, read: Callable[[TomlTable], T], flat_key: str
) -> tuple[Timetable, tuple[T, ...]]:
    """Return a charge's timetable and what `read` finds for each of its bands.

    `flat_key` in the charge itself stands for one band that is always in force.
    """
    clock = charge_clock(item, context)
    holidays = _calendar(item, context)
    if flat_key in item:
        usual: Schedule | Signal = Schedule.flat(clock, "all")
        values = [read(item)]
    elif "signal" in item:
        usual, values = _signal(item, clock, context, read)
    else:
        usual, values = _schedule(item, clock, holidays, context, read)
    if "event" not in item:
        return usual, tuple(values)
    names, events = [], []
    for table in item.tables("event"):
        names.append(table.text("name"))
        with table.at(component=f"event {names[-1]}"):
            values.append(read(table))
            band = len(names) - 1
            for begin, until in table.words("at", lambda text: parse_event(text, clock)):
                events.append((begin, until, band))
            table.done()
    return Exceptions(usual, tuple(names), tuple(sorted(events))), tuple(values)


def _schedule(
    item: TomlTable,
    clock: ZoneClock,
    holidays: Calendar | None,
    context: Context,
    read: Callable[[TomlTable], T],
) -> tuple[Schedule, list[T]]:
    names, values, rules = [], [], []
    for band in item.tables("band"):
        names.append(band.text("name"))
        with band.at(component=f"band {names[-1]}"):
            values.append(read(band))
            rules.append(tuple(read_when(when, context, holidays) for when in band.tables("when")))
            band.done()
    if not names:
        raise MalformedTariff("there are no bands, and nothing that is always in force")
    return Schedule(clock, tuple(names), tuple(rules), holidays), values


def _signal(
    item: TomlTable, clock: ZoneClock, context: Context, read: Callable[[TomlTable], T]
) -> tuple[Signal, list[T]]:
    names, values = [], []
    for band in item.tables("band"):
        names.append(band.text("name"))
        with band.at(component=f"band {names[-1]}"):
            values.append(read(band))
            band.done()
    table = item.table("signal")
    with table.at():
        file, text = context.file(table)
        step = table.parsed("step", parse_seconds)
        at_end = table.choice("label", LABELS, default=False)
        begin, found = read_series(
            text, table.text("column"), charge_clock(table, context), step, at_end=at_end, name=file
        )
        table.done()
        for word in found:
            if word is not None and word not in names:
                raise MalformedTariff(f"{file}: there is no band {word!r}")
        steps = bytes(UNKNOWN if word is None else names.index(word) for word in found)
        return Signal(tuple(names), begin, step, steps), values


def _calendar(item: TomlTable, context: Context) -> Calendar | None:
    if "holidays" not in item:
        return None
    name = item.text("holidays")
    with item.at("holidays"):
        if name not in context.calendars:
            raise MalformedTariff(f"unknown holiday calendar {name!r}: no [holidays.{name}]")
    return context.calendars[name]


def read_when(table: TomlTable, context: Context, holidays: Calendar | None) -> When:
    """Return the rule that a table of days, times, season and dates stands for."""
    with table.at():
        days, times = ALL_DAYS, [(0, MINUTES)]
        dates: list[DateRange] = []
        if "days" in table:
            days = 0
            for found in table.words("days", parse_days):
                days |= found
            with table.at("days"):
                if holidays is None and days >> 7:
                    raise MalformedTariff("'holiday' needs 'holidays' in the charge")
        if "times" in table:
            with table.at("times"):
                times = sorted(table.words("times", parse_times))
        if "season" in table:
            for name in table.words("season", str):
                with table.at("season"):
                    if name not in context.seasons:
                        raise MalformedTariff(f"unknown season {name!r}")
                    dates += context.seasons[name]
        if "dates" in table:
            dates += table.words("dates", parse_date_range)
        table.done()
        return When(days, tuple(times), tuple(dates))
