# SPDX-License-Identifier: Apache-2.0
"""All engines, one after the other, on what some recipients were told: which values can a sum have?

No engine sees a reading. Slots that no answer treats apart never occur but summed up; the attack
works with these cells, and a test holds it against programs that have every slot.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from tests.attacks.search.algebra import Contradiction, Span
from tests.attacks.search.facts import (
    Above,
    Combined,
    Counted,
    Expression,
    Extreme,
    Fact,
    Highest,
    Quotient,
    Steps,
    Weighed,
    straightened,
)
from tests.attacks.search.lattice import Row, Solutions, solve
from tests.attacks.search.programs import Values, values_of
from tests.attacks.search.world import Bounds, World

FEW: Final = 32
"""A sum that may have no more values than this, and so many times as many before, is found out."""
MOST_SLOTS: Final = 200
"""With more unknowns, answers that are no weighed sums are left to other engines."""
MOST_GROUPS: Final = 12

Target = frozenset[int]


class Picture:
    """What some recipients can make out from what they were told together."""

    def __init__(
        self, world: World, facts: Iterable[Fact], opened: Mapping[int, int] | None = None
    ) -> None:
        self._world = world
        self._opened = dict(opened or {})
        straight, self._curved = list[Fact](), list[Fact]()
        for fact in facts:
            plain = straightened(fact, self.bounds)
            if plain is None:
                self._curved.append(fact)
            else:
                straight.append(self._without_known(plain))
        self.cells = self._cells_of(straight)
        self._cell_of = {
            unknown: place for place, cell in enumerate(self.cells) for unknown in cell
        }
        self._bounds = [
            (sum(self.bounds(u)[0] for u in cell), sum(self.bounds(u)[1] for u in cell))
            for cell in self.cells
        ]
        self._rows = [row for fact in straight if (row := self._row(fact)).weights]
        self._rows += [more for row in list(self._rows) for more in self._unpacked(row)]
        exact = [(row.weights, row.low) for row in self._rows if row.is_exact]
        self._span = Span(len(self.cells), exact)
        self._solutions: dict[frozenset[int], Solutions | None] = {}

    def bounds(self, unknown: int) -> Bounds:
        """Return between which values everybody knows an unknown to be; what is opened is known."""
        if unknown in self._opened:
            return self._opened[unknown], self._opened[unknown]
        return self._world.bounds(unknown)

    def is_known(self, unknown: int) -> bool:
        """Tell whether an unknown was opened, never measured, or can be nothing else."""
        low, high = self.bounds(unknown)
        return low == high

    def cells_in(self, target: Target) -> list[int] | None:
        """Return the cells that make up a sum; None where it cuts one, or goes beyond all."""
        places = {self._cell_of.get(unknown) for unknown in target}
        if None in places:
            return None
        found = sorted(place for place in places if place is not None)
        whole = sum(len(self.cells[place]) for place in found)
        return found if whole == len(target) else None

    def values_of(self, target: Target) -> Values | None:
        """Return the values that the sum over `target` can have; None: too many, or not found."""
        columns = self.cells_in(target)
        if not columns:
            return None
        value = self._span.value_of(columns)
        if value is not None:
            if value.denominator != 1:
                raise Contradiction("a sum of readings is a whole number")
            return Values((int(value),))
        found = self._by_lattice(columns)
        if found is None and self._curved and len(self._touched(target)) <= MOST_SLOTS:
            found = values_of(self._near(target), self.bounds, target, FEW)
        return found

    def before(self, target: Target) -> int:
        """Return how many values the sum could have for all that everybody knows."""
        return 1 + sum(high - low for low, high in map(self.bounds, target))

    def _without_known(self, fact: Fact) -> Fact:
        part = fact.expression
        assert isinstance(part, Weighed)
        known = part.constant + sum(
            weight * self.bounds(u)[0] for u, weight in part.weights.items() if self.is_known(u)
        )
        left = {u: weight for u, weight in part.weights.items() if not self.is_known(u)}
        return Fact(Weighed(left), fact.low - known, fact.high - known)

    def _cells_of(self, straight: Sequence[Fact]) -> list[tuple[int, ...]]:
        marks: dict[int, list[Hashable]] = {}
        for place, fact in enumerate((*straight, *self._curved)):
            for unknown, mark in _marks(fact.expression):
                marks.setdefault(unknown, []).append((place, mark))
        cells: dict[Hashable, list[int]] = {}
        for unknown in sorted(marks):
            if not self.is_known(unknown):
                # Slots of two registers are never alike: they are apart in every promise, too.
                register = unknown // self._world.slots
                cells.setdefault((register, *marks[unknown]), []).append(unknown)
        return [tuple(cell) for cell in cells.values()]

    def _row(self, fact: Fact) -> Row:
        assert isinstance(fact.expression, Weighed)
        weights = fact.expression.weights
        columns = {self._cell_of[unknown]: weight for unknown, weight in weights.items()}
        return Row(columns, fact.low, fact.high)

    def _unpacked(self, row: Row) -> Iterator[Row]:
        """Yield the sums of equal weight that one answer has by itself: digits of a number."""
        groups: dict[int, list[int]] = {}
        for column, weight in row.weights.items():
            groups.setdefault(weight, []).append(column)
        if not 1 < len(groups) <= MOST_GROUPS:
            return
        bounds = [
            (sum(self._bounds[c][0] for c in group), sum(self._bounds[c][1] for c in group))
            for group in groups.values()
        ]
        solutions = solve(bounds, [Row(dict(enumerate(groups)), row.low, row.high)])
        if solutions is None:
            return
        for place, group in enumerate(groups.values()):
            found = solutions.values_of([place], FEW)
            if found is not None:
                yield Row(dict.fromkeys(group, 1), found.all[0], found.all[-1])

    def _by_lattice(self, columns: Sequence[int]) -> Values | None:
        """Return what all answers that hang together with some cells say of their sum."""
        reached, rows = set(columns), list[Row]()
        waiting = list(self._rows)
        while near := [row for row in waiting if reached & row.weights.keys()]:
            rows += near
            waiting = [row for row in waiting if not reached & row.weights.keys()]
            reached.update(*(row.weights for row in near))
        key = frozenset(reached)
        order = sorted(reached)
        if key not in self._solutions:
            places = {column: place for place, column in enumerate(order)}
            moved = [
                Row({places[c]: weight for c, weight in row.weights.items()}, row.low, row.high)
                for row in rows
            ]
            self._solutions[key] = solve([self._bounds[column] for column in order], moved)
        solutions = self._solutions[key]
        if solutions is None:
            return None
        return solutions.values_of([order.index(column) for column in columns], FEW)

    def _facts(self) -> list[Fact]:
        straight = [
            Fact(Weighed(self._spread(row)), row.low, row.high)
            for row in self._rows
            if len(row.weights) <= MOST_SLOTS
        ]
        return [*straight, *self._curved]

    def _spread(self, row: Row) -> dict[int, int]:
        return {
            unknown: weight
            for column, weight in row.weights.items()
            for unknown in self.cells[column]
        }

    def _near(self, target: Target) -> list[Fact]:
        reached, found, waiting = set(target), list[Fact](), self._facts()
        while near := [fact for fact in waiting if reached & set(fact.expression.unknowns())]:
            found += near
            waiting = [fact for fact in waiting if fact not in near]
            reached.update(*(fact.expression.unknowns() for fact in near))
        return found

    def _touched(self, target: Target) -> set[int]:
        return set(target).union(*(fact.expression.unknowns() for fact in self._near(target)))


def _marks(expression: Expression) -> Iterator[tuple[int, Hashable]]:
    """Yield each unknown with what tells it from others in an expression."""
    match expression:
        case Weighed(weights):
            yield from weights.items()
        case Steps(part):
            yield from part.weights.items()
        case Above(weights, limit):
            yield from ((unknown, (limit, weight)) for unknown, weight in weights.items())
        case Counted(windows):
            for window in windows:
                # The slots of a window never occur but summed up.
                yield from ((unknown, len(window) > 1 and window[0]) for unknown in window)
        case Highest(windows):
            for window in windows:
                # The slots of a longer window hang together: none is like one of another window.
                yield from ((unknown, len(window) > 1 and unknown) for unknown in window)
        case Combined(terms):
            yield from _inner(part for _, part in terms)
        case Extreme(parts):
            yield from _inner(parts)
        case Quotient(part):
            yield from _marks(part)


def _inner(parts: Iterable[Expression]) -> Iterator[tuple[int, Hashable]]:
    for place, part in enumerate(parts):
        for unknown, mark in _marks(part):
            yield unknown, (place, mark)


def closed_stretches(
    picture: Picture, world: World, longest_slots: Callable[[int], int]
) -> Iterator[Target]:
    """Yield stretches of time that are made of whole cells, unless they are too long to matter.

    Slots that are known do not end a stretch. `longest_slots` says of a first slot how long is too
    long. Stretches that follow each other are yielded together, too.
    """
    for register in range(len(world.registers)):
        first = world.unknown(0, register)
        unknowns = [u for u in range(first, first + world.slots) if not picture.is_known(u)]
        yield from _closed(picture, unknowns, longest_slots)


def _closed(
    picture: Picture, unknowns: Sequence[int], longest_slots: Callable[[int], int]
) -> Iterator[Target]:
    position = {unknown: place for place, unknown in enumerate(unknowns)}
    extent: dict[int, tuple[int, int]] = {}
    for cell in picture.cells:
        places = [position[u] for u in cell if u in position]
        if places:
            for place in places:
                extent[place] = min(places), max(places)
    pieces: dict[int, int] = {}
    for start in range(len(unknowns)):
        if start not in extent or extent[start][0] != start:
            continue
        end, here = extent[start][1], start
        while here <= end:
            if here not in extent or extent[here][0] < start:
                break
            end = max(end, extent[here][1])
            if unknowns[end] - unknowns[start] >= longest_slots(unknowns[start]):
                break
            here += 1
        else:
            pieces[start] = end + 1
    for start in pieces:
        end = start
        while end in pieces:
            end = pieces[end]
            if unknowns[end - 1] - unknowns[start] >= longest_slots(unknowns[start]):
                break
            yield frozenset(unknowns[start:end])


def short_sums(
    picture: Picture, floor_minutes: Callable[[Target], int], world: World, most: int = 200
) -> Iterator[Target]:
    """Yield sums of cells that last less than what was promised, small ones first."""
    short = sorted(
        (
            target
            for cell in picture.cells
            if _is_short(target := frozenset(cell), floor_minutes, world)
        ),
        key=len,
    )
    yielded = count()
    layer: list[tuple[int, Target]] = [(place, target) for place, target in enumerate(short)]
    while layer:
        larger: list[tuple[int, Target]] = []
        for last, target in layer:
            if next(yielded) >= most:
                return
            yield target
            for place in range(last + 1, len(short)):
                union = target | short[place]
                if _is_short(union, floor_minutes, world):
                    larger.append((place, union))
                if len(larger) >= most:
                    break
        layer = larger


def _is_short(target: Target, floor_minutes: Callable[[Target], int], world: World) -> bool:
    return world.minutes(target) < floor_minutes(target)
