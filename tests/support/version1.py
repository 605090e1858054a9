# SPDX-License-Identifier: Apache-2.0
"""What version 0.1 made, which nothing of ours makes any more: openings of one sum by itself."""

from collections.abc import Sequence

from protocols.proofs import ORDER, SlotOpening, Source, StatementContext
from protocols.proofs.group import encode_scalar
from protocols.proofs.linear import linear_binding


def forge_linear(
    context: StatementContext, source: Source, weights: Sequence[int], value: int, opening: int
) -> bytes:
    """Return the opening of whatever numbers one likes, rightly bound."""
    binding = linear_binding(context, source, weights, value, opening)
    return value.to_bytes(8, "big", signed=True) + encode_scalar(opening) + binding


def open_linear(context: StatementContext, source: Source, weights: Sequence[int]) -> bytes:
    """Return the opening of the sum that the source's uses make."""
    known = source.opening
    assert isinstance(known, SlotOpening)
    value = sum(w * x for w, x in zip(weights, known.uses, strict=True))
    opening = sum(w * r for w, r in zip(weights, known.blindings, strict=True)) % ORDER
    return forge_linear(context, source, weights, value, opening)
