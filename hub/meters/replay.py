# SPDX-License-Identifier: Apache-2.0
"""Real interval data from a file, replayed as the register that a meter would have shown.

A row holds an interval and the energy (or mean power) in it. The register at an
interval's end is the sum so far, in whole watt-hours, rounded down; nothing is lost in between,
since the sum itself is kept exact. An empty cell, a missing row and a row marked suspect are
gaps: no reading ends there, and the next one says that the register did not run meanwhile
(`ReadingFlag.RESUMED`). Gaps are never filled.

A file may hold registers instead, what the meter itself showed at each row's time. Then readings
are what it holds, and the register did run where rows are missing.

A second column may hold what was fed in, in the same unit. A meter sends both registers or none, so
a row is a gap if either cell is.

Energy that cannot flow through the fuse is refused, whatever the file says (`FileForm`).

Errors: ReplayError, whose text begins with the file and the line.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.meters.files.cells import EnergyUnit as EnergyUnit
from hub.meters.files.columns import value_columns
from hub.meters.files.content import read_text
from hub.meters.files.errors import ReplayError as ReplayError
from hub.meters.files.errors import wrong_line
from hub.meters.files.opened import FileForm, FileReport, FileRequest, FileRow, OpenedFile
from hub.meters.files.recognise import open_file
from hub.readings import Reading, ReadingFlag, Readout

_INTERVAL: Final = re.compile(r"([1-9]\d{0,4}) ?(s|min|h)", re.ASCII)
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}
_HOUR: Final = 3600
LONGEST_TOLERANCE: Final = 60
MOST_EMPTY_DAYS: Final = 1_000
"""Days of a file's gaps, together: more of them are a year that is wrong."""
_DAY: Final = 86_400


def parse_interval(text: str) -> int:
    """Return the seconds of an interval such as `30min`, `1h` or `10s`."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise ReplayError(f"interval {text!r}: write it as 30min, 1h or 10s")
    return int(match[1]) * _SECONDS[match[2]]


def parse_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ReplayError(f"time zone {name!r}: unknown; use an IANA name, Europe/Berlin") from None


@dataclass(frozen=True, slots=True)
class CsvReplay:
    """Readings out of a file of interval data or of registers; packed with gzip or not."""

    path: Path
    columns: Mapping[bytes, str | tuple[str, ...]]
    """What was counted by which register, by OBIS code, at least one. Several columns are added;
    without a name the format knows its columns, or there is only one."""
    unit: EnergyUnit | None
    """What a cell counts; None: as the column's name says, else kWh."""
    interval_seconds: int | None
    """What a row covers; None: as the file's rows are apart."""
    zone: ZoneInfo
    """The clock of times that state no offset of their own."""
    suspect_column: str | None = None
    """A column whose `1` marks a row as a gap."""
    start_wh: Mapping[bytes, int] = field(default_factory=dict)
    """Where registers stand before the first row, where not at 0."""
    form: FileForm = field(default_factory=FileForm)
    optional: frozenset[bytes] = frozenset()
    """Registers that are done without if the file has none."""

    def open(self, report: FileReport | None = None) -> OpenedFile:
        """Return what the file holds; `report` is told what was recognised and left out."""
        return open_file(self._request(FileReport() if report is None else report))

    def value_columns(self) -> tuple[str, ...]:
        """Return the names of a table's columns that are neither times nor marks of gaps."""
        return value_columns(self._request(FileReport()))

    def _request(self, report: FileReport) -> FileRequest:
        columns = {
            register: (names,) if isinstance(names, str) else names
            for register, names in self.columns.items()
        }
        return FileRequest(
            self.path, read_text(self.path, report.notes), columns, self.unit,
            self.interval_seconds, self.zone, self.suspect_column, self.form, report,
            self.optional,
        )  # fmt: skip

    def readings(self, begin: int | None = None, end: int | None = None) -> Iterator[Reading]:
        """Yield the first register as `readouts` does."""
        first = next(iter(self.columns))
        for readout in self.readouts(begin, end):
            yield readout.readings[first]

    def readouts(
        self, begin: int | None = None, end: int | None = None, report: FileReport | None = None
    ) -> Iterator[Readout]:
        """Yield the registers at the bounds of the intervals in [begin, end).

        Where a bound is given there is a reading at it, so that what the file lacks at either end
        is a gap like any other. The whole file is checked on the way, rows outside the range
        included; rows must be in order and distinct. Raises `ReplayError` at the first line that
        is wrong. `report` is told the rows, the gaps, and what was recognised.
        """
        report = FileReport() if report is None else report
        opened = self.open(report)
        report.cumulative = opened.cumulative
        if opened.cumulative:
            yield from self._shown(opened, begin, end, report)
        else:
            yield from self._summed(opened, begin, end, report)

    def uses(
        self, begin: int | None = None, end: int | None = None, report: FileReport | None = None
    ) -> "FileUses":
        """Return the first register's energy of each interval in [begin, end) that is known.

        Of a register's own values those at the bounds of intervals count, or the last ones before,
        by a fifteenth of the interval and at most a minute, as in the hub.
        """
        report = FileReport() if report is None else report
        opened = self.open(report)
        if not opened.registers:
            return FileUses(opened.seconds, None)
        first = opened.registers[0]
        if opened.cumulative:
            shown = [r.readings[first] for r in self._shown(opened, None, end, report)]
            return FileUses(opened.seconds, _between_bounds(opened, shown, begin, end))
        readings = (r.readings[first] for r in self._summed(opened, begin, end, report))
        return FileUses(
            opened.seconds,
            {
                before.time: after.register_wh - before.register_wh
                for before, after in pairwise(readings)
                if not after.flags & ReadingFlag.RESUMED
            },
        )

    def _summed(
        self, opened: OpenedFile, begin: int | None, end: int | None, report: FileReport
    ) -> Iterator[Readout]:
        registers = [Fraction(self.start_wh.get(register, 0)) for register in opened.registers]
        previous_end: int | None = None
        if begin is not None:
            previous_end = begin
            yield _readout(opened, begin, registers)
        for row in opened.rows:
            report.rows += 1
            self._check_flow(row, row.values, row.end - row.begin)
            outside = (begin is not None and row.begin < begin) or (
                end is not None and row.begin >= end
            )
            energy = [value for value in row.values if value is not None]
            if len(energy) < len(row.values) or outside:
                continue
            if previous_end != row.begin:
                flags = ReadingFlag.NONE if previous_end is None else ReadingFlag.RESUMED
                if previous_end is not None:
                    report.gaps.append((previous_end, row.begin))
                    self._count_missing(report, row.line, row.begin - previous_end)
                yield _readout(opened, row.begin, registers, flags)
            registers = list(map(add, registers, energy))
            previous_end = row.end
            yield _readout(opened, row.end, registers)
        if end is not None and previous_end is not None and previous_end < end:
            report.gaps.append((previous_end, end))
            yield _readout(opened, end, registers, ReadingFlag.RESUMED)

    def _shown(
        self, opened: OpenedFile, begin: int | None, end: int | None, report: FileReport
    ) -> Iterator[Readout]:
        before: FileRow | None = None
        for row in opened.rows:
            report.rows += 1
            known = [value for value in row.values if value is not None]
            if len(known) < len(row.values):
                continue
            if before is not None:
                self._check_rise(before, row)
                missing = row.begin - before.begin - opened.seconds
                if not opened.on_change and missing > 0:
                    report.gaps.append((before.begin, row.begin))
                self._count_missing(report, row.line, missing)
            before = row
            if (begin is None or row.begin >= begin) and (end is None or row.begin <= end):
                yield _readout(opened, row.begin, known)

    def _check_rise(self, before: FileRow, row: FileRow) -> None:
        risen: list[Fraction | None] = []
        for old, new in zip(before.values, row.values, strict=True):
            if old is not None and new is not None and new < old:
                raise self._wrong(
                    row.line,
                    f"the register falls from {_kwh(old)} to {_kwh(new)} kWh: of another meter, or"
                    " the use of intervals (then leave --cumulative out)",
                )
            risen.append(None if old is None or new is None else new - old)
        self._check_flow(row, risen, row.begin - before.begin)

    def _check_flow(
        self, row: FileRow, values: tuple[Fraction | None, ...] | list[Fraction | None],
        seconds: int,
    ) -> None:  # fmt: skip
        """Refuse more energy than the fuse lets through in that time."""
        limit, unit = self.form.fuse.per_hour, self.form.medium.shown_unit
        for column, value in zip(self.columns.values(), values, strict=False):
            if value is None:
                continue
            if value.numerator * _HOUR > limit * seconds * value.denominator:
                name = column if isinstance(column, str) else "+".join(column)
                raise self._wrong(
                    row.line,
                    f"{name or 'it'} is {_kwh(value)} {unit}: no home uses that in {seconds} s"
                    f" ({_flow(limit, unit)}); a register needs"
                    " --cumulative, another unit --unit, a larger connection --fuse",
                )

    def _count_missing(self, report: FileReport, line: int, seconds: int) -> None:
        """Refuse a file that is mostly gaps, whose days would be certified as empty."""
        report.missing_seconds += max(0, seconds)
        if report.missing_seconds > MOST_EMPTY_DAYS * _DAY:
            raise self._wrong(
                line,
                f"more than {MOST_EMPTY_DAYS:,} days are missing up to here: cut the file, unless"
                " a year in it is wrong",
            )

    def _wrong(self, number: int, what: str) -> ReplayError:
        return wrong_line(self.path, number, what)


