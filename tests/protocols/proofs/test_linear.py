# SPDX-License-Identifier: Apache-2.0
"""Sums that version 0.1 opened: verified as ever, refused once a byte or the statement changes."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import SlotForm, Sum
from protocols.proofs import (
    LARGEST_USE_WH,
    ORDER,
    Malformed,
    PointVector,
    ProofError,
    ProofRefused,
    SlotOpening,
    Source,
    StatementContext,
    VectorCommitment,
    commit,
    commit_many,
    open_amounts,
)
from protocols.proofs.group import multiply_generator, sum_points
from protocols.proofs.linear import OPENING_SIZE, verify_linear
from tests.support.version1 import forge_linear, open_linear

CONTEXT = StatementContext(
    meter=b"meter 1",
    register=bytes.fromhex("0100010800ff"),
    begin=1_740_783_600,
    end=1_743_458_400,
    slot_minutes=15,
    parameters=bytes(32),
    recipient="Supplier",
    purpose="bill",
    nonce=bytes(16),
)
COUNT = 12
DICE = random.Random(3)
USES = tuple(DICE.randrange(3000) for _ in range(COUNT))
BLINDINGS = tuple(DICE.randrange(1, ORDER) for _ in range(COUNT))
IDENTITY = bytes(32) + bytes([1]) * 32
SOURCE = Source(commit_many(USES, BLINDINGS), IDENTITY, SlotOpening(USES, BLINDINGS))
WEIGHTS = (28, 28, 31, 31, 31, 28, 28, 0, -4, -4, 45, 45)
GOOD = open_linear(CONTEXT, SOURCE, WEIGHTS)
VALUE = sum(w * x for w, x in zip(WEIGHTS, USES, strict=True))


def test_bytes_that_version_0_1_made_open_the_value() -> None:
    kept = bytes.fromhex(
        "000000000006f0b3"
        "c2231498ac22d2b7c858d4d7f62ffda210d218012ae4a92310a6595cf6a8f2e3"
        "762b94f6b339b4eb942b8df2337614df187910a6cc7f16fb1fe7189c044e5b99"
    )  # fmt: skip
    assert kept == GOOD
    assert verify_linear(CONTEXT, SOURCE, WEIGHTS, kept) == VALUE


@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 2**20), st.integers(1, ORDER - 1)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_sum_that_fits_is_the_exact_value(terms: list[tuple[int, int, int]]) -> None:
    weights, uses, blindings = (tuple(column) for column in zip(*terms, strict=True))
    known = Source(commit_many(uses, blindings), IDENTITY, SlotOpening(uses, blindings))
    value = verify_linear(CONTEXT, known, weights, open_linear(CONTEXT, known, weights))
    assert value == sum(w * x for w, x in zip(weights, uses, strict=True))


def test_every_flipped_bit_of_an_opening_is_refused() -> None:
    assert len(GOOD) == OPENING_SIZE == 72
    for bit in range(8 * len(GOOD)):
        data = bytearray(GOOD)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProofError):
            verify_linear(CONTEXT, SOURCE, WEIGHTS, bytes(data))


@pytest.mark.parametrize(
    "other",
    [
        {"meter": b"meter 2"},
        {"register": bytes.fromhex("0100020800ff")},
        {"begin": CONTEXT.begin + 900},
        {"end": CONTEXT.end + 900},
        {"slot_minutes": 30},
        {"parameters": b"\1" * 32},
        {"recipient": "Another supplier"},
        {"purpose": "settlement"},
        {"nonce": b"\1" * 16},
    ],
)
def test_an_opening_does_not_move_to_another_context(other: dict[str, Any]) -> None:
    with pytest.raises(ProofRefused, match="another statement"):
        verify_linear(replace(CONTEXT, **other), SOURCE, WEIGHTS, GOOD)


@pytest.mark.parametrize(
    ("identity", "weights"),
    [
        (IDENTITY[32:] + IDENTITY[:32], WEIGHTS),
        (IDENTITY[:32], WEIGHTS),
        (IDENTITY, WEIGHTS[::-1]),
        (IDENTITY, (29, *WEIGHTS[1:])),
    ],
)
def test_an_opening_does_not_move_to_other_days_or_weights(
    identity: bytes, weights: tuple[int, ...]
) -> None:
    with pytest.raises(ProofRefused, match="another statement"):
        verify_linear(CONTEXT, replace(SOURCE, identity=identity), weights, GOOD)


def test_a_value_beyond_63_bits_is_not_read() -> None:
    with pytest.raises(Malformed, match="63 bits"):
        verify_linear(CONTEXT, SOURCE, WEIGHTS, b"\x80" + bytes(71))


def test_weights_with_which_a_sum_could_wrap_around_the_order_are_refused() -> None:
    limit = ORDER // 2 // LARGEST_USE_WH
    one = replace(SOURCE, commitment=SOURCE.commitment[:1])  # type: ignore[index]  # by slots
    for weight in (limit + 1, -limit - 1, ORDER):
        with pytest.raises(ProofRefused, match="wrap"):
            verify_linear(CONTEXT, one, (weight,), forge_linear(CONTEXT, one, (weight,), 1, 1))
    weight = limit - 1
    with pytest.raises(ProofRefused, match="value against the commitments"):
        verify_linear(CONTEXT, one, (weight,), forge_linear(CONTEXT, one, (weight,), 1, 1))


def test_the_number_of_weights_has_to_be_that_of_the_commitments() -> None:
    fewer = replace(SOURCE, commitment=SOURCE.commitment[:-1])  # type: ignore[index]  # by slots
    with pytest.raises(ProofRefused, match="12 weights for 11"):
        verify_linear(CONTEXT, fewer, WEIGHTS, GOOD)


def test_days_of_one_commitment_each_have_no_such_opening() -> None:
    vector = replace(SOURCE, commitment=VectorCommitment((), PointVector()))
    with pytest.raises(ProofRefused, match="slot by slot"):
        verify_linear(CONTEXT, vector, (), GOOD)


@pytest.mark.parametrize("data", [b"", bytes(71), bytes(73), bytes(8) + b"\xff" * 64])
def test_bytes_that_are_no_opening_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        verify_linear(CONTEXT, SOURCE, WEIGHTS, data)


def test_a_simulator_without_any_uses_makes_commitments_and_openings_that_fit() -> None:
    # The value is told, the opening drawn; all commitments but one are to whatever comes.
    value, opening = 123_456, 987_654_321
    points = [multiply_generator(DICE.randrange(1, ORDER)) for _ in range(COUNT - 1)]
    others = sum_points(w * p for w, p in zip(WEIGHTS, points, strict=False))
    last = (commit(value, opening) - others) * pow(WEIGHTS[-1], -1, ORDER)
    made_up = Source(PointVector([*points, last]), IDENTITY)
    simulated = forge_linear(CONTEXT, made_up, WEIGHTS, value, opening)
    assert verify_linear(CONTEXT, made_up, WEIGHTS, simulated) == value


def test_the_parts_of_a_proof_of_today_are_put_together_again() -> None:
    amounts = [Sum(SlotForm.of_each(WEIGHTS), by_slots=True)]
    (value,), proof = open_amounts(CONTEXT, SOURCE, amounts, bytes(32))
    parts = value.to_bytes(8, "big", signed=True) + proof[32:]
    assert value == VALUE
    assert parts != GOOD
    assert verify_linear(CONTEXT, SOURCE, WEIGHTS, parts) == VALUE
    for bit in range(8 * len(parts)):
        data = bytearray(parts)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProofError):
            verify_linear(CONTEXT, SOURCE, WEIGHTS, bytes(data))
    with pytest.raises(ProofRefused, match="another statement"):
        verify_linear(replace(CONTEXT, nonce=b"\1" * 16), SOURCE, WEIGHTS, parts)
    with pytest.raises(ProofRefused, match="another statement"):
        verify_linear(CONTEXT, SOURCE, WEIGHTS[::-1], parts)
