# SPDX-License-Identifier: Apache-2.0
"""Which commitments a statement is about: a commitment a day, or those to the slots.

Sums, blocks, and what is best or read of sums are proved over a commitment a day. Where slots are
compared, each needs a commitment of its own. Prover and verifier both ask here, so that neither
chooses.
"""

from collections.abc import Iterable

from protocols.amounts import Amount, Excess, Peaks, Sum


def needs_slots(amounts: Iterable[Amount]) -> bool:
    """Tell whether the amounts need a commitment to each slot."""
    return any(
        isinstance(amount, Peaks | Excess) or (isinstance(amount, Sum) and amount.by_slots)
        for amount in amounts
    )
