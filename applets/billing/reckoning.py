# SPDX-License-Identifier: Apache-2.0
"""A total's steps, written as sums are: with +, -, * and whole factors.

A `Line` is Σ factor·value + constant. What is not linear, the smaller or larger of two lines and
quotients, makes a new value of the `Reckoning`. In the end the values that the last line and the
kept ones depend on become a `Total`: sums of one register that are only ever added up are one sum
there, and what nothing depends on is left out. What does not depend on readings is worked out at
once.

A `Reckoning` is an `Arithmetic` on lines: what tariffs with memory say of numbers holds of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Final, TypeAlias

from protocols.amounts import (
    Bounds,
    Carried,
    Combine,
    Kept,
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
from tariffs.rounding import RoundingRule, divide

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


Value: TypeAlias = Metered | Carried | _Node


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The values of a total, as they are made."""

    _values: list[Value] = field(default_factory=list)
    _kept: dict[str, tuple[Line, Bounds]] = field(default_factory=dict)

    def constant(self, number: int, /) -> Line:
        """Return a number that is known."""
        return Line({}, number)

    def metered(self, register: int, amount: MeteredAmount) -> Line:
        """Return an amount of a register."""
        return self._new(Metered(register, amount))

    def carried(self, one: Carried) -> Line:
        """Return a value that a bill before has kept."""
        return self._new(one)

    def keep(self, name: str, line: Line, bounds: Bounds) -> None:
        """Hand a line on to the next bill; it is proved to keep within the bounds."""
        self._kept[name] = line, bounds

    def least(self, line: Line, other: Line, /) -> Line:
        """Return the smaller of two lines."""
        return self._extreme(Least, line, other)

    def most(self, line: Line, other: Line, /) -> Line:
        """Return the larger of two lines."""
        return self._extreme(Most, line, other)

    def quotient(self, line: Line, divisor: int, rule: RoundingRule, /) -> Line:
        """Return line / divisor, as a whole number."""
        if not line.factors:
            return Line({}, divide(line.constant, divisor, rule))
        shared = gcd(line.content, divisor)
        if shared == divisor:
            return line.divided(divisor)
        own_rule = QuotientRule(str(rule))
        return self._new(_Node((line.divided(shared),), None, divisor // shared, own_rule))

    def total(self, line: Line, divisor: int, rule: RoundingRule) -> Total:
        """Return the total whose number is line / divisor, as a whole number.

        Raises `AmountsMalformed` where it cannot be described, or neither the number nor what is
        kept depends on an amount.
        """
        shared = gcd(line.content, divisor)
        kept = [self._kept[name] for name in sorted(self._kept)]
        lines = [line.divided(shared), *(own for own, _ in kept)]
        values, lines = _with_joined_sums(_needed(self._values, lines), lines)
        last, *handed_on = lines
        named = {
            name: (own, bounds)
            for name, own, (_, bounds) in zip(sorted(self._kept), handed_on, kept, strict=True)
        }
        layout = _Layout(values, has_memory=bool(named))
        return layout.total(last, named, divisor // shared, QuotientRule(str(rule)))

    def _extreme(self, make: type[Least] | type[Most], line: Line, other: Line) -> Line:
        if line == other:
            return line
        if not line.factors and not other.factors:
            constants = line.constant, other.constant
            return Line({}, min(constants) if make is Least else max(constants))
        lines = list[Line]()
        for one in (*self._parts(make, line), *self._parts(make, other)):
            if one not in lines:
                lines.append(one)
        if len(lines) == 1:
            return lines[0]
        shared = gcd(*(one.content for one in lines))
        return self._new(_Node(tuple(one.divided(shared) for one in lines), make)) * shared

    def _parts(self, make: type[Least] | type[Most], line: Line) -> list[Line]:
        """Return a line, or those whose smallest or largest it is: of many there is one step."""
        match [*line.factors.items()]:
            case [(number, factor)] if factor > 0 and not line.constant:
                value = self._values[number]
                if isinstance(value, _Node) and value.make is make:
                    return [one * factor for one in value.lines]
        return [line]

    def _new(self, value: Value) -> Line:
        self._values.append(value)
        return Line({len(self._values) - 1: 1})


def _lines_of(value: Value) -> tuple[Line, ...]:
    return value.lines if isinstance(value, _Node) else ()


def _needed(values: Sequence[Value], lines: Sequence[Line]) -> dict[int, Value]:
    """Return the values that lines depend on, in order: each after what it is made of."""
    needed, waiting = set[int](), [number for line in lines for number in line.factors]
    while waiting:
        number = waiting.pop()
        if number not in needed:
            needed.add(number)
            waiting += [other for line in _lines_of(values[number]) for other in line.factors]
    return {number: values[number] for number in sorted(needed)}


def _with_joined_sums(
    values: dict[int, Value], last: Sequence[Line]
) -> tuple[dict[int, Value], list[Line]]:
    """Return the same with sums of one register that are in one line alone added up before."""
    lines = [*last, *(line for value in values.values() for line in _lines_of(value))]
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
        if isinstance(value, _Node):
            joined[number] = replace(value, lines=tuple(map(with_joined, value.lines)))
    return joined, list(map(with_joined, last))


def _added_up(group: Sequence[tuple[Sum, int, int]]) -> dict[int, int]:
    weights: dict[int, int] = {}
    for amount, factor, _ in group:
        for first, count, weight in amount.form.runs:
            for place in range(first, first + count):
                weights[place] = weights.get(place, 0) + weight * factor
    return weights


class _Layout:
    """Numbers values as a total does: metered amounts, what is carried, then the steps."""

    def __init__(self, values: Mapping[int, Value], *, has_memory: bool) -> None:
        metered = [(key, one) for key, one in values.items() if isinstance(one, Metered)]
        metered.sort(key=lambda item: item[1].register)
        carried = [(key, one) for key, one in values.items() if isinstance(one, Carried)]
        carried.sort(key=lambda item: item[1].name)
        self._metered = tuple(one for _, one in metered)
        self._carried = tuple(one for _, one in carried)
        self._places = {key: place for place, (key, _) in enumerate([*metered, *carried])}
        self._inputs = len(self._places)
        self._steps = list[TotalStep]()
        self._made = dict[Combine, int]()
        self._has_memory = has_memory
        for key, value in values.items():
            if isinstance(value, _Node):
                self._places[key] = self._of(value)

    def total(
        self, last: Line, kept: Mapping[str, tuple[Line, Bounds]], divisor: int, rule: QuotientRule
    ) -> Total:
        """Return the total of a last line, with the lines that it keeps."""
        handed_on = []
        for name, (line, (low, high)) in kept.items():
            bits = (high - low).bit_length()
            handed_on.append(Kept(name, self._place_of(line), low, bits))
        if self._place_of(last) != self._inputs + len(self._steps) - 1:
            self._added(self._combined(last))  # what is told is the last value
        steps = tuple(self._steps)
        return Total(self._metered, steps, divisor, rule, self._carried, tuple(handed_on))

    def _of(self, node: _Node) -> int:
        of = tuple(sorted(map(self._place_of, node.lines)))
        if node.make is None:
            return self._added(Rounding(of[0], node.divisor, node.rule))
        return self._added(node.make(of))

    def _place_of(self, line: Line) -> int:
        step = self._combined(line)
        if len(step.terms) == 1 and step.terms[0][1] == 1 and not step.constant:
            return step.terms[0][0]
        if not self._has_memory:  # bills of before are laid out as they were
            return self._added(step)
        if step not in self._made:
            self._made[step] = self._added(step)
        return self._made[step]

    def _combined(self, line: Line) -> Combine:
        terms = ((self._places[number], own) for number, own in line.factors.items())
        return Combine(tuple(sorted(terms)), line.constant)

    def _added(self, step: TotalStep) -> int:
        self._steps.append(step)
        return self._inputs + len(self._steps) - 1


def _exactly(number: int, divisor: int) -> int:
    quotient, rest = divmod(number, divisor)
    if rest:
        raise ValueError(f"{divisor} does not divide {number}")
    return quotient
