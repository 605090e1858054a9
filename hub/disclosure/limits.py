# SPDX-License-Identifier: Apache-2.0
"""Counts above limits: how many limits may be told, and how near each other.

A count says how many windows of a set used more than a limit. Ever other limits over the same
windows are a search by halves: after a few of them it is known how much the highest window used,
then the next, and where all windows are on one side of a limit, how much each one did. No rule can
see beforehand on which side they are. So what limits can tell is bounded, whatever was used:

    windows   each window of a count lasts as many minutes as the consent says (`rules`): whatever
              counts tell is told of windows as a whole, never of a slot
    apart     limits over the same windows, told to whomever, are 0 or at least `LEAST_APART_WH`
              apart, and none is lower than that: by counts no window's use is ever known more
              closely than within so many watt-hours
    few       no more limits are told about any one moment, to whomever, than the consent to the
              count that is asked for says: all counts together tell at most so many points of the
              windows' distribution, of log2(windows + 1) bits each

Windows of a set may change places and no count differs (`cells`), so which ones were above is told
by none. A total that is made of several counts has the limits of all of them.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from hub.disclosure.cells import Form
from hub.disclosure.numbers import Number
from hub.disclosure.rules import ReleaseRefused, depth, overlaps

LEAST_APART_WH: Final = 1_000
"""How far apart limits over the same windows are at least, and the lowest limit."""


def check_limits(asked: Sequence[Number], told: Sequence[Number], most: int) -> None:
    """Refuse counts with limits that are too low, too near those told to anybody, or too many."""
    fresh, before = _counts(asked), _counts(told)
    for form in fresh:
        if form.above < LEAST_APART_WH:
            raise ReleaseRefused(
                "limits", f"a limit of {form.above} Wh, none is below {LEAST_APART_WH} Wh"
            )
        for other in (*fresh, *before):
            apart = abs(form.above - other.above)
            if 0 < apart < LEAST_APART_WH and _share_slots(form, other):
                raise ReleaseRefused(
                    "limits",
                    f"limits of {form.above} and {other.above} Wh over the same time are {apart} Wh"
                    f" apart, at least {LEAST_APART_WH} Wh are needed",
                )
    every = dict.fromkeys((*before, *fresh))
    for register in {form.register for form in fresh}:
        spans = [(one.begin, one.end, 1) for one in every if one.register == register]
        for form in fresh:
            if form.register == register and depth((form.begin, form.end), spans) > most:
                raise ReleaseRefused(
                    "limits",
                    f"more than {most} counts above limits would be told about the same time, to"
                    " all recipients together",
                )


def _counts(numbers: Iterable[Number]) -> list[Form]:
    """Return the different counts that numbers are made of."""
    counts = (form for number in numbers for form in number.forms if form.is_count)
    return list(dict.fromkeys(counts))


def _share_slots(one: Form, other: Form) -> bool:
    if not overlaps(one, other):
        return False
    mine = {one.begin + place * one.slot_seconds for place, w in enumerate(one.weights) if w}
    return any(
        weight and other.begin + place * other.slot_seconds in mine
        for place, weight in enumerate(other.weights)
    )
