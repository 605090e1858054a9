# SPDX-License-Identifier: Apache-2.0
"""One sum, opened: bound to its context, and refused once a byte or the statement changes."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import (
    Amount,
    AmountsMalformed,
    Bucket,
    Reading,
    SlotForm,
    Sum,
    Tiered,
)
from protocols.proofs import (
    LARGEST_USE_WH,
    LARGEST_VALUE,
    ORDER,
    FalseStatement,
    Malformed,
    PointVector,
    ProofError,
    ProofRefused,
    SlotOpening,
    Source,
    StatementContext,
    commit,
    commit_many,
    open_amounts,
    verify_amounts,
)
from protocols.proofs.group import multiply_generator, sum_points
from protocols.proofs.quantity import LARGEST_LIMIT
from tests.support.sums import forge_sum

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
POINTS = commit_many(USES, BLINDINGS)
IDENTITY = bytes(32) + bytes([1]) * 32
KNOWN = Source(POINTS, IDENTITY, SlotOpening(USES, BLINDINGS))
HIDDEN = Source(POINTS, IDENTITY)
WEIGHTS = (28, 28, 31, 31, 31, 28, 28, 0, -4, -4, 45, 45)
SUM = Sum(SlotForm.of_each(WEIGHTS))
SEED = bytes(32)
(VALUE,), GOOD = open_amounts(CONTEXT, KNOWN, [SUM], SEED)

OTHER_CONTEXTS: list[dict[str, Any]] = [
    {"meter": b"meter 2"},
    {"register": bytes.fromhex("0100020800ff")},
    {"begin": CONTEXT.begin + 900},
    {"end": CONTEXT.end + 900},
    {"slot_minutes": 30},
    {"parameters": b"\1" * 32},
    {"recipient": "Another supplier"},
    {"purpose": "settlement"},
    {"nonce": b"\1" * 16},
]


def verify(proof: bytes, source: Source = HIDDEN, *amounts: Amount, **about: Any) -> int:
    (value,), _ = verify_amounts(replace(CONTEXT, **about), source, amounts or [SUM], proof, "it")
    return value


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
    known = Source(commit_many(uses, blindings), IDENTITY, SlotOpening(uses, blindings))
    amount = Sum(SlotForm.of_each(weights))
    (value,), proof = open_amounts(CONTEXT, known, [amount], SEED)
    assert value == sum(w * x for w, x in zip(weights, uses, strict=True))
    assert verify(proof, replace(known, opening=None), amount) == value


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=30))
def test_a_form_of_each_weight_is_the_form_of_them_all(weights: list[int]) -> None:
    form = SlotForm.of_each(weights)
    assert form == SlotForm.of(dict(enumerate(weights)))
    assert form.spread(len(weights)) == weights


def test_every_flipped_bit_of_a_proof_is_refused() -> None:
    assert len(GOOD) == 96
    for bit in range(8 * len(GOOD)):
        data = bytearray(GOOD)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProofError):
            verify(bytes(data))


@pytest.mark.parametrize("data", [b"", GOOD[:-1], GOOD[:64], GOOD + b"\0", b"\xff" * 96])
def test_bytes_that_are_no_proof_are_refused(data: bytes) -> None:
    with pytest.raises((Malformed, ProofRefused)):
        verify(data)


@pytest.mark.parametrize("other", OTHER_CONTEXTS)
def test_a_proof_does_not_move_to_another_context(other: dict[str, Any]) -> None:
    assert verify(GOOD) == VALUE
    with pytest.raises(ProofRefused, match="another statement"):
        verify(GOOD, **other)
    reading = Reading(3)
    (_,), proof = open_amounts(CONTEXT, KNOWN, [reading], SEED)
    assert verify(proof, HIDDEN, reading) == USES[3]
    with pytest.raises(ProofRefused, match="another statement"):
        verify(proof, HIDDEN, reading, **other)


@pytest.mark.parametrize(
    ("identity", "weights"),
    [
        (IDENTITY[32:] + IDENTITY[:32], WEIGHTS),
        (IDENTITY[:32], WEIGHTS),
        (IDENTITY, WEIGHTS[::-1]),
        (IDENTITY, (29, *WEIGHTS[1:])),
    ],
)
def test_a_proof_does_not_move_to_other_days_or_weights(
    identity: bytes, weights: tuple[int, ...]
) -> None:
    with pytest.raises(ProofRefused, match="another statement"):
        verify(GOOD, replace(HIDDEN, identity=identity), Sum(SlotForm.of_each(weights)))


def test_a_stored_proof_that_was_never_bound_is_taken_where_the_caller_says_so_alone() -> None:
    unbound = GOOD[:64]
    with pytest.raises(Malformed, match="32 bytes early"):
        verify(unbound)
    for proof in (unbound, GOOD):
        values, _ = verify_amounts(CONTEXT, HIDDEN, [SUM], proof, "it", accept_unbound=True)
        assert values == (VALUE,)
    elsewhere = replace(CONTEXT, nonce=b"\1" * 16)
    with pytest.raises(ProofRefused, match="another statement"):  # one that was bound stays so
        verify_amounts(elsewhere, HIDDEN, [SUM], GOOD, "it", accept_unbound=True)
    with pytest.raises(ProofRefused, match="does not hold"):
        lie = bytes(31) + b"\1" + unbound[32:]
        verify_amounts(CONTEXT, HIDDEN, [SUM], lie, "it", accept_unbound=True)


def test_a_proof_with_challenges_is_bound_by_them_and_by_nothing_else() -> None:
    blocks = Tiered((Bucket(SlotForm.of_each([1] * COUNT), (1000,), (3, 4)),))
    (value,), proof = open_amounts(CONTEXT, KNOWN, [blocks], SEED)
    assert verify(proof, HIDDEN, blocks) == value
    for other in OTHER_CONTEXTS:
        with pytest.raises(ProofRefused, match="does not hold"):
            verify_amounts(
                replace(CONTEXT, **other), HIDDEN, [blocks], proof, "it", accept_unbound=True
            )


def test_the_prover_refuses_uses_blindings_and_counts_that_were_not_certified() -> None:
    for uses, blindings in [
        ((USES[0] + 1, *USES[1:]), BLINDINGS),
        (USES, (BLINDINGS[0] + 1, *BLINDINGS[1:])),
    ]:
        with pytest.raises(FalseStatement, match="not the certified ones"):
            open_amounts(CONTEXT, replace(KNOWN, opening=SlotOpening(uses, blindings)), [SUM], SEED)
    for uses, blindings in [(USES[:-1], BLINDINGS), (USES, BLINDINGS[:-1])]:
        with pytest.raises(ValueError):
            open_amounts(CONTEXT, replace(KNOWN, opening=SlotOpening(uses, blindings)), [SUM], SEED)
    with pytest.raises(FalseStatement):
        open_amounts(CONTEXT, HIDDEN, [SUM], SEED)


def test_a_value_beyond_63_bits_is_neither_proved_nor_read() -> None:
    large = Sum(SlotForm.of_each([LARGEST_VALUE] + [0] * (COUNT - 1)))
    with pytest.raises(FalseStatement, match="63 bits"):
        open_amounts(CONTEXT, KNOWN, [large], SEED)
    for value in (LARGEST_VALUE + 1, -LARGEST_VALUE - 1):
        with pytest.raises(ProofRefused, match="63 bits"):
            verify(forge_sum(CONTEXT, HIDDEN, SUM, value, 1))


def test_weights_with_which_a_sum_could_wrap_around_the_order_are_refused() -> None:
    # Weights on the wire have 63 bits; a session of any other statement is held to this, too.
    assert COUNT * LARGEST_VALUE * LARGEST_USE_WH < LARGEST_LIMIT < ORDER // 2
    for weight in (LARGEST_LIMIT // LARGEST_USE_WH + 1, ORDER // 2, ORDER):
        with pytest.raises((ValueError, AmountsMalformed), match="wrap|64 bits"):
            open_amounts(CONTEXT, KNOWN, [Sum(SlotForm(((0, 1, weight),)))], SEED)


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(CONTEXT, register=b"short"),
        lambda: replace(CONTEXT, end=CONTEXT.begin),
        lambda: replace(CONTEXT, slot_minutes=0),
        lambda: replace(CONTEXT, parameters=b"short"),
        lambda: replace(CONTEXT, nonce=bytes(15)),
        lambda: replace(CONTEXT, nonce=bytes(65)),
    ],
)
def test_incomplete_contexts_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        make()


def test_a_simulator_without_any_uses_makes_commitments_and_proofs_that_fit() -> None:
    # The value is told, the opening drawn; all commitments but one are to whatever comes.
    value, opening = 123_456, 987_654_321
    points = [multiply_generator(DICE.randrange(1, ORDER)) for _ in range(COUNT - 1)]
    others = sum_points(w * p for w, p in zip(WEIGHTS, points, strict=False))
    last = (commit(value, opening) - others) * pow(WEIGHTS[-1], -1, ORDER)
    made_up = Source(PointVector([*points, last]), IDENTITY)
    assert verify(forge_sum(CONTEXT, made_up, SUM, value, opening), made_up) == value
