# SPDX-License-Identifier: Apache-2.0
"""CRC-16/X.25, the check sequence of HDLC (ISO/IEC 13239), at the speed of `binascii`.

`binascii.crc_hqx` has the polynomial, unreflected: reflecting each byte on its way in, and the
register on its way out, turns the one into the other. b"123456789" gives 0x906E.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import Final

REFLECTED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""The translation table that reverses the bits of each byte."""

RESIDUE: Final = 0x1D0F
"""The register behind data and their own check sequence (0xF0B8 reflected)."""


def check_sequence(data: bytes) -> bytes:
    """Return the two bytes that are sent behind `data`."""
    register = crc_hqx(data.translate(REFLECTED), 0xFFFF)
    return bytes([REFLECTED[register >> 8] ^ 0xFF, REFLECTED[register & 0xFF] ^ 0xFF])


def is_right(data: bytes) -> bool:
    """Return whether `data` end in their own check sequence."""
    return crc_hqx(data.translate(REFLECTED), 0xFFFF) == RESIDUE
