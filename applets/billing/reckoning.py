# SPDX-License-Identifier: Apache-2.0
"""A total's steps, written as sums are: with +, -, * and whole factors.

A `Line` is Σ factor·value + constant. What is not linear, the smaller or larger of two lines and
quotients, makes a new value of the `Reckoning`. In the end the values that the last line depends on
become a `Total`: sums of one register that are only ever added up are one sum there, and what
nothing depends on is left out. What does not depend on readings is worked out at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Final, TypeAlias

from protocols.amounts import (
    Combine,
    Least,
    Metered,
    MeteredAmount,
    Most,
    QuotientRule,
    Rounding,
    SlotForm,
    Sum,
    Total,
    TotalStep,
)

LARGEST_WEIGHT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Line:
    """Σ factor·value + constant."""

    factors: Mapping[int, int]
    """By the number of the value; none is 0."""
    constant: int = 0

    def __add__(self, other: "Line") -> "Line":
        factors = dict(self.factors)
        for value, factor in other.factors.items():
            factors[value] = factors.get(value, 0) + factor
        kept = {value: factor for value, factor in factors.items() if factor}
        return Line(kept, self.constant + other.constant)

    def __mul__(self, factor: int) -> "Line":
        factors = {value: own * factor for value, own in self.factors.items() if factor}
        return Line(factors, self.constant * factor)

    def __sub__(self, other: "Line") -> "Line":
        return self + other * -1

    def divided(self, divisor: int) -> "Line":
        """Return the line divided by what divides all of it."""
        factors = {value: _exactly(own, divisor) for value, own in self.factors.items()}
        return Line(factors, _exactly(self.constant, divisor))

    @property
    def content(self) -> int:
        """What divides all of it; 0 for nothing at all."""
        return gcd(self.constant, *self.factors.values())


NOTHING = Line({})


@dataclass(frozen=True, slots=True)
class _Node:
    """A value that is made of lines."""

    lines: tuple[Line, ...]
    make: type[Least] | type[Most] | None
    """None for a quotient."""
    divisor: int = 0
    rule: QuotientRule = QuotientRule.DOWN


Value: TypeAlias = Metered | _Node


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The values of a total, as they are made."""

    _values: list[Value] = field(default_factory=list)

    def metered(self, register: int, amount: MeteredAmount) -> Line:
        """Return an amount of a register."""
        return self._new(Metered(register, amount))

    def least(self, line: Line, other: Line) -> Line:
        """Return the smaller of two lines."""
        return self._extreme(Least, line, other)

    def most(self, line: Line, other: Line) -> Line:
        """Return the larger of two lines."""
        return self._extreme(Most, line, other)

    def quotient(self, line: Line, divisor: int, rule: QuotientRule) -> Line:
        """Return line / divisor, as a whole number."""
        if not line.factors:
            return Line({}, rule.divide(line.constant, divisor))
        shared = gcd(line.content, divisor)
        if shared == divisor:
            return line.divided(divisor)
        return self._new(_Node((line.divided(shared),), None, divisor // shared, rule))

    def total(self, line: Line, divisor: int, rule: QuotientRule) -> Total:
        """Return the total whose number is line / divisor, as a whole number.

        Raises `AmountsMalformed` where it cannot be described, or depends on no amount.
        """
        shared = gcd(line.content, divisor)
        last = line.divided(shared)
        values, last = _with_joined_sums(_needed(self._values, last), last)
        return _laid_out(values, last, divisor // shared, rule)

    def _extreme(self, make: type[Least] | type[Most], line: Line, other: Line) -> Line:
        if line == other:
            return line
        if not line.factors and not other.factors:
            constants = line.constant, other.constant
            return Line({}, min(constants) if make is Least else max(constants))
        shared = gcd(line.content, other.content)
        return self._new(_Node((line.divided(shared), other.divided(shared)), make)) * shared

    def _new(self, value: Value) -> Line:
        self._values.append(value)
        return Line({len(self._values) - 1: 1})


def _lines_of(value: Value) -> tuple[Line, ...]:
    return () if isinstance(value, Metered) else value.lines


def _needed(values: Sequence[Value], last: Line) -> dict[int, Value]:
    """Return the values that a line depends on, in order: each after what it is made of."""
    needed, waiting = set[int](), list(last.factors)
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting += [other for line in _lines_of(values[number]) for other in line.factors]
    return {number: values[number] for number in sorted(needed)}


def _with_joined_sums(values: dict[int, Value], last: Line) -> tuple[dict[int, Value], Line]:
    """Return the same with sums of one register that are in one line alone added up before."""
    lines = [last, *(line for value in values.values() for line in _lines_of(value))]
    uses = Counter(number for line in lines for number in line.factors)
    joined, first_new = dict(values), max(values, default=0) + 1

    def with_joined(line: Line) -> Line:
        groups: dict[int, list[tuple[Sum, int, int]]] = {}
        for number, factor in line.factors.items():
            match values[number]:
                case Metered(register, Sum() as amount) if uses[number] == 1:
                    groups.setdefault(register, []).append((amount, factor, number))
        for register, group in groups.items():
            weights = _added_up(group)
            unit = gcd(*weights.values())
            if len(group) < 2 or max(map(abs, weights.values())) > unit * LARGEST_WEIGHT:
                continue
            new = Line({})
            if unit:
                number = first_new + len(joined)
                form = SlotForm.of({place: weight // unit for place, weight in weights.items()})
                joined[number] = Metered(register, Sum(form))
                new = Line({number: unit})
            gone = {number for _, _, number in group}
            kept = {other: own for other, own in line.factors.items() if other not in gone}
            line = Line(kept, line.constant) + new
            for number in gone:
                del joined[number]
        return line

    for number, value in values.items():
        if not isinstance(value, Metered):
            joined[number] = replace(value, lines=tuple(map(with_joined, value.lines)))
    return joined, with_joined(last)


def _added_up(group: Sequence[tuple[Sum, int, int]]) -> dict[int, int]:
    weights: dict[int, int] = {}
    for amount, factor, _ in group:
        for first, count, weight in amount.form.runs:
            for place in range(first, first + count):
                weights[place] = weights.get(place, 0) + weight * factor
    return weights


def _laid_out(values: dict[int, Value], last: Line, divisor: int, rule: QuotientRule) -> Total:
    found = {number: value for number, value in values.items() if isinstance(value, Metered)}
    metered = dict(sorted(found.items(), key=lambda item: item[1].register))
    places = {number: place for place, number in enumerate(metered)}
    steps = list[TotalStep]()

    def added(step: TotalStep) -> int:
        steps.append(step)
        return len(metered) + len(steps) - 1

    def place_of(line: Line) -> int:
        terms = tuple(sorted((places[number], own) for number, own in line.factors.items()))
        if len(terms) == 1 and terms[0][1] == 1 and not line.constant:
            return terms[0][0]
        return added(Combine(terms, line.constant))

    for number, value in values.items():
        if isinstance(value, Metered):
            continue
        of = tuple(sorted(map(place_of, value.lines)))
        if value.make is None:
            places[number] = added(Rounding(of[0], value.divisor, value.rule))
        else:
            places[number] = added(value.make(of))
    place_of(last)
    return Total(tuple(metered.values()), tuple(steps), divisor, rule)


def _exactly(number: int, divisor: int) -> int:
    quotient, rest = divmod(number, divisor)
    if rest:
        raise ValueError(f"{divisor} does not divide {number}")
    return quotient
