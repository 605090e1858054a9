# SPDX-License-Identifier: Apache-2.0
"""The steps of a total: what each makes of values before it, in the open and in bounds.

Combine    Σ factor·value + constant
Least      the smallest of several values
Most       the largest of several values
Rounding   value / divisor, as a whole number by a rule
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from protocols.amounts.bounds import Bounds
from protocols.amounts.model import AmountsMalformed
from protocols.amounts.scenarios import Affine, Choices, combined

NUMBER_BITS: Final = 127
"""Factors, constants and divisors have at most so many bits and a sign."""


class QuotientRule(enum.StrEnum):
    """How a quotient becomes a whole number; the names are those of tariffs."""

    DOWN = "down"
    """Towards zero."""
    HALF_UP = "half-up"
    """To the nearest; a tie away from zero."""
    HALF_EVEN = "half-even"
    """To the nearest; a tie to the even neighbour."""

    def divide(self, number: int, divisor: int) -> int:
        """Return `number / divisor` as a whole number; the divisor is positive."""
        whole, rest = divmod(abs(number), divisor)
        if self is not QuotientRule.DOWN:
            tie_up = self is QuotientRule.HALF_UP or whole % 2
            whole += 2 * rest > divisor or (2 * rest == divisor and bool(tie_up))
        return whole if number >= 0 else -whole


@dataclass(frozen=True, slots=True)
class Combine:
    """Σ factor·value + constant."""

    terms: tuple[tuple[int, int], ...]
    """Places of values, rising, and their factors, none of them 0; may be none."""
    constant: int = 0

    def __post_init__(self) -> None:
        _require_rising(self.places)
        numbers = [self.constant, *(factor for _, factor in self.terms)]
        if not all(factor for _, factor in self.terms):
            raise AmountsMalformed("a factor is 0")
        if any(abs(number) >> NUMBER_BITS for number in numbers):
            raise AmountsMalformed(f"a factor or constant is beyond {NUMBER_BITS} bits")

    @property
    def places(self) -> tuple[int, ...]:
        """The values it is made of."""
        return tuple(place for place, _ in self.terms)

    def of(self, values: Sequence[int]) -> int:
        """Return the value, in the open."""
        return sum(values[place] * factor for place, factor in self.terms) + self.constant

    def choices(self, values: Sequence[Affine]) -> Choices:
        """Return the value: there is no choice."""
        return [(combined([(values[at], by) for at, by in self.terms], self.constant), ())]

    def bounds(self, bounds: Sequence[Bounds]) -> Bounds:
        """Return what it can be at least and at most."""
        ends = [
            sorted((bounds[place][0] * factor, bounds[place][1] * factor))
            for place, factor in self.terms
        ]
        return (
            self.constant + sum(low for low, _ in ends),
            self.constant + sum(high for _, high in ends),
        )


@dataclass(frozen=True, slots=True)
class Least:
    """The smallest of several values."""

    places: tuple[int, ...]
    """Rising; two or more."""

    def __post_init__(self) -> None:
        _require_several(self.places)

    def of(self, values: Sequence[int]) -> int:
        """Return the value, in the open."""
        return min(values[place] for place in self.places)

    def choices(self, values: Sequence[Affine]) -> Choices:
        """Return each value that it can be, with by how much others are above it."""
        several = [values[place] for place in self.places]
        return [(one, [other - one for other in several if other is not one]) for one in several]

    def bounds(self, bounds: Sequence[Bounds]) -> Bounds:
        """Return what it can be at least and at most."""
        lows, highs = zip(*(bounds[place] for place in self.places), strict=True)
        return min(lows), min(highs)


@dataclass(frozen=True, slots=True)
class Most:
    """The largest of several values."""

    places: tuple[int, ...]
    """Rising; two or more."""

    def __post_init__(self) -> None:
        _require_several(self.places)

    def of(self, values: Sequence[int]) -> int:
        """Return the value, in the open."""
        return max(values[place] for place in self.places)

    def choices(self, values: Sequence[Affine]) -> Choices:
        """Return each value that it can be, with by how much it is above others."""
        several = [values[place] for place in self.places]
        return [(one, [one - other for other in several if other is not one]) for one in several]

    def bounds(self, bounds: Sequence[Bounds]) -> Bounds:
        """Return what it can be at least and at most."""
        lows, highs = zip(*(bounds[place] for place in self.places), strict=True)
        return max(lows), max(highs)


@dataclass(frozen=True, slots=True)
class Rounding:
    """A value divided, and rounded to a whole number."""

    place: int
    divisor: int
    """From 2: by 1 nothing is rounded."""
    rule: QuotientRule

    def __post_init__(self) -> None:
        if self.divisor < 2 or self.divisor >> NUMBER_BITS:
            raise AmountsMalformed(f"a divisor is from 2, and has {NUMBER_BITS} bits at most")

    @property
    def places(self) -> tuple[int, ...]:
        """The value it is made of."""
        return (self.place,)

    def of(self, values: Sequence[int]) -> int:
        """Return the value, in the open."""
        return self.rule.divide(values[self.place], self.divisor)

    def choices(self, values: Sequence[Affine]) -> Choices:
        """Return the value: there is no choice."""
        return [(values[self.place].divided(self.divisor), ())]

    def bounds(self, bounds: Sequence[Bounds]) -> Bounds:
        """Return what it can be at least and at most: rounding keeps the order."""
        low, high = bounds[self.place]
        return self.rule.divide(low, self.divisor), self.rule.divide(high, self.divisor)


TotalStep: TypeAlias = Combine | Least | Most | Rounding


def _require_several(places: tuple[int, ...]) -> None:
    if len(places) < 2:
        raise AmountsMalformed("the smallest and the largest are one of several")
    _require_rising(places)


def _require_rising(places: Sequence[int]) -> None:
    if any(low >= high for low, high in pairwise(places)):
        raise AmountsMalformed("the places of a step do not rise")
