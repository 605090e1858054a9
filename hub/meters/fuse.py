# SPDX-License-Identifier: Apache-2.0
"""What can flow through a home's connection: no register gains more than that.

Of the electricity meter it is what the fuse lets through, of others a flow in an hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from protocols.metrology import Medium

VOLTS: Final = 253
"""The highest voltage of the grid, 230 V and a tenth (EN 50160)."""
OVERLOAD: Final = 1.25
"""A fuse carries so many times its current for hours before it melts (IEC 60269-1)."""
JITTER_SECONDS: Final = 5
"""By how much the time between two telegrams may be longer than their stamps say."""
LARGEST_AMPERES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Fuse:
    """The fuse before the meter, and how many phases it has."""

    amperes: int
    phases: int

    def __post_init__(self) -> None:
        if not 1 <= self.amperes <= LARGEST_AMPERES or self.phases not in (1, 2, 3):
            raise ValueError(f"a fuse has 1 to {LARGEST_AMPERES} A, and 1 to 3 phases")

    @property
    def watts(self) -> int:
        """The most power that flows through it for long."""
        return int(self.amperes * self.phases * VOLTS * OVERLOAD)

    @property
    def per_hour(self) -> int:
        """The most watt-hours in an hour."""
        return self.watts

    def lets_through(self, energy_wh: int, seconds: int, step_wh: int = 1) -> bool:
        """Tell whether a register of steps of `step_wh` can gain so much in so long."""
        at_most = self.watts * (seconds + JITTER_SECONDS) // 3600 + step_wh
        return energy_wh <= at_most

    def __str__(self) -> str:
        return f"{self.phases} x {self.amperes} A"


DEFAULT_FUSE: Final = Fuse(250, 3)
"""Where nobody has said: more than any home has."""


class Limit(Protocol):
    """The most that a register gains."""

    @property
    def per_hour(self) -> int:
        """The same in whole steps an hour."""
        ...

    def lets_through(self, energy_wh: int, seconds: int, step_wh: int = 1) -> bool:
        """Tell whether a register of steps of `step_wh` can gain so much in so long."""
        ...

    def __str__(self) -> str: ...


LARGEST_FLOW: Final = 1_000_000
"""Litres or watt-hours in an hour, whatever is said."""
DEFAULT_FLOWS: Final[Mapping[Medium, int]] = {
    Medium.GAS: 25_000,
    Medium.COLD_WATER: 16_000,
    Medium.HOT_WATER: 16_000,
    Medium.HEAT: 200_000,
    Medium.COLD: 200_000,
    Medium.ELECTRICITY: DEFAULT_FUSE.watts,
}
"""Where nobody has said: what meters of these sizes let through, G16, Q3 of 16 m3/h, 200 kW."""


@dataclass(frozen=True, slots=True)
class FlowLimit:
    """What flows through a meter in an hour at most, in whole steps of its register."""

    per_hour: int
    medium: Medium

    def __post_init__(self) -> None:
        if not 1 <= self.per_hour <= LARGEST_FLOW:
            raise ValueError(f"a flow is 1 to {LARGEST_FLOW} {self.medium.step} in an hour")

    def lets_through(self, energy_wh: int, seconds: int, step_wh: int = 1) -> bool:
        """Tell whether a register of such steps can gain so much in so long."""
        return energy_wh <= self.per_hour * (seconds + JITTER_SECONDS) // 3600 + step_wh

    def __str__(self) -> str:
        return f"{self.per_hour:,} {self.medium.step}/h"
