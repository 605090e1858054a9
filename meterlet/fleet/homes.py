# SPDX-License-Identifier: Apache-2.0
"""Which homes a fleet has: everything about one follows from the fleet's seed and its number."""

import random
from dataclasses import dataclass
from typing import Final

from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period, Series

LEAST_KWH: Final = 1_200
MOST_KWH: Final = 7_000
MOST_HOMES: Final = 10_000_000
"""More than that, and the seeds of two fleets would have homes in common."""


@dataclass(frozen=True, slots=True)
class EmulatedHome:
    """One home of a fleet: its meter, and a household like no other's."""

    number: int
    """From 1; the serial number of its meter."""
    seed: int
    """The fleet's."""
    zone: str
    slot_minutes: int

    def __post_init__(self) -> None:
        if not 1 <= self.number < MOST_HOMES:
            raise ValueError(f"home {self.number}: homes have numbers from 1 to {MOST_HOMES - 1}")

    @property
    def meter(self) -> bytes:
        """The id of its meter."""
        return emulated_meter_id(self.number)

    @property
    def series(self) -> Series:
        """What is certified."""
        return Series(self.meter, ACTIVE_ENERGY_IMPORT, self.zone, self.slot_minutes)

    @property
    def household(self) -> SyntheticHousehold:
        """Who lives there: a small or a large household, and a register that has run for years."""
        seed = self.seed * MOST_HOMES + self.number
        dice = random.Random(f"meterlet home {seed}")  # noqa: S311 - nothing secret
        return SyntheticHousehold(
            self.zone,
            seed,
            base_kwh_per_year=dice.randrange(LEAST_KWH, MOST_KWH),
            start_register_wh=dice.randrange(100_000, 60_000_000),
        )

    def readings(self, period: Period) -> list[Reading]:
        """Return what the meter shows, slot by slot, from the period's begin to its end."""
        return list(self.household.readings(period.first, period.last, 60 * self.slot_minutes))
