# SPDX-License-Identifier: Apache-2.0
"""Forms over the slots of a period, and the amounts that are made of them.

Every object is complete and sensible from birth: what a statement or the release guard relies on
(rising limits, windows of one length that do not overlap) is checked here, for both sides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from math import gcd
from operator import ne
from typing import ClassVar, Final, TypeAlias

Run: TypeAlias = tuple[int, int, int]
"""The place of the first slot, how many slots, and the weight of each."""

MOST_COUNTED_WH: Final = (1 << 24) - 2
"""The highest limit of a count: this and the next number have 24 bits."""


class AmountsMalformed(Exception):
    """Numbers do not describe amounts."""


@dataclass(frozen=True, slots=True)
class SlotForm:
    """A weight for each slot of a period; slots in no run have the weight 0."""

    runs: tuple[Run, ...]
    """In order, apart, none of weight 0, neighbours of one weight merged: one form, one way."""

    def __post_init__(self) -> None:
        end = last = 0
        for first, count, weight in self.runs:
            if first < 0 or count < 1 or weight == 0:
                raise AmountsMalformed("a run has a place, a length, and a weight other than 0")
            if first < end or (first == end and weight == last):
                raise AmountsMalformed("the runs of a form are not in order, apart and merged")
            end, last = first + count, weight

    @classmethod
    def of(cls, weights: Mapping[int, int]) -> "SlotForm":
        """Return the form with these weights at these places."""
        runs: list[Run] = []
        for place in sorted(weights):
            weight = weights[place]
            if not weight:
                continue
            if runs and runs[-1][0] + runs[-1][1] == place and runs[-1][2] == weight:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, weight)
            else:
                runs.append((place, 1, weight))
        return cls(tuple(runs))

    @classmethod
    def of_each(cls, weights: Sequence[int]) -> "SlotForm":
        """Return the form with a weight for each of one or more slots, in order."""
        changes = compress(range(1, len(weights)), map(ne, weights, weights[1:]))
        pairs = pairwise((0, *changes, len(weights)))
        return cls(tuple((low, high - low, weights[low]) for low, high in pairs if weights[low]))

    @property
    def end(self) -> int:
        """The place after the last slot that has a weight."""
        return self.runs[-1][0] + self.runs[-1][1] if self.runs else 0

    @property
    def size(self) -> int:
        """How many slots have a weight."""
        return sum(count for _, count, _ in self.runs)

    def places(self) -> Iterable[int]:
        """Yield the places that have a weight, in order."""
        for first, count, _ in self.runs:
            yield from range(first, first + count)

    def value_of(self, uses: Sequence[int]) -> int:
        """Return Σ weight·use, in the open."""
        return sum(weight * sum(uses[first : first + count]) for first, count, weight in self.runs)

    def spread(self, slots: int) -> list[int]:
        """Return the weights of so many slots."""
        weights = [0] * slots
        for first, count, weight in self.runs:
            if count == 1:
                weights[first] = weight
            else:
                weights[first : first + count] = [weight] * count
        return weights


@dataclass(frozen=True, slots=True)
class Sum:
    """Σ weight·use."""

    kind: ClassVar = "linear"

    form: SlotForm
    by_slots: bool = False
    """Proved over the commitments to slots, as packages of 0.1 have room for."""

    @property
    def forms(self) -> tuple[SlotForm, ...]:
        """The forms it is made of."""
        return (self.form,)

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes."""
        return 0

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the amount, in the open."""
        return self.form.value_of(uses)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Energy that is counted together, and the prices of its blocks."""

    form: SlotForm
    """How often each slot counts: once, but where it stands in for a missing one as well."""
    limits: tuple[int, ...]
    """Where blocks end, in watt-hours, rising; the last block has no limit."""
    prices: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.prices) != len(self.limits) + 1:
            raise AmountsMalformed("a bucket has one price more than limits")
        if any(low >= high for low, high in pairwise((0, *self.limits))):
            raise AmountsMalformed("the limits of a bucket rise")
        if any(weight < 0 for _, _, weight in self.form.runs):
            raise AmountsMalformed("a slot counts in a bucket, it is not taken off")

    def value_of(self, uses: Sequence[int]) -> int:
        """Return what the blocks come to, in the open."""
        use = self.form.value_of(uses)
        bounds = (0, *(min(limit, use) for limit in self.limits), use)
        parts = (high - low for low, high in pairwise(bounds))
        return sum(price * part for price, part in zip(self.prices, parts, strict=True))


@dataclass(frozen=True, slots=True)
class Tiered:
    """What blocks come to, over all buckets."""

    kind: ClassVar = "blocks"

    buckets: tuple[Bucket, ...]

    @property
    def forms(self) -> tuple[SlotForm, ...]:
        """The forms it is made of."""
        return tuple(bucket.form for bucket in self.buckets)

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes."""
        return sum(len(bucket.limits) for bucket in self.buckets)

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the amount, in the open."""
        return sum(bucket.value_of(uses) for bucket in self.buckets)


@dataclass(frozen=True, slots=True)
class Group:
    """Windows of time, of which the highest use counts."""

    windows: tuple[SlotForm, ...]
    floor: int
    """What counts if no window has more."""

    def __post_init__(self) -> None:
        if not self.windows or self.floor < 0:
            raise AmountsMalformed("a peak is of windows, and its floor is not below 0")


