# SPDX-License-Identifier: Apache-2.0
"""What a tariff is for, and in which units: electricity, gas, water, heat.

Everything here reckons in whole steps of a register, of which a thousand make the unit that prices
are for: watt-hours and kilowatt-hours, or litres and cubic metres. So a price "per kWh" of a water
tariff is one per cubic metre. Gas that is priced by the kilowatt-hour is a charge of its own kind
(`tariffs.gas`).
"""

import enum


class Medium(enum.StrEnum):
    """What the meter measures that a tariff is for."""

    ELECTRICITY = "electricity"
    GAS = "gas"
    WATER = "water"
    HEAT = "heat"

    @property
    def step(self) -> str:
        """The unit of a register's whole steps: `Wh` or `l`."""
        return "l" if self in (Medium.GAS, Medium.WATER) else "Wh"

    @property
    def unit(self) -> str:
        """The unit that prices are for, of a thousand steps: `kWh` or `m3`."""
        return "m3" if self in (Medium.GAS, Medium.WATER) else "kWh"

    def is_of(self, register: bytes) -> bool:
        """Tell whether a register, by its OBIS code (6 bytes), counts this (IEC 62056-6-1)."""
        return register[0] in _CODES[self]


_CODES = {
    Medium.ELECTRICITY: frozenset({0, 1}),
    Medium.GAS: frozenset({7}),
    Medium.WATER: frozenset({8, 9}),
    Medium.HEAT: frozenset({5, 6}),
}
