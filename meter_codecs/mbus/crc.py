# SPDX-License-Identifier: Apache-2.0
"""The CRC of wireless M-Bus (EN 13757-4): polynomial 3d65, start 0, complemented."""

from __future__ import annotations

from array import array
from struct import unpack
from typing import Final

_POLYNOMIAL: Final = 0x3D65


def _table() -> array[int]:
    """Return what two bytes do to the checksum, for each pair of bytes."""
    rows, step = [0], _POLYNOMIAL
    for _ in range(16):  # the checksum of a sum is the sum of the checksums
        rows += [row ^ step for row in rows]
        step = (step << 1 ^ (_POLYNOMIAL if step & 0x8000 else 0)) & 0xFFFF
    return array("H", rows)


_TABLE: Final = _table()


def crc16(data: bytes) -> int:
    """Return the checksum of `data`."""
    size = len(data)
    if size & 1:  # zeros in front change nothing
        data = b"\0" + data
        size += 1
    crc, table = 0, _TABLE
    for pair in unpack(f">{size // 2}H", data):
        crc = table[crc ^ pair]
    return crc ^ 0xFFFF
