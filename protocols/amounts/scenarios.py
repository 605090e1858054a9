# SPDX-License-Identifier: Apache-2.0
"""Which values the smallest and largest ones of a total can be, together.

Each choice says that one value is not above (or below) the others. Two choices may contradict each
other: an energy is not above 4,000 and at once above 10,000, and what is used by the end of a month
is not less than what was used at its begin. Such a scenario is none. What is looked at is one
inequality by itself, and the sum of any two, over all that the inputs can be. So no scenario that
can happen is left out, but one that happens where two values are the same, and nowhere else: there
another choice makes the same of it, and of all that is around.

A value is Σ slope·input plus something from `low` to `high`: its constant, and what was rounded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from protocols.amounts.bounds import Bounds

Number: TypeAlias = int | Fraction
MOST_DIFFERENCES: Final = 2
"""Of a smallest or largest one of up to three values, each choice is held to all others."""


@dataclass(frozen=True, slots=True)
class Affine:
    """Σ slope·input, and something from `low` to `high`."""

    slopes: Mapping[int, Number]
    """By the place of the input; none is 0."""
    low: Number = 0
    high: Number = 0

    def __sub__(self, other: "Affine") -> "Affine":
        return combined([(self, 1), (other, -1)], 0)

    def divided(self, divisor: int) -> "Affine":
        """Return a quotient, which is rounded by less than one."""
        slopes = {by: Fraction(slope, divisor) for by, slope in self.slopes.items()}
        return Affine(slopes, Fraction(self.low, divisor) - 1, Fraction(self.high, divisor) + 1)

    def can_be_positive(self, inputs: Sequence[Bounds]) -> bool:
        """Tell whether it can be more than 0, or is 0 in any case."""
        ends = [(slope, inputs[by]) for by, slope in self.slopes.items()]
        most = self.high + sum(slope * bounds[slope > 0] for slope, bounds in ends)
        if most:
            return most > 0
        return not self.low + sum(slope * bounds[slope < 0] for slope, bounds in ends)


def combined(terms: Sequence[tuple[Affine, int]], constant: int) -> Affine:
    """Return Σ factor·value + constant."""
    slopes: dict[int, Number] = {}
    low: Number = constant
    high: Number = constant
    for value, factor in terms:
        for by, slope in value.slopes.items():
            slopes[by] = slopes.get(by, 0) + slope * factor
        ends = value.low * factor, value.high * factor
        low, high = low + min(ends), high + max(ends)
    return Affine({by: slope for by, slope in slopes.items() if slope}, low, high)


Choices: TypeAlias = list[tuple[Affine, Sequence[Affine]]]
"""What a step may make, and the differences that are from 0 on then."""


class AnyStep(Protocol):
    """A step of a total."""

    def choices(self, values: Sequence[Affine]) -> Choices:
        """Return what it may make of the values before it."""


@lru_cache(maxsize=4)
def scenarios(
    steps: tuple[AnyStep, ...], inputs: tuple[Bounds, ...]
) -> tuple[tuple[Affine, ...], ...]:
    """Return all values of each way in which steps can turn out, inputs before.

    `inputs` is what each metered amount and carried value can be at least and at most.
    """
    return tuple(_Scenarios(steps, inputs).all())


@dataclass(frozen=True, slots=True)
class _Scenarios:
    steps: Sequence[AnyStep]
    inputs: Sequence[Bounds]

    def all(self) -> Iterator[tuple[Affine, ...]]:
        """Yield the values of each scenario."""
        return self._from([Affine({place: 1}) for place in range(len(self.inputs))], [])

    def _from(self, values: list[Affine], known: list[Affine]) -> Iterator[tuple[Affine, ...]]:
        """Yield the values of each scenario, of which some are decided, with what is known."""
        at = len(values) - len(self.inputs)
        if at == len(self.steps):
            yield tuple(values)
            return
        for made, differences in self.steps[at].choices(values):
            more = [] if len(differences) > MOST_DIFFERENCES else list(differences)
            if self._is_consistent(known, more):
                yield from self._from([*values, made], known + more)

    def _is_consistent(self, known: Sequence[Affine], more: Sequence[Affine]) -> bool:
        sums = (combined([(one, 1), (other, 1)], 0) for one in more for other in known)
        return all(one.can_be_positive(self.inputs) for one in (*more, *sums))
