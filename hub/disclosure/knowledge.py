# SPDX-License-Identifier: Apache-2.0
"""What can be worked out from what was told, at the very most.

Everything that anybody can compute from some numbers is a function of the weighted totals of their
bundles (`hub.disclosure.cells`). So three figures say it all: how many numbers were told and with
how many bits, over how many minutes of slots the smallest bundle goes, and which slots were opened
by themselves. Whoever was opened slots, by samples or an export, knows of the numbers what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.disclosure.cells import Refinement, refine
from hub.disclosure.numbers import Number
from hub.disclosure.opened import Opening, relative, sums_may_tell


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a set of releases tells about the slots of their periods."""

    slots: int
    """Slots that some number weighs, or that were opened."""
    numbers: int
    """Different numbers told, samples included."""
    shortest_window: tuple[int, int] | None
    """Begin and end of the shortest stretch whose total could be worked out; None: none could."""
    bundles: int
    """Bundles of slots: no more totals than these can be known by any means."""
    least_seconds: int
    """Nothing finer can be known than one weighted total over so many seconds of slots: of a
    bundle, or of a cell where a number that weighs it was not told in coins."""
    exposed_slots: int
    """Slots that are known by themselves, or could be worked out."""
    bits: int
    """Bits in all the numbers."""
    peaks: int = 0
    """Numbers that a peak is part of."""
    counts: int = 0
    """Numbers that a count above a limit is part of."""


def knowledge_of(numbers: Sequence[Number], opened: Sequence[Opening] = ()) -> Knowledge:
    """Return what telling these numbers tells; all of one grid. The same number counts once.

    `opened` are the slots that were handed over besides, as exports; samples are opened, too.
    """
    different = list({number.identity: number for number in numbers}.values())
    sampled = {
        (form.register, form.sampled): form
        for number in different
        for form in number.forms
        if form.sampled is not None
    }
    openings = [
        Opening(
            start,
            start + form.slot_seconds,
            form.slot_seconds,
            register,
            tuple(form.revisions().items()),
        )
        for (register, start), form in sampled.items()
        if start is not None
    ]
    every = [*opened, *openings]
    refinement = _refined(different, every, sums_tell_windows=False)
    sizes = [bundle.slots for bundle in refinement.bundles]
    ways = [refinement]
    if any(sums_may_tell(form, every) for one in different for form in one.forms):
        ways.append(_refined(different, every, sums_tell_windows=True))
    finest = [
        # Of an exact number digits may tell the cells apart: it promises no more than a cell.
        way.slot_seconds * (bundle.slots if all(different[place].spread for place in bundle.numbers)
        else bundle.shortest_cell)
        for way in ways
        for bundle in way.bundles
    ]  # fmt: skip
    told = [number for number in different if not number.is_recalled]
    exposed = max([bundle.slots for bundle in way.bundles].count(1) for way in ways)
    return Knowledge(
        slots=sum(sizes) + len(sampled),
        numbers=len(told),
        shortest_window=refinement.shortest_closed_stretch(),
        bundles=len(sizes),
        least_seconds=min(finest, default=0),
        exposed_slots=exposed + len(sampled),
        bits=sum(number.bits for number in told),
        peaks=sum(
            any(form.is_peak and not form.is_count for form in number.forms) for number in told
        ),
        counts=sum(any(form.is_count for form in number.forms) for number in told),
    )


def _refined(
    numbers: Sequence[Number], opened: Sequence[Opening], *, sums_tell_windows: bool
) -> Refinement:
    forms = [
        [relative(form, opened, sums_tell_windows=sums_tell_windows) for form in one.forms]
        for one in numbers
    ]
    return refine(forms, [one.covers if one.spread else () for one in numbers])
