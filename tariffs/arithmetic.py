# SPDX-License-Identifier: Apache-2.0
"""What bills with memory are reckoned with: the same steps on plain numbers and on hidden ones.

Whoever has the readings reckons on whole numbers (`WHOLE`). Whoever proves or checks a bill without
them reckons on values that stand for numbers, by an `Arithmetic` of its own. A charge or step with
memory is written once, over both.
"""

from typing import Final, Protocol, Self, TypeVar

from tariffs.rounding import RoundingRule, divide


class Value(Protocol):
    """A whole number, known or hidden."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum."""

    def __sub__(self, other: Self, /) -> Self:
        """Return the difference."""

    def __mul__(self, factor: int, /) -> Self:
        """Return the product with a known number."""


V = TypeVar("V", bound=Value)


class Arithmetic(Protocol[V]):
    """What cannot be written with +, - and *."""

    def constant(self, number: int, /) -> V:
        """Return a known number."""

    def least(self, value: V, other: V, /) -> V:
        """Return the smaller one."""

    def most(self, value: V, other: V, /) -> V:
        """Return the larger one."""

    def quotient(self, value: V, divisor: int, rule: RoundingRule, /) -> V:
        """Return `value / divisor` as a whole number by `rule`; `divisor` is positive."""


class WholeNumbers:
    """Arithmetic on numbers that are known."""

    def constant(self, number: int, /) -> int:
        """Return the number."""
        return number

    def least(self, value: int, other: int, /) -> int:
        """Return the smaller one."""
        return min(value, other)

    def most(self, value: int, other: int, /) -> int:
        """Return the larger one."""
        return max(value, other)

    def quotient(self, value: int, divisor: int, rule: RoundingRule, /) -> int:
        """Return `value / divisor` as a whole number by `rule`."""
        return divide(value, divisor, rule)


WHOLE: Final = WholeNumbers()
