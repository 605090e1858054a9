# SPDX-License-Identifier: Apache-2.0
"""Who a meter is: manufacturer, number, version and medium (EN 13757-3 and -7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from meter_codecs.mbus.errors import EncodingError

MEDIA: Final = {
    0x00: "other", 0x01: "oil", 0x02: "electricity", 0x03: "gas", 0x04: "heat", 0x05: "steam",
    0x06: "hot water", 0x07: "water", 0x08: "heat cost allocator", 0x09: "compressed air",
    0x0A: "cooling (outlet)", 0x0B: "cooling (inlet)", 0x0C: "heat (inlet)", 0x0D: "heat/cooling",
    0x0E: "bus/system", 0x0F: "unknown", 0x10: "irrigation water", 0x11: "water data logger",
    0x12: "gas data logger", 0x13: "gas converter", 0x14: "calorific value", 0x15: "hot water",
    0x16: "cold water", 0x17: "dual register water", 0x18: "pressure", 0x19: "a/d converter",
    0x1A: "smoke detector", 0x1B: "room sensor", 0x1C: "gas detector", 0x1D: "carbon monoxide",
    0x1E: "carbon dioxide", 0x1F: "sensor", 0x20: "breaker", 0x21: "valve", 0x25: "display",
    0x28: "waste water", 0x29: "garbage", 0x2A: "carbon dioxide", 0x2B: "environmental",
    0x31: "communication controller", 0x32: "repeater", 0x33: "repeater", 0x36: "radio converter",
    0x37: "radio converter", 0x38: "bus converter",
}  # fmt: skip
"""What a meter measures, by the code of its device type."""

_NUMBER: Final = re.compile(r"[0-9a-fA-F]{8}")


def manufacturer_text(code: int) -> str:
    """Return the three letters of a manufacturer's code."""
    return "".join(chr((code >> shift & 31) + 64) for shift in (10, 5, 0))


def manufacturer_code(text: str) -> int:
    """Return the code of three letters; raise `EncodingError` for anything else."""
    if len(text) != 3 or not all("@" <= letter <= "_" for letter in text):
        raise EncodingError(f"{text!r} are not three capital letters")
    first, second, third = (ord(letter) - 64 for letter in text)
    return first << 10 | second << 5 | third


@dataclass(frozen=True, slots=True)
class Address:
    """A meter's address in full, which M-Bus calls secondary.

    `number` are the eight digits printed on it. In a selection `f` stands for any digit, and ffff
    and ff for any manufacturer, version and medium.
    """

    manufacturer_code: int
    number: str
    version: int
    device_type: int

    def __post_init__(self) -> None:
        if not _NUMBER.fullmatch(self.number) or self.number != self.number.lower():
            raise EncodingError(f"{self.number!r} is not a number of eight digits")
        if not (0 <= self.manufacturer_code < 1 << 16):
            raise EncodingError(f"{self.manufacturer_code} is not a manufacturer's code")
        if not (0 <= self.version < 256 and 0 <= self.device_type < 256):
            raise EncodingError("version and device type take one byte each")

    @classmethod
    def of(cls, manufacturer: str, number: str, version: int, device_type: int) -> Self:
        """Return the address of a manufacturer's three letters."""
        return cls(manufacturer_code(manufacturer), number, version, device_type)

    def encode_link(self) -> bytes:
        """Return the eight bytes as a wireless link has them."""
        return self.manufacturer_code.to_bytes(2, "little") + self._number() + self._rest()

    def encode_header(self) -> bytes:
        """Return the eight bytes as a long header has them."""
        return self._number() + self.manufacturer_code.to_bytes(2, "little") + self._rest()

    def _number(self) -> bytes:
        return bytes.fromhex(self.number)[::-1]

    def _rest(self) -> bytes:
        return bytes([self.version, self.device_type])

    @property
    def manufacturer(self) -> str:
        """The manufacturer's three letters."""
        return manufacturer_text(self.manufacturer_code)

    @property
    def medium(self) -> str:
        """What the meter measures."""
        return MEDIA.get(self.device_type, f"type {self.device_type:02x}")

    def matches(self, other: Address) -> bool:
        """Whether this selection, with its wildcards, means the meter `other`."""
        return (
            all(mine in ("f", its) for mine, its in zip(self.number, other.number, strict=True))
            and self.manufacturer_code in (0xFFFF, other.manufacturer_code)
            and self.version in (0xFF, other.version)
            and self.device_type in (0xFF, other.device_type)
        )

    def __str__(self) -> str:
        return f"{self.manufacturer} {self.number}"


@lru_cache(maxsize=1024)
def decode_link_address(data: bytes) -> Address:
    """Read the eight bytes of a wireless link: manufacturer, number, version, type."""
    return Address(data[0] | data[1] << 8, data[5:1:-1].hex(), data[6], data[7])


@lru_cache(maxsize=1024)
def decode_header_address(data: bytes) -> Address:
    """Read the eight bytes of a long header: number, manufacturer, version, type."""
    return Address(data[4] | data[5] << 8, data[3::-1].hex(), data[6], data[7])


ANYONE: Final = Address(0xFFFF, "ffffffff", 0xFF, 0xFF)
"""The selection that means every meter."""
