# SPDX-License-Identifier: Apache-2.0
"""NEM12, the interval data of Australian meters (AEMO, Meter Data File Format Specification).

    100,NEM12,...      the header
    200,NMI,...        a stream: its suffix (E1, B1, Q1 ...), its unit, the minutes of an interval
    300,YYYYMMDD,...   a day of the stream: a value each interval, then how it is known
    400,from,to,...    how a part of that day is known, where it varies
    500,...            what the parties of the market tell each other
    900                the end

Streams E count what is drawn, B what is fed in; those of one direction are added. Times are
Australian Eastern Standard Time all year, whatever the clock on the wall. Values of quality N are
none: gaps.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from hub.meters.files.cells import parse_decimal
from hub.meters.files.opened import FileRequest, OpenedFile, opened_intervals

NEM_TIME: Final = timedelta(hours=10)
_DAY: Final = 24 * 60
_KILO: Final = {"wh": Fraction(1), "kwh": Fraction(1000), "mwh": Fraction(1_000_000)}
_NO_DATA: Final = "N"
_INTERVAL: Final = re.compile(r"\d{1,4}", re.ASCII)


@dataclass(slots=True)
class _Stream:
    nmi: str
    suffix: str
    unit: str
    minutes: int

    @property
    def direction(self) -> str:
        return self.suffix[:1].upper()


def is_nem12(text: str) -> bool:
    """Tell whether a text begins like one."""
    return text.lstrip()[:10].upper().startswith("100,NEM12")


def open_nem12(request: FileRequest) -> OpenedFile:
    """Return the intervals; raise `ReplayError` with the line that is wrong."""
    drawn: dict[int, tuple[int, Fraction | None]] = {}
    fed_in: dict[int, tuple[int, Fraction | None]] = {}
    streams: dict[str, set[int]] = {}
    minutes: set[int] = set()
    wanted = set(request.all_columns)
    for stream, day in _days(request):
        if (stream.unit not in _KILO) or stream.direction not in ("E", "B"):
            request.report.left_out[f"stream {stream.suffix}, in {stream.unit or 'no unit'}"] += 1
            continue
        if wanted and stream.nmi not in wanted:
            request.report.left_out[f"meter {stream.nmi}"] += 1
            continue
        minutes.add(stream.minutes)
        into = drawn if stream.direction == "E" else fed_in
        if day.begin in streams.setdefault(f"{stream.nmi} {stream.suffix}", set()):
            raise request.wrong(day.line, "the day is there twice")
        streams[f"{stream.nmi} {stream.suffix}"].add(day.begin)
        for place, value in enumerate(day.values):
            begin = day.begin + 60 * stream.minutes * place
            before = into.get(begin, (day.line, Fraction(0)))[1]
            known = None if value is None or before is None else before + value * _KILO[stream.unit]
            into[begin] = day.line, known
    names = {name.split()[0] for name in streams}
    if len(names) > 1:
        raise request.wrong_file(f"meters {', '.join(sorted(names))} are in it; say which --column")
    if len(minutes) > 1:
        raise request.wrong_file("its streams have intervals of different lengths")
    request.report.notes.append(
        "added: " + ", ".join(sorted(name.split()[1] for name in streams)) if streams else "empty"
    )
    return opened_intervals(request, 60 * next(iter(minutes), 30), drawn, fed_in or None)


@dataclass(slots=True)
class _Day:
    line: int
    begin: int
    values: list[Fraction | None]


def _days(request: FileRequest) -> Iterator[tuple[_Stream, _Day]]:
    """Yield the days of each stream, whose records of quality are applied."""
    stream: _Stream | None = None
    day: _Day | None = None
    ended = False
    for number, row in _records(request):
        kind = row[0].strip()
        if ended:
            raise request.wrong(number, "a record after the end (900)")
        if kind in ("200", "300", "900") and stream is not None and day is not None:
            yield stream, day
            day = None
        match kind:
            case "100" | "500":
                pass
            case "200":
                stream = _stream(request, number, row)
            case "300":
                if stream is None:
                    raise request.wrong(number, "a day (300) before its stream (200)")
                day = _day(request, number, row, stream)
            case "400":
                if day is None:
                    raise request.wrong(number, "a quality (400) before its day (300)")
                _apply_quality(request, number, row, day)
            case "900":
                ended = True
            case other:
                raise request.wrong(number, f"{other[:20]!r} is no record of NEM12")
    if not ended:
        raise request.wrong_file("it breaks off: there is no end record (900)")


def _records(request: FileRequest) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(request.text), strict=True)
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, row
    except csv.Error as error:
        raise request.wrong(reader.line_num + 1, f"not readable: {error}") from None


def _stream(request: FileRequest, number: int, row: Sequence[str]) -> _Stream:
    if len(row) < 9 or row[8].strip() not in ("5", "15", "30"):
        raise request.wrong(number, "a stream (200) says no interval of 5, 15 or 30 minutes")
    return _Stream(row[1].strip(), row[4].strip(), row[7].strip().lower(), int(row[8]))


def _day(request: FileRequest, number: int, row: Sequence[str], stream: _Stream) -> _Day:
    count = _DAY // stream.minutes
    if len(row) < count + 3:
        raise request.wrong(number, f"{len(row)} fields, a day of {count} values has more")
    try:
        date = datetime.strptime(row[1].strip(), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise request.wrong(number, f"{row[1][:20]!r} is no day as YYYYMMDD") from None
    quality = row[2 + count].strip()[:1].upper()
    if quality not in "AEFNSV" or not quality:
        raise request.wrong(number, f"{row[2 + count][:20]!r} is no quality of NEM12")
    values = [_value(request, number, cell) for cell in row[2 : 2 + count]]
    if quality == _NO_DATA:
        values = [None] * count
    begin = int((date - NEM_TIME).timestamp())
    return _Day(number, begin, values)


def _value(request: FileRequest, number: int, cell: str) -> Fraction | None:
    text = cell.strip()
    if not text:
        return None
    try:
        value, rounded = parse_decimal(text, ".")
    except ValueError:
        raise request.wrong(number, f"{text[:40]!r} is no decimal of at least 0") from None
    request.report.rounded += rounded
    return value


def _apply_quality(request: FileRequest, number: int, row: Sequence[str], day: _Day) -> None:
    fields = [cell.strip() for cell in row[1:4]]
    if len(fields) < 3 or not all(map(_INTERVAL.fullmatch, fields[:2])):
        raise request.wrong(number, "a quality (400) says no first and last interval")
    first, last = int(fields[0]), int(fields[1])
    if not 1 <= first <= last <= len(day.values):
        raise request.wrong(number, f"intervals {first} to {last} are not in the day")
    if fields[2][:1].upper() == _NO_DATA:
        day.values[first - 1 : last] = [None] * (last - first + 1)
