# SPDX-License-Identifier: Apache-2.0
import random

import pytest

from protocols.proofs import ORDER, Transcript
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import (
    Folded,
    inner_product,
    multiply_each,
    powers,
    round_sizes,
    send_inner_product_argument,
    send_linear_argument,
    spread,
)
from protocols.proofs.generators import generators
from protocols.proofs.group import sum_points

UNIT = generators(b"test unit", 1)[0]
SIZES = [1, 2, 3, 5, 8, 13, 33, 96]


def random_scalars(count: int, seed: int) -> list[int]:
    dice = random.Random(seed)
    return [dice.randrange(ORDER) for _ in range(count)]


def test_rounds_halve_until_one_is_left() -> None:
    assert round_sizes(1) == []
    assert round_sizes(13) == [13, 7, 4, 2]
    assert len(round_sizes(2976)) == 12


@pytest.mark.parametrize("size", SIZES)
def test_a_linear_argument_folds_the_claim_into_one_number(size: int) -> None:
    g = generators(b"test g", size)
    a, form = random_scalars(size, 1), random_scalars(size, 2)
    channel = Outgoing(Transcript("t", 1))
    last = send_linear_argument(channel, UNIT, g, a, form)
    folded = Folded.receive(Incoming(Transcript("t", 1), channel.data()), size)
    whole, factors = folded.weights()
    q = g.weighted_sum(a) + UNIT * inner_product(a, form)
    left = q * whole + folded.rounds.weighted_sum(factors)
    spread_out = spread(folded.challenges, size, 1, low=True)
    right = g.weighted_sum(spread_out) * last + UNIT * (last * inner_product(spread_out, form))
    assert left == right


@pytest.mark.parametrize("size", SIZES)
def test_an_inner_product_argument_folds_both_vectors(size: int) -> None:
    g, h, ratio = generators(b"test g", size), generators(b"test h", size), 7**50 % ORDER
    a, b = random_scalars(size, 3), random_scalars(size, 4)
    channel = Outgoing(Transcript("t", 1))
    last_a, last_b = send_inner_product_argument(channel, UNIT, (g, h), ratio, (a, b))
    folded = Folded.receive(Incoming(Transcript("t", 1), channel.data()), size)
    whole, factors = folded.weights()
    raised = powers(ratio, size)
    q = sum_points([
        g.weighted_sum(a), h.weighted_sum(multiply_each(b, raised)), UNIT * inner_product(a, b),
    ])  # fmt: skip
    left = q * whole + folded.rounds.weighted_sum(factors)
    g_factors = spread(folded.challenges, size, last_a, low=True)
    h_factors = spread(folded.challenges, size, last_b, low=False)
    right = sum_points([
        g.weighted_sum(g_factors), h.weighted_sum(multiply_each(h_factors, raised)),
        UNIT * (last_a * last_b),
    ])  # fmt: skip
    assert left == right


def test_a_spread_says_how_often_each_generator_was_multiplied() -> None:
    # Three generators: g0, g1 | g2, then (u·g0 + g2) | (u·g1).
    u, v = 5, 7
    assert spread((u, v), 3, 1, low=True) == [u * v, u, v]
    assert spread((u, v), 3, 1, low=False) == [1, v, u]


def test_powers_start_with_one() -> None:
    assert powers(3, 4) == [1, 3, 9, 27]
    assert powers(3, 0) == []
