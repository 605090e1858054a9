# SPDX-License-Identifier: Apache-2.0
"""Any table of intervals, or of what a register shows: columns that the user names.

What is certain is recognised: separator, decimal mark, where times stand and how they are written,
how long an interval is, whether times are its start or its end, whether a column is a register.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from hub.meters.files.cells import EnergyUnit, about_sign, decimal_mark, parse_decimal, unit_named
from hub.meters.files.errors import ReplayError
from hub.meters.files.moments import (
    DAY_FIRST,
    TimeReader,
    day_order,
    is_time_of_day,
    needs_order,
    parse_written,
)
from hub.meters.files.opened import (
    OTHER_SECONDS,
    FileRequest,
    FileRow,
    Label,
    OpenedFile,
    duration,
    usual_distance,
)
from hub.meters.files.table import Table, find_table

RISING_ROWS: Final = 8
"""So many values that never fall are those of a register, not of intervals."""
FEWEST_ALIKE: Final = 2
"""So many distances between rows that agree tell how far rows are apart."""
_END_WORDS: Final = frozenset(("end", "ende", "until", "bis", "fin", "tot", "to", "fine"))
_MINUTE: Final = 60
_LAST: Final = re.compile(r"(?:^|[T\s])24:00")


@dataclass(frozen=True, slots=True)
class TimePlaces:
    """Where a row's time stands."""

    begin: tuple[int, ...]
    """One column, or a day's and a time's."""
    end: tuple[int, ...] = ()

    @staticmethod
    def cell(row: Sequence[str], places: Sequence[int]) -> str:
        """Return the text of a time."""
        return " ".join(row[place].strip() for place in places)


def open_columns(request: FileRequest, table: Table | None = None) -> OpenedFile:
    """Return what the named columns hold; raise `ReplayError` where it is not certain."""
    if not request.required:
        return OpenedFile((), request.seconds or OTHER_SECONDS, False, ())
    table = table or find_table(request)
    sample = table.sample()
    if not sample:
        next(table.full_rows(), None)  # says what is wrong with the first row, if that is it
        raise request.wrong(max(1, table.header_line), "no rows after the header")
    places = _time_places(table, sample)
    columns = _value_columns(table, places, sample)
    suspect = None if request.suspect_column is None else table.place(request.suspect_column)
    times = _times(table, places, sample)
    mark = _decimal_mark(table, columns, sample)
    unit = request.unit or _unit(table, columns)
    cells = _Cells(request, table, columns, mark)
    begins = _sample_moments(places, times, sample)
    seconds = request.seconds or usual_distance(begins)
    cumulative = request.form.cumulative
    if cumulative is None:
        _refuse_register(cells, unit, sample)
    if not cumulative:
        _check_distance(request, begins)
    if cumulative and unit.is_power:
        raise request.wrong_file(f"a register does not count {unit.value}; say --unit kWh or Wh")
    label = _label(table, places, times, sample, seconds, cumulative=bool(cumulative))
    reader = _Reader(request, table, places, times, cells, unit, seconds, suspect)
    _note(request, table, mark, places, times)
    if cumulative:
        return OpenedFile(tuple(columns), seconds, True, reader.registers())
    return OpenedFile(tuple(columns), seconds, False, reader.intervals(label))


def value_columns(request: FileRequest) -> tuple[str, ...]:
    """Return the names of a table's columns that are neither times nor marks of gaps."""
    table = find_table(request)
    sample = table.sample()
    if not sample:
        raise request.wrong(max(1, table.header_line), "no rows after the header")
    places = _time_places(table, sample)
    other = {*places.begin, *places.end}
    if request.suspect_column is not None:
        other.add(table.place(request.suspect_column))
    return tuple(name for place, name in enumerate(table.header) if place not in other)


def _check_distance(request: FileRequest, begins: Sequence[int]) -> None:
    """Refuse an `--interval` that no two rows are apart, where rows agree on another."""
    said = request.seconds
    if said is None:
        return
    usual = usual_distance(begins)
    distances = Counter(after - before for before, after in pairwise(begins))
    if said not in distances and distances[usual] >= FEWEST_ALIKE:
        raise request.wrong_file(
            f"rows are {duration(usual)} apart, --interval says {duration(said)}: leave it out, or"
            f" say --interval {duration(usual).replace(' ', '')}"
        )


Columns = dict[bytes, tuple[int, ...]]


