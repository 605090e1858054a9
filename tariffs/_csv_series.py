# SPDX-License-Identifier: Apache-2.0
"""Series of prices or bands in CSV: a header, times in the first column, a value in another.

Times are ISO 8601, with an offset, or else on the clock that is given; rows are in order of time.
Steps that have no row stay without a value.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from tariffs._words import to_moment
from tariffs.clock import ZoneClock
from tariffs.errors import MalformedTariff

MAX_STEPS: Final = 1 << 19
EPOCH: Final = datetime(1970, 1, 1)


def read_series(
    text: str, column: str, clock: ZoneClock, step_seconds: int, *, at_end: bool, name: str
) -> tuple[int, list[str | None]]:
    """Return the moment of the first step, and the text of every step's value or None.

    `at_end` says that a row's time is its step's end. Raises `MalformedTariff` with file
    and line.
    """
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(rows, [])
        if column not in header[1:]:
            raise _wrong(name, 1, f"no column {column!r}; there are {', '.join(header[1:7])}")
        found = dict(_values(rows, header, column, clock, name))
    except csv.Error as error:
        raise _wrong(name, rows.line_num, f"not CSV: {error}") from None
    if not found:
        raise _wrong(name, rows.line_num, "no rows after the header")
    first, last = min(found), max(found)
    count = (last - first) // step_seconds + 1
    if any((moment - first) % step_seconds for moment in found) or count > MAX_STEPS:
        raise MalformedTariff(f"{name}: the times are not steps of {step_seconds} s")
    values = [found.get(first + step_seconds * number) for number in range(count)]
    return first - (step_seconds if at_end else 0), values


def _values(
    rows: Iterator[list[str]], header: list[str], column: str, clock: ZoneClock, name: str
) -> Iterator[tuple[int, str]]:
    place = header.index(column, 1)
    previous: int | None = None
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(header):
            raise _wrong(name, number, f"{len(row)} cells, the header has {len(header)}")
        moment = _moment(row[0], clock, previous, name, number)
        if previous is not None and moment <= previous:
            raise _wrong(name, number, f"{row[0]} is not later than the row before")
        previous = moment
        if row[place].strip():
            yield moment, row[place].strip()


def _moment(text: str, clock: ZoneClock, previous: int | None, name: str, number: int) -> int:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _wrong(name, number, f"{text!r} is not an ISO 8601 time") from None
    if time.tzinfo is not None:
        return int(time.astimezone(UTC).timestamp())
    try:
        return to_moment(clock, int((time - EPOCH).total_seconds()), previous)
    except MalformedTariff as error:
        raise _wrong(name, number, error.reason) from None


def _wrong(name: str, number: int, what: str) -> MalformedTariff:
    return MalformedTariff(f"{name}: line {number}: {what}")
