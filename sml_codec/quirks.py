# SPDX-License-Identifier: Apache-2.0
"""The work-around for a fault of one meter's firmware.

DZG DVS74 meters with certain serial numbers send their power (1-0:16.7.0*255) as a signed integer
of as few bytes as the *magnitude* needs: 35624 W/100 becomes 8b 28, which reads -29912. The sign is
wrong for positive numbers only; other DZG meters are right and must not be touched. The serial is
in the last five bytes of 1-0:96.1.0*255 = 0a 01 'DZG' and five bytes, read as an integer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sml_codec.messages import GetListRes, ListEntry
from sml_codec.numbers import SizedInt
from sml_codec.obis import Obis

DZG_PREFIX: Final = b"\x0a\x01DZG"
FAULTY_SERIALS: Final = (range(42_000_000, 49_000_000), range(55_000_000, 59_000_000))

_SERIAL: Final = Obis.parse("1-0:96.1.0*255")
_POWER: Final = Obis.parse("1-0:16.7.0*255")


def corrected_list(body: GetListRes) -> GetListRes:
    """Return `body` with the number that was meant in `corrected`, if its meter has the fault."""
    if not any(entry.obis == _SERIAL and is_faulty(entry.value) for entry in body.entries):
        return body
    return replace(body, entries=tuple([_corrected(entry) for entry in body.entries]))


def may_be_faulty(body: GetListRes) -> bool:
    """Whether a list has what the work-around looks at, whatever its values."""
    return {_SERIAL, _POWER} <= {entry.obis for entry in body.entries}


def is_faulty(meter_id: object) -> bool:
    """Whether the meter of this id is one of those with the fault."""
    if not isinstance(meter_id, bytes) or len(meter_id) != 10:
        return False
    if not meter_id.startswith(DZG_PREFIX):
        return False
    serial = int.from_bytes(meter_id[5:], "big")
    return any(serial in faulty for faulty in FAULTY_SERIALS)


def _corrected(entry: ListEntry) -> ListEntry:
    value = entry.value
    if entry.obis != _POWER or not isinstance(value, SizedInt) or not value.signed:
        return entry
    if value >= 0 or value.size > 3:
        return entry
    return replace(entry, corrected=int(value) + (1 << 8 * value.size))
