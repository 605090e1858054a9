# SPDX-License-Identifier: Apache-2.0
"""What the MDMS knows: how much all homes of a region together used in each slot of a period."""

import re
from dataclasses import dataclass
from typing import Final, Self

from protocols.canonical.stored import decode_row, encode_row
from protocols.metrology import SLOT_MINUTES, Period
from utility_server.errors import StoreError

DAY_MINUTES: Final = 1440
RESOLUTIONS: Final = (*SLOT_MINUTES, DAY_MINUTES)
"""Minutes of a slot; 1440 stands for a local day, whatever the clock does in it."""
LARGEST_SUM_WH: Final = 2**63 - 1
_REGION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}")


def check_region(name: str) -> str:
    """Return a region's name; raise `StoreError` if it cannot be one."""
    if not _REGION.fullmatch(name):
        raise StoreError(f"region {name[:80]!r}: 1 to 64 letters, digits, spaces and . _ / -")
    return name


def slot_bounds(zone: str, begin: int, end: int, minutes: int) -> tuple[int, ...]:
    """Return the bounds of the slots that fill the local days [begin, end).

    Raises `GridError` if these are not whole days or such slots do not fill them.
    """
    period = Period.filling(begin, end, zone)
    if minutes == DAY_MINUTES:
        days = [Period(day, day).bounds(zone)[0] for day in period.days(zone)]
        return (*days, end)
    grids = period.grids(zone, minutes)
    return (*(time for grid in grids for time in grid.boundaries()[:-1]), end)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an aggregate belongs; its row is bound to it."""

    region: str
    resolution_minutes: int
    begin: int
    end: int

    def __post_init__(self) -> None:
        check_region(self.region)
        if self.resolution_minutes not in RESOLUTIONS:
            raise StoreError(f"slots of {self.resolution_minutes} minutes: one of {RESOLUTIONS}")

    @property
    def parts(self) -> tuple[str, int, int, int]:
        """Return what the sealed row is bound to."""
        return self.region, self.resolution_minutes, self.begin, self.end


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One round's sum, opened and verified."""

    place: Place
    zone: str
    sums_wh: tuple[int, ...]
    """The homes' use in each slot."""
    homes: int
    """How many homes' contributions are in the sum."""
    missing: int
    """How many of their slots had no reading and count as 0."""
    value_bits: int
    """No home's use in a slot is 2^value_bits Wh or more: what the round's rules bound."""
    round: bytes
    """The round that it came of."""

    def __post_init__(self) -> None:
        place = self.place
        bounds = slot_bounds(self.zone, place.begin, place.end, place.resolution_minutes)
        if len(bounds) != len(self.sums_wh) + 1:
            raise StoreError(f"{len(self.sums_wh)} sums for {len(bounds) - 1} slots")
        if not all(0 <= wh <= LARGEST_SUM_WH for wh in self.sums_wh):
            raise StoreError("a sum is no use of a region")
        if self.homes < 1 or self.missing < 0 or not 1 <= self.value_bits <= 62:
            raise StoreError("an aggregate of no homes, or without a bound")

    @property
    def bounds(self) -> tuple[int, ...]:
        """Return the slots' bounds, one more than there are slots."""
        place = self.place
        return slot_bounds(self.zone, place.begin, place.end, place.resolution_minutes)

    def encode(self) -> bytes:
        """Return what is sealed of it; its place is bound, not repeated."""
        members = [
            self.zone,
            list(self.sums_wh),
            self.homes,
            self.missing,
            self.value_bits,
            self.round,
        ]
        return encode_row(members)

    @classmethod
    def decode(cls, place: Place, data: bytes) -> Self:
        """Return the aggregate that was sealed at `place`; raise `StoreError` otherwise."""
        match decode_row(data):
            case [
                str(zone),
                list(sums),
                int(homes),
                int(missing),
                int(value_bits),
                bytes(identification),
            ] if all(type(wh) is int for wh in sums):
                return cls(place, zone, tuple(sums), homes, missing, value_bits, identification)
            case _:
                raise StoreError(f"{place.region}: not an aggregate that this program writes")
