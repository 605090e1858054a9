# SPDX-License-Identifier: Apache-2.0
"""What lies above limits: complete in both schemes, of logarithmic size, zero-knowledge.

Provers that lie are in tests/attacks/test_proofs_excess.py.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import (
    ORDER,
    FalseStatement,
    Malformed,
    ProofRefused,
    Prover,
    Session,
    Source,
    Transcript,
    VectorCommitment,
    VectorPart,
    Verifier,
    commit,
    commit_many,
    verify_all,
)
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.excess import Excesses, _Sums, receive_excess
from protocols.proofs.folding import (
    inner_product,
    multiply_each,
    powers,
    send_inner_product_argument,
)
from protocols.proofs.generators import generators
from protocols.proofs.group import multiply_generator, sum_points
from protocols.proofs.lookup import Drawn, inverses_of_table
from protocols.proofs.products import product_generators
from tests.protocols.proofs.sources import days, hidden, slots
from tests.support.programmed import Programmed
from tests.support.soak import places

WIDE = 1 << 24


def above(session: Session, source: Source, excesses: Excesses) -> int:
    return session.open("sum", session.excess("above", source, excesses))


def prove(source: Source, excesses: Excesses) -> bytes:
    prover = Prover(Transcript("t", 1), bytes(32))
    above(prover, source, excesses)
    return prover.finish()


def verify(source: Source, excesses: Excesses, proof: bytes) -> int:
    verifier = Verifier(Transcript("t", 1), proof)
    value = above(verifier, hidden(source), excesses)
    verify_all([verifier.finish("it")])
    return value


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], Excesses]:
    uses = draw(st.lists(st.integers(0, 3_000), min_size=1, max_size=9))
    limits = st.one_of(st.integers(0, 3_000), st.sampled_from(uses))
    entry = st.tuples(st.integers(0, len(uses) - 1), limits, st.integers(-(10**9), 10**9))
    entries = draw(st.lists(entry, min_size=1, max_size=12))
    places, levels, weights = zip(*entries, strict=True)
    return tuple(uses), Excesses(places, levels, weights)


@pytest.mark.parametrize("scheme", [slots, days])
@settings(max_examples=12, deadline=None)
@given(cases())
def test_what_lies_above_limits_is_proved_in_both_schemes(scheme, case) -> None:  # type: ignore[no-untyped-def]
    uses, excesses = case
    source = scheme(uses)
    value = sum(
        w * max(0, uses[p] - limit)
        for p, limit, w in zip(excesses.places, excesses.limits, excesses.weights, strict=True)
    )
    assert verify(source, excesses, prove(source, excesses)) == value


@pytest.mark.parametrize("scheme", [slots, days])
def test_uses_and_limits_may_be_24_bits_apart_and_no_more(scheme) -> None:  # type: ignore[no-untyped-def]
    uses = (0, WIDE - 1, WIDE + 4, 5)
    widest = Excesses((0, 1, 2, 3), (WIDE - 1, 0, 5, 5), (1, 2, 3, 4))
    source = scheme(uses)
    assert verify(source, widest, prove(source, widest)) == 5 * (WIDE - 1)
    with pytest.raises(FalseStatement, match="24 bits"):
        prove(source, Excesses((2,), (4,), (1,)))


@pytest.mark.parametrize(
    ("places", "limits", "weights"),
    [((), (), ()), ((0, 1), (5,), (1, 1)), ((0,), (-1,), (1,)), ((0,), (WIDE,), (1,))],
)
def test_what_is_no_comparison_is_refused(
    places: tuple[int, ...], limits: tuple[int, ...], weights: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError):
        Excesses(places, limits, weights)


@pytest.mark.parametrize(("place", "weight"), [(4, 1), (-1, 1), (0, 1 << 180)])
def test_slots_there_are_not_and_weights_that_wrap_around_are_refused(
    place: int, weight: int
) -> None:
    with pytest.raises(ValueError, match="beyond|wrap"):
        prove(slots((1, 2, 3, 4)), Excesses((place,), (1,), (weight,)))


def test_a_prover_without_an_opening_refuses() -> None:
    source = slots((1, 2, 3, 4))
    with pytest.raises(FalseStatement, match="lacks"):
        prove(hidden(source), Excesses((0,), (1,), (1,)))


@pytest.mark.parametrize(("count", "size"), [(1, 752), (80, 1_016), (700, 1_214)])
def test_sizes_grow_with_the_logarithm(count: int, size: int) -> None:
    dice = random.Random(count)
    source = slots(tuple(dice.randrange(2_000) for _ in range(count)))
    excesses = Excesses(tuple(range(count)), (1_050,) * count, (3,) * count)
    many = count * (excesses.digits + 1) + (1 << excesses.digit_bits)
    proof = prove(source, excesses)
    assert len(proof) == 64 + 6 * 33 + 5 * 32 + 66 * (many - 1).bit_length() == size
    verify(source, excesses, proof)


SOURCE = slots((7, 2_000, 30, 1_100))
SMALL = Excesses((1, 3, 3), (1_000, 1_000, 1_099), (40, -7, 11))
PROOF = prove(SOURCE, SMALL)


def refused(source: Source, excesses: Excesses, proof: bytes) -> bool:
    try:
        verifier = Verifier(Transcript("t", 1), proof)
        above(verifier, hidden(source), excesses)
        return bool(find_refused([verifier.finish("it")]))
    except (ProofRefused, Malformed):
        return True


@pytest.mark.more_in_soak
def test_every_flipped_byte_of_a_proof_is_refused() -> None:
    assert not refused(SOURCE, SMALL, PROOF)
    for place in places(PROOF):
        wrong = PROOF[:place] + bytes([PROOF[place] ^ 1 << place % 8]) + PROOF[place + 1 :]
        assert refused(SOURCE, SMALL, wrong), place


@pytest.mark.more_in_soak
@pytest.mark.parametrize("scheme", [slots, days])
def test_a_proof_of_other_uses_or_other_days_is_refused(scheme) -> None:  # type: ignore[no-untyped-def]
    ours, others = scheme((7, 2_000, 30, 1_100)), scheme((7, 1_900, 30, 1_100))
    proof = prove(ours, SMALL)
    assert not refused(ours, SMALL, proof)
    assert refused(others, SMALL, proof)
    assert refused(Source(ours.commitment, b"other days"), SMALL, proof)
    lie = Source(ours.commitment, ours.identity, others.opening)
    assert refused(ours, SMALL, prove(lie, SMALL))
    for place in places(proof, 61):
        wrong = proof[:place] + bytes([proof[place] ^ 1 << place % 8]) + proof[place + 1 :]
        assert refused(ours, SMALL, wrong), place


def test_commitments_by_the_day_over_other_generators_are_refused() -> None:
    ours = days((7, 2_000, 30, 1_100))
    held = ours.commitment
    assert isinstance(held, VectorCommitment)
    moved = VectorCommitment((VectorPart.of_day(2, 4),), held.points)
    proof = prove(ours, SMALL)
    assert refused(Source(moved, ours.identity), SMALL, proof)


@pytest.mark.parametrize("bent", [PROOF[:-1], PROOF + b"\0", b"", PROOF[33:]])
def test_a_cut_or_extended_proof_is_malformed(bent: bytes) -> None:
    with pytest.raises(Malformed):
        verify(SOURCE, SMALL, bent)


def test_many_proofs_are_verified_at_once_and_the_culprit_is_named() -> None:
    checks = []
    for number in range(4):
        proof = PROOF[:-65] + bytes([PROOF[-65] ^ (number == 2)]) + PROOF[-64:]
        verifier = Verifier(Transcript("t", 1), proof)
        above(verifier, hidden(SOURCE), SMALL)
        checks.append(verifier.finish(f"bill {number}"))
    assert find_refused(checks) == [2]
    with pytest.raises(ProofRefused, match="bill 2: above"):
        verify_all(checks)


def test_two_proofs_of_the_same_have_nothing_in_common() -> None:
    prover = Prover(Transcript("t", 1), b"\1" * 32)
    above(prover, SOURCE, SMALL)
    other = prover.finish()
    assert verify(SOURCE, SMALL, other) == verify(SOURCE, SMALL, PROOF)
    points, scalars, value = 6 * 33, 3 * 32, len(PROOF) - 64
    edges = [*range(0, points, 33), *range(points, points + scalars, 32)]
    edges += [*range(points + scalars, value - 64, 33), value - 64, value - 32, value + 32]
    for edge in edges:
        assert PROOF[edge : edge + 32] != other[edge : edge + 32], edge


def test_a_simulator_without_the_uses_makes_accepting_proofs() -> None:
    """Commitments to anything, a total that is none, and challenges known beforehand."""
    points = commit_many((1 << 31, 3), (5, 6))
    excesses, total = Excesses((0, 1), (100, 200), (3, -4)), commit(12_345, 9)
    lookup, u, y, z, x, w = range(11, 17)
    dice = random.Random(17)
    size = 2 * (excesses.digits + 1) + (1 << excesses.digit_bits)
    far = 2 * excesses.digits
    inverses = inverses_of_table(lookup, 1 << excesses.digit_bits)
    assert inverses is not None
    sums = _Sums(excesses, Drawn(lookup, u, z, inverses))
    l_vector, r_vector = ([dice.randrange(ORDER) for _ in range(size)] for _ in range(2))
    t, tau, mu = inner_product(l_vector, r_vector), dice.randrange(ORDER), dice.randrange(ORDER)
    first, second, t2 = multiply_generator(555), multiply_generator(666), multiply_generator(777)
    constant = sums.constant + sums.cross(y) + u * sum(powers(y, far))
    uses = points.weighted_sum([sums.by_place()[0], sums.by_place()[1]])
    t1 = sum_points([
        commit((t - constant) % ORDER, tau), -uses, total * -sums.of_total, t2 * -(x * x),
    ]) * pow(x, -1, ORDER)  # fmt: skip
    g, h = product_generators(size)
    shift = sums.start_of_left([lookup] * far + [0] * (size - far), y)
    lowered = powers(pow(y, -1, ORDER), size)
    s = sum_points([
        g.weighted_sum([a - b for a, b in zip(l_vector, shift, strict=True)]),
        h.weighted_sum(
            multiply_each([a - b for a, b in zip(r_vector, sums.left, strict=True)], lowered)
        ),
        multiply_generator(mu), -first, second * -u,
    ]) * pow(x, -1, ORDER)  # fmt: skip
    chosen = [lookup, u, y, z, x, w]
    channel = Outgoing(Programmed(chosen))
    channel.send_point("A1", first)
    channel.challenge("lookup")
    channel.send_point("A2", second)
    channel.send_point("S", s)
    assert [channel.challenge(label) for label in "uyz"] == [u, y, z]
    channel.send_point("T1", t1)
    channel.send_point("T2", t2)
    channel.challenge("x")
    for label, scalar in (("t", t), ("tau", tau), ("mu", mu)):
        channel.send_scalar(label, scalar)
    unit = generators(b"inner product unit", 1)[0] * channel.challenge("w")
    last = send_inner_product_argument(
        channel, unit, (g, h), pow(y, -1, ORDER), (l_vector, r_vector)
    )
    for label, scalar in zip("ab", last, strict=True):
        channel.send_scalar(label, scalar)
    incoming = Incoming(Programmed(chosen), channel.data())
    checks = receive_excess(incoming, "it", Source(points, b"days"), excesses, total)
    incoming.finish()
    assert not find_refused(checks)


@pytest.mark.parametrize("lookup", [ORDER - 3, ORDER - 1])
def test_a_challenge_that_hits_the_table_is_refused_by_both_sides(lookup: int) -> None:
    total = SMALL.sum_of((7, 2_000, 30, 1_100))
    verifier = Incoming(Programmed([lookup]), PROOF)
    with pytest.raises(ProofRefused, match="challenge"):
        receive_excess(verifier, "it", hidden(SOURCE), SMALL, commit(total, 3))
    assert inverses_of_table(lookup, 8) is None
    assert inverses_of_table(ORDER - 8, 8) is not None
