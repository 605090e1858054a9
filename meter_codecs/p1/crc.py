# SPDX-License-Identifier: Apache-2.0
"""CRC-16/ARC, the checksum of P1, at the speed of Python's whole numbers.

CRC-16/ARC (reflected 0x8005, start value 0) is the remainder of the message, as a polynomial over
two elements, by P = x^16 + x^15 + x^2 + 1 = (x + 1)·Q with Q = x^15 + x + 1. The remainder by x + 1
is the parity of the bits. For the other, squaring is linear here, so that

    Q^(2^k) = x^(15·2^k) + x^(2^k) + 1      is a multiple of Q for each k:

what lies above bit 15·2^k moves down to bits 0 and 2^k at once. A few shifts of one long number
replace a loop over its bytes. The two remainders make the one by P: Q has odd parity, so adding it
changes the parity and nothing else.

Check value for b"123456789": 0xBB3D, from the CRC RevEng catalogue.
"""

from typing import Final

from meter_codecs.p1.errors import EncodingError

REFLECTED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""The translation table that reverses the bits of each byte."""

Q: Final = 0x8003


def crc16(data: bytes) -> int:
    """Return the CRC-16/ARC of `data`."""
    number = int.from_bytes(data.translate(REFLECTED), "big") << 16
    parity = number.bit_count() & 1
    step = max(0, (number.bit_length() // 15).bit_length() - 1)
    while step >= 0:
        gap = 1 << step
        top = 15 << step
        mask = (1 << top) - 1
        while high := number >> top:
            number = (number & mask) ^ high ^ (high << gap)
        step -= 1
    if number.bit_count() & 1 != parity:
        number ^= Q
    return REFLECTED[number & 0xFF] << 8 | REFLECTED[number >> 8]


def bcc(data: bytes) -> int:
    """Return the block check character of IEC 62056-21: all bytes, added without carry."""
    folded = len(data)
    number = int.from_bytes(data, "big")
    while folded > 1:
        half = folded // 2
        shift = 8 * (folded - half)
        number = (number >> shift) ^ (number & ((1 << shift) - 1))
        folded -= half
    return number


_EVEN: Final = bytes(
    byte & 0x7F if byte.bit_count() % 2 == 0 else 0x1A for byte in range(256)
)  # 1a: SUBSTITUTE


def from_seven_bits(data: bytes) -> bytes:
    """Return what bytes with even parity say; one whose parity is wrong becomes 1a (SUBSTITUTE)."""
    return data.translate(_EVEN)


def to_seven_bits(data: bytes) -> bytes:
    """Return `data` with even parity in the top bit, as a line of seven bits carries it."""
    if not data.isascii():
        raise EncodingError("a line of seven bits carries ASCII only")
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)
