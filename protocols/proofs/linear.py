# SPDX-License-Identifier: Apache-2.0
"""A weighted sum of slots as version 1 opened it. Frozen: ledgers hold such openings.

A sum is an amount now (`protocols.proofs.amounts`). Nothing here makes an opening; it is verified
for as long as anybody keeps one. A package of version 0.1 on a hub of today answers in the same
form, with the parts of a proof of today: their binding is the digest at that proof's end.

Public:  commitments C[t] signed by the certifier; weights w[t]; the context; value.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   value = Σ w[t]·x[t], over the integers.
Proof:   opening = Σ w[t]·r[t]; anyone checks Σ w[t]·C[t] = value·H + opening·G.

The group only tells the value modulo its order n. The certifier signs no use above
`LARGEST_USE_WH`, the verifier bounds Σ |w[t]| times that, and the value, to far below n/2: no
multiple of n can be hidden in between. The binding is a digest of the whole statement.

Wire: value (8 bytes, two's complement) | opening (32) | binding (32), all big-endian.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from protocols.amounts import SlotForm, Sum
from protocols.proofs._checks import OpenCheck
from protocols.proofs.amounts import amounts_check
from protocols.proofs.batch import Check, verify_all
from protocols.proofs.context import StatementContext
from protocols.proofs.errors import Malformed, ProofRefused
from protocols.proofs.group import ORDER, SCALAR_SIZE, decode_scalar, encode_scalar
from protocols.proofs.quantity import LARGEST_USE_WH, LARGEST_VALUE, Source
from protocols.proofs.transcript import DIGEST_SIZE
from protocols.proofs.vector import VectorCommitment

OPENING_SIZE: Final = 8 + SCALAR_SIZE + DIGEST_SIZE


def linear_check(
    context: StatementContext, source: Source, weights: Sequence[int], data: bytes
) -> tuple[int, Check]:
    """Return the value that `data` opens and what remains to be checked, for `verify_all`.

    One weight for each slot of the source, in order. Raises `Malformed` or `ProofRefused` where an
    opening cannot be right.
    """
    if len(data) != OPENING_SIZE:
        raise Malformed(f"an opening has {OPENING_SIZE} bytes, not {len(data)}")
    value = int.from_bytes(data[:8], "big", signed=True)
    opening, binding = decode_scalar(data[8:40]), data[40:]
    if abs(value) > LARGEST_VALUE:
        raise Malformed("the value is beyond 63 bits")
    if isinstance(source.commitment, VectorCommitment):
        raise ProofRefused("such a sum is of days that are committed to slot by slot")
    if len(weights) != source.size:
        raise ProofRefused(f"{len(weights)} weights for {source.size} commitments")
    # Over the integers the sum is at most this; modulo n it means the same below n/2.
    if sum(map(abs, weights)) * LARGEST_USE_WH >= ORDER // 2:
        raise ProofRefused("the weights are so large that the sum could wrap around the order")
    bound = linear_binding(context, source, weights, value, opening)
    if not hmac.compare_digest(bound, binding):
        amount = Sum(SlotForm.of_each(weights), by_slots=True)
        proof = encode_scalar(value) + data[8:]
        (value,), check = amounts_check(context, source, [amount], proof, "the sum")
        return value, check
    point = source.commitment.weighted_sum(weights)
    return value, OpenCheck("the value against the commitments", bound, point, value, opening)


def verify_linear(
    context: StatementContext, source: Source, weights: Sequence[int], data: bytes
) -> int:
    """Return the value that `data` opens, checked; raise as `linear_check`, and `ProofRefused`."""
    value, check = linear_check(context, source, weights, data)
    verify_all([check])
    return value


def linear_binding(
    context: StatementContext, source: Source, weights: Sequence[int], value: int, opening: int
) -> bytes:
    """Return the digest that ties value and opening to the statement."""
    transcript = context.transcript("linear opening", 1)
    transcript.append("days", source.identity)
    transcript.append_integers("weights", weights)
    transcript.append_integer("value", value)
    transcript.append_scalar("opening", opening)
    return transcript.digest()
