# SPDX-License-Identifier: Apache-2.0
"""Profiles out of a population: homes of like shape, found by k-means.

Each home's use becomes the mean shape of its workdays, Saturdays and Sundays, brought to mean 0 and
deviation 1, so that homes are near whose shapes correlate, as with scores; the means of the
clusters of these shapes are the profiles. The first centres are drawn
by k-means++ (Arthur and Vassilvitskii, SODA 2007), the best of several tries counts. Who runs this
sees readings: of test homes, or of homes that consented to hand theirs out.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import fsum, sqrt
from zoneinfo import ZoneInfo

from applets.profiling.statement import Profile, ProfileSet

Shape = tuple[float, ...]
"""Workday, Saturday, Sunday, one after the other, of mean 0 and deviation 1."""

DAYS = 3
PRECISION = 1_000_000
ROUNDS = 100
DAY_SECONDS = 86_400


def shape_of(uses: Mapping[int, int], zone: str, slot_seconds: int) -> Shape:
    """Return the shape of a home, given its watt-hours by the start of the slot.

    Raises `ValueError` where a slot of some kind of day has no reading at all, or all are alike.
    """
    clock, slots = ZoneInfo(zone), DAY_SECONDS // slot_seconds
    sums, counts = [0] * (DAYS * slots), [0] * (DAYS * slots)
    for start, watt_hours in uses.items():
        local = datetime.fromtimestamp(start, clock)
        day = max(0, local.weekday() - 4)
        place = day * slots + (3600 * local.hour + 60 * local.minute) // slot_seconds
        sums[place] += watt_hours
        counts[place] += 1
    if not all(counts) or len(set(sums)) == 1:
        raise ValueError("a slot of the day is never read, or all use the same")
    means = [total / count for total, count in zip(sums, counts, strict=True)]
    return _standard(means)


def _standard(values: Sequence[float]) -> Shape:
    level = fsum(values) / len(values)
    deviation = sqrt(fsum((value - level) ** 2 for value in values) / len(values))
    return tuple((value - level) / deviation for value in values)


def cluster(
    shapes: Sequence[Shape], count: int, seed: int, tries: int = 20
) -> tuple[list[Shape], list[int]]:
    """Return the centres of so many clusters, and which one each shape is in.

    The same seed gives the same clusters. Raises `ValueError` for more clusters than shapes.
    """
    if not 1 <= count <= len(set(shapes)):
        raise ValueError(f"{len(set(shapes))} different shapes make no {count} clusters")
    dice = random.Random(seed)  # noqa: S311 - a reproducible choice of starts, no secret
    attempts = [_attempt(shapes, count, dice) for _ in range(tries)]
    _, centres, members = min(attempts, key=lambda attempt: attempt[0])
    order = sorted(range(count), key=lambda one: (-members.count(one), centres[one]))
    return [centres[one] for one in order], [order.index(one) for one in members]


def profiles_of(centres: Iterable[Shape], names: Sequence[str], name: str, zone: str) -> ProfileSet:
    """Return the set of profiles with these shapes, lifted to begin at 0: scores are the same."""
    profiles = []
    for called, centre in zip(names, centres, strict=True):
        slots = len(centre) // DAYS
        least = min(centre)
        whole = [round(PRECISION * (value - least)) for value in centre]
        days = tuple(tuple(whole[day * slots : (day + 1) * slots]) for day in range(DAYS))
        profiles.append(Profile(called, days))
    return ProfileSet(name, 1, zone, (), tuple(profiles))


def _attempt(
    shapes: Sequence[Shape], count: int, dice: random.Random
) -> tuple[float, list[Shape], list[int]]:
    centres = [dice.choice(shapes)]
    while len(centres) < count:
        far = [min(_distance(shape, centre) for centre in centres) for shape in shapes]
        centres.append(dice.choices(shapes, far)[0])
    members: list[int] = []
    for _ in range(ROUNDS):
        nearest = [min(range(count), key=lambda one: _distance(shape, centres[one]))
                   for shape in shapes]  # fmt: skip
        if nearest == members:
            break
        members = nearest
        for one in range(count):
            own = [shape for shape, place in zip(shapes, members, strict=True) if place == one]
            if own:
                centres[one] = tuple(sum(column) / len(own) for column in zip(*own, strict=True))
    spread = sum(_distance(shape, centres[one]) for shape, one in zip(shapes, members, strict=True))
    return spread, centres, members


def _distance(one: Shape, other: Shape) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
