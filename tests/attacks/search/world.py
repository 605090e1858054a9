# SPDX-License-Identifier: Apache-2.0
"""A home that is made up: what everybody knows of it, and what only its readings say.

An unknown is the use of one slot of one register. Unknowns are numbered: those of the first
register in the order of time, then those of the next. Where readings may be corrected, the next
"register" has by how much the corrected reading of a slot of the first one is more than the old.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

BEGIN: Final = 1_740_787_200
"""2025-03-01 00:00 UTC; a day has 24 hours."""
DAY_MINUTES: Final = 1440
STANDBY_WH: Final = 10
"""The least that any slot uses: something is always on."""
QUIET_WH: Final = 89
"""The most that a slot of the night uses; neighbours know that nobody is up."""

Bounds = tuple[int, int]


@dataclass(frozen=True, slots=True)
class World:
    """What everybody knows of a home."""

    slot_minutes: int
    days: int
    registers: tuple[str, ...] = ("",)
    missing: frozenset[int] = frozenset()
    """Unknowns that were not measured: their use is 0, and everybody knows it."""
    fuse_wh: int = 6_000
    """The most that a slot can use."""
    is_dark_at_night: bool = False
    """Whether everybody knows that the second register, which counts what panels feed in, shows
    nothing at night."""
    is_corrected: bool = False
    """Whether the second register has the corrections of the first."""

    @property
    def day_slots(self) -> int:
        """How many slots a day has."""
        return DAY_MINUTES // self.slot_minutes

    @property
    def slots(self) -> int:
        """How many slots each register has."""
        return self.day_slots * self.days

    @property
    def size(self) -> int:
        """How many unknowns there are."""
        return self.slots * len(self.registers)

    def unknown(self, slot: int, register: int = 0) -> int:
        """Return the number of the unknown that is a slot of a register."""
        return register * self.slots + slot

    def corrected(self, unknown: int) -> int:
        """Return the unknown that a slot's correction is: what it makes of the use."""
        return unknown % self.slots + self.slots

    def folded(self, unknown: int) -> int:
        """Return the unknown that was certified first of an unknown's slot."""
        return unknown % self.slots if self.is_corrected else unknown

    def is_quiet(self, unknown: int) -> bool:
        """Tell whether everybody knows that little is used then."""
        return unknown % self.day_slots < self.day_slots // 4

    def bounds(self, unknown: int) -> Bounds:
        """Return the least and the most that an unknown can be, as everybody knows."""
        if unknown in self.missing or self._is_dark(unknown):
            return 0, 0
        if self.is_corrected and unknown >= self.slots and self.folded(unknown) not in self.missing:
            low, high = self.bounds(self.folded(unknown))
            return low - high, high - low
        return STANDBY_WH, QUIET_WH if self.is_quiet(unknown) else self.fuse_wh

    def _is_dark(self, unknown: int) -> bool:
        return self.is_dark_at_night and unknown >= self.slots and self.is_quiet(unknown)

    def day(self, number: int, register: int = 0) -> range:
        """Return the unknowns of a day."""
        first = self.unknown(number * self.day_slots, register)
        return range(first, first + self.day_slots)

    def measured(self, unknowns: Iterable[int]) -> Iterator[int]:
        """Yield those that are not missing, nor known to be 0."""
        return (unknown for unknown in unknowns if self.bounds(unknown) != (0, 0))

    def minutes(self, unknowns: Iterable[int]) -> int:
        """Return how long measured slots last in all."""
        return self.slot_minutes * sum(1 for _ in self.measured(unknowns))


def draw_house(world: World, dice: random.Random) -> tuple[int, ...]:
    """Return the readings of a home, an integer for each unknown."""
    house = [_use(world, unknown, dice) for unknown in range(world.size)]
    if world.is_corrected:
        for unknown in range(world.slots, world.size):
            before = house[world.folded(unknown)]
            house[unknown] -= before  # 0 where nothing was read
    return tuple(house)


def _use(world: World, unknown: int, dice: random.Random) -> int:
    low, high = world.bounds(unknown)
    if low < 0:
        low, high = world.bounds(world.folded(unknown))
    if low == high:
        return low
    if world.is_quiet(unknown):
        return dice.randint(low + 10, high)
    # Someone is at home: a broad spread, so that no class of slots is narrow by chance.
    return dice.choice((150, 300, 900, 2_000)) + dice.randrange(900)


def corrected_world(world: World) -> World:
    """Return a home with one register, whose readings may be corrected."""
    missing = frozenset(slot for slot in world.missing if slot < world.slots)
    return replace(
        world, registers=("", "corrected"), missing=missing, is_dark_at_night=False,
        is_corrected=True,
    )  # fmt: skip


def drawn_world(dice: random.Random, size: str) -> World:
    """Return a home: `small` ones have some days, a `month` 28 to 31.

    In a `dark` one a second register counts what panels feed in: nothing at night, as all know.
    """
    if size == "month":
        return World(slot_minutes=15, days=dice.randint(28, 31), missing=_gone(dice, 96 * 28))
    slot_minutes = dice.choice((15, 30, 60, 60))
    days = dice.randint(3, 4) if slot_minutes == 15 else dice.randint(4, 6)
    slots = days * 1440 // slot_minutes
    is_dark = size == "dark"
    registers = ("", "1-0:2.8.0*255") if is_dark or dice.random() < 0.2 else ("",)
    gone = _gone(dice, slots)
    return World(slot_minutes, days, registers, gone, is_dark_at_night=is_dark)


def _gone(dice: random.Random, slots: int) -> frozenset[int]:
    """Return a few missing slots of the first register, most often none."""
    if dice.random() < 0.6:
        return frozenset()
    start = dice.randrange(slots)
    return frozenset(slot for slot in range(start, start + dice.randint(1, 6)) if slot < slots)
