# SPDX-License-Identifier: Apache-2.0
"""What can flow through a home's connection: no register gains more than its fuse lets through."""

from dataclasses import dataclass
from typing import Final

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
