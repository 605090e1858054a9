# SPDX-License-Identifier: Apache-2.0
"""Verifying many proofs at once, and finding the one that lies.

Every check of ours comes down to an equation: a weighted sum of points is the point at infinity.
The sum of many equations, each with a weight its prover could not foresee, is infinity only if
all of them are, but for a chance of 2^-128 (Bellare, Garay and Rabin, EUROCRYPT '98). One sum for
all of them is cheap because the generators are shared: a month's 2,976 generators are multiplied
once, whether for one household or for a hundred.

The weights come from a hash of all checks' transcripts, so that a verdict can be repeated. If the
sum is not infinity, halves are tried, and halves of halves, down to the culprits. What the left
half comes to is summed up; the right half is the rest of the whole. So one culprit costs, for each
halving, one more sum of half as many checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Protocol

from protocols.proofs.errors import ProofRefused
from protocols.proofs.generators import generators
from protocols.proofs.group import GENERATOR, ORDER, Point, PointVector
from protocols.proofs.pedersen import H
from protocols.proofs.transcript import Transcript

_WEIGHT_BITS: Final = 128
_FIXED: Final = PointVector([GENERATOR, H])


class Equation:
    """A weighted sum of points, under construction; it is claimed to be infinity."""

    __slots__ = ("_blinding", "_families", "_points", "_scalars", "_value")

    def __init__(self) -> None:
        self._blinding = self._value = 0
        self._families: dict[bytes, list[int]] = {}
        self._points: list[PointVector] = []
        self._scalars: list[int] = []

    def add_commitment(self, value: int, blinding: int) -> None:
        """Add value·H + blinding·G."""
        self._value += value
        self._blinding += blinding

    def add_generators(self, label: bytes, scalars: Sequence[int]) -> None:
        """Add Σ scalars[i] · generators(label)[i]."""
        held = self._families.get(label)
        if held is None:
            self._families[label] = list(scalars)
        elif len(held) == len(scalars):
            self._families[label] = [a + b for a, b in zip(held, scalars, strict=True)]
        else:
            pairs = zip_longest(held, scalars, fillvalue=0)
            self._families[label] = [a + b for a, b in pairs]

    def add_points(self, points: PointVector, scalars: Sequence[int]) -> None:
        """Add Σ scalars[i] · points[i]."""
        if len(points) != len(scalars):
            raise ValueError(f"{len(scalars)} scalars for {len(points)} points")
        self._points.append(points)
        self._scalars.extend(scalars)

    def add_point(self, point: Point, scalar: int) -> None:
        """Add scalar · point, which may be infinity."""
        if not point.is_infinity:
            self.add_points(PointVector([point]), [scalar])

    def holds(self) -> bool:
        """Return whether the sum is the point at infinity."""
        return self.sum().is_infinity

    def sum(self) -> Point:
        """Return the sum."""
        points, scalars = [_FIXED, *self._points], [self._blinding, self._value, *self._scalars]
        for label, weights in self._families.items():
            points.append(generators(label, len(weights)))
            scalars.extend(weights)
        return PointVector.join(points).weighted_sum([s % ORDER for s in scalars])


class Check(Protocol):
    """What is left to check of a well-formed proof: one equation."""

    @property
    def name(self) -> str:
        """What the refusal says is wrong, e.g. `the linear form of March`."""

    @property
    def digest(self) -> bytes:
        """The digest of a transcript that took in the statement and every byte of the proof."""

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add the check's equation, times `weight`."""


@dataclass(frozen=True, slots=True)
class _Weighted:
    check: Check
    weight: int


def verify_all(checks: Sequence[Check]) -> None:
    """Return if all checks hold; raise `ProofRefused` with the names of those that do not."""
    if refused := find_refused(checks):
        names = ", ".join(name_of_refused(checks[place]) for place in refused[:5])
        raise ProofRefused(f"the proof does not hold: {names}")


def name_of_refused(check: Check) -> str:
    """Return the name of a check that does not hold, down to the part of it that does not."""
    parts: Sequence[Check] = getattr(check, "checks", ())  # of a whole session
    refused = find_refused(parts)
    return f"{check.name}: {name_of_refused(parts[refused[0]])}" if refused else check.name


def find_refused(checks: Sequence[Check]) -> list[int]:
    """Return the places of the checks that do not hold; none if all do."""
    transcript = Transcript("batch verification", 1)
    for check in checks:
        transcript.append("check", check.digest)
    weighted = []
    for place, check in enumerate(checks):
        # The first weight may be 1: a common factor changes nothing.
        weight = transcript.challenge("weight") % (1 << _WEIGHT_BITS) if place else 1
        weighted.append(_Weighted(check, weight))
    return _bisect(weighted, 0, _sum_of(weighted))


def _bisect(weighted: Sequence[_Weighted], start: int, total: Point) -> list[int]:
    """Return the places, from `start` on, of those that do not hold, which sum up to `total`."""
    if total.is_infinity:
        return []
    if len(weighted) == 1:
        return [start]
    middle = len(weighted) // 2
    left = _sum_of(weighted[:middle])
    return [
        *_bisect(weighted[:middle], start, left),
        *_bisect(weighted[middle:], start + middle, total - left),
    ]


def _sum_of(weighted: Sequence[_Weighted]) -> Point:
    equation = Equation()
    for item in weighted:
        item.check.add_to(equation, item.weight)
    return equation.sum()
