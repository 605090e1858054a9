# SPDX-License-Identifier: Apache-2.0
"""What can be worked out from weighted sums, at the very most.

A release tells Σ w[t]·x[t] over a period. Call two slots alike if every release so far gives
them the same weight (0 outside its period). Alike slots never occur but summed up: whatever a
recipient, or all of them together, compute from the releases, exactly or by unpacking a large
number into its digits, is a function of the sums over the classes of alike slots. So the classes
bound what is known, however cleverly the weights were chosen: at most one degree of freedom
each, and nothing finer than the smallest class.

The bound is safe, not tight: a bill at three prices tells one number and is counted as three.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Form", "Knowledge", "alike_slots", "answer_bits", "knowledge_of"]

LARGEST_USE_WH = (1 << 17) - 1
"""The most a slot can use: 524 kW for a quarter of an hour. Only sizes answers."""


@dataclass(frozen=True, slots=True)
class Form:
    """The public weights of one released sum, slot by slot."""

    begin: int
    """The start of the first slot, epoch seconds."""
    slot_seconds: int
    weights: tuple[int, ...]

    @property
    def end(self) -> int:
        """The end of the last slot."""
        return self.begin + self.slot_seconds * len(self.weights)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """An upper bound on what a set of releases tells about the slots they touch."""

    slots: int
    """Slots that have a weight other than 0 in some release."""
    degrees_of_freedom: int
    """At most so many independent numbers about them."""
    least_seconds: int
    """Nothing finer than the sum over so many seconds of slots."""
    bits: int
    """Bits in all the answers."""
    exposed_slots: int
    """Slots whose own use could be worked out."""


def answer_bits(weights: Sequence[int]) -> int:
    """Return the bits that Σ w·x can need while no slot uses more than `LARGEST_USE_WH`."""
    highest = sum(w for w in weights if w > 0) * LARGEST_USE_WH
    lowest = -sum(w for w in weights if w < 0) * LARGEST_USE_WH
    return (highest + lowest).bit_length()


def alike_slots(forms: Sequence[Form]) -> Counter[tuple[int, ...]]:
    """Return the classes of alike slots: their weights in each form, and how many slots.

    The class of slots that no form weighs is left out: nothing is known of it. The forms have
    one grid.
    """
    rows: dict[int, list[int]] = {}
    for place, form in enumerate(forms):
        for number, weight in enumerate(form.weights):
            if weight:
                moment = form.begin + number * form.slot_seconds
                rows.setdefault(moment, [0] * len(forms))[place] = weight
    return Counter(tuple(row) for row in rows.values())


def knowledge_of(forms: Sequence[Form]) -> Knowledge:
    """Return the bound for the releases of these forms; all of one grid."""
    if not forms:
        return Knowledge(0, 0, 0, 0, 0)
    classes = alike_slots(forms)
    return Knowledge(
        slots=classes.total(),
        degrees_of_freedom=len(classes),
        least_seconds=min(classes.values(), default=0) * forms[0].slot_seconds,
        bits=sum(answer_bits(form.weights) for form in forms),
        exposed_slots=list(classes.values()).count(1),
    )
