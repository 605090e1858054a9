# SPDX-License-Identifier: Apache-2.0
"""Which values a sum can have, by integer programs (OR-tools' CP-SAT): a bounded search of them.

A program that takes longer than its share of work proves nothing, and counts as nothing found.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ortools.sat.python import cp_model

from tests.attacks.search.facts import (
    Above,
    Combined,
    Counted,
    Expression,
    Extreme,
    Fact,
    Highest,
    Kept,
    Quotient,
    Rule,
    Steps,
    Weighed,
)
from tests.attacks.search.world import Bounds

WORK: Final = 0.1
"""What one program may take, in CP-SAT's deterministic seconds: the same on every computer."""
LARGEST: Final = 1 << 60
"""Beyond, CP-SAT refuses a sum as one that may overflow."""
SOLVED: Final = (cp_model.OPTIMAL, cp_model.FEASIBLE)
MOST_APART: Final = 6
"""So many values are looked for that are not next to each other."""


@dataclass(frozen=True, slots=True)
class Values:
    """All that a sum can be: every value, or the least and the most with all between."""

    all: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.all)


class _TooLarge(Exception):
    """Numbers are beyond what the solver takes."""


def values_on_lattice(
    point: Sequence[int],
    basis: Sequence[Sequence[int]],
    bounds: Sequence[Bounds],
    ranges: Sequence[Bounds],
    target: Sequence[int],
    most: int,
) -> Values | None:
    """Return the values of a sum of columns; None: more than `most`, or too hard to tell."""
    try:
        model, columns = _lattice(point, basis, bounds, ranges)
    except _TooLarge:
        return None
    low = sum(bounds[place][0] for place in target)
    high = sum(bounds[place][1] for place in target)
    wanted = _sum([columns[place] for place in target])
    return _values(model, wanted, (low, high), most, apart=MOST_APART)


def point_on_lattice(
    point: Sequence[int],
    basis: Sequence[Sequence[int]],
    bounds: Sequence[Bounds],
    ranges: Sequence[Bounds],
) -> tuple[int, ...] | None:
    """Return a point of the lattice within the bounds; None where it was not found."""
    try:
        model, columns = _lattice(point, basis, bounds, ranges)
    except _TooLarge:
        return None
    solver = _solver()
    if solver.solve(model) not in SOLVED:
        return None
    return tuple(solver.value(column) for column in columns)


def _lattice(
    point: Sequence[int],
    basis: Sequence[Sequence[int]],
    bounds: Sequence[Bounds],
    ranges: Sequence[Bounds],
) -> tuple[cp_model.CpModel, list[cp_model.LinearExpr]]:
    model = cp_model.CpModel()
    if any(max(abs(low), abs(high)) >= LARGEST for low, high in ranges):
        raise _TooLarge
    multiples = [model.new_int_var(low, high, f"m{n}") for n, (low, high) in enumerate(ranges)]
    columns: list[cp_model.LinearExpr] = []
    for place, (low, high) in enumerate(bounds):
        steps = [vector[place] for vector in basis]
        reach = sum(abs(s) * max(map(abs, ends)) for s, ends in zip(steps, ranges, strict=True))
        if reach + abs(point[place]) >= LARGEST:
            raise _TooLarge
        column = cp_model.LinearExpr.weighted_sum(multiples, steps) + point[place]
        model.add_linear_constraint(column, low, high)
        columns.append(column)
    return model, columns


def values_of(
    facts: Iterable[Fact], of: Callable[[int], Bounds], target: Iterable[int], most: int
) -> Values | None:
    """Return the values that a sum of unknowns can have, given all facts, slot by slot.

    A fact with numbers too large for the solver is left out. None: more than `most`, or too hard.
    """
    built = _Model(of)
    for fact in facts:
        try:
            built.add(fact)
        except _TooLarge:
            continue
    unknowns = sorted(target)
    wanted = built.weighed(Weighed.of(unknowns))
    bounds = Weighed.of(unknowns).bounds(of)
    # Slots are many: what may be anything is soon seen, few values far apart would not be.
    return _values(built.model, wanted, bounds, most, apart=0)


