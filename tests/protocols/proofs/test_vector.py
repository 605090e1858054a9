# SPDX-License-Identifier: Apache-2.0
"""Linear forms of vector commitments: complete, sound against each lie, zero-knowledge."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import ORDER, FalseStatement, Malformed, PointVector, Transcript, commit
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import inner_product, send_linear_argument
from protocols.proofs.generators import generators
from protocols.proofs.group import GENERATOR, Point, multiply_generator
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import H
from protocols.proofs.vector import (
    VectorCommitment,
    VectorOpening,
    VectorPart,
    commit_vector,
    receive_forms,
    send_forms,
)
from tests.support.programmed import Programmed

DICE = random.Random(11)
PARTS = (VectorPart.of_day(1, 6), VectorPart.of_day(2, 5))
USES = [[DICE.randrange(3000) for _ in range(part.size)] for part in PARTS]
BLINDINGS = [DICE.randrange(1, ORDER) for _ in PARTS]
COMMITMENT = VectorCommitment(
    PARTS,
    PointVector(map(commit_vector, PARTS, USES, BLINDINGS)),
)
OPENING = VectorOpening(tuple(USES[0] + USES[1]), tuple(BLINDINGS))
FORMS = [tuple(DICE.randrange(-50, 400) for _ in range(11)) for _ in range(3)]
OUTPUTS = [(inner_product(form, OPENING.uses), DICE.randrange(1, ORDER)) for form in FORMS]
POINTS = [commit(*output) for output in OUTPUTS]


def prove(
    opening: VectorOpening = OPENING,
    forms: Sequence[Sequence[int]] = FORMS,
    outputs: Sequence[tuple[int, int]] = OUTPUTS,
    commitment: VectorCommitment = COMMITMENT,
) -> bytes:
    channel = Outgoing(Transcript("t", 1))
    send_forms(channel, commitment, opening, forms, outputs, Nonces(bytes(32)))
    return channel.data()


def accepts(
    proof: bytes,
    points: Sequence[Point] = POINTS,
    forms: Sequence[Sequence[int]] = FORMS,
    commitment: VectorCommitment = COMMITMENT,
    transcript: Transcript | None = None,
) -> bool:
    channel = Incoming(transcript or Transcript("t", 1), proof)
    check = receive_forms(channel, "forms", commitment, forms, points)
    channel.finish()
    return not find_refused([check])


PROOF = prove()


@given(st.lists(st.one_of(st.integers(0, 2000), st.integers(0, 2**32 - 1)), max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_vector_commitment_is_the_sum_over_its_generators(uses: list[int]) -> None:
    part = VectorPart.of_day(9, len(uses))
    expected = part.generators.weighted_sum(uses) + GENERATOR * 77
    assert commit_vector(part, uses, 77) == expected


@pytest.mark.parametrize("uses", [[1], [1, 2, 3], [1, -1], [1, 2**32]])
def test_a_vector_commitment_refuses_what_it_has_no_room_for(uses: list[int]) -> None:
    with pytest.raises(ValueError):
        commit_vector(VectorPart.of_day(9, 2), uses, 1)


def test_days_over_the_same_generators_are_not_proved_together() -> None:
    twice = PointVector([COMMITMENT.points[0]] * 2)
    commitment = VectorCommitment((PARTS[0], PARTS[0]), twice)
    assert [part.start for part in commitment.stretches] == [0, 1]
    opening = VectorOpening(tuple(USES[0] * 2), (BLINDINGS[0],) * 2)
    with pytest.raises(ValueError, match="each month by itself"):
        prove(opening, [(1,) * 2 * PARTS[0].size], [(2 * sum(USES[0]), 3)], commitment)
    with pytest.raises(ValueError, match="2 commitments for 1 days"):
        VectorCommitment(PARTS[:1], twice)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_forms_is_proved_at_once(count: int) -> None:
    proof = prove(forms=FORMS[:count], outputs=OUTPUTS[:count])
    assert len(proof) == 2 * 33 + 4 * 32 + 8 * 33  # four rounds, whatever the count
    assert accepts(proof, POINTS[:count], FORMS[:count])


def test_a_single_slot_needs_no_round() -> None:
    part = VectorPart.of_day(3, 1)
    commitment = VectorCommitment((part,), PointVector([commit_vector(part, [5], 9)]))
    proof = prove(VectorOpening((5,), (9,)), [(4,)], [(20, 3)], commitment)
    assert accepts(proof, [commit(20, 3)], [(4,)], commitment)
    assert not accepts(proof, [commit(21, 3)], [(4,)], commitment)


def test_the_prover_refuses_an_output_that_is_not_the_form() -> None:
    with pytest.raises(FalseStatement):
        prove(outputs=[(OUTPUTS[0][0] + 1, OUTPUTS[0][1]), *OUTPUTS[1:]])


def test_a_proof_for_other_points_forms_or_days_is_refused() -> None:
    assert accepts(PROOF)
    assert not accepts(PROOF, [POINTS[0] + H, *POINTS[1:]])
    assert not accepts(PROOF, [POINTS[0] + GENERATOR, *POINTS[1:]])
    assert not accepts(PROOF, [POINTS[1], POINTS[0], POINTS[2]])
    assert not accepts(PROOF, forms=[FORMS[1], FORMS[0], FORMS[2]])
    assert not accepts(PROOF, forms=[(FORMS[0][0] + 1, *FORMS[0][1:]), *FORMS[1:]])
    moved = VectorCommitment(PARTS, PointVector([COMMITMENT.points[0] + H, COMMITMENT.points[1]]))
    assert not accepts(PROOF, commitment=moved)
    other_day = VectorCommitment((PARTS[0], VectorPart.of_day(7, 5)), COMMITMENT.points)
    assert not accepts(PROOF, commitment=other_day)
    assert not accepts(PROOF, transcript=Transcript("t", 2))


def test_uses_that_were_not_committed_to_prove_nothing() -> None:
    uses = (OPENING.uses[0] + 1, *OPENING.uses[1:])
    outputs = [(inner_product(form, uses), s) for form, (_, s) in zip(FORMS, OUTPUTS, strict=True)]
    proof = prove(VectorOpening(uses, OPENING.blindings), outputs=outputs)
    assert not accepts(proof, [commit(*output) for output in outputs])
    assert not accepts(prove(VectorOpening(OPENING.uses, (OPENING.blinding + 1,))))


def test_every_flipped_byte_of_a_proof_is_refused() -> None:
    for place in range(len(PROOF)):
        bent = bytearray(PROOF)
        bent[place] ^= 1 << place % 8
        try:
            assert not accepts(bytes(bent)), place
        except Malformed:
            continue


@pytest.mark.parametrize("bent", [PROOF[:-1], PROOF + b"\0", b"", PROOF[33:]])
def test_a_cut_or_extended_proof_is_malformed(bent: bytes) -> None:
    with pytest.raises(Malformed):
        accepts(bent)


def test_proofs_of_one_statement_share_nothing_but_the_seed_and_the_statement() -> None:
    other = Outgoing(Transcript("t", 2))
    send_forms(other, COMMITMENT, OPENING, FORMS, OUTPUTS, Nonces(bytes(32)))
    assert other.data()[:33] != PROOF[:33]
    again = Outgoing(Transcript("t", 1))
    send_forms(again, COMMITMENT, OPENING, FORMS, OUTPUTS, Nonces(bytes([1]) * 32))
    assert again.data()[:33] != PROOF[:33]
    assert prove() == PROOF


def test_a_simulator_without_the_uses_makes_accepting_proofs() -> None:
    # Whatever the output: here it is one that is not even true.
    points = [commit(123, 456)]
    c, e = 1111, 2222
    chosen = [1, c, e]
    g = PointVector.join(part.generators for part in PARTS)
    z = [DICE.randrange(ORDER) for _ in range(11)]
    phi, zeta = DICE.randrange(ORDER), DICE.randrange(ORDER)
    ell = inner_product(FORMS[0], z)
    channel = Outgoing(Programmed(chosen))
    channel.challenge("forms")
    a = g.weighted_sum(z) + multiply_generator(phi) - COMMITMENT.points.sum() * c
    channel.send_point("A", a)
    channel.send_point("T", commit(ell, zeta) - points[0] * c)
    assert channel.challenge("c") == c
    for label, scalar in (("phi", phi), ("ell", ell), ("zeta", zeta)):
        channel.send_scalar(label, scalar)
    unit = generators(b"inner product unit", 1)[0] * channel.challenge("e")
    channel.send_scalar("z", send_linear_argument(channel, unit, g, z, FORMS[0]))
    assert accepts(channel.data(), points, FORMS[:1], transcript=Programmed(chosen))
