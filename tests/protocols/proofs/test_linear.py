# SPDX-License-Identifier: Apache-2.0
"""Openings of weighted sums: complete, and refused once a byte or the statement changes."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import (
    LARGEST_VALUE,
    ORDER,
    FalseStatement,
    LinearOpening,
    LinearStatement,
    Malformed,
    PointVector,
    ProofError,
    ProofRefused,
    StatementContext,
    commit,
    commit_many,
    open_linear,
)
from protocols.proofs.group import multiply_generator, sum_points
from protocols.proofs.linear import LARGEST_USE_WH

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
USES = [DICE.randrange(3000) for _ in range(COUNT)]
BLINDINGS = [DICE.randrange(1, ORDER) for _ in range(COUNT)]
COMMITMENTS = commit_many(USES, BLINDINGS)
WEIGHTS = (28, 28, 31, 31, 31, 28, 28, 0, -4, -4, 45, 45)
STATEMENT = LinearStatement(CONTEXT, (bytes(32), bytes([1]) * 32), WEIGHTS)


@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 2**20), st.integers(1, ORDER - 1)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_sum_that_fits_is_opened_to_the_exact_value(terms: list[tuple[int, int, int]]) -> None:
    weights, uses, blindings = (tuple(column) for column in zip(*terms, strict=True))
    statement = replace(STATEMENT, weights=weights)
    commitments = commit_many(uses, blindings)
    opening = open_linear(statement, commitments, uses, blindings)
    assert opening.value == sum(w * x for w, x in zip(weights, uses, strict=True))
    LinearOpening.decode(opening.encode()).verify(statement, commitments)


def test_every_flipped_bit_of_an_opening_is_refused() -> None:
    good = open_linear(STATEMENT, COMMITMENTS, USES, BLINDINGS).encode()
    assert len(good) == LinearOpening.SIZE == 72
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProofError):
            LinearOpening.decode(bytes(data)).verify(STATEMENT, COMMITMENTS)


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
    opening = open_linear(STATEMENT, COMMITMENTS, USES, BLINDINGS)
    moved = replace(STATEMENT, context=replace(CONTEXT, **other))
    with pytest.raises(ProofRefused, match="another statement"):
        opening.verify(moved, COMMITMENTS)


@pytest.mark.parametrize(
    "moved",
    [
        replace(STATEMENT, days=STATEMENT.days[::-1]),
        replace(STATEMENT, days=STATEMENT.days[:1]),
        replace(STATEMENT, weights=WEIGHTS[::-1]),
        replace(STATEMENT, weights=(29, *WEIGHTS[1:])),
    ],
)
def test_an_opening_does_not_move_to_other_days_or_weights(moved: LinearStatement) -> None:
    opening = open_linear(STATEMENT, COMMITMENTS, USES, BLINDINGS)
    with pytest.raises(ProofRefused, match="another statement"):
        opening.verify(moved, COMMITMENTS)


def test_the_prover_refuses_uses_blindings_and_counts_that_were_not_certified() -> None:
    for uses, blindings in [
        ([USES[0] + 1, *USES[1:]], BLINDINGS),
        (USES, [BLINDINGS[0] + 1, *BLINDINGS[1:]]),
        (USES[:-1], BLINDINGS),
        (USES, BLINDINGS[:-1]),
    ]:
        with pytest.raises(FalseStatement):
            open_linear(STATEMENT, COMMITMENTS, uses, blindings)


def test_a_value_beyond_63_bits_is_neither_proved_nor_decoded() -> None:
    weights = (LARGEST_VALUE,) + (0,) * (COUNT - 1)
    with pytest.raises(FalseStatement, match="63 bits"):
        open_linear(replace(STATEMENT, weights=weights), COMMITMENTS, USES, BLINDINGS)
    with pytest.raises(Malformed, match="63 bits"):
        LinearOpening(-LARGEST_VALUE - 1, 0, bytes(32))
    with pytest.raises(Malformed, match="63 bits"):
        LinearOpening.decode(b"\x80" + bytes(71))


def test_weights_with_which_a_sum_could_wrap_around_the_order_are_refused() -> None:
    limit = ORDER // 2 // LARGEST_USE_WH
    LinearStatement(CONTEXT, (), (limit - 1,))
    for weights in [(limit + 1,), (-limit - 1,), (limit // 2, -limit // 2 - 2), (ORDER,)]:
        with pytest.raises(ValueError, match="wrap"):
            LinearStatement(CONTEXT, (), weights)


def test_the_number_of_weights_has_to_be_that_of_the_commitments() -> None:
    opening = open_linear(STATEMENT, COMMITMENTS, USES, BLINDINGS)
    with pytest.raises(ProofRefused, match="12 weights for 11"):
        opening.verify(STATEMENT, COMMITMENTS[:-1])


@pytest.mark.parametrize("data", [b"", bytes(71), bytes(73), bytes(8) + b"\xff" * 64])
def test_bytes_that_are_no_opening_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        LinearOpening.decode(data)


@given(st.binary(min_size=72, max_size=72))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    try:
        opening = LinearOpening.decode(data)
    except Malformed:
        return
    assert opening.encode() == data


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(CONTEXT, register=b"short"),
        lambda: replace(CONTEXT, end=CONTEXT.begin),
        lambda: replace(CONTEXT, slot_minutes=0),
        lambda: replace(CONTEXT, parameters=b"short"),
        lambda: replace(CONTEXT, nonce=bytes(15)),
        lambda: replace(CONTEXT, nonce=bytes(65)),
        lambda: replace(STATEMENT, days=(b"short",)),
    ],
)
def test_incomplete_statements_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        make()


def test_an_opening_of_no_slots_is_nought() -> None:
    statement = LinearStatement(CONTEXT, (), ())
    opening = open_linear(statement, PointVector(), [], [])
    assert (opening.value, opening.opening) == (0, 0)


def test_a_simulator_without_any_uses_makes_commitments_and_openings_that_fit() -> None:
    # The value is told, the opening drawn; all commitments but one are to whatever comes.
    value, opening = 123_456, 987_654_321
    points = [multiply_generator(DICE.randrange(1, ORDER)) for _ in range(COUNT - 1)]
    others = sum_points(w * p for w, p in zip(WEIGHTS, points, strict=False))
    last = (commit(value, opening) - others) * pow(WEIGHTS[-1], -1, ORDER)
    transcript = STATEMENT.transcript()
    transcript.append_integer("value", value)
    transcript.append_scalar("opening", opening)
    simulated = LinearOpening(value, opening, transcript.digest())
    simulated.verify(STATEMENT, PointVector([*points, last]))
