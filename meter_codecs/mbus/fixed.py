# SPDX-License-Identifier: Apache-2.0
"""The fixed data structure (CI 73) of old meters: two counters of four bytes.

number, 4 digits-bytes | access | status | medium and units, 2 | counter 1, 4 | counter 2, 4
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from meter_codecs.mbus.errors import MalformedMbus
from meter_codecs.mbus.quantities import Quantity
from meter_codecs.mbus.values import decimal

SIZE: Final = 16
_MEDIA: Final = (
    "other", "oil", "electricity", "gas", "heat", "steam", "hot water", "water",
    "heat cost allocator", "compressed air", "gas", "heat", "hot water", "water",
    "heat cost allocator", "reserved",
)  # fmt: skip
_HISTORIC: Final = 0x3E


def _units() -> dict[int, Quantity]:
    rows = {
        0x02: ("energy", "Wh", 0, 9), 0x0B: ("energy", "J", 3, 9), 0x14: ("power", "W", 0, 9),
        0x1D: ("power", "J/h", 3, 9), 0x26: ("volume", "m3", -6, 9),
        0x2F: ("volume flow", "m3/h", -6, 9), 0x38: ("flow temperature", "degC", -3, 1),
    }  # fmt: skip
    table = {
        first + step: Quantity(name, unit, scaler + step)
        for first, (name, unit, scaler, count) in rows.items()
        for step in range(count)
    }
    return table | {0x39: Quantity("heat cost", "HCA"), 0x3F: Quantity("dimensionless")}


_UNITS: Final = _units()


@dataclass(frozen=True, slots=True)
class Counter:
    """One of the two counters."""

    quantity: Quantity
    value: int | None
    storage: int
    """1 if it was stored at a fixed date, 0 if it is of now."""

    @property
    def scaled(self) -> Decimal | None:
        """The exact value; None if its digits are not decimal."""
        return None if self.value is None else Decimal(f"{self.value}E{self.quantity.scaler}")


@dataclass(frozen=True, slots=True)
class FixedData:
    """What a meter with the fixed data structure sends."""

    number: str
    access: int
    status: int
    medium_and_units: int
    raw_counters: tuple[bytes, bytes]

    @property
    def medium(self) -> str:
        """What the meter measures."""
        return _MEDIA[self.medium_and_units >> 6 & 3 | self.medium_and_units >> 12 & 0x0C]

    @property
    def counters(self) -> tuple[Counter, Counter]:
        """The two counters, understood."""
        codes = (self.medium_and_units & 0x3F, self.medium_and_units >> 8 & 0x3F)
        stored = self.status >> 1 & 1
        first, second = self.raw_counters
        other = codes[0] if codes[1] == _HISTORIC else codes[1]
        return (
            Counter(_unit(codes[0]), self._number(first), stored),
            Counter(_unit(other), self._number(second), 1 if codes[1] == _HISTORIC else stored),
        )

    def _number(self, data: bytes) -> int | None:
        return int.from_bytes(data, "little") if self.status & 1 else decimal(data)

    def encode(self) -> bytes:
        """Return the structure's bytes."""
        return (
            bytes.fromhex(self.number)[::-1]
            + bytes([self.access, self.status])
            + self.medium_and_units.to_bytes(2, "little")
            + b"".join(self.raw_counters)
        )


def _unit(code: int) -> Quantity:
    return _UNITS.get(code) or Quantity(f"unit {code:02x}")


def decode_fixed(data: bytes) -> FixedData:
    """Return the structure that `data` is exactly."""
    if len(data) != SIZE:
        raise MalformedMbus(f"fixed data of {len(data)} bytes, not {SIZE}", offset=len(data))
    units = int.from_bytes(data[6:8], "little")
    return FixedData(data[3::-1].hex(), data[4], data[5], units, (data[8:12], data[12:16]))
