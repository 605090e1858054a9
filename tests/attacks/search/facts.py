# SPDX-License-Identifier: Apache-2.0
"""What an answer says: an expression in the unknowns, and between which bounds its value lies.

    Weighed    Σ weight·unknown + constant
    Steps      blocks of a weighed sum, each with its price
    Highest    the largest of several windows' use, or the floor
    Above      Σ weight·max(0, unknown − limit)
    Counted    how many of several windows use more than a limit
    Combined   Σ factor·expression + constant
    Extreme    the largest or the smallest of several expressions
    Quotient   an expression divided and rounded
    Kept       what an earlier question has kept, by its name

An expression states its own value, so that an answer can be compared with it.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Uses: TypeAlias = Sequence[int]
BoundsOf: TypeAlias = Callable[[int], tuple[int, int]]


class Rule(enum.StrEnum):
    """How a quotient becomes a whole number; as the guard's totals name it."""

    DOWN = "down"
    HALF_UP = "half-up"
    HALF_EVEN = "half-even"

    def divide(self, number: int, divisor: int) -> int:
        """Return `number / divisor` as a whole number."""
        whole, rest = divmod(abs(number), divisor)
        if self is not Rule.DOWN:
            up_at_tie = self is Rule.HALF_UP or whole % 2 == 1
            whole += 2 * rest > divisor or (2 * rest == divisor and up_at_tie)
        return whole if number >= 0 else -whole


@dataclass(frozen=True, slots=True)
class Weighed:
    """Σ weight·unknown + constant; no weight is 0."""

    weights: Mapping[int, int]
    constant: int = 0

    @classmethod
    def of(cls, unknowns: Iterable[int], weight: int = 1) -> "Weighed":
        """Return the sum of some unknowns, each with one weight."""
        return cls(dict.fromkeys(unknowns, weight))

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return self.constant + sum(weight * uses[u] for u, weight in self.weights.items())

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        yield from self.weights

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        low = high = self.constant
        for unknown, weight in self.weights.items():
            ends = [weight * end for end in of(unknown)]
            low, high = low + min(ends), high + max(ends)
        return low, high

    def plus(self, other: "Weighed", factor: int = 1) -> "Weighed":
        """Return this and a multiple of another."""
        weights = dict(self.weights)
        for unknown, weight in other.weights.items():
            weights[unknown] = weights.get(unknown, 0) + factor * weight
        kept = {unknown: weight for unknown, weight in weights.items() if weight}
        return Weighed(kept, self.constant + factor * other.constant)


@dataclass(frozen=True, slots=True)
class Steps:
    """What a weighed sum's blocks come to."""

    part: Weighed
    limits: tuple[int, ...]
    prices: tuple[int, ...]

    def at(self, use: int) -> int:
        """Return what so much use comes to."""
        ends = (0, *(min(limit, use) for limit in self.limits), use)
        return sum(
            price * (high - low)
            for price, low, high in zip(self.prices, ends, ends[1:], strict=False)
        )

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return self.at(self.part.value(uses))

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return self.part.unknowns()

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        low, high = self.part.bounds(of)
        corners = (low, high, *(limit for limit in self.limits if low < limit < high))
        values = [self.at(use) for use in corners]
        return min(values), max(values)


@dataclass(frozen=True, slots=True)
class Highest:
    """The largest use of a window, or the floor."""

    windows: tuple[tuple[int, ...], ...]
    floor: int = 0

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return max(self.floor, *(sum(uses[u] for u in window) for window in self.windows))

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return (unknown for window in self.windows for unknown in window)

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        lows = [sum(of(u)[0] for u in window) for window in self.windows]
        highs = [sum(of(u)[1] for u in window) for window in self.windows]
        return max(self.floor, *lows), max(self.floor, *highs)


@dataclass(frozen=True, slots=True)
class Above:
    """Σ weight·max(0, unknown − limit)."""

    weights: Mapping[int, int]
    limit: int

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return sum(w * max(0, uses[u] - self.limit) for u, w in self.weights.items())

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        yield from self.weights

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        return Weighed(self.weights).bounds(self._rest(of))

    def _rest(self, of: BoundsOf) -> BoundsOf:
        def rest(unknown: int) -> tuple[int, int]:
            low, high = of(unknown)
            return max(0, low - self.limit), max(0, high - self.limit)

        return rest


@dataclass(frozen=True, slots=True)
class Counted:
    """How many windows use more than a limit."""

    windows: tuple[tuple[int, ...], ...]
    limit: int

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return sum(sum(uses[u] for u in window) > self.limit for window in self.windows)

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return (unknown for window in self.windows for unknown in window)

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        sums = [Weighed.of(window).bounds(of) for window in self.windows]
        return sum(low > self.limit for low, _ in sums), sum(high > self.limit for _, high in sums)


