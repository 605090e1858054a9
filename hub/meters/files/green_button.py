# SPDX-License-Identifier: Apache-2.0
"""Green Button: NAESB REQ.21 (ESPI) in an Atom feed, from suppliers and from the own export.

A block of intervals belongs to a reading, and the reading to its type, by the links of their
entries. The type says the unit, the power of ten, the direction and whether values are differences.
A file that has no type holds watt-hours drawn; that is said. What is not electric energy in
differences is left out and named.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from xml.etree import ElementTree

from hub.meters.files.opened import FileRequest, OpenedFile, opened_intervals
from protocols.canonical.foreign_text import ForeignTextRefused, read_xml

ESPI: Final = "{http://naesb.org/espi}"
ATOM: Final = "{http://www.w3.org/2005/Atom}"
_WATT_HOURS, _WATTS = 72, 38
_ELECTRIC: Final = (0, 1, 2)
"""Commodities: not said, and electricity metered at either side of the transformer."""
_REVERSE: Final = 19
_DIFFERENCES: Final = (0, 1, 4)
"""Accumulations: none, bulk and delta; the others are registers, maxima and cycles."""
_DEEPEST_LINK: Final = 16
"""Levels of a link that are looked at for the reading that a block belongs to."""
_WHOLE: Final = re.compile(r"-?\d{1,18}", re.ASCII)


def is_green_button(text: str) -> bool:
    """Tell whether a text is such a file."""
    return text.lstrip()[:1] == "<" and "http://naesb.org/espi" in text


@dataclass(frozen=True, slots=True)
class _Type:
    unit: int = _WATT_HOURS
    power_of_ten: int = 0
    commodity: int = 0
    direction: int = 1
    accumulation: int = 4

    def left_out(self) -> str | None:
        """Return why its values are no energy of intervals; None if they are."""
        if self.commodity not in _ELECTRIC:
            return f"commodity {self.commodity}, not electricity"
        if self.unit not in (_WATT_HOURS, _WATTS):
            return f"unit {self.unit}, not watt-hours"
        if self.accumulation not in _DIFFERENCES:
            return f"accumulation {self.accumulation}, not differences"
        return None


def open_green_button(request: FileRequest) -> OpenedFile:
    """Return the intervals; raise `ReplayError` for another file, or one with two meters."""
    root = _root(request)
    entries = list(_entries(root))
    types = dict(_types(request, entries))
    readings = [e for e in entries if e.find(f".//{ESPI}MeterReading") is not None]
    of_reading = {
        link: _type_of(entry, types) for entry in readings for link in _links(entry, "self")
    }
    drawn: dict[int, tuple[int, Fraction | None]] = {}
    fed_in: dict[int, tuple[int, Fraction | None]] = {}
    lengths: set[int] = set()
    blocks = [(entry, b) for entry in entries for b in entry.iter(f"{ESPI}IntervalBlock")]
    if not blocks:
        blocks = [(root, block) for block in root.iter(f"{ESPI}IntervalBlock")]
    if not types:
        request.report.notes.append("it names no type of reading: taken as watt-hours drawn")
    number = 0
    kind, looked_at = _Type(), None
    for entry, block in blocks:
        if entry is not looked_at:  # once for all blocks of an entry
            kind, looked_at = _type_of_block(request, entry, of_reading, types), entry
        why = kind.left_out()
        for reading in block.iter(f"{ESPI}IntervalReading"):
            number += 1
            if why is not None:
                request.report.left_out[why] += 1
                continue
            begin = _integer(request, number, reading, "timePeriod/start")
            seconds = _integer(request, number, reading, "timePeriod/duration")
            value = _integer(request, number, reading, "value")
            if value < 0 or not 0 < seconds <= 86_400 or not 0 <= begin < 1 << 32:
                raise _wrong(request, number, "a value, duration or start that cannot be")
            lengths.add(seconds)
            into = fed_in if kind.direction == _REVERSE else drawn
            if begin in into:
                raise _wrong(request, number, "its start is there twice, or of a second meter")
            energy = Fraction(value) * Fraction(10) ** kind.power_of_ten
            energy *= Fraction(seconds, 3600) if kind.unit == _WATTS else 1
            into[begin] = number, energy
    if len(lengths) > 1:
        raise request.wrong_file(
            f"intervals of {', '.join(map(str, sorted(lengths)))} s in one file"
        )
    return opened_intervals(request, next(iter(lengths), 3600), drawn, fed_in or None)


def _root(request: FileRequest) -> ElementTree.Element:
    try:
        # The declaration speaks of bytes, not of text.
        return read_xml(re.sub(r"^\s*<\?xml[^>]*\?>", "", request.text))
    except ForeignTextRefused as error:
        raise request.wrong_file(str(error)) from None


def _entries(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Yield the entries in order; what lies in one is not looked through for others."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if element.tag == f"{ATOM}entry":
            yield element
        else:
            waiting.extend(reversed(element))


def _types(request: FileRequest, entries: list[ElementTree.Element]) -> Iterator[tuple[str, _Type]]:
    for place, entry in enumerate(entries):
        element = entry.find(f".//{ESPI}ReadingType")
        if element is None:
            continue
        kind = _Type(
            _number(request, element, "uom", _WATT_HOURS),
            _number(request, element, "powerOfTenMultiplier", 0),
            _number(request, element, "commodity", 0),
            _number(request, element, "flowDirection", 1),
            _number(request, element, "accumulationBehaviour", 4),
        )
        if not -12 <= kind.power_of_ten <= 12:
            raise request.wrong_file(f"a power of ten of {kind.power_of_ten}")
        for link in _links(entry, "self") or [f"#{place}"]:
            yield link, kind


def _links(entry: ElementTree.Element, relation: str) -> list[str]:
    return [
        link.get("href", "").rstrip("/")
        for link in entry.iter(f"{ATOM}link")
        if link.get("rel") == relation
    ]


def _type_of(entry: ElementTree.Element, types: Mapping[str, _Type]) -> _Type | None:
    found = [types[link] for link in _links(entry, "related") if link in types]
    return found[0] if found else None


def _type_of_block(
    request: FileRequest,
    entry: ElementTree.Element,
    of_reading: Mapping[str, _Type | None],
    types: Mapping[str, _Type],
) -> _Type:
    """Return the type of an entry's block, which lies below its reading."""
    ups = [*_links(entry, "up"), *_links(entry, "self")]
    for up in ups:
        above = up
        for _ in range(_DEEPEST_LINK):
            above = above.rpartition("/")[0]
            kind = of_reading.get(above) if above else None
            if kind is not None:
                return kind
    kinds = set(types.values())
    if len(kinds) <= 1:
        return next(iter(kinds), _Type())
    raise request.wrong_file("several types of reading, and its links do not say which is whose")


def _number(request: FileRequest, element: ElementTree.Element, name: str, default: int) -> int:
    text = element.findtext(f"{ESPI}{name}")
    if text is None or not text.strip():
        return default
    if not _WHOLE.fullmatch(text.strip()):
        raise request.wrong_file(f"{name} is {text[:20]!r}, not a whole number")
    return int(text)


def _integer(request: FileRequest, number: int, element: ElementTree.Element, path: str) -> int:
    text = (element.findtext("/".join(ESPI + part for part in path.split("/"))) or "").strip()
    if not _WHOLE.fullmatch(text):
        raise _wrong(request, number, f"{path} is {text[:20]!r}, not a whole number")
    return int(text)


def _wrong(request: FileRequest, number: int, what: str) -> Exception:
    return request.wrong_file(f"reading {number}: {what}")
