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

*Corrected slots.* A slot whose reading was replaced is another unknown than before: numbers that
were told before weigh the old one, those told since the new one (`Form.revised`). Both lie at the
same time. A stretch of time is looked at as each number saw it (`timelines`).

docs/guard.md has the theorem. Nothing here needs linear algebra: what can be worked out by it, or
by digits, lattices or search, is a function of the bundles' totals all the same.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
Slot = tuple[int, int]
"""The start of a slot, and the revision of what it used."""
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
    """The weights are of what each slot uses above so many watt-hours; 0: of all its use. With
    `is_peak`, of how many windows use more than that."""
    register: str = ""
    """The OBIS code of the register it is about; empty for the import register."""
    known: tuple[int, ...] = ()
    """Places of slots that have no weight because they are known: missing, or opened."""
    revised: tuple[tuple[int, int], ...] = ()
    """Place and revision of slots that were corrected, in order; all others are as first
    certified."""

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

    @property
    def is_count(self) -> bool:
        """Whether a number depends on how many windows use more than a limit."""
        return self.is_peak and self.above > 0

    def windows(self) -> Iterator[list["Slot"]]:
        """Yield the slots of each window of a peak or a count."""
        found: dict[int, list[Slot]] = {}
        revised = dict(self.revised)
        for place, number in enumerate(self.weights):
            if number:
                slot = self.begin + place * self.slot_seconds, revised.get(place, 0)
                found.setdefault(number, []).append(slot)
        yield from found.values()

    def of_revision(self, revision: int) -> "Form":
        """Return the form as it weighs the slots of one revision, and no others."""
        revised = dict(self.revised)
        kept = [revised.get(place, 0) == revision for place in range(len(self.weights))]
        return replace(
            self,
            weights=tuple(w if own else 0 for w, own in zip(self.weights, kept, strict=True)),
            known=tuple(place for place in self.known if kept[place]),
            revised=(),
        )

    def revisions(self) -> dict[int, int]:
        """Return when corrected slots start, and their revisions."""
        step = self.slot_seconds
        return {self.begin + place * step: revision for place, revision in self.revised}


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
    is_corrected: bool = True
    """Whether all of its slots were corrected: each is what one was before, or is since."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What a set of numbers makes of the slots of their periods."""

    slot_seconds: int
    bundles: tuple[Bundle, ...]
    runs: Mapping[str, Sequence[Run]]
    """For each register, which bundle slots are of, in order; where slots were corrected, for each
    of its timelines."""

    def within(self, register: str, begin: int, end: int) -> list[Bundle]:
        """Return the bundles that have slots of a register in [begin, end)."""
        places = {
            bundle
            for timeline, runs in self.runs.items()
            if register_of(timeline) == register
            for first, last, bundle in runs
            if bundle >= 0 and first < end and begin < last
        }
        return [self.bundles[place] for place in sorted(places)]

    def closed_stretches(
        self,
        shorter_than: int,
        near: tuple[str, int, int] | None = None,
        counts: Callable[[Bundle], bool] = lambda _: True,
    ) -> Iterator[tuple[int, int]]:
        """Yield stretches of whole bundles that are shorter than so many seconds.

        The smallest around each bundle that `counts`: where there is any, one is yielded. With
        `near`, those that reach into a register's [begin, end).
        """
        for timeline, runs in self.runs.items():
            register = register_of(timeline)
            if near is not None and near[0] != register:
                continue
            if near is None:
                bundles = [one for one in self.bundles if one.register == register]
            else:
                bundles = self.within(*near)
            starts = {begin: place for place, (begin, _, _) in enumerate(runs)}
            for bundle in filter(counts, bundles):
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
        if begin not in starts:
            return None  # it is of another timeline
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
            if begin not in starts:
                return None
            low = starts[begin]
        if any(one[1] != after[0] for one, after in pairwise(runs[low:high])):
            return None  # of the time in between nothing was told
        return begin, end


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
    table, runs = _Table(step), dict[str, Sequence[Run]]()
    for register in sorted({form.register for _, _, form in labelled}):
        same = [one for one in labelled if one[2].register == register]
        runs |= table.add(register, same)
    return Refinement(step, tuple(table.bundles), runs)


def windows_agree(forms: Iterable[Form]) -> bool:
    """Tell whether any two windows of peaks are the same or have no slot in common."""
    peaks = {(form.register, form) for form in forms if form.is_peak}
    windows = {(register, tuple(window)) for register, form in peaks for window in form.windows()}
    slots = {(register, slot) for register, window in windows for slot in window}
    return sum(len(window) for _, window in windows) == len(slots)


_Labelled = tuple[int, int, Form]


