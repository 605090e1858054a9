# SPDX-License-Identifier: Apache-2.0
"""The value every station of the hub shares: a register's state at one moment.

A meter does not report use, it reports registers that only grow. What was used between two
moments is the difference of two readings, unless the second one says that the register did not
run (or was not known) in between.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Final

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
    EXCHANGED = 4
    """The first of a new meter: its register starts anew, and the old one ended with the reading
    before."""
    COARSE = 8
    """The register counts whole kilowatt-hours, as that of a locked meter does: slots that begin or
    end here are estimated, not measured."""


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


def has_leapt(before: Reading, after: Reading) -> bool:
    """Tell whether a register has gained more between two moments than any can."""
    rise = after.register_wh - before.register_wh
    return rise > LARGEST_WH_PER_SECOND * (after.time - before.time)


@dataclass(frozen=True, slots=True)
class Readout:
    """What registers of a meter show at one moment."""

    readings: Mapping[bytes, Reading]
    """By OBIS code, of 6 bytes; at least one."""

    def __post_init__(self) -> None:
        if len({reading.time for reading in self.readings.values()}) != 1:
            raise ValueError("the registers were not read at one moment")

    @property
    def time(self) -> int:
        """When it was read."""
        return next(iter(self.readings.values())).time

    @property
    def flags(self) -> ReadingFlag:
        """What is known about the reading of any of the registers."""
        return reduce(or_, (reading.flags for reading in self.readings.values()))

    def flagged(self, flag: ReadingFlag) -> "Readout":
        """Return the readout with a flag on all its readings."""
        return Readout(
            {
                register: replace(reading, flags=reading.flags | flag)
                for register, reading in self.readings.items()
            }
        )
