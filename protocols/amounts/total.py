# SPDX-License-Identifier: Apache-2.0
"""One number of several amounts: `Total`, which tells a rounded sum and none of its parts.

A total is a small program of public steps. Its values are numbered: the metered amounts come
first, then what each step (`steps`) makes of values before it. The last value is divided and
rounded once more, and that whole number is opened; every other value stays hidden.

A total may go on from what earlier ones have left behind: after the metered amounts come values
that were `carried` here, and some of its values are `kept` for the next. Neither is told: they are
committed to (`protocols.carried`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import ClassVar, Final, TypeAlias

from protocols.amounts.bounds import Bounds, bounds_of
from protocols.amounts.model import (
    AmountsMalformed,
    Best,
    Count,
    MeteredAmount,
    Peaks,
    Reading,
    SlotForm,
)
from protocols.amounts.scenarios import scenarios
from protocols.amounts.steps import (
    NUMBER_BITS,
    Combine,
    Least,
    Most,
    QuotientRule,
    Rounding,
    TotalStep,
)

MOST_REGISTERS: Final = 8
MOST_METERED: Final = 1024
MOST_STEPS: Final = 4096
MOST_TERMS: Final = 16_384
"""Terms and places in all steps together."""
MOST_CASES: Final = 64
"""How many slopes of a value by one metered amount are told apart: caps and minima make cases."""
ANY_USE: Final = 1 << 40
"""More watt-hours than any slot has."""
LEAST_SLOPE: Final = Fraction(1, 1 << 256)
"""What may be between many slopes: less than any."""
MOST_EFFORT: Final = 1 << 14
"""How many slopes are worked out for a total: some 20 ms."""
MOST_SCENARIO_STEPS: Final = 1 << 13
"""How many steps of scenarios are worked out for a total."""
MOST_TOTALS: Final = 32
"""How many totals one description has."""
MOST_CARRIED: Final = 256
"""How many values a total goes on from, and how many it keeps."""
MOST_NAME: Final = 160
"""Bytes of the name of a value that is carried."""
MOST_CARRIED_BITS: Final = 62

Slopes: TypeAlias = tuple[Fraction, Fraction]
"""The least absolute slope other than 0, and the most; both 0 where there is no other."""


@dataclass(frozen=True, slots=True)
class Metered:
    """An amount of one of the registers that a call is about."""

    register: int
    """The register's place in the call."""
    amount: MeteredAmount

    def __post_init__(self) -> None:
        if not 0 <= self.register < MOST_REGISTERS:
            raise AmountsMalformed(f"a call is about {MOST_REGISTERS} registers at most")


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that an earlier total has kept."""

    name: str
    low: int
    bits: int
    """It is from `low` to `low` + 2^bits - 1."""

    def __post_init__(self) -> None:
        _require_carried(self.name, self.low, self.bits)

    @property
    def bounds(self) -> Bounds:
        """What it can be at least and at most."""
        return self.low, self.low + (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A value of a total that is handed on to the next one."""

    name: str
    place: int
    """The value's: of any that is metered, carried or made."""
    low: int
    bits: int
    """It is proved to be from `low` to `low` + 2^bits - 1."""

    def __post_init__(self) -> None:
        _require_carried(self.name, self.low, self.bits)


def _require_carried(name: str, low: int, bits: int) -> None:
    if not 0 < len(name.encode()) <= MOST_NAME or not name.isprintable():
        raise AmountsMalformed(f"a carried value has a name of 1 to {MOST_NAME} bytes")
    if not 0 < bits <= MOST_CARRIED_BITS or abs(low) >> MOST_CARRIED_BITS:
        raise AmountsMalformed(f"a carried value has 1 to {MOST_CARRIED_BITS} bits")


def require_names(names: Sequence[str]) -> None:
    """Refuse names of carried values that do not rise, or are too many."""
    if len(names) > MOST_CARRIED or any(low >= high for low, high in pairwise(names)):
        raise AmountsMalformed(
            f"carried values are in order of their names, {MOST_CARRIED} at most"
        )


