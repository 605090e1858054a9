# SPDX-License-Identifier: Apache-2.0
"""What programs of the home write: Home Assistant's two downloads, and readers of Dutch meters.

home-assistant   of the energy dashboard, a row each source, a column each hour:
                     entity_id,type,unit,2026-01-05T10:00:00.000Z,...
                 of the history, a row each change of a register:
                     entity_id,state,last_changed
dsmr             registers of both tariffs side by side, at each telegram:
                     read_at,delivered_1,delivered_2,returned_1,returned_2
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

from hub.meters.files.columns import open_columns
from hub.meters.files.opened import (
    FileRequest,
    FileRow,
    OpenedFile,
    number_of,
    opened_intervals,
    usual_distance,
)
from hub.meters.files.table import SEPARATORS, Table, header_with

_HOUR: Final = 3600
_FED_IN: Final = 2
_WATT_HOURS: Final = {"wh": 1, "kwh": 1000, "mwh": 1_000_000}


# Home Assistant


def is_energy_dashboard(text: str) -> bool:
    """Tell whether a text is a download of the energy dashboard."""
    return text.startswith("entity_id,type,unit,")


def open_energy_dashboard(request: FileRequest) -> OpenedFile:
    """Return its hours: what came from the grid, and what went to it."""
    reader = csv.reader(io.StringIO(request.text), strict=True)
    times = request.times()
    drawn: dict[int, tuple[int, Fraction | None]] = {}
    fed_in: dict[int, tuple[int, Fraction | None]] = {}
    try:
        header = next(reader)
        begins = [times.moment(1, cell, None) for cell in header[3:]]
        for row in reader:
            if not row:
                continue
            line = reader.line_num
            if len(row) != len(header):
                raise request.wrong(line, f"{len(row)} cells, the header has {len(header)}")
            into = {"grid_consumption": drawn, "grid_return": fed_in}.get(row[1])
            if into is None:
                request.report.left_out[f"of type {row[1][:40]!r}"] += 1
                continue
            scale = _WATT_HOURS.get(row[2].strip().lower())
            if scale is None:
                raise request.wrong(line, f"{row[2][:20]!r} is no unit of energy")
            for begin, cell in zip(begins, row[3:], strict=True):
                value = number_of(request, line, cell)
                before = into.get(begin, (line, None))[1]
                into[begin] = line, before if value is None else value * scale + (before or 0)
    except csv.Error as error:
        raise request.wrong(reader.line_num + 1, f"not readable: {error}") from None
    if any(before >= after for before, after in pairwise(begins)):
        raise request.wrong(1, "its times are not in order")
    seconds = usual_distance(begins) if len(begins) > 1 else _HOUR
    if seconds > _HOUR:
        raise request.wrong_file("it shows days, not hours: download a day, a week or a month")
    return opened_intervals(request, seconds, drawn, fed_in or None)


_HISTORY: Final = frozenset(("entity_id", "state", "last_changed"))
_UNKNOWN: Final = frozenset(("unavailable", "unknown", ""))


def find_history(request: FileRequest) -> Table | None:
    """Return the table if it is a download of Home Assistant's history."""
    return header_with(request, _HISTORY, (",",))


def open_history(request: FileRequest, table: Table) -> OpenedFile:
    """Return what a register showed each time it changed. Columns are entities."""
    entity, state, changed = (table.place(name) for name in ("entity_id", "state", "last_changed"))
    rows = list(table.full_rows())
    there = sorted({row[entity].strip() for _, row in rows})
    if not request.required:
        return OpenedFile((), request.seconds or _HOUR, True, ())
    if len(request.required) != 1:
        raise request.wrong_file("a history has one register at a time")
    [(register, wanted)] = request.required.items()
    if not wanted and len(there) > 1:
        raise request.wrong_file(f"say which --column; there are {', '.join(there[:6])}")
    if not there:
        raise request.wrong(table.header_line, "no rows after the header")
    chosen = wanted or tuple(there)
    if len(chosen) != 1:
        raise request.wrong_file("a register is one entity of a history: say one --column")
    if chosen[0] not in there:
        raise request.wrong_file(f"no entity {chosen[0]!r}; there are {', '.join(there[:6])}")
    times = request.times()
    unit = request.unit
    scale = 1000 if unit is None else unit.watt_hours(Fraction(1), _HOUR)

    def changes() -> Iterator[FileRow]:
        previous: int | None = None
        for line, row in rows:
            if row[entity].strip() != chosen[0]:
                request.report.left_out[f"entity {row[entity][:60]!r}"] += 1
                continue
            if row[state].strip().lower() in _UNKNOWN:
                request.report.left_out[f"state {row[state].strip()!r}"] += 1
                continue
            moment = times.moment(line, row[changed], previous)
            if previous is not None and moment < previous:
                raise request.wrong(line, f"{row[changed].strip()} is earlier than the row before")
            if moment == previous:
                request.report.left_out["a second change within a second"] += 1
                continue
            previous = moment
            value = number_of(request, line, row[state])
            yield FileRow(line, moment, moment, (None if value is None else value * scale,))

    return OpenedFile((register,), request.seconds or _HOUR, True, changes(), on_change=True)


# Dutch meters

_DELIVERED: Final = ("delivered_1", "delivered_2")
_RETURNED: Final = ("returned_1", "returned_2")
_PREFIXES: Final = ("", "electricity_")
_TIMES: Final = ("read_at", "timestamp", "time")


def find_dsmr(request: FileRequest) -> Table | None:
    """Return the table if it has the registers of both tariffs."""
    for prefix in _PREFIXES:
        wanted = frozenset(prefix + name for name in _DELIVERED)
        table = header_with(request, wanted, SEPARATORS)
        if table is not None:
            return table
    return None


def open_dsmr(request: FileRequest, table: Table) -> OpenedFile:
    """Return the sums of both tariffs' registers at each row's time."""
    by_name = {name.lower(): name for name in table.header}
    prefix = next(p for p in _PREFIXES if p + _DELIVERED[0] in by_name)
    columns = {}
    for register in request.columns:
        names = _RETURNED if register[2] == _FED_IN else _DELIVERED
        missing = [prefix + name for name in names if prefix + name not in by_name]
        if missing and register in request.optional:
            continue
        if missing:
            raise request.wrong(table.header_line, f"no column {missing[0]!r}")
        columns[register] = tuple(by_name[prefix + name] for name in names)
    if not columns:
        return OpenedFile((), request.seconds or _HOUR, True, ())
    time = next((by_name[name] for name in _TIMES if name in by_name), None)
    form = replace(request.form, cumulative=True)
    if time is not None and not form.time_columns:
        form = replace(form, time_columns=(time,))
    added = [name for names in columns.values() for name in names]
    request.report.notes.append(f"added: {', '.join(added)}, which are registers")
    asked = replace(request, columns=columns, form=form)
    return open_columns(asked, replace(table, request=asked))
