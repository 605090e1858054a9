# SPDX-License-Identifier: Apache-2.0
"""Readings as a Green Button file: NAESB REQ.21 (ESPI), resources in an Atom feed (RFC 4287).

    feed -> UsagePoint -> LocalTimeParameters
                       -> MeterReading -> ReadingType         watt-hours, differences, forward
                                       -> IntervalBlock ...    one a local day
                                          IntervalReading      one a slot that is known
                       -> MeterReading -> ReadingType ...      reverse: what was fed in, if metered

Of gas and water the values are litres: cubic metres with the power of ten -3. Blocks are of the
meter's own days, those of gas from six to six.

A slot that is missing has no IntervalReading. How a value is known is its ReadingQuality: valid,
estimated by linear interpolation, questionable, and raw where it is not certified yet. Elements
stand in the order of the standard's schema.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from hub.device import Description
from hub.inspection.views.calendar import utc_offset
from hub.inspection.views.slots import SlotRun
from hub.text import local_day, utc_text
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Medium, SlotState, find_zone

ATOM: Final = "http://www.w3.org/2005/Atom"
ESPI: Final = "http://naesb.org/espi"
OURS: Final = uuid5(NAMESPACE_URL, "urn:meterlet:green-button")
VALID, LINEAR, QUESTIONABLE, RAW = 0, 9, 10, 14
QUALITIES: Final = {
    SlotState.MEASURED: VALID,
    SlotState.ESTIMATED: LINEAR,
    SlotState.SUBSTITUTED: QUESTIONABLE,
}
FORWARD, REVERSE = 1, 19
"""Directions of flow: drawn from the grid, and fed into it."""
CUBIC_METRES, WATT_HOURS, LITRES = 42, 72, -3
"""Units, and the power of ten that makes litres of the first."""


class _Commodity(NamedTuple):
    """What ESPI calls a medium: kind of service, commodity, and what people read."""

    service: int
    commodity: int
    title: str


COMMODITIES: Final = {
    Medium.ELECTRICITY: _Commodity(0, 1, "Electricity meter"),
    Medium.GAS: _Commodity(1, 7, "Gas meter"),
    Medium.COLD_WATER: _Commodity(2, 9, "Water meter"),
    Medium.HOT_WATER: _Commodity(2, 9, "Hot-water meter"),
    Medium.HEAT: _Commodity(4, 12, "Heat meter"),
    Medium.COLD: _Commodity(4, 13, "Cooling meter"),
}
NO_RULE: Final = "FFFFFFFF"
LAST: Final = 7
"""The operator of a daylight saving rule: the month's last such weekday; 2 to 6: first to fifth."""
YEARS_LOOKED_AT: Final = 8


def green_button(slots: SlotRun, description: Description, now: int) -> str:
    """Return the feed; `now` is its time of publication. Ends in a newline."""
    return "\n".join(_lines(slots, description, now)) + "\n"


def _lines(slots: SlotRun, description: Description, now: int) -> Iterator[str]:
    zone, of_medium = wall_zone(description.zone), COMMODITIES[description.medium]
    home = uuid5(OURS, description.meter.hex() + description.register.hex())
    root = f"UsagePoint/{home}"
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<feed xmlns="{ATOM}" xmlns:espi="{ESPI}">'
    yield f"<id>urn:uuid:{uuid5(home, f'feed {now}')}</id>"
    yield "<title>Meterlet: own copy of readings</title>"
    yield f"<updated>{utc_text(now)}</updated>"
    yield from _entry(
        home, now, root, ["LocalTimeParameters/1", f"{root}/MeterReading"], of_medium.title,
        _parent("UsagePoint", [("ServiceCategory", _element("kind", of_medium.service))]),
    )  # fmt: skip
    year = datetime.fromtimestamp(slots.starts[0] if len(slots) else now, UTC).year
    yield from _entry(home, now, "LocalTimeParameters/1", [], zone.key, _local_time(zone, year))
    for position, register in enumerate(_registers(slots, description.medium), start=1):
        reading, kind = f"{root}/MeterReading/{position}", f"ReadingType/{position}"
        yield from _entry(
            home, now, reading, [f"{reading}/IntervalBlock", kind], register.title,
            "<espi:MeterReading/>",
        )  # fmt: skip
        read = _reading_type(slots.seconds, register.direction, description.medium)
        yield from _entry(home, now, kind, [], register.unit, read)
        for number, (day, part) in enumerate(
            _days(register.slots, find_zone(description.zone)), start=1
        ):
            path = f"{reading}/IntervalBlock/{number}"
            yield from _entry(home, now, path, [], day, _block(part))
    yield "</feed>"


class _Register(NamedTuple):
    slots: SlotRun
    title: str
    unit: str
    direction: int


def _registers(slots: SlotRun, medium: Medium) -> Iterator[_Register]:
    if medium.counts_volume:
        yield _Register(slots, "Volume by interval", "Litres drawn", FORWARD)
        return
    yield _Register(slots.drawn(), "Energy by interval", "Watt-hours drawn", FORWARD)
    if slots.fed_in_wh is not None and slots.fed_in_states is not None:
        fed_in = replace(slots.drawn(), use_wh=slots.fed_in_wh, states=slots.fed_in_states)
        yield _Register(fed_in, "Energy fed in by interval", "Watt-hours fed in", REVERSE)


