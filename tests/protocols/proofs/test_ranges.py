# SPDX-License-Identifier: Apache-2.0
"""Range proofs: complete for any widths, sound against each lie, zero-knowledge."""

import random
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import ORDER, FalseStatement, Malformed, Transcript, commit
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import (
    inner_product,
    multiply_each,
    powers,
    send_inner_product_argument,
)
from protocols.proofs.generators import generators
from protocols.proofs.group import GENERATOR, Point, multiply_generator, sum_points
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import H
from protocols.proofs.ranges import (
    _bits_of,
    _counts,
    receive_bounded,
    receive_ranges,
    send_bounded,
    send_ranges,
)
from tests.support.programmed import Programmed

DICE = random.Random(13)
Pairs = Sequence[tuple[int, int]]


def prove(values: Pairs, widths: Sequence[int]) -> bytes:
    channel = Outgoing(Transcript("t", 1))
    send_ranges(channel, values, widths, Nonces(bytes(32)))
    return channel.data()


def accepts(
    proof: bytes, points: Sequence[Point], widths: Sequence[int], on: Transcript | None = None
) -> bool:
    channel = Incoming(on or Transcript("t", 1), proof)
    check = receive_ranges(channel, "ranges", points, widths)
    channel.finish()
    return not find_refused([check])


WIDTHS = [5, 1, 7]
VALUES = [(31, 5), (0, 7), (64, 9)]
POINTS = [commit(*pair) for pair in VALUES]
PROOF = prove(VALUES, WIDTHS)


@given(
    st.lists(st.tuples(st.integers(1, 64), st.integers(0), st.integers(1, ORDER - 1)),
             min_size=1, max_size=4),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_values_within_their_widths_are_proved(drawn: list[tuple[int, int, int]]) -> None:
    widths = [width for width, _, _ in drawn]
    values = [(number % (1 << width), blinding) for width, number, blinding in drawn]
    points = [commit(*pair) for pair in values]
    assert accepts(prove(values, widths), points, widths)


@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64 - 1])
def test_a_range_of_64_bits_takes_688_bytes(value: int) -> None:
    proof = prove([(value, 3)], [64])
    assert len(proof) == 688
    assert accepts(proof, [commit(value, 3)], [64])


@pytest.mark.parametrize(("value", "width"), [(-1, 8), (256, 8), (2, 1), (2**64, 64), (ORDER, 8)])
def test_the_prover_refuses_a_value_out_of_range(value: int, width: int) -> None:
    with pytest.raises(FalseStatement):
        prove([(value, 1)], [width])


@pytest.mark.parametrize("width", [0, -1, 129])
def test_widths_that_make_no_range_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="only 1 to 128"):
        prove([(0, 1)], [width])
    with pytest.raises(ValueError, match="only 1 to 128"):
        accepts(PROOF, POINTS[:1], [width])


