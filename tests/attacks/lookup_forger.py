# SPDX-License-Identifier: Apache-2.0
"""A prover that looks up what it is told to, in the table or not, and is honest otherwise.

Told the truth it is believed, which shows that a lie is what is refused.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from protocols.proofs import ORDER
from protocols.proofs.channel import Outgoing
from protocols.proofs.folding import multiply_each
from protocols.proofs.group import Point, multiply_generator
from protocols.proofs.lookup import Drawn, LookupSums, inverses_of_table
from protocols.proofs.products import Masks, product_generators, send_products

Vectors: TypeAlias = tuple[list[int], list[int]]
Later: TypeAlias = Callable[[Vectors, int], Vectors]
"""From what A_1 commits to, and λ, to what A_2 has beside each q."""


def no_more(first: Vectors, _lookup: int) -> Vectors:
    return [0] * len(first[0]), [0] * len(first[1])


def forge_lookups(
    channel: Outgoing,
    digit_bits: int,
    numbers: tuple[Sequence[int], Sequence[int], Sequence[int]],
    weigh: Callable[[Drawn], tuple[LookupSums, int]],
    counts: Sequence[int] | None = None,
    later: Later = no_more,
) -> None:
    """Send the proof for digits, pairs and counts as they are told: by default the true counts."""
    digits, over, under = numbers
    table, far, dice = 1 << digit_bits, len(digits), random.Random(7)
    if counts is None:
        counts = [[*digits].count(k) for k in range(table)]
    left, right = [*digits, *over, *counts], [*([0] * far), *under, *([0] * table)]
    size = len(left)
    masks = Masks.of([dice.randrange(1, ORDER) for _ in range(2 * size + 4)], size)
    g, h = product_generators(size)

    def committed(vectors: Vectors, alpha: int) -> Point:
        lefts, rights = ([number % ORDER for number in side] for side in vectors)
        return g.weighted_sum(lefts) + h.weighted_sum(rights) + multiply_generator(alpha)

    channel.send_point("A1", committed((left, right), masks.alpha))
    lookup = channel.challenge("lookup")
    found = [pow(lookup + digit, -1, ORDER) for digit in digits]
    inverted = [*found, *([0] * (size - far))]
    extra = later((left, right), lookup)
    second = extra[0], [a + b for a, b in zip(inverted, extra[1], strict=True)]
    channel.send_point("A2", committed(second, 1_234))
    channel.send_point("S", committed((list(masks.left), list(masks.right)), masks.rho))
    u, y, z = (channel.challenge(label) for label in "uyz")
    inverses = inverses_of_table(lookup, table)
    assert inverses is not None
    sums, blinding = weigh(Drawn(lookup, u, z, inverses))
    shift = [lookup] * far + [0] * (size - far)
    lefts = [a + s + u * b for a, s, b in zip(left, shift, second[0], strict=True)]
    rights = [a + b for a, b in zip(right, multiply_each([u] * size, second[1]), strict=True)]
    vectors = sums.start_of_left(lefts, y), sums.start_of_right(rights, y)
    masks = replace(masks, alpha=masks.alpha + u * 1_234)
    send_products(channel, y, vectors, masks, blinding)
