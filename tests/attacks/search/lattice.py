# SPDX-License-Identifier: Apache-2.0
"""Which values a sum can have, where unknowns are whole numbers between bounds.

All whole solutions of the answers' equations are one solution plus a lattice. LLL gives a short
basis of it (Aardal, Hurkens and Lenstra, Mathematics of Operations Research 2000), so that the
bounds leave each coordinate few values. These are tried one by one, or left to an integer program.
An answer that was rounded has one unknown more: what was rounded off.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import ceil, floor, prod
from typing import Final

from flint import fmpq, fmpq_mat, fmpz_mat

from tests.attacks.search.algebra import Contradiction
from tests.attacks.search.programs import Values, point_on_lattice, values_on_lattice
from tests.attacks.search.world import Bounds

MOST_COLUMNS: Final = 48
"""LLL takes too long beyond."""
MOST_TRIED: Final = 4_096
STEPS: Final = 400


@dataclass(frozen=True, slots=True)
class Row:
    """What an answer says: low ≤ Σ weight·column ≤ high."""

    weights: Mapping[int, int]
    low: int
    high: int

    @property
    def is_exact(self) -> bool:
        """Whether the sum is known to the watt-hour."""
        return self.low == self.high


@dataclass(frozen=True)
class Solutions:
    """Every solution: `point` and whole multiples of the `basis`, within `bounds`."""

    point: tuple[int, ...]
    basis: tuple[tuple[int, ...], ...]
    bounds: tuple[Bounds, ...]

    @cached_property
    def inside(self) -> tuple[int, ...] | None:
        """A solution within the bounds; None where none was found."""
        return point_on_lattice(self.point, self.basis, self.bounds, self.coordinates)

    @cached_property
    def coordinates(self) -> list[Bounds]:
        """Return between which multiples each vector of the basis can be, given the bounds."""
        if not self.basis:
            return []
        size, width = len(self.basis), len(self.point)
        matrix = fmpq_mat(fmpz_mat(size, width, [n for vector in self.basis for n in vector]))
        inverse = (matrix * matrix.transpose()).inv() * matrix
        found = []
        for row in range(size):
            low = high = fmpq(0)
            for column, (least, most) in enumerate(self.bounds):
                factor, here = inverse[row, column], self.point[column]
                ends = (factor * (least - here), factor * (most - here))
                low, high = low + min(ends), high + max(ends)
            found.append((ceil(_fraction(low)), floor(_fraction(high))))
        return found

    def values_of(self, target: Iterable[int], most: int) -> Values | None:
        """Return the values that a sum of columns can have; None: more than `most`, or unknown."""
        wanted = tuple(target)
        base = sum(self.point[column] for column in wanted)
        steps = [sum(vector[column] for column in wanted) for vector in self.basis]
        if not any(steps):
            return Values((base,))
        ranges = self.coordinates
        if any(low > high for low, high in ranges):
            raise Contradiction("no reading fits the answers")
        if prod(high - low + 1 for low, high in ranges) <= MOST_TRIED:
            return self._tried(base, steps, most)
        if self._walked(wanted, most) > most:
            return None
        # Without the bounds of the other columns, what is left may be more, but never less.
        moving = [(step, ends) for step, ends in zip(steps, ranges, strict=True) if step]
        if prod(high - low + 1 for _, (low, high) in moving) <= most:
            left = {base}
            for step, (low, high) in moving:
                left = {value + step * times for value in left for times in range(low, high + 1)}
            return Values(tuple(sorted(left)))
        return values_on_lattice(self.point, self.basis, self.bounds, ranges, wanted, most)

    def _tried(self, base: int, steps: Sequence[int], most: int) -> Values | None:
        seen = {
            base + sum(step * times for step, times in zip(steps, multiples, strict=True))
            for multiples in product(*(range(low, high + 1) for low, high in self.coordinates))
            if self._is_within(multiples)
        }
        if not seen:
            raise Contradiction("no reading fits the answers")
        return Values(tuple(sorted(seen))) if len(seen) <= most else None

    def _walked(self, target: Sequence[int], most: int) -> int:
        """Return how many values of a sum a walk along the basis comes by, a few more than `most`.

        Most sums have very many: a walk sees that sooner than a program.
        """
        here = self.inside
        if here is None:
            return 0
        seen, dice = {sum(here[column] for column in target)}, random.Random(1)
        for _ in range(STEPS):
            vector = dice.choice(self.basis)
            low, high = -(1 << 62), 1 << 62
            for value, step, (least, greatest) in zip(here, vector, self.bounds, strict=True):
                if step:
                    ends = (least - value) / step, (greatest - value) / step
                    low, high = max(low, ceil(min(ends))), min(high, floor(max(ends)))
            times = dice.randint(low, high) if low <= high else 0
            here = tuple(value + times * step for value, step in zip(here, vector, strict=True))
            seen.add(sum(here[column] for column in target))
            if len(seen) > most:
                break
        return len(seen)

    def _is_within(self, multiples: Sequence[int]) -> bool:
        return all(
            low
            <= here + sum(t * vector[c] for t, vector in zip(multiples, self.basis, strict=True))
            <= high
            for c, (here, (low, high)) in enumerate(zip(self.point, self.bounds, strict=True))
        )


def _fraction(number: fmpq) -> Fraction:
    return Fraction(int(number.p), int(number.q))


def solve(bounds: Sequence[Bounds], rows: Sequence[Row]) -> Solutions | None:
    """Return all whole solutions; None where there are too many columns for it.

    The first columns are those of `bounds`; each row that is not exact adds one.
    """
    loose = [row for row in rows if not row.is_exact]
    columns = len(bounds) + len(loose)
    if columns > MOST_COLUMNS or not columns:
        return None
    every = [*bounds, *((row.low, row.high) for row in loose)]
    equations = [*_equations(rows, len(bounds))]
    widest = max(high - low for low, high in every) + 1
    # Coordinates as wide as each other, so that short means well within the bounds.
    scales = [max(1, widest // (high - low + 1)) for low, high in every]
    centres = [(low + high) // 2 for low, high in every]
    largest = max((abs(w) for weights, _ in equations for w in weights.values()), default=1)
    # LLL leaves what is heavy for last: vectors with neither mark nor tail come first.
    mark = (widest * largest) << columns
    heavy = mark << columns
    flat: list[int] = []
    for column in range(columns):
        flat += [scales[column] * (column == other) for other in range(columns)]
        flat += [0, *(heavy * weights.get(column, 0) for weights, _ in equations)]
    flat += [-scale * centre for scale, centre in zip(scales, centres, strict=True)]
    flat += [mark, *(-heavy * value for _, value in equations)]
    reduced = fmpz_mat(columns + 1, columns + 1 + len(equations), flat).lll()
    point, basis = None, []
    for vector in _vectors(reduced):
        head, end, tail = vector[:columns], vector[columns], vector[columns + 1 :]
        if any(tail):
            continue
        numbers = [number // scale for number, scale in zip(head, scales, strict=True)]
        if end == 0 and any(head):
            basis.append(tuple(numbers))
        elif abs(end) == mark:
            sign = end // mark
            # Scaled centres were taken off before scales divide again: exactly.
            point = tuple(
                (sign * number + scale * centre) // scale
                for number, scale, centre in zip(head, scales, centres, strict=True)
            )
    if point is None:
        raise Contradiction("no whole numbers fit the answers")
    return Solutions(point, tuple(basis), tuple(every))


def _equations(rows: Sequence[Row], columns: int) -> Iterator[tuple[Mapping[int, int], int]]:
    rest = columns
    for row in rows:
        if row.is_exact:
            yield row.weights, row.low
        else:
            yield {**row.weights, rest: -1}, 0
            rest += 1


def _vectors(matrix: fmpz_mat) -> Iterator[list[int]]:
    for row in range(matrix.nrows()):
        yield [int(matrix[row, column]) for column in range(matrix.ncols())]
