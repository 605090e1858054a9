# SPDX-License-Identifier: Apache-2.0
"""Liars about one sum: what `open_amounts` would send, written down by hand."""

from protocols.amounts import Sum, encode_amounts
from protocols.proofs import Source, StatementContext, Transcript, VectorCommitment
from protocols.proofs.group import encode_scalar


def forge_sum(
    context: StatementContext, source: Source, amount: Sum, value: int, blinding: int
) -> bytes:
    """Return the proof of a sum with whatever numbers one likes, rightly bound to its context."""
    assert not isinstance(source.commitment, VectorCommitment)
    weights = amount.form.spread(source.size)
    form = Transcript("linear form", 1)
    form.append_integers("weights", weights)
    transcript = context.transcript("opened amounts", 1)
    transcript.append("amounts", encode_amounts([amount]))
    transcript.append_text("forms", "amount 1")
    transcript.append("source", source.identity)
    transcript.append("form", form.digest())
    transcript.append_text("about", "amount 1")
    transcript.append_point("quantity", source.commitment.weighted_sum(weights))
    transcript.append_scalar("value", value)
    transcript.append_scalar("blinding", blinding)
    return encode_scalar(value) + encode_scalar(blinding) + transcript.digest()
