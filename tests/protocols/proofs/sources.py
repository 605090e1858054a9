# SPDX-License-Identifier: Apache-2.0
"""Uses in both schemes of commitments, with their openings and without."""

import random

from protocols.proofs import (
    PointVector,
    SlotOpening,
    Source,
    VectorCommitment,
    VectorOpening,
    VectorPart,
    commit_many,
    commit_vector,
)


def slots(uses: tuple[int, ...]) -> Source:
    dice = random.Random(5)
    blindings = tuple(dice.getrandbits(250) for _ in uses)
    return Source(commit_many(uses, blindings), b"days", SlotOpening(uses, blindings))


def days(uses: tuple[int, ...]) -> Source:
    """The same by the day, of four slots each."""
    starts = range(0, len(uses), 4)
    parts = tuple(VectorPart.of_day(1 + s // 4, len(uses[s : s + 4])) for s in starts)
    points = PointVector(
        commit_vector(part, uses[s : s + 4], 7 + s) for part, s in zip(parts, starts, strict=True)
    )
    opening = VectorOpening(uses, tuple(7 + s for s in starts))
    return Source(VectorCommitment(parts, points), b"days", opening)


def hidden(source: Source) -> Source:
    return Source(source.commitment, source.identity)
