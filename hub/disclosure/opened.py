# SPDX-License-Identifier: Apache-2.0
"""Slots that somebody was opened, by samples and exports: what a form tells of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from hub.disclosure.cells import Form, Slot
from hub.disclosure.revised import revised_of

_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Opening:
    """The use of a stretch of a register, opened in small sums: a sample, or an export."""

    begin: int
    end: int
    seconds: int
    """How long each of the small sums is."""
    register: str = ""
    revised: tuple[Slot, ...] = ()
    """Slots that had been corrected when they were opened."""

    def __contains__(self, start: int) -> bool:
        return self.begin <= start < self.end


def relative(form: Form, opened: Sequence[Opening], *, sums_tell_windows: bool = False) -> Form:
    """Return a form as it weighs what is not known from openings.

    To somebody who was opened some slots, a number tells of the others alone. With the sum of a few
    slots known, what it tells of them is how it weighs each against the first one. Slots that were
    corrected since they were opened are not known.

    Of windows and of limits such a sum says something, and not all. A sum within a window says what
    the rest of it used, a low one that no slot was above a limit; how high single slots went it
    does not say. So there are two ways to look at it, and a guard has to look in both: as if the
    sums said nothing, or (`sums_tell_windows`) as if all slots in them were known.
    """
    step = form.slot_seconds
    weights: list[int] | None = None
    known_places, revisions = set(form.known), form.revisions()
    for one in opened:
        if one.register != form.register or not (one.begin < form.end and form.begin < one.end):
            continue
        if not form.is_sum and one.seconds > step and not sums_tell_windows:
            continue
        weights = list(form.weights) if weights is None else weights
        stale = _differing(revisions, dict(one.revised))
        for begin in range(one.begin, one.end, one.seconds):
            end = min(begin + one.seconds, one.end)  # a day that has an hour less
            first = max(0, (begin - form.begin) // step)
            last = min(len(weights), (end - form.begin) // step)
            if first < last and not any(begin <= start < end for start in stale):
                # Periods are whole days, as exports are; a sum that reaches beyond is not used.
                is_whole = form.begin <= begin and end <= form.end
                known = weights[first] if form.is_sum and is_whole else 0
                weights[first:last] = [
                    weight - known if form.is_sum else 0 for weight in weights[first:last]
                ]
                known_places.update(range(first, last))
    if weights is None:
        return form
    places = sorted(place for place in known_places if not weights[place])
    return replace(form, weights=tuple(weights), known=tuple(places))


def sums_may_tell(form: Form, opened: Sequence[Opening]) -> bool:
    """Tell whether it makes a difference in which of the two ways `relative` looks at a form."""
    return not form.is_sum and any(
        one.register == form.register
        and one.begin < form.end
        and form.begin < one.end
        and one.seconds > form.slot_seconds
        for one in opened
    )


def _differing(one: Mapping[int, int], other: Mapping[int, int]) -> set[int]:
    return {start for start in one.keys() | other.keys() if one.get(start) != other.get(start)}


@dataclass(frozen=True, slots=True)
class OpenedSlots:
    """Slots that a recipient was opened, and how finely the consent allowed it."""

    opening: Opening
    recipient: str
    least_minutes: int

    @classmethod
    def of_sample(cls, form: Form, recipient: str, least_minutes: int) -> Self:
        """Return the slot that a sample opens."""
        start = form.sampled
        assert start is not None
        end, revised = start + form.slot_seconds, tuple(form.revisions().items())
        opening = Opening(start, end, form.slot_seconds, form.register, revised)
        return cls(opening, recipient, least_minutes)

    @classmethod
    def of_export(cls, facts: Mapping[str, Any]) -> Self:
        """Return the slots that an export opens, by what the log says of it."""
        minutes, register = facts["resolution_minutes"], facts.get("register", "")
        opening = Opening(
            facts["begin"], facts["end"], _MINUTE * minutes, register, revised_of(facts)
        )
        return cls(opening, facts["recipient"], minutes)
