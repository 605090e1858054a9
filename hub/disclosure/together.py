# SPDX-License-Identifier: Apache-2.0
"""What is asked for, held against all that was told, for every set of recipients.

    fineness   nothing finer than one weighted total over as many minutes of slots as the consents
               say can be worked out, by any means, of all numbers that a set of recipients was told
    window     nor the total of fewer days in a row

A set whose finest consent about a stretch of time says m minutes was told nothing about it under
finer ones. What one of them was opened, single slots by samples and exports, frees nothing for
another: the rules hold with what was opened to any of them, and with nothing opened.

Nothing here reads a log or a clock: what was told is handed in (`hub.disclosure.guard`).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Final

from hub.disclosure.cells import Form, Refinement, refine
from hub.disclosure.numbers import Number, ReleasedNumber
from hub.disclosure.opened import OpenedSlots, Opening, relative, sums_may_tell
from hub.disclosure.rules import (
    MOST_OPENERS,
    ReleaseRefused,
    check_alignment,
    check_fineness,
    check_stretches,
    check_windows,
    entangled,
)
from protocols.amounts import Reading

_MINUTE: Final = 60


def check_together(
    fresh: Sequence[Number],
    fresh_openings: Sequence[OpenedSlots],
    told: Sequence[ReleasedNumber],
    opened: Sequence[OpenedSlots],
) -> None:
    """Hold what is asked for against all that was told, for every set of recipients.

    A set whose finest consent about a stretch of time says m minutes was told nothing about it
    under finer ones. So for each stretch between the edges of periods, and each m that consents
    about it say, all numbers are looked at but the finer ones that are about this stretch: of
    these, a bundle with slots in the stretch covers m minutes.
    """
    spans = [*fresh, *(_span_of(one.opening) for one in fresh_openings)]
    sums = [one for one in told if one.number.kind != Reading.kind]
    near = [sums[place] for place in entangled(spans, [one.number for one in sums])]
    # A number that was told twice is one number, held to the coarser of its consents.
    numbers: dict[bytes, tuple[Number, str]] = {}
    sourced = [(one.number, one.source) for one in near] + [(number, "") for number in fresh]
    for number, source in sourced:
        known = numbers.get(number.identity)
        if known is None or known[0].least_minutes < number.least_minutes:
            numbers[number.identity] = number, source
    if not numbers:
        return
    every = [*opened, *fresh_openings]
    touched = [
        one for one in every if any(_touches(one.opening, number) for number, _ in numbers.values())
    ]
    asked = None if fresh_openings else {number.identity for number in fresh}
    together = _Together(list(numbers.values()), touched, asked)
    for register, begin, end in together.stretches(spans):
        together.check(register, begin, end)


class _Together:
    """Numbers that bear on each other, and the slots that recipients were opened."""

    def __init__(
        self,
        numbers: Sequence[tuple[Number, str]],
        opened: Sequence[OpenedSlots],
        asked: Collection[bytes] | None,
    ) -> None:
        """Take numbers with their sources; `asked` names those that are asked for, None: all."""
        self._asked = asked
        self._numbers = [number for number, _ in numbers]
        self._sources = [source for _, source in numbers]
        self._step = self._numbers[0].forms[0].slot_seconds
        recipients = sorted({one.recipient for one in opened})
        if len(recipients) > MOST_OPENERS:
            raise ReleaseRefused(
                "fineness", f"{len(recipients)} recipients hold single readings of the same time"
            )
        self._openings = [
            [one.opening for one in opened if one.recipient in some]
            for size in range(len(recipients) + 1)
            for some in combinations(recipients, size)
        ]
        self._refined: dict[frozenset[int], list[tuple[list[Number], list[str], Refinement]]] = {}

    def stretches(self, spans: Sequence[Number]) -> Iterator[tuple[str, int, int]]:
        """Yield the stretches that numbers about some spans reach into, by register."""
        for register in sorted({register for one in self._numbers for register in one.registers}):
            own = [one for one in self._numbers if register in one.registers]
            reached = [one for one in own if any(_meets(one, span) for span in spans)]
            edges = sorted({edge for one in own for edge in (one.begin, one.end)})
            for begin, end in pairwise(edges):
                if any(one.begin <= begin and end <= one.end for one in reached):
                    yield register, begin, end

    def check(self, register: str, begin: int, end: int) -> None:
        """Hold a stretch to the minutes and days of the consents about it."""
        about = {
            place: number
            for place, number in enumerate(self._numbers)
            if register in number.registers and number.begin <= begin and end <= number.end
        }
        near = register, begin, end
        for minutes in sorted({number.least_minutes for number in about.values()}):
            if minutes * _MINUTE <= self._step:
                continue  # as fine as a slot: nothing is mixed, and bits are what counts
            coarse = {n for n, one in about.items() if one.least_minutes >= minutes}
            for days in sorted({about[place].least_days for place in coarse}):
                kept = {place for place in coarse if about[place].least_days >= days}
                left_out = about.keys() - kept
                for numbers, sources, refinement in self._seen(left_out):
                    before = self._before(numbers)
                    asked = self._asked_spreads(numbers)
                    check_fineness(refinement, numbers, minutes, sources, near, before, asked)
                    check_stretches(refinement, days, near, before, numbers)
                    for number, source in zip(numbers, sources, strict=True):
                        if self._is_asked(number) and number.begin <= begin < number.end:
                            check_windows(number, minutes, source)

    def _is_asked(self, number: Number) -> bool:
        return self._asked is None or number.identity in self._asked

    def _asked_spreads(self, numbers: Sequence[Number]) -> dict[int, int]:
        """Return the spreads of the numbers that are asked for, by place, as they are told."""
        spreads = {one.identity: one.spread for one in self._numbers if self._is_asked(one)}
        return {
            place: spreads[number.identity]
            for place, number in enumerate(numbers)
            if number.identity in spreads
        }

    def _before(self, numbers: Sequence[Number]) -> Refinement | None:
        """Return what was made of the numbers before: that of release 0.1 is as it is."""
        if self._asked is None or all(number.spread for number in numbers):
            return None
        return _refined([one for one in numbers if not self._is_asked(one)])

    def _seen(self, left_out: Collection[int]) -> list[tuple[list[Number], list[str], Refinement]]:
        """Return all numbers but some as they look to each set of who was opened slots."""
        key = frozenset(left_out)
        if key not in self._refined:
            kept = [place for place in range(len(self._numbers)) if place not in key]
            sources = [self._sources[place] for place in kept]
            self._refined[key] = found = []
            for known in self._openings:
                numbers = [self._numbers[place] for place in kept]
                for seen in _relative_numbers(numbers, known):
                    check_alignment(seen)
                    found.append((seen, sources, _refined(seen)))
        return self._refined[key]


def _refined(numbers: Sequence[Number]) -> Refinement:
    covers = [one.covers if one.spread else () for one in numbers]
    return refine([one.forms for one in numbers], covers)


def _relative_numbers(
    numbers: Sequence[Number], known: Sequence[Opening]
) -> Iterator[list[Number]]:
    """Yield numbers as they look to somebody who was opened some slots, in all ways there are."""
    if not known:
        yield list(numbers)
        return
    yield [_relative_number(one, known) for one in numbers]
    if any(sums_may_tell(form, known) for one in numbers for form in one.forms):
        # Hours that are known say what is left of a window: less than the window.
        yield [_relative_number(one, known, sums_tell_windows=True) for one in numbers]


def _relative_number(
    number: Number, known: Sequence[Opening], *, sums_tell_windows: bool = False
) -> Number:
    """Return a number as it looks to somebody who was opened some slots."""
    forms = tuple(
        relative(form, known, sums_tell_windows=sums_tell_windows) for form in number.forms
    )
    if forms == number.forms:
        return number
    step = forms[0].slot_seconds
    if all(one.seconds == step for one in known):
        return replace(number, forms=forms)
    # Of a sum that is known its slots' prices differ by less: how far, the number does not say.
    return replace(number, forms=forms, covers=(), spread=0)


def _meets(one: Number, other: Number) -> bool:
    return bool(one.registers & other.registers) and one.begin < other.end and other.begin < one.end


def _span_of(opening: Opening) -> Number:
    """Return a number about the time of an opening, to look for others about it."""
    slots = (opening.end - opening.begin) // opening.seconds
    form = Form(opening.begin, opening.seconds, (1,) * slots, register=opening.register)
    return Number(Reading.kind, (form,), 1, identity=b"span")


def _touches(opening: Opening, number: Number) -> bool:
    return (
        opening.register in number.registers
        and opening.begin < number.end
        and number.begin < opening.end
    )
