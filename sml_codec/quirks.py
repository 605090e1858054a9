# SPDX-License-Identifier: Apache-2.0
"""The work-around for a fault of one meter's firmware.

DZG DVS74 meters with certain serial numbers send their power (1-0:16.7.0*255, and that of each
phase, 36.7.0, 56.7.0, 76.7.0) as a signed integer of as few bytes as the *magnitude* needs: 35624
W/100 becomes 8b 28, which reads -29912. The sign is wrong for positive numbers only; other DZG
meters are right and must not be touched. The serial is in the last five bytes of 1-0:96.1.0*255 =
0a 01 'DZG' and five bytes, read as an integer. Which serials have the fault is known from reports
alone: it can be said for each (`SignFaults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sml_codec.messages import GetListRes, ListEntry
from sml_codec.numbers import SizedInt
from sml_codec.obis import Obis

DZG_PREFIX: Final = b"\x0a\x01DZG"
FAULTY_SERIALS: Final = (range(42_000_000, 49_000_000), range(55_000_000, 59_000_000))

_SERIAL: Final = Obis.parse("1-0:96.1.0*255")
_POWERS: Final = frozenset(Obis.parse(f"1-0:{phase}6.7.0*255") for phase in (1, 3, 5, 7))
"""Of all phases, and of each."""


@dataclass(frozen=True, slots=True)
class SignFaults:
    """Which DZG meters have the fault, by serial; for others it is as the serial ranges say."""

    said: Mapping[int, bool] = field(default_factory=dict)
    """Serials of which it is said, and whether they have it."""
    by_range: bool = True
    """Whether the others are looked up in the ranges; else they do not have it."""

    def applies_to(self, meter_id: object) -> bool:
        """Tell whether the meter of this id has the fault."""
        serial = serial_of(meter_id)
        if serial is not None and serial in self.said:
            return self.said[serial]
        return self.by_range and is_faulty(meter_id)

    def corrected(self, body: GetListRes) -> GetListRes:
        """Return `body` with the numbers that were meant, if its meter has the fault."""
        if not any(e.obis == _SERIAL and self.applies_to(e.value) for e in body.entries):
            return body
        return replace(body, entries=tuple([_corrected(entry) for entry in body.entries]))


def corrected_list(body: GetListRes) -> GetListRes:
    """Return `body` with the number that was meant in `corrected`, if its meter has the fault."""
    return _BY_RANGE.corrected(body)


def may_be_faulty(body: GetListRes) -> bool:
    """Whether a list has what the work-around looks at, whatever its values."""
    listed = {entry.obis for entry in body.entries}
    return _SERIAL in listed and not _POWERS.isdisjoint(listed)


def is_faulty(meter_id: object) -> bool:
    """Whether the meter of this id is one of those with the fault."""
    serial = serial_of(meter_id)
    return serial is not None and any(serial in faulty for faulty in FAULTY_SERIALS)


def serial_of(meter_id: object) -> int | None:
    """Return the serial number of a DZG meter of this id; None if it is no such id."""
    if not isinstance(meter_id, bytes) or len(meter_id) != 10:
        return None
    if not meter_id.startswith(DZG_PREFIX):
        return None
    return int.from_bytes(meter_id[5:], "big")


def _corrected(entry: ListEntry) -> ListEntry:
    value = entry.value
    if entry.obis not in _POWERS or not isinstance(value, SizedInt) or not value.signed:
        return entry
    if value >= 0 or value.size > 3:
        return entry
    return replace(entry, corrected=int(value) + (1 << 8 * value.size))


_BY_RANGE: Final = SignFaults()