class _Model:
    """A program with a variable for each unknown that occurs, and one for each expression."""

    def __init__(self, of: Callable[[int], Bounds]) -> None:
        self.model = cp_model.CpModel()
        self._of = of
        self._unknowns: dict[int, cp_model.IntVar] = {}

    def add(self, fact: Fact) -> None:
        low, high = fact.expression.bounds(self._of)
        if max(abs(low), abs(high), abs(fact.low), abs(fact.high)) >= LARGEST:
            raise _TooLarge
        self.model.add_linear_constraint(self.expression(fact.expression), fact.low, fact.high)

    def unknown(self, number: int) -> cp_model.LinearExpr:
        if number not in self._unknowns:
            self._unknowns[number] = self.model.new_int_var(*self._of(number), f"u{number}")
        return self._unknowns[number]

    def weighed(self, part: Weighed) -> cp_model.LinearExpr:
        low, high = part.bounds(self._of)
        if max(abs(low), abs(high)) >= LARGEST:
            raise _TooLarge
        unknowns = [self.unknown(number) for number in part.weights]
        weights = list(part.weights.values())
        return cp_model.LinearExpr.weighted_sum(unknowns, weights) + part.constant

    def expression(self, one: Expression) -> cp_model.LinearExpr:
        match one:
            case Weighed():
                return self.weighed(one)
            case Steps(part, limits, prices):
                return self._blocks(part, limits, prices)
            case Kept(_, part):
                return self.expression(part)
            case Highest(windows, floor):
                sums = [self.weighed(Weighed.of(window)) for window in windows]
                return self._extreme(
                    one.bounds(self._of), [_constant(floor), *sums], is_largest=True
                )
            case Above(weights, limit):
                return self._above(weights, limit)
            case Counted(windows, limit):
                return _sum([self._is_above(window, limit) for window in windows])
            case Combined(terms, constant):
                self._check(one)
                parts = [self.expression(part) * factor for factor, part in terms]
                return _sum(parts) + constant
            case Extreme(parts, is_largest):
                built = [self.expression(part) for part in parts]
                return self._extreme(one.bounds(self._of), built, is_largest=is_largest)
            case Quotient():
                return self._quotient(one)

    def _check(self, one: Expression) -> None:
        if max(map(abs, one.bounds(self._of))) >= LARGEST:
            raise _TooLarge

    def _blocks(
        self, part: Weighed, limits: Sequence[int], prices: Sequence[int]
    ) -> cp_model.LinearExpr:
        use = self.weighed(part)
        most = part.bounds(self._of)[1]
        if most * max(map(abs, prices)) >= LARGEST:
            raise _TooLarge
        filled = [
            self._extreme((0, min(limit, most)), [use, _constant(limit)], is_largest=False)
            for limit in limits
        ]
        ends = [_constant(0), *filled, use]
        pairs = zip(prices, ends, ends[1:], strict=False)
        return _sum([price * (high - low) for price, low, high in pairs])

    def _above(self, weights: Mapping[int, int], limit: int) -> cp_model.LinearExpr:
        parts = []
        for number, weight in weights.items():
            most = max(0, self._of(number)[1] - limit)
            rest = [self.unknown(number) - limit, _constant(0)]
            parts.append(weight * self._extreme((0, most), rest, is_largest=True))
        return _sum(parts)

    def _is_above(self, window: Sequence[int], limit: int) -> cp_model.LinearExpr:
        is_above = self.model.new_bool_var("")
        use = self.weighed(Weighed.of(window))
        self.model.add(use > limit).only_enforce_if(is_above)
        self.model.add(use <= limit).only_enforce_if(~is_above)
        return is_above

    def _extreme(
        self, bounds: Bounds, parts: Sequence[cp_model.LinearExpr], *, is_largest: bool
    ) -> cp_model.LinearExpr:
        made = self.model.new_int_var(*bounds, "")
        if is_largest:
            self.model.add_max_equality(made, parts)
        else:
            self.model.add_min_equality(made, parts)
        return made

    def _quotient(self, one: Quotient) -> cp_model.LinearExpr:
        self._check(one.part)
        made = self.model.new_int_var(*one.bounds(self._of), "")
        twice = 2 * self.expression(one.part) - 2 * one.divisor * made
        # Ties and signs are left open: a little more is possible than there is.
        reach = one.divisor if one.rule is not Rule.DOWN else 2 * one.divisor - 2
        low = -reach if one.bounds(self._of)[0] < 0 or one.rule is not Rule.DOWN else 0
        self.model.add_linear_constraint(twice, low, reach)
        return made


def _values(
    model: cp_model.CpModel,
    wanted: cp_model.LinearExpr,
    bounds: Bounds,
    most: int,
    *,
    apart: int,
) -> Values | None:
    """Return all values of a sum: those next to each other, or up to `apart` wherever they are."""
    total = model.new_int_var(*bounds, "wanted")
    model.add(total == wanted)
    status, first = _solved(model, total)
    if first is None:
        return None
    near = cp_model.Domain(first - most + 1, first + most - 1)
    elsewhere = model.clone()
    elsewhere.add_linear_expression_in_domain(total, near.complement())
    status, other = _solved(elsewhere, total)
    if status == cp_model.INFEASIBLE:
        return _between(model, total, most)
    return None if other is None else _listed(model, total, {first, other}, apart)


def _listed(
    model: cp_model.CpModel, total: cp_model.IntVar, seen: set[int], most: int
) -> Values | None:
    while len(seen) < most:
        elsewhere = model.clone()
        others = cp_model.Domain.from_values(sorted(seen)).complement()
        elsewhere.add_linear_expression_in_domain(total, others)
        status, value = _solved(elsewhere, total)
        if status == cp_model.INFEASIBLE:
            return Values(tuple(sorted(seen)))
        if value is None:
            return None
        seen.add(value)
    return None


def _between(model: cp_model.CpModel, total: cp_model.IntVar, most: int) -> Values | None:
    ends = []
    for direction in (model.minimize, model.maximize):
        direction(total)
        status, value = _solved(model, total)
        if status != cp_model.OPTIMAL or value is None:
            return None
        ends.append(value)
    low, high = ends
    return Values(tuple(range(low, high + 1))) if high - low < most else None


def _constant(value: int) -> cp_model.LinearExpr:
    return cp_model.LinearExpr.constant(value)


def _sum(parts: Iterable[cp_model.LinearExpr]) -> cp_model.LinearExpr:
    every = list(parts)
    return cp_model.LinearExpr.weighted_sum(every, [1] * len(every))


def _solved(
    model: cp_model.CpModel, total: cp_model.IntVar
) -> tuple[cp_model.CpSolverStatus, int | None]:
    solver = _solver()
    status = solver.solve(model)
    return status, solver.value(total) if status in SOLVED else None


def _solver() -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = WORK
    return solver
