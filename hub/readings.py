# SPDX-License-Identifier: Apache-2.0
"""The value every station of the hub shares: a register's state at one moment.

A meter does not report use, it reports registers that only grow. What was used between two
moments is the difference of two readings, unless the second one says that the register did not
run (or was not known) in between.
"""

import enum
from dataclasses import dataclass, replace
from typing import Final

__all__ = [
    "LARGEST_REGISTER_WH",
    "LARGEST_WH_PER_SECOND",
    "Reading",
    "ReadingFlag",
    "Readout",
]

LARGEST_REGISTER_WH: Final = 2**63 - 1
LARGEST_WH_PER_SECOND: Final = 1_000_000
"""What no register gains in a second, 3.6 GW: so that an hour's use fits 32 bits."""


class ReadingFlag(enum.IntFlag):
    """What is known about a reading beside its value; one byte in the vault."""

    NONE = 0
    RESUMED = 1
    """The time since the reading before is not in the register: its slots are missing."""
    SUSPECT = 2
    """The source marks the value as doubtful: slots that end here are not measured."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A register of a meter at one moment."""

    time: int
    """Seconds since 1970-01-01T00:00:00Z."""
    register_wh: int
    """The register in whole watt-hours, rounded down; at least 0."""
    flags: ReadingFlag = ReadingFlag.NONE

    def __post_init__(self) -> None:
        if self.register_wh < 0:
            raise ValueError(f"a register cannot be negative: {self.register_wh} Wh")


@dataclass(frozen=True, slots=True)
class Readout:
    """What a meter shows at one moment: energy drawn and, where it counts that, energy fed in."""

    drawn: Reading
    fed_in: Reading | None = None

    def __post_init__(self) -> None:
        if self.fed_in is not None and self.fed_in.time != self.drawn.time:
            raise ValueError("the registers were not read at one moment")

    @property
    def time(self) -> int:
        """When it was read."""
        return self.drawn.time

    @property
    def flags(self) -> ReadingFlag:
        """What is known about the reading of either register."""
        return self.drawn.flags if self.fed_in is None else self.drawn.flags | self.fed_in.flags

    def flagged(self, flag: ReadingFlag) -> "Readout":
        """Return the readout with a flag on all its readings."""
        fed_in = self.fed_in
        return Readout(
            replace(self.drawn, flags=self.drawn.flags | flag),
            None if fed_in is None else replace(fed_in, flags=fed_in.flags | flag),
        )