def _entry(
    home: UUID, now: int, path: str, related: list[str], title: str, content: str
) -> Iterator[str]:
    yield "<entry>"
    yield f"<id>urn:uuid:{uuid5(home, path)}</id>"
    yield f'<link rel="self" href="{path}"/>'
    yield f'<link rel="up" href="{path.rpartition("/")[0]}"/>'
    for other in related:
        yield f'<link rel="related" href="{other}"/>'
    yield f"<title>{escape(title)}</title>"
    yield f"<content>{content}</content>"
    yield f"<published>{utc_text(now)}</published>"
    yield f"<updated>{utc_text(now)}</updated>"
    yield "</entry>"


def _element(name: str, value: int | str) -> str:
    return f"<espi:{name}>{value}</espi:{name}>"


def _parent(name: str, members: Sequence[tuple[str, int | str]]) -> str:
    return _element(name, "".join(_element(*member) for member in members))


def _reading_type(seconds: int, direction: int, medium: Medium) -> str:
    is_volume = medium.counts_volume
    members = (
        ("accumulationBehaviour", 4),  # deltaData
        ("commodity", COMMODITIES[medium].commodity),
        ("dataQualifier", 12),  # normal
        ("flowDirection", direction),
        ("intervalLength", seconds),
        ("kind", 58 if is_volume else 12),  # volume, energy
        ("phase", 0),
        ("powerOfTenMultiplier", LITRES if is_volume else 0),
        ("timeAttribute", 0),
        ("uom", CUBIC_METRES if is_volume else WATT_HOURS),
    )
    return _parent("ReadingType", members)


def _days(slots: SlotRun, zone: ZoneInfo) -> Iterator[tuple[str, SlotRun]]:
    for day, group in groupby(slots.starts, key=lambda start: local_day(start, zone)):
        starts = list(group)
        yield day, slots.between(starts[0], starts[-1] + 1)


def _block(slots: SlotRun) -> str:
    begin = slots.starts[0]
    parts = [f"<espi:IntervalBlock>{_interval('interval', begin, slots.end - begin)}"]
    for start, use, state in zip(slots.starts, slots.use_wh, slots.states, strict=True):
        if state is SlotState.MISSING:
            continue
        quality = QUALITIES[state]
        if start >= slots.certified_until and quality == VALID:
            quality = RAW
        parts.append(
            "<espi:IntervalReading>"
            f"<espi:ReadingQuality>{_element('quality', quality)}</espi:ReadingQuality>"
            f"{_interval('timePeriod', start, slots.seconds)}{_element('value', use)}"
            "</espi:IntervalReading>"
        )
    return "".join([*parts, "</espi:IntervalBlock>"])


def _interval(name: str, start: int, duration: int) -> str:
    # Once a slot: written out, as a year of them takes a fifth longer by `_parent`.
    return f"<espi:{name}>{_element('duration', duration)}{_element('start', start)}</espi:{name}>"


# Local time


def _local_time(zone: ZoneInfo, year: int) -> str:
    end_rule, offset, start_rule, standard = dst_rules(zone, year)
    members = (
        ("dstEndRule", end_rule),
        ("dstOffset", offset),
        ("dstStartRule", start_rule),
        ("tzOffset", standard),
    )
    return _parent("LocalTimeParameters", members)


def dst_rules(zone: ZoneInfo, year: int) -> tuple[str, int, str, int]:
    """Return ESPI's daylight saving rules: end, offset in seconds, start, and standard offset.

    A rule is 32 bits in hex: month (4), operator (3), day of month (5), weekday (3, 1 is Monday),
    local hour (5), seconds (12). `FFFFFFFF` where the zone has no such rule in that year.
    """
    changes = _changes(zone, year)
    starts = [change for change in changes if change[1] > 0]
    ends = [change for change in changes if change[1] < 0]
    january = datetime(year, 1, 1, tzinfo=zone)
    offsets = {utc_offset(january, zone), *(utc_offset(moment, zone) for moment, _ in changes)}
    standard = min(offsets)
    if len(starts) != 1 or len(ends) != 1:
        return NO_RULE, 0, NO_RULE, standard
    return _rule(zone, year, ends[0]), starts[0][1], _rule(zone, year, starts[0]), standard


def _changes(zone: ZoneInfo, year: int) -> list[tuple[datetime, int]]:
    """Return the moments (UTC) in a year at which the clock changes, and by how many seconds."""
    changes = []
    moment, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    while moment < end:
        change = utc_offset(moment + 24 * hour, zone) - utc_offset(moment, zone)
        if change:
            exact = moment
            while utc_offset(exact + hour, zone) == utc_offset(moment, zone):
                exact += hour
            changes.append((exact + hour, change))
        moment += 24 * hour
    return changes


def _rule(zone: ZoneInfo, year: int, change: tuple[datetime, int]) -> str:
    local = _clock_before(zone, change)
    is_last = all(
        other.day + 7 > monthrange(other.year, other.month)[1]
        for later in range(year, year + YEARS_LOOKED_AT)
        for other in (_clock_before(zone, each) for each in _changes(zone, later))
        if other.month == local.month
    )
    operator = LAST if is_last else (local.day - 1) // 7 + 2
    seconds = 60 * local.minute + local.second
    bits = local.month << 28 | operator << 25 | (local.weekday() + 1) << 17 | local.hour << 12
    return f"{bits | seconds:08X}"


def _clock_before(zone: ZoneInfo, change: tuple[datetime, int]) -> datetime:
    """Return what the clock would show at the change if it did not change."""
    moment, seconds = change
    return moment.astimezone(zone) - timedelta(seconds=seconds)
