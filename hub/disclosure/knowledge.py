# SPDX-License-Identifier: Apache-2.0
"""What can be worked out from weighted sums: exactly by linear algebra, and at the very most.

A release tells Σ w[t]·x[t] over a period, w public. Two bounds on what that gives away:

*By linear algebra.* The released forms span a space; its rank is the number of independent
numbers known about the slots' use. The total of a window [a, b) is determined just if the window's
indicator lies in that space. The space is reduced with its columns in the order of time; a vector
of it is the sum of the reduced rows weighed by its values at the pivots, so an indicator in it is
the sum of consecutive rows, and all of them are found by trying each run of rows.

*Blocks.* What blocks come to is no linear function of the uses, but one of the sums over the
buckets that are counted together. So it counts as if it told each of these sums: the indicator of
every bucket goes into the space and into the classes below. That is more than one number tells.

*Peaks.* The largest use among some windows tells the use of one of them, and that no other used
more, but not which: windows with the same weights in all forms could change places and no answer
would differ. So the windows of a peak separate classes (below) as the slots of a sum do, and the
class bounds how well the peak is hidden. They do not go into the space: a maximum is not linear.
Where windows have several slots, those of two peaks must be the same or apart (`windows_agree`), or
pairing a slot with ever other ones would tell these; and slots are alike only if their windows are,
slot by slot. The height itself is known, and counted in `peaks`; a peak of 0 tells that all its
windows are 0.

*What lies above a limit.* Σ weight·max(0, use − limit), each slot by itself, is no linear function
either. With a limit near 0 it is nearly Σ weight·use, so it counts as if it told that: its weights
go into the space and into the classes. Slots that are alike have one weight under one limit, and
may change places like those of a sum. But it tells more of a class than the sum: with ever other
limits, how many of its slots used how much, though not which. So the number of limits is bounded
(`hub.disclosure.rules.check_limits`).

*Best of several.* Which of several sums is the largest is a function of them; it counts as if it
told each of these sums.

*Samples.* A single slot's use that was told is known; what the others' forms tell of the rest is
what they tell once its column is struck out.

*Two registers.* What is drawn and what is fed in are variables of their own: a form is about one
register, and no form mixes them. So the space is the sum of one for each register: ranks, classes
and bits add up, the shortest window is that of either.

*At the very most.* A number of many bits can hide several sums (weights 1, 10^6, 10^12), which
linear algebra over the rationals does not see. So call two slots alike if every release gives them
the same weight, 0 outside its period. Alike slots never occur but summed up: whatever anyone
computes from the releases, exactly, by unpacking digits or by lattice reduction, is a function of
the sums over the classes of alike slots. Nothing finer than the smallest class can be known, peaks'
heights and what lies above limits apart, which tell how high slots of a class went, and not which.

The reduction runs modulo a prime of 62 bits that is drawn from the forms by hashing. A rank found
so is never too high, and right for sure when it is the number of forms; in all, a wrong answer
needs the prime to divide one of the minors, which nobody can arrange without finding such forms by
trial, some 2^50 of them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, count, groupby
from operator import itemgetter
from struct import Struct
from typing import Final

from flint import fmpz, nmod_mat

LARGEST_USE_WH: Final = (1 << 17) - 1
"""The most a slot can use: 524 kW for a quarter of an hour. Only sizes answers."""
_PRIME_FLOOR: Final = 1 << 61


@dataclass(frozen=True, slots=True)
class Form:
    """The public weights of one released sum, slot by slot, or which slots a peak is of."""

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


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a set of releases tells about the slots of their periods."""

    slots: int
    """Slots that have a weight other than 0 in some release."""
    rank: int
    """Independent numbers about them, by linear algebra."""
    shortest_window: tuple[int, int] | None
    """Begin and end of the shortest stretch whose total is determined; None: there is none."""
    classes: int
    """Classes of alike slots: no more numbers than these can be known by any means."""
    least_seconds: int
    """Nothing finer than the sum over so many seconds of slots can be known by any means."""
    exposed_slots: int
    """Slots that are alone in their class: their own use might be worked out."""
    bits: int
    """Bits in all the answers."""
    peaks: int = 0
    """Peaks whose height is known, or is part of a known sum."""


