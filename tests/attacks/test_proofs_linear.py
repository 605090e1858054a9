# SPDX-License-Identifier: Apache-2.0
"""Provers that lie about a weighted sum, each in its own way, and the line that refuses them.

Each lie is told twice: in a proof of today, and in an opening of version 0.1.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocols.amounts import AmountsMalformed, SlotForm, Sum
from protocols.proofs import (
    LARGEST_USE_WH,
    LARGEST_VALUE,
    ORDER,
    Malformed,
    PointVector,
    ProofRefused,
    Source,
    StatementContext,
    commit_many,
    verify_amounts,
)
from protocols.proofs.linear import verify_linear
from protocols.proofs.quantity import LARGEST_LIMIT
from tests.support.sums import forge_sum
from tests.support.version1 import forge_linear

DICE = random.Random(7)
USES = [DICE.randrange(3000) for _ in range(8)]
BLINDINGS = [DICE.randrange(1, ORDER) for _ in range(8)]
COMMITMENTS = commit_many(USES, BLINDINGS)
CONTEXT = StatementContext(
    b"meter", bytes(6), 0, 7200, 15, bytes(32), "Supplier", "bill", bytes(16)
)
WEIGHTS = (28, 28, 28, 31, 31, 31, 45, -7)
NO_MATCH = "does not hold: (the value against the commitments|the sum: amount 1)"


class Today:
    """Proofs as they are made now; anyone can bind them rightly."""

    @staticmethod
    def forge(context: StatementContext, points: PointVector, value: int, opening: int) -> bytes:
        amount = Sum(SlotForm.of_each(WEIGHTS))
        return forge_sum(context, Source(points, bytes(32)), amount, value, opening)

    @staticmethod
    def verify(points: PointVector, weights: Sequence[int], proof: bytes) -> int:
        amounts = [Sum(SlotForm.of_each(weights))]
        (value,), _ = verify_amounts(CONTEXT, Source(points, bytes(32)), amounts, proof, "the sum")
        return value


class Version1:
    """Openings as version 0.1 made them; anyone could bind them rightly."""

    @staticmethod
    def forge(context: StatementContext, points: PointVector, value: int, opening: int) -> bytes:
        return forge_linear(context, Source(points, bytes(32)), WEIGHTS, value, opening)

    @staticmethod
    def verify(points: PointVector, weights: Sequence[int], proof: bytes) -> int:
        return verify_linear(CONTEXT, Source(points, bytes(32)), weights, proof)


way = pytest.mark.parametrize("way", [Today, Version1])
Way = type[Today] | type[Version1]


def honest(weights: tuple[int, ...] = WEIGHTS) -> tuple[int, int]:
    value = sum(w * x for w, x in zip(weights, USES, strict=True))
    return value, sum(w * r for w, r in zip(weights, BLINDINGS, strict=True)) % ORDER


def tell(
    way: Way,
    value: int,
    opening: int,
    *,
    points: PointVector = COMMITMENTS,
    context: StatementContext = CONTEXT,
) -> int:
    """Forge and verify; the forger knows which points the verifier has."""
    return way.verify(points, WEIGHTS, way.forge(context, points, value, opening))


@way
def test_the_forger_of_these_tests_would_pass_if_it_told_the_truth(way: Way) -> None:
    assert tell(way, *honest()) == honest()[0]


@way
@pytest.mark.parametrize("off", [-1, 1, -1000, 10**9, 2**40])
def test_a_wrong_value_is_refused(way: Way, off: int) -> None:
    value, opening = honest()
    with pytest.raises(ProofRefused, match=NO_MATCH):
        tell(way, value + off, opening)


@way
def test_a_wrong_opening_is_refused(way: Way) -> None:
    value, opening = honest()
    for other in (0, 1, (opening + 1) % ORDER, ORDER - opening):
        with pytest.raises(ProofRefused, match=NO_MATCH):
            tell(way, value, other)


@way
def test_a_sum_with_other_weights_is_refused(way: Way) -> None:
    for place in range(8):
        weights = list(WEIGHTS)
        weights[place] += 1
        value, opening = honest(tuple(weights))
        if value == honest()[0]:
            continue
        with pytest.raises(ProofRefused, match=NO_MATCH):
            tell(way, value, opening)


@way
def test_a_slot_left_out_repeated_or_moved_is_refused(way: Way) -> None:
    for indexes in [(0, 1, 2, 3, 4, 5, 6, 6), (0, 1, 2, 6, 4, 5, 3, 7), (0, 0, 1, 2, 3, 4, 5, 6)]:
        with pytest.raises(ProofRefused, match=NO_MATCH):
            tell(way, *honest(), points=COMMITMENTS.select(indexes))
    with pytest.raises((ProofRefused, ValueError), match="8 weights for 7|beyond the 7"):
        way.verify(COMMITMENTS[:7], WEIGHTS, way.forge(CONTEXT, COMMITMENTS, *honest()))


def test_a_value_that_only_matches_modulo_the_order_cannot_be_said() -> None:
    value, opening = honest()
    # The wire of today has scalars below the order: what wraps around is the value itself.
    for wrapped in (value + ORDER, value - ORDER):
        assert tell(Today, wrapped % ORDER, opening) == value
    for large in (LARGEST_VALUE + 1, -LARGEST_VALUE - 1):
        with pytest.raises(ProofRefused, match="63 bits"):
            tell(Today, large, opening)
    # That of version 0.1 has 64 bits, of which one value more than is allowed.
    with pytest.raises(Malformed, match="63 bits"):
        tell(Version1, -LARGEST_VALUE - 1, opening)
    for wrapped in (value + ORDER, value - ORDER, LARGEST_VALUE + 1):
        with pytest.raises(OverflowError):
            tell(Version1, wrapped, opening)


def test_weights_that_wrap_a_positive_sum_around_to_a_small_one_are_refused() -> None:
    # With weight w = n // 2 a use of 2 becomes -1 modulo the odd order: a fee of nearly nothing.
    wrapping = (ORDER // 2,) + (0,) * 7
    with pytest.raises(ProofRefused, match="wrap around"):
        Version1.verify(COMMITMENTS, wrapping, Version1.forge(CONTEXT, COMMITMENTS, 1, 1))
    # An amount has weights of 63 bits; a year of the largest leaves no room for that.
    with pytest.raises(AmountsMalformed, match="64 bits"):
        Today.verify(COMMITMENTS, wrapping, Today.forge(CONTEXT, COMMITMENTS, 1, 1))
    assert 366 * 1440 * LARGEST_VALUE * LARGEST_USE_WH < LARGEST_LIMIT < ORDER // 2


@way
def test_the_opening_of_another_household_is_refused(way: Way) -> None:
    others = commit_many(USES, [DICE.randrange(1, ORDER) for _ in range(8)])
    with pytest.raises(ProofRefused, match=NO_MATCH):
        tell(way, *honest(), points=others)


@way
def test_a_transcript_of_another_request_is_refused(way: Way) -> None:
    yesterday = replace(CONTEXT, nonce=b"y" * 16)
    with pytest.raises(ProofRefused, match="another statement, period or recipient"):
        tell(way, *honest(), context=yesterday)


def test_points_off_the_curve_never_reach_a_sum() -> None:
    data = bytearray(COMMITMENTS.encode(65))
    data[64] ^= 1
    with pytest.raises(Malformed, match="point 0 is not on secp256k1"):
        PointVector.decode(bytes(data), 65)