def _value_columns(table: Table, places: TimePlaces, sample: Sequence[Sequence[str]]) -> Columns:
    named = {
        register: tuple(table.place(name) for name in names)
        for register, names in table.request.required.items()
    }
    if all(named.values()):
        return named
    used = {*places.begin, *places.end}
    numbers = [
        place
        for place in range(len(table.header))
        if place not in used and any(row[place].strip() for row in sample)
        and all(_is_number(row[place].strip()) for row in sample)
    ]  # fmt: skip
    if len(numbers) != 1 or len(named) != 1:
        there = ", ".join(table.header[place] for place in numbers[:8]) or "none with numbers"
        raise table.request.wrong_file(f"say which --column; there are {there}")
    table.request.report.notes.append(f"column {table.header[numbers[0]]!r} is taken")
    return dict.fromkeys(named, tuple(numbers))


def _is_number(cell: str) -> bool:
    if not cell:
        return True
    for mark in (".", ","):
        try:
            parse_decimal(cell, mark)
        except ValueError:
            continue
        return True
    return False


def _time_places(table: Table, sample: Sequence[Sequence[str]]) -> TimePlaces:
    """Return where times stand: said, in the first column, or in the only one that has them."""
    named = table.request.form.time_columns
    if len(named) > 2:
        raise table.request.wrong_file("a time stands in one column, or in two: day and time")
    if named:
        return TimePlaces(tuple(table.place(name) for name in named))
    wanted = set(table.request.all_columns)
    free = [place for place, name in enumerate(table.header) if name not in wanted]
    if table.request.form.time_format is not None:
        return TimePlaces((0,))
    full = [p for p in free if _all(sample, p, _is_moment)]
    days = [p for p in free if _all(sample, p, _is_day)]
    clocks = [p for p in free if _all(sample, p, is_time_of_day)]
    if days and clocks:
        return _day_and_clock(table, days, clocks)
    moments = full or days
    if not moments or (0 not in moments and len(moments) > 2):
        if 0 in free:
            return TimePlaces((0,))  # the first column, as ever: its lines say what is wrong
        raise table.request.wrong_file("say which --time-column holds the times")
    if len(moments) == 2 and 0 not in moments and not _ends_word(table.header[moments[1]]):
        raise table.request.wrong_file(
            "say which --time-column holds the times; "
            + " and ".join(table.header[place] for place in moments)
            + " do"
        )
    second = next((p for p in moments[1:] if _ends_word(table.header[p])), None)
    end = () if second is None or second == moments[0] else (second,)
    return TimePlaces((moments[0],), end)


def _day_and_clock(table: Table, days: list[int], clocks: list[int]) -> TimePlaces:
    begin = (days[0], clocks[0])
    if len(clocks) == 1:
        return TimePlaces(begin)
    if len(clocks) > 2 or not _ends_word(table.header[clocks[1]]):
        raise table.request.wrong_file(
            "say --time-column twice, for the day and for the time of each row"
        )
    end = (days[1] if len(days) > 1 else days[0], clocks[1])
    return TimePlaces(begin, end)


def _ends_word(name: str) -> bool:
    letters = "".join(letter.lower() if letter.isalpha() else " " for letter in name)
    return not _END_WORDS.isdisjoint(letters.split())


def _all(sample: Sequence[Sequence[str]], place: int, test: Callable[[str], bool]) -> bool:
    cells = [row[place].strip() for row in sample if place < len(row)]
    return bool(cells) and all(cell and test(cell) for cell in cells)


def _is_moment(cell: str) -> bool:
    try:
        parse_written(cell)
    except (ValueError, OverflowError, OSError):
        return False
    return ":" in cell or len(cell) > 11 or "T" in cell or (cell.isdigit() and len(cell) > 8)


def _is_day(cell: str) -> bool:
    try:
        moment = parse_written(cell)
    except (ValueError, OverflowError, OSError):
        return False
    return ":" not in cell and len(cell) <= 10 and moment.hour == moment.minute == 0


def _times(table: Table, places: TimePlaces, sample: Sequence[Sequence[str]]) -> TimeReader:
    """Return how times are read; days and months are told apart by the whole column."""
    request = table.request
    pattern = request.form.time_format
    if pattern is not None or not needs_order(TimePlaces.cell(sample[0], places.begin)):
        return request.times(pattern)
    day = places.begin[0]
    try:
        order = day_order(row[day] for _, row in table.rows() if day < len(row))
    except ValueError as error:
        raise request.wrong_file(f"column {table.header[day]!r}: {error}") from None
    if order is None:
        cell = sample[0][day].strip()
        raise request.wrong_file(
            f"{cell!r} can be two days; say --time-format, such as '%d/%m/%Y %H:%M' where the day"
            " comes first"
        )
    return request.times(None, order)