@dataclass(frozen=True, slots=True)
class Peaks:
    """The sum of the groups' peaks, or of the highest of these.

    No slot is in two windows, and all windows are alike, so that nothing but its place tells a
    window from the others of its group.
    """

    kind: ClassVar = "demand"

    groups: tuple[Group, ...]
    highest: int = 0
    """How many of the peaks count; 0: all."""
    rate: tuple[int, int] = (1, 1)
    """By which fraction each peak is multiplied, rounded down, before it is held to its floor: from
    watt-hours in so many seconds to whole watts."""

    def __post_init__(self) -> None:
        if self.highest and not 0 < self.highest < len(self.groups):
            raise AmountsMalformed("the highest are fewer than there are peaks")
        if min(self.rate) < 1 or gcd(*self.rate) != 1 or (self.rate[1] == 1 and self.rate[0] > 1):
            raise AmountsMalformed("a rate is a fraction in lowest terms; weights make whole ones")
        if not self.forms:
            raise AmountsMalformed("a peak is of windows")
        _require_alike(self.forms, "a peak")

    @property
    def forms(self) -> tuple[SlotForm, ...]:
        """The forms it is made of: all windows."""
        return tuple(window for group in self.groups for window in group.windows)

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes."""
        rated = 0 if self.rate == (1, 1) else 6
        return len(self.forms) + len(self.groups) * ((4 if self.highest else 1) + rated)

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the sum of the peaks, in the open."""
        times, parts = self.rate
        peaks = [
            max(group.floor, *(w.value_of(uses) * times // parts for w in group.windows))
            for group in self.groups
        ]
        return sum(sorted(peaks, reverse=True)[: self.highest or None])


def _require_alike(windows: Sequence[SlotForm], what: str) -> None:
    """Refuse windows that more than their place tells apart, or that have a slot in common."""
    shapes = {(form.size, weight) for form in windows for _, _, weight in form.runs}
    if len(shapes) != 1 or min(shapes) <= (0, 0) or min(w for _, w in shapes) < 1:
        raise AmountsMalformed(f"the windows of {what} differ in size or weight")
    # By where runs begin and end: a run may claim 2^62 slots in 24 bytes.
    spans = sorted((first, first + count) for form in windows for first, count, _ in form.runs)
    if any(end > begin for (_, end), (begin, _) in pairwise(spans)):
        raise AmountsMalformed("a slot is in two windows")


@dataclass(frozen=True, slots=True)
class Count:
    """How many of several windows use more than a limit.

    No slot is in two windows, and all are of one size, so that nothing but its place tells a window
    from the others.
    """

    kind: ClassVar = "count"

    windows: tuple[SlotForm, ...]
    """Each slot counts once."""
    limit: int
    """In watt-hours, from 1."""

    def __post_init__(self) -> None:
        if not self.windows:
            raise AmountsMalformed("a count is of windows")
        if not 0 < self.limit <= MOST_COUNTED_WH:
            raise AmountsMalformed(f"the limit of a count is from 1 to {MOST_COUNTED_WH:,} Wh")
        _require_alike(self.windows, "a count")
        if self.windows[0].runs[0][2] != 1:
            raise AmountsMalformed("a slot of a count's windows counts once")

    @property
    def forms(self) -> tuple[SlotForm, ...]:
        """The forms it is made of: all windows."""
        return self.windows

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes: two a window, four make one."""
        return -(-len(self.windows) // 2)

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the count, in the open."""
        return sum(window.value_of(uses) > self.limit for window in self.windows)


@dataclass(frozen=True, slots=True)
class Best:
    """Which of several sums is the largest, counted from 0; of equal ones, the first."""

    kind: ClassVar = "match"

    forms: tuple[SlotForm, ...]

    def __post_init__(self) -> None:
        if len(self.forms) < 2:
            raise AmountsMalformed("the best is one of several")

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes; these are twice as wide."""
        return 2 * len(self.forms)

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the place of the largest, in the open."""
        scores = [form.value_of(uses) for form in self.forms]
        return scores.index(max(scores))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one slot used, as a sample of the period."""

    kind: ClassVar = "sample"

    place: int

    def __post_init__(self) -> None:
        if self.place < 0:
            raise AmountsMalformed("a slot has a place from 0")

    @property
    def forms(self) -> tuple[SlotForm, ...]:
        """The form it is."""
        return (SlotForm(((self.place, 1, 1),)),)

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes."""
        return 0

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the use, in the open."""
        return uses[self.place]


@dataclass(frozen=True, slots=True)
class Above:
    """A limit, and what each watt-hour that a slot uses above it adds."""

    limit: int
    """In watt-hours a slot, from 1: above 0 is all of it."""
    form: SlotForm

    def __post_init__(self) -> None:
        if self.limit < 1 or not self.form.runs:
            raise AmountsMalformed("a limit is above 0, and of at least one slot")


@dataclass(frozen=True, slots=True)
class Excess:
    """Σ weight·use, and more for what slots use above limits, each slot by itself."""

    kind: ClassVar = "excess"

    form: SlotForm
    """The weights of all use; may be of no slot."""
    above: tuple[Above, ...]

    def __post_init__(self) -> None:
        limits = [one.limit for one in self.above]
        if not limits or any(low >= high for low, high in pairwise(limits)):
            raise AmountsMalformed("there are limits, and they rise")

    @property
    def forms(self) -> tuple[SlotForm, ...]:
        """The forms it is made of."""
        return (*((self.form,) if self.form.runs else ()), *(one.form for one in self.above))

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes; four of these make one."""
        return -(-sum(one.form.size for one in self.above) // 4)

    def value_of(self, uses: Sequence[int]) -> int:
        """Return the amount, in the open."""
        return self.form.value_of(uses) + sum(
            one.form.value_of([max(0, use - one.limit) for use in uses]) for one in self.above
        )


MeteredAmount: TypeAlias = Sum | Tiered | Peaks | Excess | Count
"""What one register's use comes to."""
Amount: TypeAlias = MeteredAmount | Best | Reading
