# SPDX-License-Identifier: Apache-2.0
"""Intact telegrams that cannot be taken as they are: set aside, with the reason, never lost.

The reason is one line that a resident may read. `Odd` says of which kind it is, for programs and
for the pages, which say it in the resident's language.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from hub.readings import LARGEST_REGISTER_WH, Reading, ReadingFlag, Readout
from protocols.canonical.foreign_text import read_json
from sml_codec import Obis

LONGEST_METER: Final = 64
"""Bytes of an identification; a hub's own meter has 32 at most."""
_MOST_FLAGS: Final = 15


class Odd(StrEnum):
    """What is odd about a telegram."""

    FOREIGN = "foreign-meter"
    """Another meter has sent it."""
    FELL = "register-fell"
    """A register shows less than before."""
    LEAPT = "register-leapt"
    """A register shows more than can have flowed through the fuse."""
    BEHIND = "clock-behind"
    """Its time is long past."""
    AHEAD = "clock-ahead"
    """Its time has not come yet, or nothing that follows confirms it."""
    STEPPED = "clock-stepped"
    """The meter's count of seconds and the hub's clock do not agree."""
    LATE = "came-late"
    """It came after a later one."""
    DIFFERS = "another-value"
    """Another value is stored for the very same moment."""


def too_long(meter: bytes) -> str:
    """Return what is said of a telegram whose meter has such a name; nothing if it may have it."""
    if len(meter) <= LONGEST_METER:
        return ""
    return f"its meter's identification has {len(meter):,} bytes: more than any meter's"


@dataclass(frozen=True, slots=True)
class OddTelegram:
    """A telegram that was set aside."""

    kind: Odd
    reason: str
    offset: int
    """Where it starts in its stream."""
    arrival: int
    """When it came."""
    meter: bytes
    """Who has sent it."""
    time: int | None
    """The moment that it would stand for, where that is known."""
    registers: Mapping[bytes, int] = field(repr=False)
    """What the hub's registers show in it, in watt-hours, by OBIS code."""
    flags: ReadingFlag = ReadingFlag.NONE
    """What an emulated meter says of it."""

    def readout(self) -> Readout | None:
        """Return what it shows as a reading would; None where its time is not known."""
        if self.time is None or not self.registers:
            return None
        shown = self.registers.items()
        return Readout({code: Reading(self.time, wh, self.flags) for code, wh in shown})

    def encode(self) -> bytes:
        """Return it as JSON, to be sealed."""
        members = {
            "arrival": self.arrival,
            "kind": self.kind.value,
            "meter": self.meter.hex(),
            "offset": self.offset,
            "reason": self.reason,
            "registers": {str(Obis(code)): wh for code, wh in sorted(self.registers.items())},
            "time": self.time,
            **({"flags": int(self.flags)} if self.flags else {}),
        }
        return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()

    def essence(self) -> bytes:
        """Return what it says, wherever and whenever it came: the same of the same telegram."""
        shown = {str(Obis(code)): wh for code, wh in sorted(self.registers.items())}
        said = self.meter.hex(), self.time, shown
        return json.dumps(said, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `encode` wrote; raise `ValueError` if it did not."""
        members = read_json(data)
        flags = members.pop("flags", 0) if isinstance(members, dict) else 0
        if type(flags) is not int or not 0 <= flags <= _MOST_FLAGS:
            raise ValueError("what was set aside has flags that there are not")
        match members:
            case {
                "arrival": int(arrival),
                "kind": str(kind),
                "meter": str(meter),
                "offset": int(offset),
                "reason": str(reason),
                "registers": {**registers},
                "time": int() | None as time,
            }:
                shown = {Obis.parse(str(c)).code: int(str(wh)) for c, wh in registers.items()}
                if not all(0 <= wh <= LARGEST_REGISTER_WH for wh in shown.values()):
                    raise ValueError("a register of what was set aside is out of range")
                one = cls(
                    Odd(kind),
                    reason,
                    offset,
                    arrival,
                    bytes.fromhex(meter),
                    time,
                    shown,
                    ReadingFlag(flags),
                )
                if one.encode() == data:
                    return one
        raise ValueError("not what was set aside")