def _sample_moments(
    places: TimePlaces, times: TimeReader, sample: Sequence[Sequence[str]]
) -> list[int]:
    moments: list[int] = []
    for row in sample:
        try:
            previous = moments[-1] if moments else None
            moments.append(times.moment(0, TimePlaces.cell(row, places.begin), previous))
        except ReplayError:
            break
    return moments


def _decimal_mark(table: Table, columns: Columns, sample: Sequence[Sequence[str]]) -> str:
    said = table.request.form.decimal
    if said is not None:
        return said
    cells = [row[p].strip() for row in sample for places in columns.values() for p in places]
    mark = decimal_mark(cells, table.separator)
    if mark is None:
        odd = next(cell for cell in cells if "," in cell or "." in cell)
        raise table.request.wrong_file(
            f"{odd!r} can be two numbers; say --decimal comma or --decimal point"
        )
    return mark


def _unit(table: Table, columns: Columns) -> EnergyUnit:
    named = {unit_named(table.header[place]) for places in columns.values() for place in places}
    named.discard(None)
    if len(named) > 1:
        raise table.request.wrong_file("the columns count in different units; say --unit")
    medium = table.request.form.medium
    usual = EnergyUnit.M3 if medium.counts_volume else EnergyUnit.KWH
    unit = next(iter(named), None) or usual
    if unit.is_volume is not medium.counts_volume:
        raise table.request.wrong_file(
            f"the columns count in {unit.value}, the meter counts {medium.shown_unit}; is it the"
            " file of another meter? Else say --unit"
        )
    return unit


def _label(
    table: Table, places: TimePlaces, times: TimeReader, sample: Sequence[Sequence[str]],
    seconds: int, *, cumulative: bool,
) -> Label:  # fmt: skip
    """Return what a row's time is of its interval."""
    form, report = table.request.form, table.request.report
    if form.label is not None or cumulative or places.end:
        return form.label or Label.START
    name = " ".join(table.header[place] for place in places.begin)
    if _ends_word(name):
        report.notes.append(f"the times in {name!r} are the ends of intervals")
        return Label.END
    if any(_LAST.search(TimePlaces.cell(row, places.begin)) for row in sample):
        report.notes.append("24:00 is an end: the times are the ends of intervals")
        return Label.END
    try:
        first, last = (
            parse_written(TimePlaces.cell(row, places.begin), times.order)
            for row in (sample[0], table.last_row())
        )
    except (ValueError, IndexError, OverflowError, OSError):
        return Label.START
    since, until = (60 * (60 * t.hour + t.minute) + t.second for t in (first, last))
    if times.pattern is None and 0 < since == seconds and until == 0 and last > first:
        report.notes.append(
            "the rows begin one interval after midnight and end at midnight: their times are the"
            " ends of intervals (--label start if not)"
        )
        return Label.END
    return Label.START


def _refuse_register(cells: "_Cells", unit: EnergyUnit, sample: Sequence[Sequence[str]]) -> None:
    """Refuse a column that only rises: it is a register, and its values are no use."""
    if unit.is_power or len(sample) < RISING_ROWS:
        return
    request = cells.request
    for places in cells.columns.values():
        for place in places:
            values = cells.readable(place, sample)
            never_falls = all(before <= after for before, after in pairwise(values))
            if len(values) < RISING_ROWS or not never_falls or values[0] == values[-1]:
                continue
            name = cells.table.header[place]
            raise request.wrong_file(
                f"column {name!r} only rises, from {float(values[0]):g} to {float(values[-1]):g}"
                f" in {len(values)} rows: a register, not the use of intervals; say --cumulative,"
                " or --no-cumulative if it is use all the same"
            )


