# SPDX-License-Identifier: Apache-2.0
"""Certified days without a certifier: made here from uses, for tests to bend."""

import random
from collections.abc import Iterator
from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.metrology import (
    NO_DAY,
    CertifiedDay,
    DayContent,
    DayContentVersion1,
    DayGrid,
    Period,
    Series,
    SlotState,
    chain_slots,
)
from protocols.proofs import ORDER, Point, PointVector, VectorPart, commit, commit_many
from protocols.proofs.vector import commit_vector

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SERIES = Series(b"meter 1", bytes.fromhex("0100010800ff"), "Europe/Berlin", 60)
PERIOD = Period(date(2025, 3, 29), date(2025, 4, 1))  # the second day has 23 hours


class Drawn:
    """A day out of the hat, committed to."""

    def __init__(self, dice: random.Random, grid: DayGrid, start: tuple[int, int]) -> None:
        self.grid = grid
        self.uses = [dice.randrange(3000) for _ in range(len(grid))]
        blindings = [dice.randrange(1, ORDER) for _ in self.uses]
        gap = dice.choice([0, 0, 500]), dice.randrange(1, ORDER)
        self.end = start[0] + sum(self.uses) + gap[0], dice.randrange(1, ORDER)
        self.opening = (sum(blindings) + gap[1] - self.end[1] + start[1]) % ORDER
        self.states = tuple(dice.choice(list(SlotState)) for _ in self.uses)
        self.points = commit_many(self.uses, blindings)
        self.registers: tuple[Point, Point, Point] = (
            commit(*start), commit(*self.end), commit(*gap),
        )  # fmt: skip
        self.blinding = dice.randrange(1, ORDER)

    @property
    def vector(self) -> Point:
        part = VectorPart.of_day(self.grid.day.day, len(self.grid))
        return commit_vector(part, self.uses, self.blinding)


def drawn(period: Period, series: Series, seed: int) -> Iterator[Drawn]:
    """Yield days with random uses, each beginning where the one before ended."""
    dice = random.Random(seed)
    register = dice.randrange(10**6), dice.randrange(1, ORDER)
    for day in period.days(series.zone):
        one = Drawn(dice, DayGrid(day, series.zone, series.slot_minutes), register)
        register = one.end
        yield one


def make_days(
    period: Period = PERIOD, series: Series = SERIES, seed: int = 1
) -> list[CertifiedDay]:
    """Return the certified days of the period, with their slots."""
    days: list[CertifiedDay] = []
    for one in drawn(period, series, seed):
        previous = days[-1].digest if days else NO_DAY
        start, end, gap = one.registers
        content = DayContent(
            meter=series.meter,
            register=series.register,
            grid=one.grid,
            counter=len(days) + 1,
            previous=previous,
            states=one.states,
            vector=one.vector,
            slots=head_of(series, one.grid, one.states, one.points, previous),
            start=start,
            end=end,
            unattributed=gap,
            opening=one.opening,
            mounted=series.meter,
        )
        days.append(CertifiedDay.sign(content, KEY, one.points))
    return days


def head_of(
    series: Series,
    grid: DayGrid,
    states: tuple[SlotState, ...],
    points: PointVector,
    previous: bytes,
) -> bytes:
    """Return the digest of a day's last slot, of a register that counts watt-hours."""
    steps = (1,) * len(grid)
    slots = chain_slots(series.meter, series.register, grid, states, steps, points, previous)
    return slots[-1].digest


def make_days_of_version_1(
    period: Period = PERIOD, series: Series = SERIES, seed: int = 1, point_size: int = 33
) -> list[CertifiedDay]:
    """Return the same days as release 0.1 signed them."""
    days: list[CertifiedDay] = []
    for one in drawn(period, series, seed):
        start, end, gap = one.registers
        content = DayContentVersion1(
            meter=series.meter,
            register=series.register,
            grid=one.grid,
            counter=len(days) + 1,
            previous=days[-1].digest if days else NO_DAY,
            states=one.states,
            commitments=one.points,
            start=start,
            end=end,
            unattributed=gap,
            opening=one.opening,
            point_size=point_size,
        )
        days.append(CertifiedDay.sign(content, KEY))
    return days
