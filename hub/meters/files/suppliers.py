# SPDX-License-Identifier: Apache-2.0
"""What suppliers and network operators let their customers download as CSV.

octopus   Consumption (kwh), ..., Start, End
pge       TYPE, DATE, START TIME, END TIME, USAGE (kWh) or IMPORT (kWh), EXPORT (kWh); other
          American suppliers write the same
fluvius   Van (datum); Van (tijdstip); ...; Register; Volume; Eenheid: a row each register
enedis    Horodate;Valeur below the customer's line: mean power, by the ends of intervals
"""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Final

from hub.meters.files.cells import EnergyUnit
from hub.meters.files.opened import (
    FileRequest,
    Label,
    OpenedFile,
    number_of,
    opened_intervals,
    usual_distance,
)
from hub.meters.files.table import Table, header_with

Known = dict[int, tuple[int, Fraction | None]]
_DRAWN: Final = 1
_MINUTE: Final = 60
_DAY: Final = 24 * 3600


def _places(table: Table) -> Mapping[str, int]:
    return {name.lower(): place for place, name in enumerate(table.header)}


# Octopus

_OCTOPUS: Final = frozenset(("consumption (kwh)", "start", "end"))


def find_octopus(request: FileRequest) -> Table | None:
    """Return the table if it is a download of Octopus Energy."""
    return header_with(request, _OCTOPUS, (",",))


def open_octopus(request: FileRequest, table: Table) -> OpenedFile:
    """Return its intervals. A file is of one meter, whose direction it does not say."""
    at = _places(table)
    times = request.times()
    known: Known = {}
    lengths: dict[int, int] = {}
    for line, row in table.full_rows():
        begin = times.moment(line, row[at["start"]], None)
        lengths[line] = times.moment(line, row[at["end"]], begin) - begin
        value = number_of(request, line, row[at["consumption (kwh)"]])
        if begin in known:
            raise request.wrong(line, f"{row[at['start']].strip()} is there twice")
        known[begin] = line, None if value is None else value * 1000
    seconds = _one_length(request, lengths)
    is_drawn = any(register[2] == _DRAWN for register in request.columns)
    fed_in = None if is_drawn or request.optional else known
    return opened_intervals(request, seconds, known, fed_in)


def _one_length(request: FileRequest, lengths: Mapping[int, int]) -> int:
    seconds = next(iter(lengths.values()), 0)
    for line, other in lengths.items():
        if other != seconds or other <= 0:
            raise request.wrong(line, f"covers {other} s, the row before {seconds} s")
    return seconds or 1800


# Pacific Gas and Electric, and others with the same software

_PGE: Final = frozenset(("type", "date", "start time", "end time"))
_PGE_DRAWN: Final = ("import (kwh)", "usage (kwh)", "usage")
_PGE_FED_IN: Final = "export (kwh)"
_ELECTRIC: Final = "electric usage"


def find_pge(request: FileRequest) -> Table | None:
    """Return the table if it is such a download."""
    return header_with(request, _PGE, (",",))


def open_pge(request: FileRequest, table: Table) -> OpenedFile:
    """Return its intervals; rows of gas are left out."""
    at = _places(table)
    name = next((name for name in _PGE_DRAWN if name in at), None)
    if name is None:
        raise request.wrong(table.header_line, "no column USAGE (kWh) or IMPORT (kWh)")
    drawn: Known = {}
    fed_in: Known = {}
    times = request.local_times()
    lengths: dict[int, int] = {}
    previous: int | None = None
    needed = max(at[one] for one in (*_PGE, name, _PGE_FED_IN, "units") if one in at)
    for line, row in table.rows():
        if len(row) <= at["type"]:
            raise request.wrong(line, f"{len(row)} cells, the header has {len(table.header)}")
        kind = row[at["type"]].strip()
        if kind.lower() != _ELECTRIC:
            request.report.left_out[f"of type {kind[:40]!r}"] += 1
            continue
        if len(row) <= needed:
            raise request.wrong(line, f"{len(row)} cells, the header has {len(table.header)}")
        if name == "usage" and row[at.get("units", 0)].strip().lower() != "kwh":
            raise request.wrong(line, "the usage is not in kWh")
        day = row[at["date"]].strip()
        begin = times.moment(line, f"{day} {row[at['start time']].strip()}", previous)
        if begin in drawn:
            raise request.wrong(line, f"{day} {row[at['start time']].strip()} is there twice")
        lengths[line] = _inclusive(request, line, row[at["start time"]], row[at["end time"]])
        previous = begin
        drawn[begin] = line, _in_watt_hours(number_of(request, line, row[at[name]]))
        if _PGE_FED_IN in at:
            fed_in[begin] = line, _in_watt_hours(number_of(request, line, row[at[_PGE_FED_IN]]))
    return opened_intervals(request, _one_length(request, lengths), drawn, fed_in or None)


