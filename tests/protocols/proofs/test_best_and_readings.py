# SPDX-License-Identifier: Apache-2.0
"""Which of several sums is the largest, and samples: told, proved, and nothing else claimed."""

import random

import pytest

from protocols.amounts import Amount, Best, Reading, SlotForm, Sum, decode_amounts, encode_amounts
from protocols.proofs import (
    FalseStatement,
    Malformed,
    ProofRefused,
    SlotOpening,
    Source,
    StatementContext,
    commit_many,
    open_amounts,
    verify_amounts,
)
from protocols.proofs.group import ORDER, encode_scalar
from tests.support.soak import places

SLOTS = 96
DICE = random.Random(11)
USES = tuple(DICE.randrange(2000) for _ in range(SLOTS))
BLINDINGS = tuple(DICE.randrange(1, ORDER) for _ in range(SLOTS))
CONTEXT = StatementContext(
    b"meter", bytes.fromhex("0100010800ff"), 0, 86_400, 15, bytes(32), "grid", "profiling",
    bytes(16),
)  # fmt: skip
HIDDEN = Source(commit_many(USES, BLINDINGS), b"days")
KNOWN = Source(HIDDEN.commitment, b"days", SlotOpening(USES, BLINDINGS))


def shape(seed: int) -> SlotForm:
    dice = random.Random(seed)
    return SlotForm.of({place: dice.randrange(-50, 50) for place in range(SLOTS)})


BEST = Best(tuple(shape(seed) for seed in range(6)))


def test_the_best_and_samples_are_proved() -> None:
    amounts = (BEST, Reading(7), Reading(95), Sum(shape(9)))
    values, proof = open_amounts(CONTEXT, KNOWN, amounts, bytes(32))
    assert values == tuple(amount.value_of(USES) for amount in amounts)
    assert verify_amounts(CONTEXT, HIDDEN, amounts, proof, "it")[0] == values
    assert decode_amounts(encode_amounts(amounts)) == amounts


def test_equal_sums_have_a_best() -> None:
    amounts = (Best((shape(1), shape(1), shape(1))),)
    values, proof = open_amounts(CONTEXT, KNOWN, amounts, bytes(32))
    assert values == (0,)
    assert verify_amounts(CONTEXT, HIDDEN, amounts, proof, "it")[0] == (0,)


@pytest.mark.parametrize("place", range(6))
def test_another_than_the_best_is_refused(place: int) -> None:
    """The number that is told is the first of the proof: every other one makes it wrong."""
    (best,), proof = open_amounts(CONTEXT, KNOWN, (BEST,), bytes(32))
    lie = encode_scalar(place) + proof[32:]
    if place == best:
        assert lie == proof
        return
    with pytest.raises(ProofRefused):
        verify_amounts(CONTEXT, HIDDEN, (BEST,), lie, "it")


def test_a_place_that_there_is_not_is_refused() -> None:
    _, proof = open_amounts(CONTEXT, KNOWN, (BEST,), bytes(32))
    for place in (6, 1 << 64, ORDER - 1):
        with pytest.raises(ProofRefused, match="not below 6"):
            verify_amounts(CONTEXT, HIDDEN, (BEST,), encode_scalar(place) + proof[32:], "it")


def test_a_prover_who_holds_other_uses_cannot_say_another_best() -> None:
    other = USES[40:] + USES[:40]
    assert BEST.value_of(other) != BEST.value_of(USES)
    forged = Source(HIDDEN.commitment, b"days", SlotOpening(other, BLINDINGS))
    _, proof = open_amounts(CONTEXT, forged, (BEST,), bytes(32))
    with pytest.raises(ProofRefused):
        verify_amounts(CONTEXT, HIDDEN, (BEST,), proof, "it")


def test_a_proof_for_other_shapes_samples_or_contexts_is_refused() -> None:
    amounts = (BEST, Reading(7))
    _, proof = open_amounts(CONTEXT, KNOWN, amounts, bytes(32))
    others: list[tuple[Amount, ...]] = [
        (Best(BEST.forms[::-1]), Reading(7)),
        (BEST, Reading(8)),
        (Reading(7), BEST),
        (BEST,),
    ]
    for described in others:
        with pytest.raises((ProofRefused, Malformed)):
            verify_amounts(CONTEXT, HIDDEN, described, proof, "it")


@pytest.mark.more_in_soak
def test_every_byte_flipped_is_refused() -> None:
    amounts = (Best(BEST.forms[:2]), Reading(3))
    _, proof = open_amounts(CONTEXT, KNOWN, amounts, bytes(32))
    for place in places(proof, 21):
        flipped = proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :]
        with pytest.raises((ProofRefused, Malformed)):
            verify_amounts(CONTEXT, HIDDEN, amounts, flipped, "it")


def test_scores_further_apart_than_can_be_proved_are_not_claimed() -> None:
    far = Best((SlotForm(((0, SLOTS, 1 << 44),)), SlotForm(((0, SLOTS, -(1 << 44)),))))
    with pytest.raises(FalseStatement):
        open_amounts(CONTEXT, KNOWN, (far,), bytes(32))