@pytest.mark.parametrize("value", [32, 33, -1, ORDER - 1, 2**64, 31 + ORDER // 2])
def test_a_value_out_of_range_is_not_proved_by_the_bits_it_has(value: int) -> None:
    # The liar proves what is left of the value in five bits, with the blinding of the whole.
    lie = prove([(value % 32, 5), *VALUES[1:]], WIDTHS)
    assert not accepts(lie, [commit(value, 5), *POINTS[1:]], WIDTHS)


def test_a_proof_for_other_points_or_widths_is_refused() -> None:
    assert accepts(PROOF, POINTS, WIDTHS)
    assert not accepts(PROOF, [POINTS[0] + H, *POINTS[1:]], WIDTHS)
    assert not accepts(PROOF, [POINTS[0] + GENERATOR, *POINTS[1:]], WIDTHS)
    assert not accepts(PROOF, [POINTS[1], POINTS[0], POINTS[2]], WIDTHS)
    assert not accepts(PROOF, POINTS, [5, 2, 6])
    assert not accepts(PROOF, POINTS, WIDTHS, Transcript("t", 2))


def test_proofs_are_the_same_bytes_as_ever() -> None:
    """Evidence that is kept has to verify for years: the wire does not move unnoticed."""
    assert sha256(PROOF).hexdigest() == (
        "1b7ca42b9291bbe6242c3abc924fe959723edc5bcfbeef455fe9a8777a1143e1"
    )


def test_every_flipped_byte_of_a_proof_is_refused() -> None:
    for place in range(len(PROOF)):
        bent = bytearray(PROOF)
        bent[place] ^= 1 << place % 8
        try:
            assert not accepts(bytes(bent), POINTS, WIDTHS), place
        except Malformed:
            continue


@pytest.mark.parametrize("bent", [PROOF[:-1], PROOF + b"\0", b"", PROOF[33:]])
def test_a_cut_or_extended_proof_is_malformed(bent: bytes) -> None:
    with pytest.raises(Malformed):
        accepts(bent, POINTS, WIDTHS)


# Ranges that end at any number

LAST = [5, 1, 100]
WITHIN = [(5, 5), (0, 7), (64, 9)]


def prove_up_to(values: Pairs, largest: Sequence[int]) -> bytes:
    channel = Outgoing(Transcript("t", 1))
    send_bounded(channel, values, largest, Nonces(bytes(32)))
    return channel.data()


def accepts_up_to(
    proof: bytes, points: Sequence[Point], largest: Sequence[int], on: Transcript | None = None
) -> bool:
    channel = Incoming(on or Transcript("t", 1), proof)
    check = receive_bounded(channel, "ranges", points, largest)
    channel.finish()
    return not find_refused([check])


@pytest.mark.parametrize("largest", range(1, 70))
def test_bits_count_just_the_numbers_up_to_the_largest(largest: int) -> None:
    counts = _counts(largest)
    sums = {
        sum(c for k, c in enumerate(counts) if bits >> k & 1) for bits in range(1 << len(counts))
    }
    assert sums == set(range(largest + 1))
    if largest & (largest + 1) == 0:
        assert counts == [1 << k for k in range(len(counts))]  # the proofs that there always were
    for value in range(largest + 1):
        bits = _bits_of(value, largest)
        assert sum(c * bit for c, bit in zip(counts, bits, strict=True)) == value


@given(
    st.lists(st.tuples(st.integers(1, 1 << 40), st.integers(0), st.integers(1, ORDER - 1)),
             min_size=1, max_size=3),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_values_up_to_any_largest_are_proved(drawn: list[tuple[int, int, int]]) -> None:
    largest = [most for most, _, _ in drawn]
    values = [(number % (most + 1), blinding) for most, number, blinding in drawn]
    points = [commit(*pair) for pair in values]
    assert accepts_up_to(prove_up_to(values, largest), points, largest)


@pytest.mark.parametrize("value", [6, 7, 8, -1, ORDER - 1])
def test_a_value_just_beyond_the_largest_is_not_proved(value: int) -> None:
    with pytest.raises(FalseStatement):
        prove_up_to([(value, 5)], [5])
    lie = prove_up_to([(value % 6, 5), *WITHIN[1:]], LAST)
    points = [commit(value, 5), *(commit(*pair) for pair in WITHIN[1:])]
    assert not accepts_up_to(lie, points, LAST)
    wider = prove_up_to([(value % 8, 5), *WITHIN[1:]], [7, *LAST[1:]])
    assert not accepts_up_to(wider, points, LAST)


def test_a_range_of_a_power_of_two_is_the_same_proof_as_by_its_width() -> None:
    assert prove_up_to(VALUES, [(1 << width) - 1 for width in WIDTHS]) == PROOF


@pytest.mark.parametrize("largest", [0, -1, 1 << 128])
def test_largest_numbers_that_make_no_range_are_refused(largest: int) -> None:
    with pytest.raises(ValueError, match="only 1 to 128"):
        prove_up_to([(0, 1)], [largest])
    with pytest.raises(ValueError, match="only 1 to 128"):
        accepts_up_to(PROOF, POINTS[:1], [largest])


@pytest.mark.parametrize("largest", [(7, 15), (4, 9)])
def test_a_simulator_without_the_values_makes_accepting_proofs(largest: tuple[int, int]) -> None:
    # Commitments to numbers that are not in range at all.
    points, size = [commit(999, 1), commit(-5, 2)], 7
    y, z, x, w = 11, 12, 13, 14
    dice = random.Random(17)
    l_vector, r_vector = ([dice.randrange(ORDER) for _ in range(size)] for _ in range(2))
    t, tau, mu = inner_product(l_vector, r_vector), dice.randrange(ORDER), dice.randrange(ORDER)
    g, h, y_powers = generators(b"range g", size), generators(b"range h", size), powers(y, size)
    lowered = powers(pow(y, -1, ORDER), size)
    first, second = largest
    weights = [z**2 * c for c in _counts(first)] + [z**3 * c for c in _counts(second)]
    delta = (z - z * z) * sum(y_powers) - z**3 * first - z**4 * second
    a, t2 = multiply_generator(555), multiply_generator(666)
    t1 = sum_points([
        commit((t - delta) % ORDER, tau), points[0] * -(z**2), points[1] * -(z**3), t2 * -(x * x),
    ]) * pow(x, -1, ORDER)  # fmt: skip
    h_scalars = multiply_each(
        [r - z * p - d for r, p, d in zip(r_vector, y_powers, weights, strict=True)], lowered
    )
    s = sum_points([
        g.weighted_sum([number + z for number in l_vector]), h.weighted_sum(h_scalars),
        multiply_generator(mu), -a,
    ]) * pow(x, -1, ORDER)  # fmt: skip
    channel = Outgoing(Programmed([y, z, x, w]))
    channel.send_point("A", a)
    channel.send_point("S", s)
    assert (channel.challenge("y"), channel.challenge("z")) == (y, z)
    channel.send_point("T1", t1)
    channel.send_point("T2", t2)
    channel.challenge("x")
    for label, scalar in (("t", t), ("tau", tau), ("mu", mu)):
        channel.send_scalar(label, scalar)
    unit = generators(b"inner product unit", 1)[0] * channel.challenge("w")
    last = send_inner_product_argument(
        channel, unit, (g, h), pow(y, -1, ORDER), (l_vector, r_vector)
    )
    channel.send_scalar("a", last[0])
    channel.send_scalar("b", last[1])
    assert accepts_up_to(channel.data(), points, largest, Programmed([y, z, x, w]))
