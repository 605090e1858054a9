# SPDX-License-Identifier: Apache-2.0
"""Tables of text: what separates cells, where the header is, and the rows below it."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from hub.meters.files.errors import ReplayError
from hub.meters.files.moments import parse_written
from hub.meters.files.opened import FileRequest

SEPARATORS: Final = (",", ";", "\t", "|")
HEADER_WITHIN: Final = 60
"""Lines above a header that say whose data it is."""
SAMPLE_ROWS: Final = 500
MOST_COLUMNS: Final = 10_000
"""More than a year of hours."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in a text, whose header is found."""

    request: FileRequest
    separator: str
    header_line: int
    """0 where the first row is data already, and columns go by their numbers."""
    header: tuple[str, ...]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows below the header with their lines; blank ones are left out.

        Cells beyond the header must be empty. Raises `ReplayError`.
        """
        reader = csv.reader(io.StringIO(self.request.text), delimiter=self.separator, strict=True)
        wide = len(self.header)
        try:
            for row in reader:
                if not row or reader.line_num <= self.header_line:
                    continue
                if not row[0] and not any(map(str.strip, row)):
                    continue
                if len(row) > wide and not any(map(str.strip, row[wide:])):
                    del row[wide:]
                yield reader.line_num, row
        except csv.Error as error:
            raise self.request.wrong(reader.line_num + 1, f"not readable: {error}") from None

    def full_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield rows that have a cell for each column."""
        for number, row in self.rows():
            if len(row) != len(self.header):
                raise self.request.wrong(
                    number, f"{len(row)} cells, the header has {len(self.header)}"
                )
            yield number, row

    def sample(self) -> list[list[str]]:
        """Return the first rows, as far as they are readable."""
        found: list[list[str]] = []
        try:
            for _, row in islice(self.full_rows(), SAMPLE_ROWS):
                found.append(row)
        except ReplayError:
            pass  # said with its line when the row is read in earnest
        return found

    def last_row(self) -> list[str]:
        """Return the last row's cells, as far as they are readable."""
        line = self.request.text.rstrip().rpartition("\n")[2]
        with suppress(csv.Error):
            return next(csv.reader([line], delimiter=self.separator), [])
        return []

    def place(self, column: str) -> int:
        """Return where a column is; raise `ReplayError` with those that there are."""
        places = [place for place, name in enumerate(self.header) if name == column.strip()]
        if len(places) == 1:
            return places[0]
        if places:
            raise self.request.wrong(
                self.header_line, f"{len(places)} columns are named {column!r}"
            )
        others = self.header[1:] if len(self.header) > 1 else self.header
        some = ", ".join(others[:5]) or "none"
        more = ", ..." if len(others) > 5 else ""
        raise self.request.wrong(
            max(1, self.header_line), f"no column {column!r}; there are {some}{more}"
        )


def find_table(request: FileRequest) -> Table:
    """Return the table that has the columns asked for, or the first one that there is."""
    form = request.form
    wanted = set(map(str.strip, request.all_columns))
    separators = SEPARATORS if form.separator is None else (form.separator,)
    first = form.skip or 0
    found: list[Table] = []
    for separator in separators:
        rows = first_rows(request.text, separator)
        for number, row in rows:
            cells = tuple(map(str.strip, row))
            if number <= first or not any(cells):
                continue
            if wanted and wanted <= set(cells):
                return Table(request, separator, number, _trimmed(cells))
            if number > first and (form.skip is not None or separator == ","):
                found.append(Table(request, separator, number, _trimmed(cells)))
                break
    tables = list(_widest(request, separators, first))
    if not wanted and tables:
        return tables[0]
    for table in tables:  # without a header, columns are named by their numbers
        if table.header_line == 0 and wanted <= set(table.header):
            return table
    nearest = (tables or found or [Table(request, ",", 1, ())])[0]
    if not wanted:
        raise request.wrong_file("no table of times and numbers in it")
    missing = next((name for name in request.all_columns if name.strip() not in nearest.header), "")
    nearest.place(missing)
    return nearest


def _widest(request: FileRequest, separators: Sequence[str], first: int) -> Iterator[Table]:
    """Yield the tables that a text could be, those with most cells first."""
    found = []
    for separator in separators:
        rows = [
            (number, row)
            for number, row in first_rows(request.text, separator)
            if number > first and any(map(str.strip, row))
        ]
        wide = max((len(row) for _, row in rows), default=0)
        if wide < 2:
            continue
        # The header is the line above the first one with a time, or the first one that is as wide.
        data = next((i for i, (_, row) in enumerate(rows) if any(map(_is_time, row))), None)
        if data == 0:
            names = tuple(str(place) for place in range(1, wide + 1))
            found.append((wide, Table(request, separator, 0, names)))
            continue
        place = next(i for i, (_, row) in enumerate(rows) if len(row) == wide)
        number, row = rows[place if data is None else data - 1]
        if len(row) > 1 and not any(map(_is_number, row)):  # else values are cut apart
            found.append((wide, Table(request, separator, number, _trimmed(tuple(row)))))
    yield from (table for _, table in sorted(found, key=lambda pair: -pair[0]))


def check_width(request: FileRequest) -> None:
    """Refuse rows with more cells than any table has, before anything else is made of them."""
    text = request.text
    if text.lstrip()[:1] == "<":
        return
    for separator in SEPARATORS:
        if text.count(separator) <= MOST_COLUMNS:
            continue
        for number, row in first_rows(text, separator):
            if len(row) > MOST_COLUMNS:
                raise request.wrong(
                    number, f"{len(row):,} cells; a table has {MOST_COLUMNS:,} at most"
                )


def first_rows(
    text: str, separator: str, count: int = HEADER_WITHIN
) -> list[tuple[int, list[str]]]:
    """Return the first rows with their lines, as far as they can be read with a separator."""
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    found: list[tuple[int, list[str]]] = []
    with suppress(csv.Error):  # another separator, or said when it is read in earnest
        found.extend((reader.line_num, row) for row in islice(reader, count))
    return found


def header_with(
    request: FileRequest, wanted: frozenset[str], separators: Sequence[str] = SEPARATORS
) -> Table | None:
    """Return the table whose header has all of some names, whatever their case."""
    for separator in separators:
        for number, row in first_rows(request.text, separator):
            cells = tuple(cell.strip() for cell in row)
            if wanted <= {cell.lower() for cell in cells}:
                return Table(request, separator, number, _trimmed(cells))
    return None


def _trimmed(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Return a header's names without empty ones at its end."""
    count = len(cells)
    while count and not cells[count - 1].strip():
        count -= 1
    return tuple(cell.strip() for cell in cells[:count])


def _is_number(cell: str) -> bool:
    return cell.strip().isdecimal()


def _is_time(cell: str) -> bool:
    try:
        parse_written(cell)
    except (ValueError, OverflowError, OSError):
        return False
    return any(mark in cell for mark in "-/.:")