class _Table:
    """Bundles in the making."""

    def __init__(self, slot_seconds: int) -> None:
        self.bundles: list[Bundle] = []
        self._step = slot_seconds
        self._keys: dict[object, int] = {}
        self._cells: dict[object, tuple[int, int]] = {}
        """Of each cell, its bundle and how many slots it has."""

    def add(self, register: str, forms: Sequence[_Labelled]) -> dict[str, Sequence[Run]]:
        """Return the runs of a register's timelines: of one, where no slot was corrected."""
        patterns = _patterns([form for _, _, form in forms])
        corrected = {slot for _, _, form in forms for slot in form.revisions().items()}
        if not corrected:
            only = {start: pattern for (start, _), pattern in patterns.items()}
            runs = self._track(register, forms, only, frozenset(), is_corrected=False)
            self._finish()
            return {register: runs}
        times = {start for start, _ in corrected}
        tracks = {
            revision: self._track(
                register,
                [(number, place, form.of_revision(revision)) for number, place, form in forms],
                {start: one for (start, own), one in patterns.items() if own == revision},
                times,
                is_corrected=revision > 0,
            )
            for revision in sorted({0, *(revision for _, revision in corrected)})
        }
        self._finish()
        return timelines(register, [form for _, _, form in forms], tracks, self._step)

    def _track(
        self,
        register: str,
        forms: Sequence[_Labelled],
        patterns: Mapping[int, object],
        corrected: Collection[int],
        *,
        is_corrected: bool,
    ) -> list[Run]:
        """Return which bundles the slots of one revision are of.

        Of the first revision, those at `corrected` times were corrected since.
        """
        # Slots between two of these moments are alike, or told apart by a weight alone.
        known = {form.begin + place * self._step for _, _, form in forms for place in form.known}
        apart = {
            m for start in (*patterns, *known, *corrected) for m in (start, start + self._step)
        }
        edges = sorted({edge for _, _, form in forms for edge in (form.begin, form.end)})
        runs: list[Run] = []
        for begin, end in pairwise(edges):
            here = [one for one in forms if one[2].begin <= begin and end <= one[2].end]
            if here:
                runs += self._segment(register, here, begin, end, patterns, apart)
        for begin, end, bundle in runs:
            if bundle >= 0 and not is_corrected and begin not in corrected and end > begin:
                self.bundles[bundle].is_corrected = False
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


def register_of(timeline: str) -> str:
    """Return the register that a timeline is of."""
    return timeline.partition("#")[0]


def timelines(
    register: str, forms: Sequence[Form], tracks: Mapping[int, Sequence[Run]], step: int
) -> dict[str, Sequence[Run]]:
    """Return the runs of a register as each number saw it, at first, and now; each once.

    `tracks` has for each revision which bundles the slots of it are of.
    """
    seen = [(form.begin, form.end, form.revisions()) for form in forms]
    bundles = {
        revision: {
            start: bundle for begin, end, bundle in runs for start in range(begin, end, step)
        }
        for revision, runs in tracks.items()
    }
    starts = sorted({start for of_track in bundles.values() for start in of_track})
    newest, oldest = dict[int, int](), dict[int, int]()
    for start in {start for _, _, revisions in seen for start in revisions}:
        known = [revs.get(start, 0) for begin, end, revs in seen if begin <= start < end]
        newest[start], oldest[start] = max(known), min(known)
    views = [newest, oldest]
    for begin, end, revisions in seen:
        views.append({
            start: revisions.get(start, 0) if begin <= start < end else revision
            for start, revision in newest.items()
        })  # fmt: skip
    found: dict[tuple[Run, ...], str] = {}
    for view in views:
        runs: list[Run] = []
        for start in starts:
            bundle = bundles[view.get(start, 0)].get(start, NO_WEIGHT)
            if runs and runs[-1][1] == start and runs[-1][2] == bundle:
                runs[-1] = (runs[-1][0], start + step, bundle)
            else:
                runs.append((start, start + step, bundle))
        found.setdefault(tuple(runs), f"{register}#{len(found)}" if found else register)
    return {name: runs for runs, name in found.items()}


def _row(form: Form, first: int, last: int) -> Sequence[int]:
    weights = form.weights[first:last]
    return [min(number, 1) for number in weights] if form.is_peak else weights


def _direction(column: Column) -> Column:
    """Return the column in lowest terms, its first entry positive: proportional ones are equal."""
    divisor = gcd(*(weight for _, _, weight in column))
    if column[0][2] < 0:
        divisor = -divisor
    return tuple((number, place, weight // divisor) for number, place, weight in column)


def _patterns(forms: Sequence[Form]) -> dict[Slot, object]:
    """Return, for slots of windows with several, what else tells them apart.

    Slots of such windows are alike only if their windows are, slot by slot. Within one window they
    are alike if all forms weigh them alike: what they use is summed up.
    """
    windows = {
        tuple(window) for form in {form for form in forms if form.is_peak}
        for window in form.windows() if len(window) > 1
    }  # fmt: skip
    if not windows:
        return {}
    others = [(form, form.revisions()) for form in forms if not form.is_sample]

    def column(slot: Slot) -> tuple[int, ...]:
        (start, revision), found = slot, []
        for form, revisions in others:
            place = (start - form.begin) // form.slot_seconds
            inside = 0 <= place < len(form.weights) and revisions.get(start, 0) == revision
            weight = form.weights[place] if inside else 0
            found.append(min(weight, 1) if form.is_peak else weight)
        return tuple(found)

    patterns: dict[Slot, object] = {}
    for window in windows:
        pattern = tuple(map(column, window))
        for own, slot in zip(pattern, window, strict=True):
            patterns[slot] = (pattern, own)
    return patterns
