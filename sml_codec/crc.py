# SPDX-License-Identifier: Apache-2.0
"""The two CRC-16 of SML, at the speed of `binascii`.

SML uses CRC-16/X.25 (ISO/IEC 13239: reflected 0x1021, start and final value 0xFFFF, sent low byte
first). Some Holley meters use CRC-16/Kermit (same polynomial, start 0, not inverted, sent high
byte first). `binascii.crc_hqx` has the polynomial, unreflected; reflecting each byte on its way
in (`bytes.translate`) and the register on its way out turns the one into the other:

    x25(data) = reflect(crc_hqx(reflect(data), 0xFFFF)) ^ 0xFFFF

Check values for b"123456789": 0x906E (X.25) and 0x2189 (Kermit), from the CRC RevEng catalogue.
"""

from __future__ import annotations

import enum
from binascii import crc_hqx
from typing import Final

REFLECTED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""The translation table that reverses the bits of each byte."""

X25_RESIDUE: Final = 0x1D0F
"""The register after reflected data and its own X.25 CRC, low byte first (0xF0B8 reflected)."""


class Crc(enum.Enum):
    """Which CRC-16 a sender uses."""

    X25 = "x25"
    KERMIT = "kermit"

    def of(self, data: bytes) -> int:
        """Return the checksum of `data` as the two bytes on the wire, read big-endian."""
        if self is Crc.X25:
            return wire_from_register(crc_hqx(data.translate(REFLECTED), 0xFFFF))
        return reflect16(crc_hqx(data.translate(REFLECTED), 0))


def x25(data: bytes) -> int:
    """Return the CRC-16/X.25 of `data`."""
    return reflect16(crc_hqx(data.translate(REFLECTED), 0xFFFF)) ^ 0xFFFF


def kermit(data: bytes) -> int:
    """Return the CRC-16/Kermit of `data`."""
    return reflect16(crc_hqx(data.translate(REFLECTED), 0))


def reflect16(register: int) -> int:
    """Return the 16 bits of `register` in reverse order."""
    return REFLECTED[register & 0xFF] << 8 | REFLECTED[register >> 8]


def wire_from_register(register: int) -> int:
    """Return how X.25 sends `register` (of reflected data): inverted, low byte first."""
    return (REFLECTED[register >> 8] << 8 | REFLECTED[register & 0xFF]) ^ 0xFFFF