def _inclusive(request: FileRequest, line: int, start: str, end: str) -> int:
    """Return the seconds from `00:00` to `00:14`, whose last minute counts, or to `00:15`."""
    try:
        first, last = (datetime.strptime(text.strip(), "%H:%M") for text in (start, end))
    except ValueError:
        raise request.wrong(line, f"{start[:20]!r} to {end[:20]!r} is no time of day") from None
    seconds = int((last - first).total_seconds()) % _DAY
    return seconds if seconds % (5 * _MINUTE) == 0 and seconds else seconds + _MINUTE


def _in_watt_hours(value: Fraction | None) -> Fraction | None:
    return None if value is None else value * 1000


# Fluvius

_FLUVIUS: Final = frozenset(
    ("van (datum)", "van (tijdstip)", "tot (datum)", "tot (tijdstip)", "register", "volume",
     "eenheid")
)  # fmt: skip


def find_fluvius(request: FileRequest) -> Table | None:
    """Return the table if it is a download of Fluvius."""
    return header_with(request, _FLUVIUS, (";", ","))


def open_fluvius(request: FileRequest, table: Table) -> OpenedFile:
    """Return its quarters; day and night of one direction are added, kVArh left out."""
    at = _places(table)
    times = request.local_times("Europe/Brussels")
    sums: dict[str, Known] = {"afname": {}, "injectie": {}}
    seen: dict[str, int] = {}
    lengths: dict[int, int] = {}
    for line, row in table.full_rows():
        register, unit = row[at["register"]].strip(), row[at["eenheid"]].strip()
        direction = register.lower().split(" ")[0]
        if direction not in sums or unit.lower() != "kwh":
            request.report.left_out[f"register {register[:40]!r}, in {unit[:10]!r}"] += 1
            continue
        begin = times.moment(line, _day_time(row, at, "van"), seen.get(register))
        lengths[line] = times.moment(line, _day_time(row, at, "tot"), begin) - begin
        if begin <= seen.get(register, begin - 1):
            raise request.wrong(line, f"{_day_time(row, at, 'van')} is not after the row before")
        seen[register] = begin
        value = _in_watt_hours(number_of(request, line, row[at["volume"]], ","))
        before = sums[direction].get(begin, (line, None))[1]
        known = before if value is None else value + (before or 0)
        sums[direction][begin] = line, known
    seconds = _one_length(request, lengths)
    request.report.notes.append("added: " + ", ".join(sorted(seen)))
    return opened_intervals(request, seconds, sums["afname"], sums["injectie"] or None)


def _day_time(row: list[str], at: Mapping[str, int], which: str) -> str:
    return f"{row[at[f'{which} (datum)']].strip()} {row[at[f'{which} (tijdstip)']].strip()}"


# Enedis

_ENEDIS: Final = frozenset(("horodate", "valeur"))
_ENEDIS_CURVE: Final = "horodate iso fin de pas"


def find_enedis(request: FileRequest) -> Table | None:
    """Return the table if it is a load curve of Enedis."""
    table = header_with(request, _ENEDIS, (";",))
    if table is not None:
        return table
    return header_with(request, frozenset((_ENEDIS_CURVE, "puissance moyenne (w)")), (";",))


def open_enedis(request: FileRequest, table: Table) -> OpenedFile:
    """Return its intervals: watts over the time up to each stamp, which is the interval's end."""
    at = _places(table)
    above = "\n".join(request.text.splitlines()[: table.header_line - 1]).lower()
    if "courbe de charge" not in above and above.strip() and "puissance" not in "".join(at):
        raise request.wrong_file("it holds an index or a sum, not a load curve (Courbe de charge)")
    time = at.get("horodate", at.get(_ENEDIS_CURVE, 0))
    value = at.get("valeur", at.get("puissance moyenne (w)", 1))
    times = request.times() if "T" in request.text[-60:] else request.local_times("Europe/Paris")
    stamps: list[tuple[int, int, Fraction | None]] = []
    for line, row in table.full_rows():
        moment = times.moment(line, row[time], stamps[-1][1] if stamps else None)
        if stamps and moment <= stamps[-1][1]:
            raise request.wrong(line, f"{row[time].strip()} is not after the row before")
        stamps.append((line, moment, number_of(request, line, row[value])))
    seconds = request.seconds or usual_distance([moment for _, moment, _ in stamps])
    for (_, before, _), (line, after, _) in pairwise(stamps):
        if (after - before) % seconds:
            raise request.wrong(
                line, f"{after - before} s after the row before, others {seconds} s; cut the file"
            )
    shift = 0 if request.form.label is Label.START else seconds
    power = EnergyUnit.KW if request.unit is EnergyUnit.KW else EnergyUnit.W
    known: Known = {
        moment - shift: (line, None if watts is None else power.watt_hours(watts, seconds))
        for line, moment, watts in stamps
    }
    produced = "production" in above or "injection" in above
    if shift:
        request.report.notes.append("the times are the ends of intervals, the values mean power")
    return opened_intervals(
        request, seconds, {} if produced else known, known if produced else None
    )