@dataclass(frozen=True, slots=True)
class Total:
    """What metered amounts of registers come to by public steps, divided and rounded once."""

    kind: ClassVar = "total"

    metered: tuple[Metered, ...]
    steps: tuple[TotalStep, ...]
    divisor: int
    """From 1; 1 tells the last value as it is."""
    rule: QuotientRule
    carried: tuple[Carried, ...] = ()
    """By name, in order; their places are after those of the metered amounts."""
    kept: tuple[Kept, ...] = ()
    """By name, in order."""

    def __post_init__(self) -> None:
        if not 0 < len(self.metered) <= MOST_METERED or len(self.steps) > MOST_STEPS:
            raise AmountsMalformed("a total is of some amounts, and not of too many steps")
        if self.divisor < 1 or self.divisor >> NUMBER_BITS:
            raise AmountsMalformed(f"a divisor is from 1, and has {NUMBER_BITS} bits at most")
        if sum(len(step.places) for step in self.steps) > MOST_TERMS:
            raise AmountsMalformed(f"the steps have more than {MOST_TERMS} terms")
        require_names([one.name for one in self.carried])
        require_names([one.name for one in self.kept])
        last = self.inputs + len(self.steps) - 1
        if any(not 0 <= one.place <= last for one in self.kept):
            raise AmountsMalformed("what is kept is a value of the total")
        used = {one.place for one in self.kept if one.place < last}
        for here, step in enumerate(self.steps, start=self.inputs):
            if any(not 0 <= place < here for place in step.places):
                raise AmountsMalformed("a step is of values before it")
            used.update(step.places)
        if len(used) != last:
            raise AmountsMalformed("a value is in no step")
        self.slopes()  # the guard relies on them: a total that has too many is none

    @property
    def inputs(self) -> int:
        """How many values are before its steps: metered amounts, and what is carried."""
        return len(self.metered) + len(self.carried)

    @property
    def has_memory(self) -> bool:
        """Whether it goes on from earlier totals, or is gone on from."""
        return bool(self.carried or self.kept)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its amounts, each once, in order."""
        return tuple(sorted({one.amount.kind for one in self.metered}))

    @property
    def forms(self) -> tuple[tuple[int, SlotForm], ...]:
        """The forms it is made of, each after the place of its register."""
        return tuple((one.register, form) for one in self.metered for form in one.amount.forms)

    @property
    def registers(self) -> int:
        """How many registers it is of: one more than the last one's place."""
        return 1 + max(one.register for one in self.metered)

    @property
    def comparisons(self) -> int:
        """How many comparisons of hidden numbers its proof takes."""
        hidden = 0
        for step in self.steps:
            match step:
                case Combine():
                    pass
                case Least(places) | Most(places):
                    hidden += len(places) - 1
                case Rounding():
                    hidden += 6
        kept = sum(not self.hands_on(one) for one in self.kept)
        return 2 + hidden + kept + sum(one.amount.comparisons for one in self.metered)

    def hands_on(self, kept: Kept) -> bool:
        """Tell whether a value is kept as it was carried, which needs no proof of its bounds."""
        place = kept.place - len(self.metered)
        if not 0 <= place < len(self.carried):
            return False
        (low, high), most = self.carried[place].bounds, kept.low + (1 << kept.bits) - 1
        return kept.low <= low and high <= most

    def value_of(
        self, uses: Sequence[Sequence[int]], carried: Mapping[str, int] | None = None
    ) -> int:
        """Return the number that is opened, given the uses of each register and what is carried."""
        return self.rule.divide(self._values(uses, carried or {})[-1], self.divisor)

    def kept_of(
        self, uses: Sequence[Sequence[int]], carried: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Return what is handed on, in the open."""
        values = self._values(uses, carried or {})
        return {one.name: values[one.place] for one in self.kept}

    def _values(self, uses: Sequence[Sequence[int]], carried: Mapping[str, int]) -> list[int]:
        values = [one.amount.value_of(uses[one.register]) for one in self.metered]
        values += [carried[one.name] for one in self.carried]
        for step in self.steps:
            values.append(step.of(values))
        return values

    def range_of(
        self, metered: Sequence[Bounds], carried: Sequence[Bounds] | None = None
    ) -> Bounds:
        """Return what the number can be at least and at most, given bounds of the amounts.

        `carried` are tighter bounds of what is carried than its own, where they are known.
        """
        low, high = self.bounds(metered, carried)[-1]
        return self.rule.divide(low, self.divisor), self.rule.divide(high, self.divisor)

    def bounds(
        self, metered: Sequence[Bounds], carried: Sequence[Bounds] | None = None
    ) -> list[Bounds]:
        """Return what each value can be at least and at most, each step by itself."""
        known = [one.bounds for one in self.carried] if carried is None else list(carried)
        bounds = [*metered, *known]
        if len(bounds) != self.inputs or any(low > high for low, high in bounds):
            raise ValueError("not the bounds of each metered amount")
        for step in self.steps:
            bounds.append(step.bounds(bounds))
        return bounds

    def slopes(self, kept: Kept | None = None) -> tuple[Slopes, ...]:
        """Return, for each metered amount and carried value, how much the opened number changes.

        In units of the number for one of the amount, other than 0 the least and the most of all
        cases that smallest and largest values make. Of a rounding, the slope is that of the
        quotient. Where there are more cases than `MOST_CASES`, the least is `LEAST_SLOPE`.
        With `kept`, of that value in the place of the opened number.
        """
        cases = _Cases(self.inputs)
        for step in self.steps:
            cases.add(step)
        place, divisor = self._told(kept)
        return tuple(cases.of(place, by).extremes(divisor) for by in range(self.inputs))

    def _told(self, kept: Kept | None) -> tuple[int, int]:
        """Return which value is looked at, and by what it is divided."""
        if kept is None:
            return self.inputs + len(self.steps) - 1, self.divisor
        return kept.place, 1

    def jump(self, kept: Kept | None = None) -> Fraction:
        """Return by how much the opened number may change at most where a hidden quotient does.

        A quotient is a staircase: where it takes a step, a watt-hour may count for as much. Bounded
        from above, as if all cases held at once. With `kept`, of that value.
        """
        reach = self._reach(kept)
        jumps = [Fraction(0)]
        for here, step in enumerate(self.steps, start=self.inputs):
            if isinstance(step, Rounding):
                jumps.append(reach[here])
        for place, one in enumerate(self.metered):
            match one.amount:
                case Peaks(rate=(times, parts)) if (times, parts) != (1, 1):
                    jumps.append(reach[place])
                case Count():  # a watt-hour more may be what lifts a window above the limit
                    jumps.append(reach[place])
                case _:
                    pass
        return max(jumps)

    def reach(self, kept: Kept | None = None) -> tuple[Fraction, ...]:
        """Return, for each input, by how much the opened number may change with it at most.

        As if all ways on which it counts went in one direction: a sum of which a rounded part is
        taken away again has no slope, and tells of its input all the same. 0: it does not depend on
        that input. With `kept`, of that value.
        """
        return tuple(self._reach(kept)[: self.inputs])

    def _reach(self, kept: Kept | None) -> list[Fraction]:
        told, divisor = self._told(kept)
        reach = [Fraction(0)] * (self.inputs + len(self.steps))
        reach[told] = Fraction(1, divisor)
        for here in range(told, self.inputs - 1, -1):
            match self.steps[here - self.inputs]:
                case Combine(terms):
                    for place, factor in terms:
                        reach[place] += abs(factor) * reach[here]
                case Least(places) | Most(places):
                    for place in places:
                        reach[place] += reach[here]
                case Rounding(place, by):
                    reach[place] += reach[here] / by
        return reach

    def scenarios(self, kept: Kept | None = None) -> tuple[tuple[Fraction, ...], ...]:
        """Return by how much the opened number may change with each input, together.

        Inputs are metered amounts and what is carried. A scenario says which value each smallest
        and largest one is; its slopes, one for each input with its sign, hold together. Where there
        are too many to work out, the slopes of each input are told by `LEAST_SLOPE` and the most.
        Those that contradict themselves are left out (`protocols.amounts.scenarios`).
        With `kept`, of that value in the place of the opened number.
        """
        choices = [step.places for step in self.steps if isinstance(step, Least | Most)]
        if prod(map(len, choices)) * len(self.steps) > MOST_SCENARIO_STEPS:
            most = tuple(slope for _, slope in self.slopes(kept))
            return (LEAST_SLOPE,) * self.inputs, most
        place, divisor = self._told(kept)
        metered = (bounds_of(one.amount, ANY_USE) for one in self.metered)
        found = scenarios(self.steps, (*metered, *(one.bounds for one in self.carried)))
        inputs, none = range(self.inputs), Fraction(0)
        slopes = {tuple(values[place].slopes.get(by, none) for by in inputs) for values in found}
        return tuple(sorted(tuple(Fraction(one) / divisor for one in each) for each in slopes))


NumberAmount: TypeAlias = Total | Best | Reading
"""What a call about several registers may open; the two others are of its first register."""


def fits(numbers: Sequence[NumberAmount], slots: Sequence[int]) -> bool:
    """Tell whether numbers are of just so many registers, each with so many slots."""
    ends: dict[int, int] = {}
    for number in numbers:
        forms = number.forms if isinstance(number, Total) else [(0, one) for one in number.forms]
        for register, form in forms:
            ends[register] = max(ends.get(register, 0), form.end)
    return sorted(ends) == list(range(len(slots))) and all(
        ends[register] <= size for register, size in enumerate(slots)
    )


@dataclass(frozen=True, slots=True)
class _Slopes:
    """What a value's slope by one metered amount may be."""

    cases: frozenset[Fraction]
    is_coarse: bool = False
    """Whether it may be anything between the least and the greatest of the cases as well."""

    @classmethod
    def of(cls, cases: Iterable[Fraction], *, is_coarse: bool = False) -> "_Slopes":
        """Return the cases, or where there are too many, what lies between them."""
        known = frozenset(cases)
        if is_coarse or len(known) > MOST_CASES:
            return cls(frozenset((min(known), max(known))), is_coarse=True)
        return cls(known)

    def scaled(self, factor: Fraction) -> "_Slopes":
        """Return what a multiple's slope may be."""
        return _Slopes(frozenset(one * factor for one in self.cases), self.is_coarse)

    def plus(self, other: "_Slopes") -> "_Slopes":
        """Return what a sum's slope may be: whatever cases of both come together."""
        sums = [one + more for one in self.cases for more in other.cases]
        return _Slopes.of(sums, is_coarse=self.is_coarse or other.is_coarse)

    def either(self, other: "_Slopes") -> "_Slopes":
        """Return what the slope of one of both may be."""
        both = self.cases | other.cases
        return _Slopes.of(both, is_coarse=self.is_coarse or other.is_coarse)

    def extremes(self, divisor: int) -> Slopes:
        """Return the least absolute slope other than 0, and the most."""
        sizes = [abs(slope) / divisor for slope in self.cases if slope]
        if self.is_coarse and sizes:
            sizes.append(LEAST_SLOPE)
        return min(sizes, default=Fraction(0)), max(sizes, default=Fraction(0))


FLAT: Final = _Slopes(frozenset([Fraction(0)]))


class _Cases:
    """The slopes of each value by each input, of which one holds at a time."""

    def __init__(self, inputs: int) -> None:
        one = _Slopes(frozenset([Fraction(1)]))
        self._values: list[dict[int, _Slopes]] = [{number: one} for number in range(inputs)]
        self._effort = 0

    def add(self, step: TotalStep) -> None:
        """Work out the slopes of what a step makes."""
        match step:
            case Combine(terms):
                parts = [self._scaled(place, Fraction(factor)) for place, factor in terms]
                made = self._merged(parts, _Slopes.plus)
            case Least(places) | Most(places):
                parts = [self._values[place] for place in places]
                made = {
                    by: slopes if all(by in part for part in parts) else slopes.either(FLAT)
                    for by, slopes in self._merged(parts, _Slopes.either).items()
                }
            case Rounding(place, divisor):
                made = self._scaled(place, Fraction(1, divisor))
        self._values.append(made)

    def of(self, place: int, by: int) -> _Slopes:
        """Return the slopes of a value by one input."""
        return self._values[place].get(by, FLAT)

    def _scaled(self, place: int, factor: Fraction) -> dict[int, _Slopes]:
        cases = self._values[place]
        self._pay(sum(len(slopes.cases) for slopes in cases.values()))
        return {by: slopes.scaled(factor) for by, slopes in cases.items()}

    def _merged(
        self,
        parts: Sequence[dict[int, _Slopes]],
        merge: Callable[[_Slopes, _Slopes], _Slopes],
    ) -> dict[int, _Slopes]:
        """Return the slopes of all parts, merged where several depend on an amount."""
        merged: dict[int, _Slopes] = {}
        for part in parts:
            self._pay(len(part))
            for by, slopes in part.items():
                known = merged.get(by)
                if known is not None:
                    self._pay(len(known.cases) * len(slopes.cases))
                merged[by] = slopes if known is None else merge(known, slopes)
        return merged

    def _pay(self, effort: int) -> None:
        self._effort += effort
        if self._effort > MOST_EFFORT:
            raise AmountsMalformed("the steps have too many cases to work out")
