# SPDX-License-Identifier: Apache-2.0
"""Cells and bundles: the finest that can be known of anything that was told.

A number that is told has *forms*: the weights that its sums give the slots. From the forms alone,
and never from what was used, follows what anybody can learn at most:

*Cells.* Two slots are of one cell if every number weighs them alike in all its forms. They never
occur but summed up. So whatever is computed from the numbers, by whomever and with whatever prior
knowledge, is computed from the sums over the cells. A peak, or what lies above a limit, is no sum:
there the slots of a cell may change places and no number would differ (those of a window that has
several slots, together with it).

*Bundles.* Two cells are of one bundle if their columns of weights, an entry for each form of each
number, are proportional: then every number depends on one weighted total of both, and on nothing
else of them. Columns with a peak or a limit among their entries have to be equal. And slots that
one and the same number weighs and no other one does are one bundle, where each of them moves that
number whatever is used (`covers`): all that was told of them is that number.

*Closed stretches.* The total of a stretch of time can follow only if it is made of whole bundles
and of slots that are known.

docs/guard.md has the theorem. Nothing here needs linear algebra: what can be worked out by it, or
by digits, lattices or search, is a function of the bundles' totals all the same.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice, pairwise
from math import gcd
from operator import ne
from typing import Final

NO_WEIGHT: Final = -1
"""The bundle of slots that no number weighs."""
KNOWN: Final = -2
"""The bundle of slots that are known: empty, as everybody can see, or opened."""

COVER: Final = -1
"""In the place of a form's: it is of the slots that hide each other."""
Run = tuple[int, int, int]
"""Begin and end of slots of one bundle that follow one another, and the bundle's place."""
Column = tuple[tuple[int, int, int], ...]
"""The entries other than 0 of a slot: which number, which of its forms, the weight."""


@dataclass(frozen=True, slots=True)
class Form:
    """The public weights of one sum that a number depends on, slot by slot."""

    begin: int
    """The start of the first slot, epoch seconds."""
    slot_seconds: int
    weights: tuple[int, ...]
    is_peak: bool = False
    """The weights are then the number of the window that a slot is in, from 1; 0 for others."""
    is_sample: bool = False
    """One slot has the weight 1, and its use was asked for by itself."""
    above: int = 0
    """The weights are of what each slot uses above so many watt-hours; 0: of all its use."""
    register: str = ""
    """The OBIS code of the register it is about; empty for the import register."""
    known: tuple[int, ...] = ()
    """Places of slots that have no weight because they are known: missing, or opened."""

    @property
    def sampled(self) -> int | None:
        """The start of the slot, of a sample."""
        if not self.is_sample:
            return None
        return self.begin + self.slot_seconds * self.weights.index(1)

    @property
    def end(self) -> int:
        """The end of the last slot."""
        return self.begin + self.slot_seconds * len(self.weights)

    @property
    def is_sum(self) -> bool:
        """Whether a number depends on no more than the sum of the weighed slots."""
        return not (self.is_peak or self.above)

    def windows(self) -> Iterator[list[int]]:
        """Yield the starts of the slots of each window of a peak."""
        found: dict[int, list[int]] = {}
        for place, number in enumerate(self.weights):
            if number:
                found.setdefault(number, []).append(self.begin + place * self.slot_seconds)
        yield from found.values()


