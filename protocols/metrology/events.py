# SPDX-License-Identifier: Apache-2.0
"""What happened to a meter on a day, signed with the day: typed, in order, none of another kind.

    meter exchange       [1, slot, old meter, new meter, end, start]   the register of the old meter
                         when it was taken down and of the new one when it was put up, committed to
    register resolution  [2, slot, step]      from this slot on the register counts in steps
    first day of custody [3, 0, custody]      from this day on the meter is another custodian's

Each is a CBOR array in the day's list, numbered by its kind; `slot` is the slot of the day that it
happened in, or from which it holds. Events are in the order of slot and kind, at most one of a kind
in a slot, so that a list has one form. A kind that this release does not know is refused: whoever
cannot read an event cannot say what the day means.

Registers are committed to and not told: two of them would tell what was used in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, TypeAlias

from protocols.canonical.cbor import CborValue
from protocols.metrology.errors import MalformedDay
from protocols.metrology.version1 import METER_SIZES
from protocols.proofs import Point

LARGEST_STEP_WH: Final = 1_000_000
CUSTODY_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class MeterExchange:
    """One meter was taken down and another one put up."""

    kind: ClassVar[int] = 1

    slot: int
    """The slot of the day in which it happened."""
    old_meter: bytes
    new_meter: bytes
    end: Point
    """The commitment to the old meter's register at the end."""
    start: Point
    """The commitment to the new meter's register at the start."""

    def __post_init__(self) -> None:
        if not {len(self.old_meter), len(self.new_meter)} <= set(METER_SIZES):
            raise MalformedDay("a meter id has 1 to 64 bytes")
        if self.old_meter == self.new_meter:
            raise MalformedDay("a meter is exchanged for another one")
        if self.end.is_infinity or self.start.is_infinity:
            raise MalformedDay("a commitment is the point at infinity")

    def items(self) -> list[CborValue]:
        """Return the members of its array."""
        points = self.end.encode(), self.start.encode()
        return [self.kind, self.slot, self.old_meter, self.new_meter, *points]


@dataclass(frozen=True, slots=True)
class RegisterResolution:
    """From a slot on the register counts in steps of so many watt-hours."""

    kind: ClassVar[int] = 2

    slot: int
    step_wh: int

    def __post_init__(self) -> None:
        require_step(self.step_wh)

    def items(self) -> list[CborValue]:
        """Return the members of its array."""
        return [self.kind, self.slot, self.step_wh]


@dataclass(frozen=True, slots=True)
class FirstDayOfCustody:
    """From this day on the meter is in another custody."""

    kind: ClassVar[int] = 3

    custody: bytes
    """Names the custody, and nobody: 16 random bytes."""
    slot: int = 0

    def __post_init__(self) -> None:
        if len(self.custody) != CUSTODY_SIZE or self.slot:
            raise MalformedDay("a custody has a name of 16 bytes, and begins with a day")

    def items(self) -> list[CborValue]:
        """Return the members of its array."""
        return [self.kind, self.slot, self.custody]


MeterEvent: TypeAlias = MeterExchange | RegisterResolution | FirstDayOfCustody


def require_step(step_wh: int) -> None:
    """Refuse a step that no register counts in."""
    if not 1 <= step_wh <= LARGEST_STEP_WH:
        raise MalformedDay(f"a register counts in steps of 1 to {LARGEST_STEP_WH} Wh")


def require_order(events: Sequence[MeterEvent], slots: int) -> None:
    """Refuse events of slots that the day has not, out of order, or twice."""
    if any(not 0 <= event.slot < slots for event in events):
        raise MalformedDay("an event is of a slot that the day has not")
    if any((a.slot, a.kind) >= (b.slot, b.kind) for a, b in pairwise(events)):
        raise MalformedDay("the events are out of order, or one is repeated")


def decode_event(items: CborValue) -> MeterEvent:
    """Return the event that an array holds; raise `MalformedDay` or `Malformed` otherwise."""
    match items:
        case [MeterExchange.kind, int(slot), bytes(old), bytes(new), bytes(end), bytes(start)] if (
            len(end) == len(start) == 33
        ):
            return MeterExchange(slot, old, new, Point.decode(end), Point.decode(start))
        case [RegisterResolution.kind, int(slot), int(step)]:
            return RegisterResolution(slot, step)
        case [FirstDayOfCustody.kind, int(slot), bytes(custody)]:
            return FirstDayOfCustody(custody, slot)
        case _:
            raise MalformedDay("an event of a kind that this release does not know")
