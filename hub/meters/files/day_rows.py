# SPDX-License-Identifier: Apache-2.0
"""A row a day: a column of days, and a column for each time of the day.

The columns' names are the times at which intervals begin, or end: then the last one is 24:00, or
00:00. A day on which the clock changes has the same columns. An hour that does not exist must be
empty or 0. Of one that the clock repeats a row has one value; its second pass is a gap.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from hub.meters.files.cells import EnergyUnit, decimal_mark
from hub.meters.files.moments import TimeReader, clock_minutes, day_order, needs_order
from hub.meters.files.opened import FileRequest, OpenedFile, number_of, opened_intervals
from hub.meters.files.table import SEPARATORS, Table, first_rows

_DAY_MINUTES: Final = 24 * 60
_FEWEST: Final = 24


def find_day_rows(request: FileRequest) -> Table | None:
    """Return the table if its header has a time for each interval of a day."""
    for separator in SEPARATORS:
        for number, row in first_rows(request.text, separator):
            cells = tuple(cell.strip() for cell in row)
            while cells and not cells[-1]:
                cells = cells[:-1]
            if sum(clock_minutes(cell) is not None for cell in cells) >= _FEWEST:
                return Table(request, separator, number, cells)
    return None


def open_day_rows(request: FileRequest, table: Table) -> OpenedFile:
    """Return the intervals; raise `ReplayError` where the columns are no grid."""
    places = [p for p, name in enumerate(table.header) if clock_minutes(name) is not None]
    minutes = [clock_minutes(table.header[place]) or 0 for place in places]
    begins, step = _grid(request, table, minutes)
    rows = list(table.full_rows())
    sample = [row[place].strip() for _, row in rows[:50] for place in places]
    mark = request.form.decimal or decimal_mark(sample, table.separator)
    if mark is None:
        raise request.wrong_file("its numbers can be read in two ways; say --decimal")
    day_place = next((p for p in range(len(table.header)) if p not in places), None)
    if day_place is None:
        raise request.wrong(table.header_line, "no column of days beside those of times")
    order = "day first"
    if rows and needs_order(rows[0][1][day_place]):
        order = day_order(row[day_place] for _, row in rows) or ""
        if not order:
            raise request.wrong_file("its days can be read in two ways; say --time-format")
    clock = request.local_clock()
    times = TimeReader(request.path, clock, request.form.time_format, order)
    unit = request.unit or EnergyUnit.KWH
    known: dict[int, tuple[int, Fraction | None]] = {}
    for number, row in rows:
        day = times.moment(number, row[day_place], None)
        local = datetime.fromtimestamp(day, clock).replace(tzinfo=None)
        for place, begin in zip(places, begins, strict=True):
            value = number_of(request, number, row[place], mark, table.header[place])
            moment = _moment(clock, local + timedelta(minutes=begin))
            if moment is None:
                if value:
                    raise request.wrong(
                        number, f"{table.header[place]} does not exist on that day, and has a value"
                    )
                continue
            if moment in known:
                raise request.wrong(number, f"{row[day_place]} is there twice")
            energy = None if value is None else unit.watt_hours(value, 60 * step)
            known[moment] = number, energy
    return opened_intervals(request, 60 * step, known, None)


def _grid(request: FileRequest, table: Table, minutes: Sequence[int]) -> tuple[list[int], int]:
    """Return the minute at which each column begins, and how many each covers."""
    ends = minutes[0] != 0
    wrapped = [m or _DAY_MINUTES for m in minutes] if ends else list(minutes)
    step = wrapped[1] - wrapped[0]
    begins = [m - step for m in wrapped] if ends else wrapped
    if step <= 0 or begins != list(range(0, _DAY_MINUTES, step)):
        raise request.wrong(table.header_line, "its columns are not the intervals of a whole day")
    if ends:
        request.report.notes.append("the columns' times are the ends of intervals")
    return begins, step


def _moment(clock: ZoneInfo, local: datetime) -> int | None:
    """Return a moment of the clock's first pass; None if the clock skips it."""
    seconds = int(local.replace(tzinfo=clock).timestamp())
    shown = datetime.fromtimestamp(seconds, clock).replace(tzinfo=None)
    return seconds if shown == local else None
