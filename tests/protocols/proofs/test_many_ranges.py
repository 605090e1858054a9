# SPDX-License-Identifier: Apache-2.0
"""Many ranges and maxima: complete in both schemes, of logarithmic size, zero-knowledge.

Provers that lie are in tests/attacks/test_proofs_many_ranges.py.
"""

import random
from hashlib import sha256

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
    Verifier,
    commit,
    compare,
    largest,
    many_ranges,
    verify_all,
)
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import (
    inner_product,
    multiply_each,
    powers,
    send_inner_product_argument,
)
from protocols.proofs.generators import generators
from protocols.proofs.group import multiply_generator, sum_points
from protocols.proofs.lookup import Drawn, Shape, inverses_of_table
from protocols.proofs.many_ranges import (
    FEW_ITEMS,
    MANY_BITS,
    _Cuts,
    are_looked_up,
    receive_many_ranges,
    send_many_ranges,
    whole_bytes,
)
from protocols.proofs.nonces import Nonces
from protocols.proofs.products import product_generators
from tests.protocols.proofs.sources import days, hidden, slots
from tests.support.programmed import Programmed
from tests.support.soak import places


def peak(session: Session, source: Source, width: int = 11) -> int:
    windows = [range(slot, slot + 1) for slot in range(source.size)]
    uses = session.windows("uses", source, windows)
    return session.open("peak", largest(session, "peak", uses, width))


def prove(source: Source, width: int = 11, seed: bytes = bytes(32)) -> bytes:
    prover = Prover(Transcript("t", 1), seed)
    peak(prover, source, width)
    return prover.finish()


def verify(source: Source, proof: bytes, width: int = 11) -> int:
    verifier = Verifier(Transcript("t", 1), proof)
    value = peak(verifier, hidden(source), width)
    verify_all([verifier.finish("it")])
    return value


@pytest.mark.parametrize("scheme", [slots, days])
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 2_047), min_size=FEW_ITEMS - 1, max_size=14))
def test_the_largest_of_many_is_proved_in_both_schemes(scheme, uses) -> None:  # type: ignore[no-untyped-def]
    source = scheme(tuple(uses))
    assert verify(source, prove(source)) == max(uses)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_values_of_any_whole_bytes_are_proved_beside_others(data: st.DataObject) -> None:
    widths = data.draw(st.lists(st.sampled_from((8, 16, 24, 32, 11, 1)), min_size=8, max_size=14))
    values = [data.draw(st.integers(0, (1 << width) - 1)) for width in widths]

    def ranged(session: Session) -> None:
        told = iter(values)
        for number, width in enumerate(widths):
            session.commit(f"value {number}", lambda: next(told), width)

    prover = Prover(Transcript("t", 1), bytes(32))
    ranged(prover)
    verifier = Verifier(Transcript("t", 1), prover.finish())
    ranged(verifier)
    verify_all([verifier.finish("it")])


def test_widths_and_maxima_alone_decide_what_is_looked_up() -> None:
    bits = MANY_BITS // 8
    assert not any(are_looked_up([8] * bits, [False] * bits))
    assert all(are_looked_up([8] * (bits + 1), [False] * (bits + 1)))
    assert are_looked_up([11, 8, 16], [False, True, False]) == [False, True, True]
    assert are_looked_up([11] * 99, [False] * 99) == [False] * 99
    assert [whole_bytes(width) for width in (1, 8, 9, 24)] == [8, 8, 16, 24]


def test_few_ranges_are_proved_as_before() -> None:
    """The digests are of proofs that were made before anything was looked up."""
    source = slots((7, 2_000, 30, 1_100, 5, 9, 0, 44))
    assert sha256(prove(source)).hexdigest()[:16] == "ad0c4a982cb19590"
    assert sha256(prove(source, 24)).hexdigest()[:16] == "4788417efb51700a"


WIDTHS = (8, 16, 8)


def send(values: list[int], widths: tuple[int, ...] = WIDTHS, groups=()) -> bytes:  # type: ignore[no-untyped-def]
    channel = Outgoing(Transcript("t", 1))
    pairs = [(value, 5 + place) for place, value in enumerate(values)]
    send_many_ranges(channel, pairs, widths, groups, Nonces(bytes(32)))
    return channel.data()