def answer_bits(weights: Sequence[int]) -> int:
    """Return the bits that Σ w·x can need while no slot uses more than `LARGEST_USE_WH`."""
    highest = sum(w for w in weights if w > 0) * LARGEST_USE_WH
    lowest = -sum(w for w in weights if w < 0) * LARGEST_USE_WH
    return (highest + lowest).bit_length()


def alike_slots(forms: Sequence[Form]) -> Counter[tuple[object, ...]]:
    """Return the classes of alike slots: their weights in each form, and how many slots.

    The class of slots that no form weighs is left out: nothing is known of it. The forms have
    one grid. Slots of different registers are never alike.
    """
    return Counter(
        (register, *column)
        for register, same in _by_register(forms).items()
        for column in _classes(same)
    )


def _by_register(forms: Sequence[Form]) -> dict[str, list[Form]]:
    found: dict[str, list[Form]] = {}
    for form in forms:
        found.setdefault(form.register, []).append(form)
    return found


def windows_agree(forms: Sequence[Form]) -> bool:
    """Tell whether any two windows of peaks are the same or have no slot in common."""
    windows = {
        frozenset((form.register, place) for place in window)
        for form in forms
        if form.is_peak
        for window in _windows(form, form.begin // form.slot_seconds)
    }
    return sum(map(len, windows)) == len(frozenset[tuple[str, int]]().union(*windows))


def _windows(form: Form, first: int) -> list[list[int]]:
    """Return the places of each window's slots, counted from `first`."""
    windows: dict[int, list[int]] = {}
    for place, number in enumerate(form.weights, start=first):
        if number:
            windows.setdefault(number, []).append(place)
    return list(windows.values())


def _classes(forms: Sequence[Form]) -> list[tuple[object, ...]]:
    """Return what tells each slot that any form weighs from those that are not alike."""
    begin, columns = _columns(forms)
    found: list[tuple[object, ...]] = list(columns)
    for form in forms:
        if form.is_peak:
            for window in _windows(form, (form.begin - begin) // form.slot_seconds):
                if len(window) > 1:
                    pattern = tuple(columns[place] for place in window)
                    for position, place in enumerate(window):
                        found[place] = (*columns[place], pattern, position)
    return [one for one, column in zip(found, columns, strict=True) if any(column)]


def determined_windows(forms: Sequence[Form]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of every stretch of slots whose total the forms determine.

    Of each register by itself, and not of stretches of sampled slots alone: those were asked for
    as such.
    """
    for same in _by_register(forms).values():
        yield from _determined_windows(same)


def _determined_windows(forms: Sequence[Form]) -> Iterator[tuple[int, int]]:
    sampled = {form.sampled for form in forms if form.is_sample}
    forms = [form for form in forms if not (form.is_peak or form.is_sample)]
    if not forms:
        return
    begin, columns = _columns(forms)
    step = forms[0].slot_seconds
    left = [
        (column, start)
        for column, start in zip(columns, count(begin, step), strict=False)
        if start not in sampled
    ]
    runs = []
    for column, same in groupby(left, key=itemgetter(0)):
        starts = [start for _, start in same]
        runs.append((column, starts[0], starts[-1] + step))
    space = _Space(forms, [column for column, _, _ in runs])
    for first, last in space.indicators():
        yield runs[first][1], runs[last][2]


def knowledge_of(forms: Sequence[Form], bits: int | None = None) -> Knowledge:
    """Return what the releases of these forms tell; all of one grid.

    `bits` are those of the answers; by default each form is a sum that was answered.
    """
    if not forms:
        return Knowledge(0, 0, None, 0, 0, 0, 0)
    classes = alike_slots(forms)
    windows = determined_windows(forms)
    return Knowledge(
        slots=classes.total(),
        rank=sum(map(_rank, _by_register(forms).values())),
        shortest_window=min(windows, key=lambda window: window[1] - window[0], default=None),
        classes=len(classes),
        least_seconds=min(classes.values(), default=0) * forms[0].slot_seconds,
        exposed_slots=list(classes.values()).count(1),
        bits=sum(answer_bits(form.weights) for form in forms) if bits is None else bits,
        peaks=sum(form.is_peak for form in forms),
    )


def _rank(forms: Sequence[Form]) -> int:
    sampled = {form.sampled for form in forms if form.is_sample}
    linear = [form for form in forms if not (form.is_peak or form.is_sample)]
    if not linear:
        return len(sampled)
    begin, columns = _columns(linear)
    starts = count(begin, linear[0].slot_seconds)
    kept = {c for c, start in zip(columns, starts, strict=False) if start not in sampled}
    return len(sampled) + _Space(linear, [column for column in kept if any(column)]).rank


def _columns(forms: Sequence[Form]) -> tuple[int, list[tuple[int, ...]]]:
    """Return the begin of the first slot, and for each slot from there on its weights."""
    if not forms:
        return 0, []
    step = forms[0].slot_seconds
    begin, end = min(form.begin for form in forms), max(form.end for form in forms)
    if any(form.slot_seconds != step or (form.begin - begin) % step for form in forms):
        raise ValueError("the forms are not of one grid")
    slots = (end - begin) // step
    rows = []
    for form in forms:
        before = (form.begin - begin) // step
        weights = form.weights
        if form.is_peak:
            weights = tuple(min(number, 1) for number in weights)
        rows.append((0,) * before + weights + (0,) * (slots - before - len(weights)))
    return begin, list(zip(*rows, strict=True))


class _Space:
    """The span of the forms, over the given columns, in reduced form modulo a prime."""

    def __init__(self, forms: Sequence[Form], columns: Sequence[tuple[int, ...]]) -> None:
        self._columns = len(columns)
        self._prime = _prime(forms)
        rows = [[column[place] for column in columns] for place in range(len(forms))]
        flat = [weight % self._prime for row in rows for weight in row]
        self._matrix, self.rank = nmod_mat(len(forms), len(columns), flat, self._prime).rref()

    def indicators(self) -> Iterator[tuple[int, int]]:
        """Yield first and last column of every run of columns whose indicator is in the space."""
        # A run of rows is still a candidate while its sum is 0 or 1 in all columns seen so far.
        candidates = [
            (first, last) for first in range(self.rank) for last in range(first, self.rank)
        ]
        ones: dict[tuple[int, int], list[int]] = {rows: [] for rows in candidates}
        for column in range(self._columns):
            if not candidates:
                return
            sums = [0, *accumulate(int(self._matrix[row, column]) for row in range(self.rank))]
            kept = []
            for rows in candidates:
                value = (sums[rows[1] + 1] - sums[rows[0]]) % self._prime
                if value == 1:
                    seen = ones[rows]
                    if seen and seen[-1] != column - 1:
                        continue  # a second stretch of ones is no window
                    seen.append(column)
                if value <= 1:
                    kept.append(rows)
            candidates = kept
        for rows in candidates:
            if ones[rows]:
                yield ones[rows][0], ones[rows][-1]


def _prime(forms: Sequence[Form]) -> int:
    digest = sha256(b"meterlet knowledge 1")
    for form in forms:
        count = len(form.weights)
        digest.update(
            Struct(f"<qqQ{count}q").pack(form.begin, form.slot_seconds, count, *form.weights)
        )
    candidate = _PRIME_FLOOR | int.from_bytes(digest.digest()[:7], "big") | 1
    while not fmpz(candidate).is_prime():
        candidate += 2
    return candidate
