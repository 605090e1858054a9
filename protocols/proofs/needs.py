# SPDX-License-Identifier: Apache-2.0
"""Which commitments a statement is about: a commitment a day, or those to the slots.

Sums, blocks, and what is best or read of sums are proved over a commitment a day. Where slots are
compared, each needs a commitment of its own. Prover and verifier both ask here, so that neither
chooses.
"""

from collections.abc import Iterable, Sequence

from protocols.amounts import Amount, Count, Excess, NumberAmount, Peaks, Sum, Total


def needs_slots(amounts: Iterable[Amount]) -> bool:
    """Tell whether the amounts of one register need a commitment to each slot."""
    return any(
        isinstance(amount, Peaks | Excess | Count) or (isinstance(amount, Sum) and amount.by_slots)
        for amount in amounts
    )


def registers_by_slots(numbers: Sequence[NumberAmount], registers: int) -> tuple[bool, ...]:
    """Tell for each register whether the numbers need a commitment to each of its slots."""
    metered = [part for one in numbers if isinstance(one, Total) for part in one.metered]
    return tuple(
        needs_slots(part.amount for part in metered if part.register == register)
        for register in range(registers)
    )