@dataclass(frozen=True, slots=True)
class FileUses:
    """What a register counted in each interval."""

    interval_seconds: int
    wh: dict[int, int] | None
    """Watt-hours by the interval's start; None where the file has no such register."""


def _between_bounds(
    opened: OpenedFile, shown: Sequence[Reading], begin: int | None, end: int | None
) -> dict[int, int]:
    seconds = opened.seconds
    tolerance = seconds if opened.on_change else min(LONGEST_TOLERANCE, seconds // 15)
    if not shown:
        return {}
    times = [reading.time for reading in shown]
    first = times[0] if begin is None else max(begin, times[0])
    bounds: dict[int, int] = {}
    last = times[-1] + (0 if opened.on_change else tolerance)
    for bound in range(-(-first // seconds) * seconds, last + 1, seconds):
        place = bisect_right(times, bound) - 1
        if place >= 0 and bound - times[place] <= tolerance and (end is None or bound <= end):
            bounds[bound] = shown[place].register_wh
    return {
        bound: bounds[bound + seconds] - register
        for bound, register in bounds.items()
        if bound + seconds in bounds
    }


def _readout(
    opened: OpenedFile, time: int, registers: list[Fraction], flags: ReadingFlag = ReadingFlag.NONE
) -> Readout:
    values = zip(opened.registers, registers, strict=True)
    return Readout({obis: Reading(time, int(wh), flags) for obis, wh in values})


def _kwh(watt_hours: Fraction) -> str:
    return f"{float(watt_hours / 1000):.12g}"


def _flow(limit: int, unit: str) -> str:
    """Return what flows at most, in words."""
    if unit == "kWh":
        return f"{_kwh(Fraction(limit))} kW flow through the fuse"
    return f"{_kwh(Fraction(limit))} {unit} flow through the meter in an hour"