@dataclass(frozen=True, slots=True)
class Combined:
    """Σ factor·expression + constant."""

    terms: tuple[tuple[int, "Expression"], ...]
    constant: int = 0

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return self.constant + sum(factor * part.value(uses) for factor, part in self.terms)

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return (unknown for _, part in self.terms for unknown in part.unknowns())

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be, each part by itself."""
        low = high = self.constant
        for factor, part in self.terms:
            ends = [factor * end for end in part.bounds(of)]
            low, high = low + min(ends), high + max(ends)
        return low, high


@dataclass(frozen=True, slots=True)
class Extreme:
    """The largest or the smallest of several expressions."""

    parts: tuple["Expression", ...]
    is_largest: bool

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return self._pick(part.value(uses) for part in self.parts)

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return (unknown for part in self.parts for unknown in part.unknowns())

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        lows, highs = zip(*(part.bounds(of) for part in self.parts), strict=True)
        return self._pick(lows), self._pick(highs)

    def _pick(self, values: Iterable[int]) -> int:
        return max(values) if self.is_largest else min(values)


@dataclass(frozen=True, slots=True)
class Quotient:
    """An expression divided by a whole number, and rounded."""

    part: "Expression"
    divisor: int
    rule: Rule = Rule.HALF_UP

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return self.rule.divide(self.part.value(uses), self.divisor)

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return self.part.unknowns()

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        low, high = self.part.bounds(of)
        return self.rule.divide(low, self.divisor), self.rule.divide(high, self.divisor)

    def dividend(self, low: int, high: int) -> tuple[int, int]:
        """Return between what the part lies, at the widest, if the quotient is from low to high."""
        return self.divisor * (low - 1), self.divisor * (high + 1)


@dataclass(frozen=True, slots=True)
class Kept:
    """An expression of earlier slots that an earlier question has kept under a name.

    Only the guard's doors look at the name: to whoever works something out, it is the expression.
    """

    name: str
    part: "Expression"

    def value(self, uses: Uses) -> int:
        """Return the value, given the readings."""
        return self.part.value(uses)

    def unknowns(self) -> Iterator[int]:
        """Yield what it depends on."""
        return self.part.unknowns()

    def bounds(self, of: BoundsOf) -> tuple[int, int]:
        """Return the least and the most it can be."""
        return self.part.bounds(of)


Expression: TypeAlias = (
    Weighed | Steps | Highest | Above | Counted | Combined | Extreme | Quotient | Kept
)


def revealed(expression: Expression) -> Expression:
    """Return an expression without names: what it is in the unknowns."""
    match expression:
        case Kept(_, part):
            return revealed(part)
        case Combined(terms, constant):
            return Combined(tuple((factor, revealed(one)) for factor, one in terms), constant)
        case Extreme(parts, is_largest):
            return Extreme(tuple(map(revealed, parts)), is_largest)
        case Quotient(part, divisor, rule):
            return Quotient(revealed(part), divisor, rule)
        case _:
            return expression


@dataclass(frozen=True, slots=True)
class Fact:
    """An expression's value lies between two bounds; equal ones say it exactly."""

    expression: Expression
    low: int
    high: int


def straightened(fact: Fact, of: BoundsOf) -> Fact | None:
    """Return what a fact says of a weighed sum, or None where it says nothing of one.

    What is no weighed sum at large may be one within the unknowns' bounds: a limit below the least
    use, a block that no use fills, a largest of several of which one is always the largest.
    """
    low, high = fact.low, fact.high
    expression: Expression = fact.expression
    while True:
        match expression:
            case Quotient(part):
                low, high = _dividend(expression, low, high)
            case Combined(((factor, part),), constant) if factor > 0:
                low, high = -(-(low - constant) // factor), (high - constant) // factor
            case _:
                break
        expression = part
    if isinstance(expression, Steps) and min(expression.prices) > 0:
        return _within_blocks(expression, low, high, of)
    weighed = linear(expression, of)
    return None if weighed is None else Fact(weighed, low, high)


def _dividend(quotient: Quotient, low: int, high: int) -> tuple[int, int]:
    """Return the least and the most dividend whose quotient lies between these."""
    least, most = quotient.dividend(low, high)
    divide = quotient.rule.divide
    first = _first(least, most, lambda number: divide(number, quotient.divisor) >= low)
    last = _first(least, most + 1, lambda number: divide(number, quotient.divisor) > high) - 1
    return first, last


def _within_blocks(steps: Steps, low: int, high: int, of: BoundsOf) -> Fact:
    least, most = steps.part.bounds(of)
    first = _first(least, most, lambda use: steps.at(use) >= low)
    last = _first(least, most + 1, lambda use: steps.at(use) > high) - 1
    return Fact(steps.part, first, last)


def _first(low: int, high: int, is_so: Callable[[int], bool]) -> int:
    """Return the first number from `low` for which it is so, `high` at most; it stays so."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_so(middle) else (middle + 1, high)
    return low


def linear(expression: Expression, of: BoundsOf) -> Weighed | None:
    """Return the weighed sum that an expression is within the bounds; None where it is none."""
    match expression:
        case Weighed():
            return expression
        case Steps(part, limits, prices):
            low, high = part.bounds(of)
            block = sum(limit <= low for limit in limits)
            if any(low < limit < high for limit in limits):
                return None
            price, start = prices[block], max((0, *limits[:block]))
            return Weighed({}, expression.at(start) - price * start).plus(part, price)
        case Above(weights, limit):
            if all(of(unknown)[1] <= limit for unknown in weights):
                return Weighed({})
            if all(of(unknown)[0] >= limit for unknown in weights):
                return Weighed(weights, -limit * sum(weights.values()))
            return None
        case Counted():
            low, high = expression.bounds(of)
            return Weighed({}, low) if low == high else None
        case Combined(terms, constant):
            whole = Weighed({}, constant)
            for factor, term in terms:
                straight = linear(term, of)
                if straight is None:
                    return None
                whole = whole.plus(straight, factor)
            return whole
        case Extreme(parts, is_largest):
            bounds = [part.bounds(of) for part in parts]
            for place, (low, high) in enumerate(bounds):
                others = bounds[:place] + bounds[place + 1 :]
                if all(low >= o[1] if is_largest else high <= o[0] for o in others):
                    return linear(parts[place], of)
            return None
        case Highest(windows, floor):
            if len(windows) == 1 and sum(of(u)[0] for u in windows[0]) >= floor:
                return Weighed.of(windows[0])
            return None
        case Quotient():
            return None
        case Kept(_, part):
            return linear(part, of)