def _note(
    request: FileRequest, table: Table, mark: str, places: TimePlaces, times: TimeReader
) -> None:
    """Say what was recognised, where it is not what every table has."""
    notes = []
    if table.separator != "," and request.form.separator is None:
        notes.append(
            {";": "semicolons", "\t": "tabs", "|": "bars"}.get(table.separator, "cells apart")
        )
    if mark == "," and request.form.decimal is None:
        notes.append("decimal commas")
    if places.begin != (0,) and not request.form.time_columns:
        notes.append("times in " + " and ".join(table.header[place] for place in places.begin))
    if times.order != DAY_FIRST:
        notes.append(times.order)
    if notes:
        request.report.notes.append("recognised: " + ", ".join(notes))


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells that hold values."""

    request: FileRequest
    table: Table
    columns: Columns
    mark: str

    def readable(self, place: int, sample: Sequence[Sequence[str]]) -> list[Fraction]:
        """Return a column's values, as far as they are numbers."""
        found = []
        for row in sample:
            try:
                if cell := row[place].strip():
                    found.append(parse_decimal(cell, self.mark)[0])
            except ValueError:
                break
        return found

    def values(self, number: int, row: Sequence[str]) -> tuple[Fraction | None, ...]:
        """Return each register's value, None where one of its cells is empty."""
        return tuple(self._sum(number, row, places) for places in self.columns.values())

    def _sum(self, number: int, row: Sequence[str], places: Sequence[int]) -> Fraction | None:
        total: Fraction | None = None
        for place in places:
            cell = row[place].strip()
            if not cell:
                return None
            value = self._value(number, cell, self.table.header[place])
            total = value if total is None else total + value
        return total

    def _value(self, number: int, cell: str, column: str) -> Fraction:
        try:
            value, rounded = parse_decimal(cell, self.mark)
        except ValueError:
            other = {".": ",", ",": "."}[self.mark]
            way = (
                ""
                if other not in cell
                else "; say --decimal " + ("comma" if other == "," else "point")
            )
            way = about_sign(cell) or way
            what = f"{column} is {cell[:40]!r}, not a decimal of at least 0{way}"
            raise self.request.wrong(number, what) from None
        self.request.report.rounded += rounded
        return value


@dataclass(frozen=True, slots=True)
class _Reader:
    request: FileRequest
    table: Table
    places: TimePlaces
    times: TimeReader
    cells: _Cells
    unit: EnergyUnit
    seconds: int
    suspect: int | None

    def intervals(self, label: Label) -> Iterator[FileRow]:
        """Yield each row's interval, in order and distinct."""
        shift = self.seconds if label is Label.END else 0
        for number, row, moment in self._timed(self.seconds):
            values = self._known(number, row)
            energy = tuple(
                None if value is None else self.unit.watt_hours(value, self.seconds)
                for value in values
            )
            begin = moment - shift
            if self.places.end:
                self._check_end(number, row, begin)
            yield FileRow(number, begin, begin + self.seconds, energy)

    def registers(self) -> Iterator[FileRow]:
        """Yield what the registers show at each row's time."""
        for number, row, moment in self._timed(1):
            values = tuple(
                None if value is None else self.unit.watt_hours(value, 1)
                for value in self._known(number, row)
            )
            yield FileRow(number, moment, moment, values)

    def _known(self, number: int, row: Sequence[str]) -> tuple[Fraction | None, ...]:
        if self.suspect is not None and row[self.suspect].strip() == "1":
            return (None,) * len(self.cells.columns)
        return self.cells.values(number, row)

    def _timed(self, apart: int) -> Iterator[tuple[int, list[str], int]]:
        previous: int | None = None
        for number, row in self.table.full_rows():
            text = TimePlaces.cell(row, self.places.begin)
            moment = self.times.moment(number, text, previous)
            if previous is not None and moment < previous + apart:
                if moment <= previous:
                    order = "repeats" if moment == previous else "is earlier than"
                    raise self.request.wrong(number, f"{text} {order} the row before")
                raise self.request.wrong(
                    number, f"{text} is less than {self.seconds} s after the last"
                )
            previous = moment
            yield number, row, moment

    def _check_end(self, number: int, row: Sequence[str], begin: int) -> None:
        text = TimePlaces.cell(row, self.places.end)
        end = self.times.moment(number, text, begin)
        if self.places.end[0] == self.places.begin[0] and end <= begin:
            end += 24 * 60 * _MINUTE  # one day's column, and an interval that ends at midnight
        # Some write the last minute or second of an interval, not its end.
        if end - begin not in (self.seconds, self.seconds - _MINUTE, self.seconds - 1):
            raise self.request.wrong(
                number, f"covers {end - begin} s, other rows {self.seconds} s; say --interval"
            )
