# SPDX-License-Identifier: Apache-2.0
"""Which homes a fleet has: everything about one follows from the fleet's seed and its number."""

import random
from dataclasses import dataclass
from datetime import date
from typing import Final

from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period, Series

LEAST_KWH: Final = 1_200
MOST_KWH: Final = 7_000
MOST_SHOWN_WH: Final = 60_000_000
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

    def household(self, first: date, register_wh: int | None = None) -> SyntheticHousehold:
        """Return who lives there from a day on: few people or many, who do not repeat themselves.

        Its register begins with what `register_wh` says, or as one that has run for some years.
        """
        own = self.seed * MOST_HOMES + self.number
        dice = random.Random(f"meterlet home {own}")  # noqa: S311 - nothing secret
        base_kwh, shown_wh = dice.randrange(LEAST_KWH, MOST_KWH), dice.randrange(MOST_SHOWN_WH)
        return SyntheticHousehold(
            self.zone,
            own * date.max.toordinal() + first.toordinal(),
            base_kwh_per_year=base_kwh,
            start_register_wh=shown_wh if register_wh is None else register_wh,
        )

    def readings(self, period: Period, register_wh: int | None = None) -> list[Reading]:
        """Return what the meter shows, slot by slot, from the period's begin to its end.

        `register_wh` is what it shows at its begin, where that is known.
        """
        household = self.household(period.first, register_wh)
        return list(household.readings(period.first, period.last, 60 * self.slot_minutes))
