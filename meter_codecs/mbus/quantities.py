# SPDX-License-Identifier: Apache-2.0
"""What a record's value is: the codes of EN 13757-3, tables 10 to 16, as names, units and scalers.

A value is `number · 10^scaler` in a unit. What the tables below do not name is called by its code,
`vif fd3b`; `MEANINGS` has words for some of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ACCESS_NUMBER: Final = "access number"


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a value is, and what its number has to be multiplied with."""

    name: str
    unit: str | None = None
    scaler: int = 0
    is_moment: bool = False
    """Whether it is a date or a time."""


_TIMES: Final = ("s", "min", "h", "d")


def _steps(name: str, unit: str, first: int, count: int) -> list[Quantity]:
    """Return the same quantity in steps of ten, beginning with 10^first."""
    return [Quantity(name, unit, first + step) for step in range(count)]


def _times(name: str) -> list[Quantity]:
    return [Quantity(name, unit) for unit in _TIMES]


def _main() -> dict[int, Quantity]:
    rows: dict[int, list[Quantity]] = {
        0x00: _steps("energy", "Wh", -3, 8),
        0x08: _steps("energy", "J", 0, 8),
        0x10: _steps("volume", "m3", -6, 8),
        0x18: _steps("mass", "kg", -3, 8),
        0x20: _times("on time"),
        0x24: _times("operating time"),
        0x28: _steps("power", "W", -3, 8),
        0x30: _steps("power", "J/h", 0, 8),
        0x38: _steps("volume flow", "m3/h", -6, 8),
        0x40: _steps("volume flow", "m3/min", -7, 8),
        0x48: _steps("volume flow", "m3/s", -9, 8),
        0x50: _steps("mass flow", "kg/h", -3, 8),
        0x58: _steps("flow temperature", "degC", -3, 4),
        0x5C: _steps("return temperature", "degC", -3, 4),
        0x60: _steps("temperature difference", "K", -3, 4),
        0x64: _steps("external temperature", "degC", -3, 4),
        0x68: _steps("pressure", "bar", -3, 4),
        0x6C: [Quantity("date", is_moment=True), Quantity("date-time", is_moment=True)],
        0x6E: [Quantity("heat cost", "HCA")],
        0x70: _times("averaging duration"),
        0x74: _times("actuality duration"),
        0x78: [Quantity("fabrication number"), Quantity("enhanced identification")],
        0x7A: [Quantity("bus address")],
        0x7F: [Quantity("manufacturer")],
    }
    return _spread(rows)


def _extension_fb() -> dict[int, Quantity]:
    return _spread({
        0x00: _steps("energy", "MWh", -1, 2),
        0x02: _steps("reactive energy", "kvarh", 0, 2),
        0x08: _steps("energy", "GJ", -1, 2),
        0x10: _steps("volume", "m3", 2, 2),
        0x14: _steps("reactive power", "kvar", -3, 4),
        0x18: _steps("mass", "t", 2, 2),
        0x1A: _steps("relative humidity", "%", -1, 2),
        0x28: _steps("power", "MW", -1, 2),
        0x2C: _steps("frequency", "Hz", -3, 4),
        0x30: _steps("power", "GJ/h", -1, 2),
        0x34: _steps("apparent power", "kVA", -3, 4),
    })  # fmt: skip


def _extension_fd() -> dict[int, Quantity]:
    return _spread({
        0x08: [Quantity(ACCESS_NUMBER), Quantity("medium"), Quantity("manufacturer id"),
               Quantity("parameter set"), Quantity("model/version"), Quantity("hardware version"),
               Quantity("firmware version"), Quantity("software version"),
               Quantity("customer location"), Quantity("customer")],
        0x16: [Quantity("password"), Quantity("error flags"), Quantity("error mask")],
        0x1A: [Quantity("digital output"), Quantity("digital input"), Quantity("baud rate")],
        0x2C: _times("duration since last readout"),
        0x3A: [Quantity("dimensionless")],
        0x40: _steps("voltage", "V", -9, 16),
        0x50: _steps("current", "A", -12, 16),
        0x60: [Quantity("reset counter"), Quantity("cumulation counter")],
        0x66: [Quantity("state of parameter activation")],
        0x70: [Quantity("battery change", is_moment=True)],
        0x71: [Quantity("signal strength", "dBm")],
        0x74: [Quantity("remaining battery life", "d")],
    })  # fmt: skip


def _spread(rows: dict[int, list[Quantity]]) -> dict[int, Quantity]:
    return {first + step: row for first, group in rows.items() for step, row in enumerate(group)}


_MAIN: Final = _main()
_EXTENSIONS: Final = {0x7B: _extension_fb(), 0x7D: _extension_fd()}
STANDARD: Final = frozenset(
    known for table in (_MAIN, *_EXTENSIONS.values()) for known in table.values()
) - {Quantity("manufacturer")}
"""What the standard's tables name."""
_MOMENTS: Final = {(0x7D, 0x30), (0x7D, 0x70)}

MEANINGS: Final = {
    "vif fd00": "credit of the nominal local legal currency units",
    "vif fd14": "access code of the developer", "vif fd15": "access code of the user",
    "vif fd1d": "response delay time", "vif fd1e": "retry", "vif fd1f": "remote control",
    "vif fd20": "first storage number", "vif fd21": "last storage number",
    "vif fd22": "size of the storage block", "vif fd28": "storage interval in months",
    "vif fd29": "storage interval in years", "vif fd2a": "operator-specific data",
    "vif fd2b": "time point, second", "vif fd30": "start of tariff",
    "vif fd3b": "container of a wireless M-Bus telegram", "vif fd62": "control signal",
    "vif fd63": "day of week", "vif fd64": "week number", "vif fd65": "time point of day change",
    "vif fd67": "special supplier information", "vif fd68": "duration since last cumulation, hours",
    "vif fd69": "duration since last cumulation, days",
    "vif fd6c": "operating time of the battery, hours",
    "vif fd6d": "operating time of the battery, days",
    "vif fd6e": "operating time of the battery, months",
    "vif fd6f": "operating time of the battery, years",
    "vif fd72": "daylight saving", "vif fd73": "listening window management",
    "vif fd75": "number of times the meter was stopped",
    "vif fb21": "volume, 0.1 cubic feet",
    "vif fb22": "volume, 0.1 US gallons", "vif fb23": "volume, US gallons",
    "vif fb74": "cold or warm temperature limit",
}  # fmt: skip
"""Words for codes that stay without a name."""


def quantity(codes: bytes) -> Quantity:
    """Return what a VIF means; `codes` are its one or two bytes without their extension bits."""
    first = codes[0]
    table = _EXTENSIONS.get(first)
    known = table.get(codes[1]) if len(codes) > 1 and table else _MAIN.get(first)
    if known is not None:
        return known
    table_code = f"{first | 0x80:02x}" if len(codes) > 1 else ""
    return Quantity(f"vif {table_code}{codes[-1]:02x}", is_moment=tuple(codes) in _MOMENTS)