def holds(values: list[int], proof: bytes, widths: tuple[int, ...] = WIDTHS, groups=()) -> bool:  # type: ignore[no-untyped-def]
    channel = Incoming(Transcript("t", 1), proof)
    points = [commit(value, 5 + place) for place, value in enumerate(values)]
    check = receive_many_ranges(channel, "it", points, widths, groups)
    channel.finish()
    return not find_refused([check])


@pytest.mark.parametrize("values", [[0, 0, 0], [255, 65_535, 255], [1, 256, 254]])
def test_the_ends_of_ranges_are_in_them(values: list[int]) -> None:
    assert holds(values, send(values))


@pytest.mark.parametrize("values", [[256, 0, 0], [0, 65_536, 0], [0, 0, -1], [ORDER, 0, 0]])
def test_a_prover_refuses_what_is_out_of_range(values: list[int]) -> None:
    with pytest.raises(FalseStatement, match="not in the range"):
        send(values)


def test_a_prover_refuses_a_group_without_a_zero() -> None:
    assert holds([0, 3, 9], send([0, 3, 9], groups=[(2, 0)]), groups=[(2, 0)])
    with pytest.raises(FalseStatement, match="is 0"):
        send([0, 3, 9], groups=[(0,), (1, 2)])


@pytest.mark.parametrize("groups", [[(0, 0)], [(0, 1), (1, 2)], [(3,)], [(-1,)]])
def test_groups_that_overlap_or_are_of_nothing_are_refused(groups: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        send([0, 0, 0], groups=groups)


@pytest.mark.parametrize("widths", [(), (0,), (136,)])
def test_widths_out_of_bounds_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="128 bits"):
        send([0] * len(widths), widths)


@pytest.mark.parametrize(("count", "size"), [(9, 818), (80, 1_016), (700, 1_214)])
def test_sizes_grow_with_the_logarithm(count: int, size: int) -> None:
    dice = random.Random(count)
    source = slots(tuple(dice.randrange(2_000) for _ in range(count)))
    cuts = _Cuts.of([16] * count, [range(count)])
    many = Shape(sum(cuts.counts), count, cuts.digit_bits).size
    proof = prove(source)
    assert len(proof) == 64 + 6 * 33 + 5 * 32 + 66 * (many - 1).bit_length() == size
    verify(source, proof)


SOURCE = slots((7, 2_000, 30, 1_100, 5, 2_000, 0, 44, 18))  # the largest one twice
PROOF = prove(SOURCE)


def refused(source: Source, proof: bytes, width: int = 11) -> bool:
    try:
        verifier = Verifier(Transcript("t", 1), proof)
        peak(verifier, hidden(source), width)
        return bool(find_refused([verifier.finish("it")]))
    except (ProofRefused, Malformed):
        return True


@pytest.mark.more_in_soak
def test_every_flipped_byte_of_a_proof_is_refused() -> None:
    assert not refused(SOURCE, PROOF)
    for place in places(PROOF):
        wrong = PROOF[:place] + bytes([PROOF[place] ^ 1 << place % 8]) + PROOF[place + 1 :]
        assert refused(SOURCE, wrong), place


def test_a_proof_of_other_uses_days_or_widths_is_refused() -> None:
    other = slots((7, 2_000, 30, 1_100, 5, 2_000, 0, 44, 19))
    assert refused(other, PROOF)
    assert refused(Source(SOURCE.commitment, b"other days"), PROOF)
    assert refused(SOURCE, PROOF, 8)
    assert refused(SOURCE, PROOF, 24)
    assert not refused(SOURCE, PROOF, 16)  # what 11 bits are rounded up to
    lie = Source(SOURCE.commitment, SOURCE.identity, other.opening)
    assert refused(SOURCE, prove(lie))


def test_a_proof_as_it_was_before_lookups_is_refused() -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compare, "FEW_ITEMS", 99)
        patched.setattr(many_ranges, "MANY_BITS", 9_999)
        before = prove(SOURCE)
        assert verify(SOURCE, before) == 2_000
    assert refused(SOURCE, before)


@pytest.mark.parametrize("bent", [PROOF[:-1], PROOF + b"\0", b"", PROOF[33:]])
def test_a_cut_or_extended_proof_is_malformed(bent: bytes) -> None:
    with pytest.raises(Malformed):
        verify(SOURCE, bent)


