# SPDX-License-Identifier: Apache-2.0
"""What can be worked out from what was told, at the very most.

Everything that anybody can compute from some numbers is a function of the weighted totals of their
bundles (`hub.disclosure.cells`). So three figures say it all: how many numbers were told and with
how many bits, over how many minutes of slots the smallest bundle goes, and which slots were opened
by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.disclosure.cells import refine
from hub.disclosure.requests import Number


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
    """Nothing finer than one weighted total over so many seconds of slots can be known."""
    exposed_slots: int
    """Slots that are known by themselves, or could be worked out."""
    bits: int
    """Bits in all the numbers."""
    peaks: int = 0
    """Numbers that a peak is part of."""


def knowledge_of(numbers: Sequence[Number]) -> Knowledge:
    """Return what telling these numbers tells; all of one grid. The same number counts once."""
    different = {number.identity: number for number in numbers}.values()
    sums = [number.forms for number in different]
    refinement = refine(sums)
    seconds = refinement.slot_seconds
    sampled = {
        (form.register, form.sampled)
        for number in different
        for form in number.forms
        if form.is_sample
    }
    sizes = [bundle.slots for bundle in refinement.bundles]
    return Knowledge(
        slots=sum(sizes) + len(sampled),
        numbers=len(different),
        shortest_window=refinement.shortest_closed_stretch(),
        bundles=len(sizes),
        least_seconds=min(sizes, default=0) * seconds,
        exposed_slots=sizes.count(1) + len(sampled),
        bits=sum(number.bits for number in different),
        peaks=sum(any(form.is_peak for form in number.forms) for number in different),
    )
