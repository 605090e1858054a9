# SPDX-License-Identifier: Apache-2.0
"""The call that packages of version 0.1 make: one sum by itself. Frozen: hubs hold such packages.

It asks for one amount over the commitments to slots, and takes the proof apart into what their
answers have places for. The recipient puts it together again (`protocols.proofs.linear`).
"""

import struct
from collections.abc import Sequence
from itertools import groupby
from types import SimpleNamespace

from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Statements


def open_linear(
    statements: Statements,
    register: str,
    begin: int,
    end: int,
    weights: Sequence[int],
    context: bytes,
) -> SimpleNamespace:
    """Open Σ weight·use over the slots that start in [begin, end); a weight for each."""
    runs, slot = list[int](), 0
    for weight, alike in groupby(weights):
        count = len(list(alike))
        runs += (slot, count, weight) if weight else ()
        slot += count
    try:
        amounts = struct.pack(f"<{3 + len(runs)}q", 1, -1, len(runs) // 3, *runs)
    except struct.error:
        raise Refused(Refusal.MALFORMED, "not all are 64-bit integers") from None
    opened = statements.open_amounts(register, begin, end, amounts, context)
    (value,), opening, digest = opened.values, opened.proof[32:64], opened.proof[64:]
    days = opened.certified_days
    return SimpleNamespace(value=value, opening=opening, digest=digest, certified_days=days)
