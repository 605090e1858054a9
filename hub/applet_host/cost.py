# SPDX-License-Identifier: Apache-2.0
"""What the hub's work for an applet takes, known before any of it is done.

All of it follows from public numbers: how long a description is, of how many slots, forms, runs and
comparisons, how many days, how much is on record already. So what a question costs is the same on
every hub, and tells nothing of readings. A second's worth is `limits.SECOND_FUEL`; the factors are
measured, rounded up (benchmarks/bench_cost.py compares them with what the work takes).

    describe   decode the description, build its forms       charged to the call
    check      the release guard, with all that is on record  charged to the call
    prove      open the days, prove                           charged to the call, or where it is
                                                              long, to the applet's minute (`jobs`)

A question that exceeds a ceiling, in work or memory, is refused (TOO_MUCH) before it is worked on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hub.machine.limits import MILLISECOND_FUEL, SECOND_FUEL
from protocols.amounts import (
    Amount,
    Combine,
    Count,
    Least,
    Most,
    NumberAmount,
    Peaks,
    Reading,
    Rounding,
    Total,
    TotalStep,
)
from protocols.platform.errors import Refusal, Refused
from protocols.proofs import needs_slots, registers_by_slots

FOREGROUND_FUEL: Final = SECOND_FUEL // 2
"""A proof that takes more is made in the background."""
MOST_PROOF_FUEL: Final = 30 * SECOND_FUEL
"""No proof takes more, whatever the manifest says."""
MOST_MEMORY: Final = 80 << 20
"""Bytes that the forms of one question may fill while they are checked and proved."""

_MICROSECOND: Final = MILLISECOND_FUEL // 1_000
DAY_FUEL: Final = MILLISECOND_FUEL
"""A certified day, opened and decoded."""
SLOT_FUEL: Final = 21 * _MICROSECOND
"""The commitment to a slot, made again to go along with its day: 2 ms a day of quarter-hours."""
RESTATED_FUEL: Final = 8 * MILLISECOND_FUEL
"""A certified day of version 1, stated again in version 2."""
FOUND_FUEL: Final = MILLISECOND_FUEL // 2
"""To find an answer, or a refusal, that was given before."""
ROUNDING_FUEL: Final = 8 * MILLISECOND_FUEL
CHOICE_FUEL: Final = 20 * MILLISECOND_FUEL
_INTEGER: Final = _MICROSECOND
"""One of a description's integers: decoded twice, and packed again for the proof."""
_CELL: Final = 3 * _MICROSECOND // 10
"""A slot's weight in a form, spread out, checked and proved."""
UNATTRIBUTED_FUEL: Final = 20 * MILLISECOND_FUEL
"""Showing that the energy in no slot is within a limit: one range of 32 bits."""
_CHECK: Final = 2 * MILLISECOND_FUEL
_CHECK_ENTRY: Final = MILLISECOND_FUEL // 2
"""A release on record that the new one is held against."""
_BASE: Final = 3 * MILLISECOND_FUEL
_FORM: Final = 6 * MILLISECOND_FUEL // 10
_RUN: Final = 5 * _MICROSECOND
"""A point multiplied by a weight of its own, where sums are over points of slots."""
_VECTOR_RUN: Final = _MICROSECOND
"""The same over a commitment a day: a number multiplied."""
_FEW: Final = 4
_FEW_COMPARISONS: Final = 16 * MILLISECOND_FUEL
"""Each of the first `_FEW` comparisons of an amount, which share little."""
_VECTOR_SLOT: Final = 60 * _MICROSECOND
"""A slot of a register whose sums are proved over a commitment a day, one proof for all sums. It
folds them in two again and again: as many slots as the next power of two."""
_COMPARISON: Final = 7 * MILLISECOND_FUEL // 2
_WINDOW: Final = 5 * MILLISECOND_FUEL // 4
"""A comparison of a maximum."""
_CELL_BYTES: Final = 40
_BASE_BYTES: Final = 16 << 20
_COMPARISON_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class WorkCost:
    """What a question takes, in fuel and, at its peak, in bytes."""

    describe: int
    check: int
    prove: int
    memory: int

    def require_possible(self, most: int) -> None:
        """Return if the work may be done at all; raise `Refused` (TOO_MUCH) otherwise.

        `most` is what the manifest allows the applet in a minute.
        """
        if self.memory > MOST_MEMORY or self.prove > min(most, MOST_PROOF_FUEL):
            raise Refused(Refusal.TOO_MUCH, "more work, or memory, than one question may take")

    @property
    def is_long(self) -> bool:
        """Whether the proof is to be made in the background."""
        return self.prove > FOREGROUND_FUEL


