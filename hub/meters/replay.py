# SPDX-License-Identifier: Apache-2.0
"""Real interval data from a CSV file, replayed as the register that a meter would have shown.

A row holds the start of an interval and the energy (or mean power) in it. The register at an
interval's end is the sum so far, in whole watt-hours, rounded down; nothing is lost in between,
since the sum itself is kept exact. An empty cell, a missing row and a row marked suspect are
gaps: no reading ends there, and the next one says that the register did not run meanwhile
(`ReadingFlag.RESUMED`). Gaps are never filled.

A second column may hold what was fed in, in the same unit. A meter sends both registers or none, so
a row is a gap if either cell is.

Errors: ReplayError, whose text begins with the file and the line.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from fractions import Fraction
from operator import add
from pathlib import Path
from typing import Final, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.errors import HubError
from hub.readings import LARGEST_WH_PER_SECOND, Reading, ReadingFlag, Readout

_DECIMAL: Final = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_INTERVAL: Final = re.compile(r"([1-9]\d{0,4}) ?(s|min|h)", re.ASCII)
_YEARS: Final = range(1971, 2106)
"""What 32 bits of seconds hold, whatever the zone."""
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}


class ReplayError(HubError):
    """A file cannot be replayed; nothing of it was taken."""


class EnergyUnit(Enum):
    """What a cell counts."""

    KWH = "kWh"
    WH = "Wh"
    KW = "kW"
    W = "W"

    def watt_hours(self, value: Fraction, seconds: int) -> Fraction:
        """Return the energy of one interval of that many seconds."""
        match self:
            case EnergyUnit.KWH:
                return value * 1000
            case EnergyUnit.WH:
                return value
            case EnergyUnit.KW:
                return value * 1000 * Fraction(seconds, 3600)
            case EnergyUnit.W:
                return value * Fraction(seconds, 3600)


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
    """Columns of a CSV file (or .csv.gz) of interval data."""

    path: Path
    columns: Mapping[bytes, str]
    """What was counted by which register, by OBIS code; at least one."""
    unit: EnergyUnit
    interval_seconds: int
    zone: ZoneInfo
    """The clock of the first column where it states no offset of its own."""
    suspect_column: str | None = None
    """A column whose `1` marks a row as a gap."""
    start_wh: Mapping[bytes, int] = field(default_factory=dict)
    """Where registers stand before the first row, where not at 0."""

    def readings(self, begin: int | None = None, end: int | None = None) -> Iterator[Reading]:
        """Yield the first register as `readouts` does."""
        first = next(iter(self.columns))
        for readout in self.readouts(begin, end):
            yield readout.readings[first]

    def readouts(self, begin: int | None = None, end: int | None = None) -> Iterator[Readout]:
        """Yield the registers at the bounds of the intervals in [begin, end).

        Where a bound is given there is a reading at it, so that what the file lacks at either end
        is a gap like any other. The whole file is checked on the way, rows outside the range
        included; rows must be in order and distinct. Raises `ReplayError` at the first line that
        is wrong.
        """
        registers = [Fraction(self.start_wh.get(register, 0)) for register in self.columns]
        previous_end: int | None = None
        if begin is not None:
            previous_end = begin
            yield self._readout(begin, registers)
        for start, energy in self._intervals():
            outside = (begin is not None and start < begin) or (end is not None and start >= end)
            if energy is None or outside:
                continue
            if previous_end != start:
                flags = ReadingFlag.NONE if previous_end is None else ReadingFlag.RESUMED
                yield self._readout(start, registers, flags)
            registers = list(map(add, registers, energy))
            previous_end = start + self.interval_seconds
            yield self._readout(previous_end, registers)
        if end is not None and previous_end is not None and previous_end < end:
            yield self._readout(end, registers, ReadingFlag.RESUMED)

    def _intervals(self) -> Iterator[tuple[int, tuple[Fraction, ...] | None]]:
        """Yield start and energies of each row; None for a gap."""
        with self._open() as text:
            rows = self._rows(text)
            number, header = next(rows, (1, []))
            places = [(column, self._place(header, column)) for column in self.columns.values()]
            suspect = (
                None if self.suspect_column is None else self._place(header, self.suspect_column)
            )
            previous: int | None = None
            for number, row in rows:
                if len(row) != len(header):
                    raise self._wrong(number, f"{len(row)} cells, the header has {len(header)}")
                start = self._moment(number, row[0], previous)
                if previous is not None and start < previous + self.interval_seconds:
                    if start <= previous:
                        order = "repeats" if start == previous else "is earlier than"
                        raise self._wrong(number, f"{row[0]} {order} the row before")
                    raise self._wrong(
                        number, f"{row[0]} is less than {self.interval_seconds} s after the last"
                    )
                previous = start
                marked = suspect is not None and row[suspect].strip() == "1"
                yield start, None if marked else self._energies(number, row, places)
            if previous is None:
                raise self._wrong(number, "no rows after the header")

    def _rows(self, text: TextIO) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(text, strict=True)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError, zlib.error, EOFError, OSError) as error:
            raise self._wrong(reader.line_num + 1, f"not readable: {error}") from None

    def _open(self) -> TextIO:
        try:
            if self.path.suffix == ".gz":
                return io.TextIOWrapper(gzip.open(self.path), encoding="utf-8-sig", newline="")
            return self.path.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise ReplayError(f"{self.path}: {error.strerror}") from None

    def _place(self, header: list[str], column: str) -> int:
        try:
            return header.index(column, 1)
        except ValueError:
            some = ", ".join(header[1:6]) or "none"
            more = ", ..." if len(header) > 6 else ""
            raise self._wrong(1, f"no column {column!r}; there are {some}{more}") from None

    def _moment(self, number: int, text: str, previous: int | None) -> int:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise self._wrong(number, f"{text[:40]!r} is not an ISO 8601 time") from None
        if moment.year not in _YEARS:
            raise self._wrong(number, f"{text} is not within {_YEARS[0]} to {_YEARS[-1]}")
        if moment.tzinfo is not None:
            return int(moment.timestamp())
        local = moment.replace(tzinfo=self.zone)
        seconds = int(local.timestamp())
        if (
            datetime.fromtimestamp(seconds, UTC).astimezone(self.zone).replace(tzinfo=None)
            != moment
        ):
            raise self._wrong(number, f"{text} does not exist on the clock of {self.zone.key}")
        # The repeated hour of an autumn night: what would run backwards is its second pass.
        if previous is not None and seconds <= previous:
            seconds = int(local.replace(fold=1).timestamp())
        return seconds

    def _energies(
        self, number: int, row: Sequence[str], places: Sequence[tuple[str, int]]
    ) -> tuple[Fraction, ...] | None:
        cells = [self._energy(number, row[at].strip(), name) for name, at in places]
        known = tuple(energy for energy in cells if energy is not None)
        return known if len(known) == len(cells) else None

    def _energy(self, number: int, text: str, column: str) -> Fraction | None:
        if not text:
            return None
        if not _DECIMAL.fullmatch(text):
            raise self._wrong(number, f"{column} is {text[:40]!r}, not a decimal of at least 0")
        energy = self.unit.watt_hours(Fraction(text), self.interval_seconds)
        if energy >= LARGEST_WH_PER_SECOND * self.interval_seconds:
            raise self._wrong(number, f"{column} is {text} {self.unit.value}: no home uses that")
        return energy

    def _readout(
        self, time: int, registers: Sequence[Fraction], flags: ReadingFlag = ReadingFlag.NONE
    ) -> Readout:
        values = zip(self.columns, registers, strict=True)
        return Readout({obis: Reading(time, int(wh), flags) for obis, wh in values})

    def _wrong(self, number: int, what: str) -> ReplayError:
        return ReplayError(f"{self.path}: line {number}: {what}")