def test_a_prover_without_an_opening_refuses() -> None:
    with pytest.raises(FalseStatement, match="lacks"):
        prove(hidden(SOURCE))


def test_many_proofs_are_verified_at_once_and_the_culprit_is_named() -> None:
    checks = []
    for number in range(4):
        proof = PROOF[:-1] + bytes([PROOF[-1] ^ (number == 2)])
        verifier = Verifier(Transcript("t", 1), proof)
        peak(verifier, hidden(SOURCE))
        checks.append(verifier.finish(f"bill {number}"))
    assert find_refused(checks) == [2]
    with pytest.raises(ProofRefused, match="bill 2: the ranges of peak"):
        verify_all(checks)


def test_two_proofs_of_the_same_have_nothing_in_common() -> None:
    other = prove(SOURCE, seed=b"\1" * 32)
    assert verify(SOURCE, other) == verify(SOURCE, PROOF) == 2_000
    head = [0, 65, *(97 + 33 * n for n in range(5)), *(262 + 32 * n for n in range(3))]
    for edge in (*head, *range(358, len(PROOF) - 64, 33), len(PROOF) - 64, len(PROOF) - 32):
        assert PROOF[edge : edge + 32] != other[edge : edge + 32], edge


def test_a_simulator_without_the_values_makes_accepting_proofs() -> None:
    """Commitments to what is in no range, a group without a 0, challenges known beforehand."""
    points = [commit(1 << 31, 5), commit(3, 6), commit(ORDER - 1, 7)]
    groups = [(1, 2)]
    lookup, u, y, z, x, w = range(11, 17)
    dice = random.Random(17)
    cuts = _Cuts.of(WIDTHS, groups)
    far = sum(cuts.counts)
    size = Shape(far, 2, cuts.digit_bits).size
    inverses = inverses_of_table(lookup, 1 << cuts.digit_bits)
    assert inverses is not None
    sums = cuts.sums(Drawn(lookup, u, z, inverses))
    l_vector, r_vector = ([dice.randrange(ORDER) for _ in range(size)] for _ in range(2))
    t, tau, mu = inner_product(l_vector, r_vector), dice.randrange(ORDER), dice.randrange(ORDER)
    first, second, t2 = multiply_generator(555), multiply_generator(666), multiply_generator(777)
    constant = sums.constant + sums.cross(y) + u * sum(powers(y, far))
    weights = cuts.value_weights(z)
    values = sum_points([point * weight for point, weight in zip(points, weights, strict=True)])
    t1 = sum_points([
        commit((t - constant) % ORDER, tau), -values, t2 * -(x * x),
    ]) * pow(x, -1, ORDER)  # fmt: skip
    g, h = product_generators(size)
    shift = sums.start_of_left([lookup] * far + [0] * (size - far), y)
    lowered = powers(pow(y, -1, ORDER), size)
    s = sum_points([
        g.weighted_sum([(a - b) % ORDER for a, b in zip(l_vector, shift, strict=True)]),
        h.weighted_sum(
            multiply_each([a - b for a, b in zip(r_vector, sums.left, strict=True)], lowered)
        ),
        multiply_generator(mu), -first, second * -u,
    ]) * pow(x, -1, ORDER)  # fmt: skip
    chosen = [lookup, u, y, z, x, w]
    channel = Outgoing(Programmed(chosen))
    cuts.append_to(channel.transcript)
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
    check = receive_many_ranges(incoming, "it", points, WIDTHS, groups)
    incoming.finish()
    assert not find_refused([check])


@pytest.mark.parametrize("lookup", [ORDER - 3, ORDER - 1])
def test_a_challenge_that_hits_the_table_is_refused_by_both_sides(lookup: int) -> None:
    with pytest.raises(ProofRefused, match="challenge"):
        channel = Incoming(Programmed([lookup]), send([1, 2, 3]))
        receive_many_ranges(channel, "it", [multiply_generator(3)] * 3, WIDTHS, ())
    with pytest.raises(FalseStatement, match="challenge"):
        outgoing = Outgoing(Programmed([lookup]))
        send_many_ranges(outgoing, [(1, 2)] * 3, WIDTHS, (), Nonces(bytes(32)))
