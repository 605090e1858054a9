# SPDX-License-Identifier: Apache-2.0
"""The object of an association (class 15): what a client may see, and how it was let in."""

from __future__ import annotations

from typing import Final

from dlms_codec.apdus.acse import Context, Mechanism
from dlms_codec.apdus.initiate import DLMS_VERSION, Conformance
from dlms_codec.data import Array, BitString, Structure
from dlms_codec.numbers import Enum, Int8, UInt8, UInt16
from dlms_codec.obis import Obis
from dlms_codec.objects import CosemObject, Member, ObjectTable, constant

_OWN: Final = Obis.parse("0-0:40.0.0")
ASSOCIATED: Final = 2
_CONTEXT: Final = bytes.fromhex("60857405 0801")
_MECHANISM: Final = bytes.fromhex("60857405 0802")


def association_object(
    table: ObjectTable,
    *,
    client: int,
    mechanism: Mechanism,
    ciphered: bool,
    conformance: Conformance,
    longest: int,
) -> CosemObject:
    """Return the object of a client's own association, whose list has its table and itself."""
    context = Context.LOGICAL_NAMES_CIPHERED if ciphered else Context.LOGICAL_NAMES
    bits = BitString(24, int(conformance).to_bytes(3, "big"))
    agreed = (bits, UInt16(longest), UInt16(longest), UInt8(DLMS_VERSION), Int8(0), b"")
    attributes = {
        3: constant(Structure((Int8(client), UInt16(1)))),
        4: constant(_CONTEXT + bytes([context])),
        5: constant(Structure(agreed)),
        6: constant(_MECHANISM + bytes([mechanism])),
        8: constant(Enum(ASSOCIATED)),
    }
    itself = CosemObject(15, _OWN, {2: Member(read=lambda _: None), **attributes}, version=1)
    listed = Array(item.list_entry() for item in (itself, *table))
    return CosemObject(15, _OWN, {2: constant(listed), **attributes}, version=1)
