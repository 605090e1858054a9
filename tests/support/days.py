# SPDX-License-Identifier: Apache-2.0
"""Certified days without a certifier: made here from uses, for tests to bend."""

import random
from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.metrology import (
    NO_DAY,
    CertifiedDay,
    DayContent,
    DayGrid,
    Period,
    Series,
    SlotState,
)
from protocols.proofs import ORDER, commit, commit_many

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SERIES = Series(b"meter 1", bytes.fromhex("0100010800ff"), "Europe/Berlin", 60)
PERIOD = Period(date(2025, 3, 29), date(2025, 4, 1))  # the second day has 23 hours


def make_days(
    period: Period = PERIOD, series: Series = SERIES, seed: int = 1, point_size: int = 33
) -> list[CertifiedDay]:
    """Return the certified days of the period, with random uses."""
    dice = random.Random(seed)
    register, register_blinding = dice.randrange(10**6), dice.randrange(1, ORDER)
    days: list[CertifiedDay] = []
    for day in period.days(series.zone):
        grid = DayGrid(day, series.zone, series.slot_minutes)
        uses = [dice.randrange(3000) for _ in range(len(grid))]
        blindings = [dice.randrange(1, ORDER) for _ in uses]
        gap, gap_blinding = dice.choice([0, 0, 500]), dice.randrange(1, ORDER)
        end, end_blinding = register + sum(uses) + gap, dice.randrange(1, ORDER)
        opening = (sum(blindings) + gap_blinding - end_blinding + register_blinding) % ORDER
        content = DayContent(
            meter=series.meter,
            register=series.register,
            grid=grid,
            counter=len(days) + 1,
            previous=days[-1].digest if days else NO_DAY,
            states=tuple(dice.choice(list(SlotState)) for _ in uses),
            commitments=commit_many(uses, blindings),
            start=commit(register, register_blinding),
            end=commit(end, end_blinding),
            unattributed=commit(gap, gap_blinding),
            opening=opening,
            point_size=point_size,
        )
        days.append(CertifiedDay.sign(content, KEY))
        register, register_blinding = end, end_blinding
    return days