@dataclass(slots=True)
class Bundle:
    """Slots of one register about which all that was told is one weighted total."""

    register: str
    numbers: frozenset[int]
    """Places of the numbers that weigh it."""
    slots: int = 0
    shortest_cell: int = 0
    """Slots of its smallest cell."""
    first: int = 0
    """The start of its first slot."""
    last: int = 0
    """The start of its last slot."""
    is_covered: bool = False
    """Whether its slots have prices of their own in the one number that is about it."""
    low: int = 0
    """By what its cells weigh in its total, at least."""
    high: int = 0
    """The same, at most."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What a set of numbers makes of the slots of their periods."""

    slot_seconds: int
    bundles: tuple[Bundle, ...]
    runs: Mapping[str, Sequence[Run]]
    """For each register, which bundle slots are of, in order."""

    def within(self, register: str, begin: int, end: int) -> list[Bundle]:
        """Return the bundles that have slots of a register in [begin, end)."""
        places = {
            bundle
            for first, last, bundle in self.runs.get(register, ())
            if bundle >= 0 and first < end and begin < last
        }
        return [self.bundles[place] for place in sorted(places)]

    def closed_stretches(
        self, shorter_than: int, near: tuple[str, int, int] | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield stretches of whole bundles that are shorter than so many seconds.

        The smallest around each bundle: where there is any, one is yielded. With `near`, those that
        reach into a register's [begin, end).
        """
        for register, runs in self.runs.items():
            if near is not None and near[0] != register:
                continue
            if near is None:
                bundles = [one for one in self.bundles if one.register == register]
            else:
                bundles = self.within(*near)
            starts = {begin: place for place, (begin, _, _) in enumerate(runs)}
            for bundle in bundles:
                # Whatever holds a bundle whose slots lie far apart is no short stretch.
                if bundle.last + self.slot_seconds - bundle.first >= shorter_than:
                    continue
                if stretch := self._closure(runs, starts, bundle, shorter_than):
                    yield stretch

    def shortest_closed_stretch(self) -> tuple[int, int] | None:
        """Return the shortest stretch of whole bundles, if there is any."""
        shortest, limit = None, 1 << 62
        while stretch := next(self.closed_stretches(limit), None):
            shortest, limit = stretch, stretch[1] - stretch[0]
        return shortest

    def _closure(
        self,
        runs: Sequence[Run],
        starts: Mapping[int, int],
        bundle: Bundle,
        shorter_than: int,
    ) -> tuple[int, int] | None:
        """Return the smallest closed stretch around a bundle; None where there is no short one.

        Slots that are known end none, slots that no number weighs do.
        """
        begin, end = bundle.first, bundle.last + self.slot_seconds
        low = high = starts[begin]
        first, last = low, low  # runs in [first, last) are accounted for
        while True:
            while high < len(runs) and runs[high][0] < end:
                high += 1
            fresh = [*range(low, first), *range(last, high)]
            if not fresh:
                break
            first, last = low, high
            for place in fresh:
                inside = runs[place][2]
                if inside == NO_WEIGHT:
                    return None
                if inside == KNOWN:
                    continue
                other = self.bundles[inside]
                begin, end = min(begin, other.first), max(end, other.last + self.slot_seconds)
            if end - begin >= shorter_than:
                return None
            low = starts[begin]
        if any(one[1] != after[0] for one, after in pairwise(runs[low:high])):
            return None  # of the time in between nothing was told
        return begin, end


@dataclass(frozen=True, slots=True)
class Opening:
    """The use of a stretch of a register, opened in small sums: a sample, or an export."""

    begin: int
    end: int
    seconds: int
    """How long each of the small sums is."""
    register: str = ""

    def __contains__(self, start: int) -> bool:
        return self.begin <= start < self.end


def refine(numbers: Sequence[Sequence[Form]], covers: Sequence[Sequence[Form]] = ()) -> Refinement:
    """Return the bundles of the slots that some numbers weigh, given the forms of each number.

    `covers` are, of each number, forms of the slots that move it whatever is used: these hide each
    other, where nothing else is told of them.

    Samples are no sums and are passed over: they are openings. Raises `ValueError` where the forms
    are not of one grid.
    """
    labelled = [
        (number, place, form)
        for number, forms in enumerate(numbers)
        for place, form in enumerate(forms)
        if not form.is_sample
    ]
    labelled += [(number, COVER, form) for number, forms in enumerate(covers) for form in forms]
    if not labelled:
        return Refinement(0, (), {})
    step = labelled[0][2].slot_seconds
    origin = labelled[0][2].begin
    if any(f.slot_seconds != step or (f.begin - origin) % step for _, _, f in labelled):
        raise ValueError("the forms are not of one grid")
    table, runs = _Table(step), dict[str, list[Run]]()
    for register in sorted({form.register for _, _, form in labelled}):
        same = [one for one in labelled if one[2].register == register]
        runs[register] = table.add(register, same)
    return Refinement(step, tuple(table.bundles), runs)


def windows_agree(forms: Iterable[Form]) -> bool:
    """Tell whether any two windows of peaks are the same or have no slot in common."""
    windows = {
        frozenset((form.register, start) for start in window)
        for form in forms
        if form.is_peak
        for window in form.windows()
    }
    return sum(map(len, windows)) == len(frozenset[tuple[str, int]]().union(*windows))


_Labelled = tuple[int, int, Form]


class _Table:
    """Bundles in the making."""

    def __init__(self, slot_seconds: int) -> None:
        self.bundles: list[Bundle] = []
        self._step = slot_seconds
        self._keys: dict[object, int] = {}
        self._cells: dict[object, tuple[int, int]] = {}
        """Of each cell, its bundle and how many slots it has."""

    def add(self, register: str, forms: Sequence[_Labelled]) -> list[Run]:
        patterns = _patterns([form for _, _, form in forms])
        # Slots between two of these moments are alike, or told apart by a weight alone.
        known = {form.begin + place * self._step for _, _, form in forms for place in form.known}
        apart = {m for start in (*patterns, *known) for m in (start, start + self._step)}
        edges = sorted({edge for _, _, form in forms for edge in (form.begin, form.end)})
        runs: list[Run] = []
        for begin, end in pairwise(edges):
            here = [one for one in forms if one[2].begin <= begin and end <= one[2].end]
            if here:
                runs += self._segment(register, here, begin, end, patterns, apart)
        self._finish()
        return [
            (begin, end, KNOWN if bundle == NO_WEIGHT and begin in known else bundle)
            for begin, end, bundle in runs
        ]

    def _segment(
        self,
        register: str,
        forms: Sequence[_Labelled],
        begin: int,
        end: int,
        patterns: Mapping[int, object],
        apart: Collection[int],
    ) -> list[Run]:
        step = self._step
        rows = [
            _row(form, (begin - form.begin) // step, (end - form.begin) // step)
            for _, _, form in forms
        ]
        slots = (end - begin) // step
        changes = {(moment - begin) // step for moment in apart if begin < moment < end}
        for row in rows:
            changes.update(compress(range(1, slots), map(ne, row, islice(row, 1, None))))
        places = [0, *sorted(changes)]
        picked = [[row[place] for place in places] for row in rows]
        cells: list[tuple[object, ...]] = list(zip(*picked, strict=True))
        if patterns:
            found = (patterns.get(begin + place * step) for place in places)
            cells = [
                cell if pattern is None else (*cell, pattern)
                for cell, pattern in zip(cells, found, strict=True)
            ]
        sizes: dict[tuple[object, ...], int] = {}
        first: dict[tuple[object, ...], int] = {}
        last: dict[tuple[object, ...], int] = {}
        ends = [*places[1:], slots]
        for cell, place, after in zip(cells, places, ends, strict=True):
            sizes[cell] = sizes.get(cell, 0) + after - place
            first.setdefault(cell, place)
            last[cell] = after - 1
        bundle_of = {
            cell: self._bundle(
                register, forms, cell, size, begin + first[cell] * step, begin + last[cell] * step
            )
            for cell, size in sizes.items()
        }
        return [
            (begin + place * step, begin + after * step, bundle_of[cell])
            for cell, place, after in zip(cells, places, ends, strict=True)
        ]

    def _bundle(
        self,
        register: str,
        forms: Sequence[_Labelled],
        cell: tuple[object, ...],
        slots: int,
        first: int,
        last: int,
    ) -> int:
        weights = cell[: len(forms)]
        column: Column = tuple(
            (number, place, weight)
            for (number, place, _), weight in zip(forms, weights, strict=True)
            if isinstance(weight, int) and weight and place != COVER
        )
        if not column:
            return NO_WEIGHT
        numbers = frozenset(number for number, _, _ in column)
        covered = {
            number
            for (number, place, _), weight in zip(forms, weights, strict=True)
            if place == COVER and weight
        }
        times = 1
        if len(numbers) == 1 and numbers <= covered:
            # Each of these slots moves that number; nothing else is told of them.
            key: object = (register, numbers)
        else:
            is_sums = all(form.is_sum for (n, _, form), w in zip(forms, weights, strict=True) if w)
            if is_sums:
                times = gcd(*(weight for _, _, weight in column))
            key = (register, _direction(column) if is_sums else (column, cell[len(forms) :]))
        place = self._keys.setdefault(key, len(self.bundles))
        if place == len(self.bundles):
            is_covered = len(numbers) == 1 and numbers <= covered
            self.bundles.append(
                Bundle(register, numbers, first=first, last=last, is_covered=is_covered)
            )
        bundle = self.bundles[place]
        bundle.slots += slots
        bundle.first, bundle.last = min(bundle.first, first), max(bundle.last, last)
        bundle.low, bundle.high = min(bundle.low or times, times), max(bundle.high, times)
        name = (place, column, cell[len(forms) :])
        _, before = self._cells.get(name, (place, 0))
        self._cells[name] = (place, before + slots)
        return place

    def _finish(self) -> None:
        for place, slots in self._cells.values():
            bundle = self.bundles[place]
            bundle.shortest_cell = min(bundle.shortest_cell or slots, slots)
        self._cells.clear()


def relative(form: Form, opened: Sequence[Opening]) -> Form:
    """Return a form as it weighs what is not known from openings.

    To somebody who was opened some slots, a number tells of the others alone. With the sum of a few
    slots known, what it tells of them is how it weighs each against the first one.
    """
    step = form.slot_seconds
    weights: list[int] | None = None
    known_places = set(form.known)
    for one in opened:
        if one.register != form.register or not (one.begin < form.end and form.begin < one.end):
            continue
        if not form.is_sum and one.seconds > step:
            continue  # how high single slots went is not known from their sum
        weights = list(form.weights) if weights is None else weights
        for begin in range(one.begin, one.end, one.seconds):
            first = max(0, (begin - form.begin) // step)
            last = min(len(weights), (begin + one.seconds - form.begin) // step)
            if first < last:
                # Periods are whole days, as exports are; a sum that reaches beyond is not used.
                is_whole = form.begin <= begin and begin + one.seconds <= form.end
                known = weights[first] if form.is_sum and is_whole else 0
                weights[first:last] = [
                    weight - known if form.is_sum else 0 for weight in weights[first:last]
                ]
                known_places.update(range(first, last))
    if weights is None:
        return form
    places = sorted(place for place in known_places if not weights[place])
    return replace(form, weights=tuple(weights), known=tuple(places))


def _row(form: Form, first: int, last: int) -> Sequence[int]:
    weights = form.weights[first:last]
    return [min(number, 1) for number in weights] if form.is_peak else weights


def _direction(column: Column) -> Column:
    """Return the column in lowest terms, its first entry positive: proportional ones are equal."""
    divisor = gcd(*(weight for _, _, weight in column))
    if column[0][2] < 0:
        divisor = -divisor
    return tuple((number, place, weight // divisor) for number, place, weight in column)


def _patterns(forms: Sequence[Form]) -> dict[int, object]:
    """Return, for slots of windows with several, what else tells them apart: by start.

    Slots of such windows are alike only if their windows are, slot by slot.
    """
    windows = {
        tuple(window) for form in forms if form.is_peak for window in form.windows()
        if len(window) > 1
    }  # fmt: skip
    if not windows:
        return {}
    others = [form for form in forms if not form.is_sample]

    def column(start: int) -> tuple[int, ...]:
        found = []
        for form in others:
            place = (start - form.begin) // form.slot_seconds
            inside = 0 <= place < len(form.weights)
            weight = form.weights[place] if inside else 0
            found.append(min(weight, 1) if form.is_peak else weight)
        return tuple(found)

    patterns: dict[int, object] = {}
    for window in windows:
        pattern = tuple(map(column, window))
        for position, start in enumerate(window):
            patterns[start] = (pattern, position)
    return patterns