def cost_of_amounts(
    amounts: Sequence[Amount], size: int, slots: int, days: int, releases: int
) -> WorkCost:
    """Return the cost of amounts of one register that `size` bytes describe, over so many slots.

    `days` are the register's; `releases` are on record.
    """
    return _cost(amounts, size, slots, days, releases, [needs_slots(amounts)])


def _cost(
    amounts: Sequence[Amount],
    size: int,
    slots: int,
    days: int,
    releases: int,
    by_slots: Sequence[bool],
    further: int = 0,
) -> WorkCost:
    """Return the cost; `days` are those of each register, `by_slots` says how these are proved.

    `further` is the fuel of what is proved of the amounts beside: `ROUNDING_FUEL` a quotient,
    `CHOICE_FUEL` for each value but one of those of which the smallest or largest counts.
    """
    forms = [form for amount in amounts for form in amount.forms]
    cells = slots * sum(map(_spread_out, amounts))
    runs = sum(len(form.runs) for form in forms)
    describe = size // 8 * _INTEGER + cells * _CELL
    describe += slots * sum(by_slots) * SLOT_FUEL  # each time that it is answered
    check = _CHECK + releases * _CHECK_ENTRY
    prove = _BASE + days * len(by_slots) * DAY_FUEL + further
    prove += runs * (_RUN if any(by_slots) else _VECTOR_RUN)
    folded = 1 << (slots - 1).bit_length()
    prove += by_slots.count(False) * folded * _VECTOR_SLOT
    prove += sum(_proving(amount, slots) for amount in amounts)
    comparisons = sum(amount.comparisons for amount in amounts)
    memory = _BASE_BYTES + cells * _CELL_BYTES + comparisons * _COMPARISON_BYTES
    return WorkCost(describe, check, prove, memory)


def cost_of_numbers(
    numbers: Sequence[NumberAmount],
    size: int,
    slots: int,
    days: int,
    releases: int,
    registers: int = 1,
) -> WorkCost:
    """Return the cost of numbers of so many registers; `days` and `slots` are those of each."""
    amounts: list[Amount] = []
    further = 0
    for number in numbers:
        if not isinstance(number, Total):
            amounts.append(number)
            continue
        amounts += (one.amount for one in number.metered)
        further += ROUNDING_FUEL + sum(map(_step_fuel, number.steps))
        further += sum(not number.hands_on(one) for one in number.kept) * ROUNDING_FUEL
    by_slots = registers_by_slots(numbers, registers)
    return _cost(amounts, size, slots, days, releases, by_slots, further)


def _step_fuel(step: TotalStep) -> int:
    match step:
        case Combine():
            return 0
        case Rounding():
            return ROUNDING_FUEL
        case Least(places) | Most(places):
            return (len(places) - 1) * CHOICE_FUEL


def _spread_out(amount: Amount) -> int:
    """Return how many forms are spread out over all slots: of windows, one a group."""
    match amount:
        case Peaks(groups):
            return len(groups)
        case Count():
            return 1
        case _:
            return len(amount.forms)


def _proving(amount: Amount, slots: int) -> int:
    """Return what an amount takes beside the runs of its forms."""
    if isinstance(amount, Reading):
        return _FORM
    forms = (1 + len(amount.forms)) * _FORM + _spread_out(amount) * slots * _CELL
    count = amount.comparisons
    first = min(count, _FEW) * _FEW_COMPARISONS
    return forms + first + count * (_WINDOW if isinstance(amount, Peaks) else _COMPARISON)


def cost_of_days(days: int) -> int:
    """Return the fuel that looking at so many certified days takes."""
    return MILLISECOND_FUEL + days * DAY_FUEL


def cost_of_memory(cells: int) -> int:
    """Return the fuel that going on from values takes whose forms have so many slots.

    They are opened, held against what is on record, written to it, and sealed again.
    """
    return MILLISECOND_FUEL + cells * 4 * _CELL


def cost_of_round(size: int) -> int:
    """Return the fuel that a step of a round takes whose announcement has `size` bytes."""
    return 5 * MILLISECOND_FUEL + size * 3 * _MICROSECOND


def cost_of_contribution(values: int, key_bits: int) -> int:
    """Return the fuel that encrypting so many values takes under a Paillier key."""
    width = -(-key_bits // 2048)
    return (50 + values // 5) * MILLISECOND_FUEL * width * width
