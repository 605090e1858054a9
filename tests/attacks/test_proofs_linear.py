# SPDX-License-Identifier: Apache-2.0
"""Provers that lie about a weighted sum, each in its own way, and the line that refuses them."""

import random
from dataclasses import replace

import pytest

from protocols.proofs import (
    LARGEST_VALUE,
    ORDER,
    LinearOpening,
    LinearStatement,
    Malformed,
    PointVector,
    ProofRefused,
    StatementContext,
    commit_many,
)
from protocols.proofs.linear import LARGEST_USE_WH

DICE = random.Random(7)
USES = [DICE.randrange(3000) for _ in range(8)]
BLINDINGS = [DICE.randrange(1, ORDER) for _ in range(8)]
COMMITMENTS = commit_many(USES, BLINDINGS)
CONTEXT = StatementContext(
    b"meter", bytes(6), 0, 7200, 15, bytes(32), "Supplier", "bill", bytes(16)
)
STATEMENT = LinearStatement(CONTEXT, (bytes(32),), (28, 28, 28, 31, 31, 31, 45, -7))


def forge(statement: LinearStatement, value: int, opening: int) -> LinearOpening:
    """Return what a liar would send: a right binding around whatever numbers it likes."""
    transcript = statement.transcript()
    transcript.append_integer("value", value)
    transcript.append_scalar("opening", opening)
    return LinearOpening(value, opening, transcript.digest())


def honest(weights: tuple[int, ...] = STATEMENT.weights) -> tuple[int, int]:
    value = sum(w * x for w, x in zip(weights, USES, strict=True))
    return value, sum(w * r for w, r in zip(weights, BLINDINGS, strict=True)) % ORDER


def test_the_forger_of_these_tests_would_pass_if_it_told_the_truth() -> None:
    forge(STATEMENT, *honest()).verify(STATEMENT, COMMITMENTS)


@pytest.mark.parametrize("off", [-1, 1, -1000, 10**9, 2**40])
def test_a_wrong_value_is_refused(off: int) -> None:
    value, opening = honest()
    with pytest.raises(ProofRefused, match="does not match the commitments"):
        forge(STATEMENT, value + off, opening).verify(STATEMENT, COMMITMENTS)


def test_a_wrong_opening_is_refused() -> None:
    value, opening = honest()
    for other in (0, 1, (opening + 1) % ORDER, ORDER - opening):
        with pytest.raises(ProofRefused, match="does not match the commitments"):
            forge(STATEMENT, value, other).verify(STATEMENT, COMMITMENTS)


def test_a_sum_with_other_weights_is_refused() -> None:
    for place in range(8):
        weights = list(STATEMENT.weights)
        weights[place] += 1
        value, opening = honest(tuple(weights))
        if value == honest()[0]:
            continue
        with pytest.raises(ProofRefused, match="does not match the commitments"):
            forge(STATEMENT, value, opening).verify(STATEMENT, COMMITMENTS)


def test_a_slot_left_out_repeated_or_moved_is_refused() -> None:
    value, opening = honest()
    for indexes in [(0, 1, 2, 3, 4, 5, 6, 6), (0, 1, 2, 6, 4, 5, 3, 7), (0, 0, 1, 2, 3, 4, 5, 6)]:
        with pytest.raises(ProofRefused, match="does not match the commitments"):
            forge(STATEMENT, value, opening).verify(STATEMENT, COMMITMENTS.select(indexes))
    with pytest.raises(ProofRefused, match="8 weights for 7 commitments"):
        forge(STATEMENT, value, opening).verify(STATEMENT, COMMITMENTS[:7])


def test_a_value_that_only_matches_modulo_the_order_cannot_be_said() -> None:
    value, opening = honest()
    for wrapped in (value + ORDER, value - ORDER, LARGEST_VALUE + 1, -LARGEST_VALUE - 1):
        with pytest.raises(Malformed, match="63 bits"):
            forge(STATEMENT, wrapped, opening)


def test_weights_that_wrap_a_positive_sum_around_to_a_small_one_are_refused() -> None:
    # With weight w = n // 2 a use of 2 becomes -1 modulo the odd order: a fee of nearly nothing.
    with pytest.raises(ValueError, match="wrap around"):
        replace(STATEMENT, weights=(ORDER // 2,) + (0,) * 7)
    # The largest weights that are allowed leave no room for that.
    largest = ORDER // 2 // LARGEST_USE_WH - 1
    statement = replace(STATEMENT, weights=(largest,) + (0,) * 7)
    assert max(statement.weights) * LARGEST_USE_WH < ORDER // 2


def test_the_opening_of_another_household_is_refused() -> None:
    others = commit_many(USES, [DICE.randrange(1, ORDER) for _ in range(8)])
    value, opening = honest()
    with pytest.raises(ProofRefused, match="does not match the commitments"):
        forge(STATEMENT, value, opening).verify(STATEMENT, others)


def test_a_transcript_of_another_request_is_refused() -> None:
    yesterday = replace(STATEMENT, context=replace(CONTEXT, nonce=b"y" * 16))
    replayed = forge(yesterday, *honest())
    with pytest.raises(ProofRefused, match="another statement, period or recipient"):
        replayed.verify(STATEMENT, COMMITMENTS)


def test_points_off_the_curve_never_reach_a_sum() -> None:
    data = bytearray(COMMITMENTS.encode(65))
    data[64] ^= 1
    with pytest.raises(Malformed, match="point 0 is not on secp256k1"):
        PointVector.decode(bytes(data), 65)
