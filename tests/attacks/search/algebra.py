# SPDX-License-Identifier: Apache-2.0
"""What exact sums determine by linear algebra over the rationals."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from flint import fmpz_mat

Weights = Mapping[int, int]
"""A weight for each column that has one other than 0."""


class Contradiction(Exception):
    """No reading fits the answers: they were not told of one home, or an engine is wrong."""


class Span:
    """All weighed sums that follow from some, and their values."""

    def __init__(self, columns: int, sums: Sequence[tuple[Weights, int]]) -> None:
        self._columns = columns
        self._rows: list[tuple[int, list[Fraction]]] = []
        if not sums:
            return
        flat = [
            number
            for weights, value in sums
            for number in (*(weights.get(column, 0) for column in range(columns)), value)
        ]
        reduced, denominator, rank = fmpz_mat(len(sums), columns + 1, flat).rref()
        for row in range(rank):
            numbers = [
                Fraction(int(reduced[row, column]), int(denominator))
                for column in range(columns + 1)
            ]
            pivot = next(column for column, number in enumerate(numbers) if number)
            if pivot == columns:
                raise Contradiction("the answers contradict each other")
            self._rows.append((pivot, numbers))

    @property
    def rank(self) -> int:
        """How many independent sums are known."""
        return len(self._rows)

    def value_of(self, target: Iterable[int]) -> Fraction | None:
        """Return the sum of some columns where it is determined."""
        wanted = set(target)
        left = [Fraction(column in wanted) for column in range(self._columns)]
        value = Fraction(0)
        for pivot, numbers in self._rows:
            factor = left[pivot]
            if factor:
                value += factor * numbers[-1]
                left = [
                    one - factor * other if other else one
                    for one, other in zip(left, numbers, strict=False)
                ]
        return None if any(left) else value
