# SPDX-License-Identifier: Apache-2.0
"""One of several commitments is to nought: complete, sound, and nobody learns which."""

import random
from collections.abc import Sequence

import pytest

from protocols.proofs import ORDER, FalseStatement, Malformed, Transcript, commit
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import powers
from protocols.proofs.group import INFINITY, Point, multiply_generator, sum_points
from protocols.proofs.nonces import Nonces
from protocols.proofs.one_of import receive_one_of, send_one_of
from protocols.proofs.pedersen import H
from tests.support.programmed import Programmed
from tests.support.soak import places

COUNTS = [1, 2, 5, 8, 9, 16, 21]


def points_with_nought_at(place: int, count: int) -> list[Point]:
    dice = random.Random(count)
    points = [commit(dice.randrange(1, 99), dice.randrange(ORDER)) for _ in range(count)]
    points[place] = multiply_generator(77)
    return points


def prove(points: Sequence[Point], place: int, blinding: int = 77) -> bytes:
    channel = Outgoing(Transcript("t", 1))
    send_one_of(channel, points, place, blinding, Nonces(bytes(32)))
    return channel.data()


def accepts(proof: bytes, points: Sequence[Point], on: Transcript | None = None) -> bool:
    channel = Incoming(on or Transcript("t", 1), proof)
    check = receive_one_of(channel, "one of", points)
    channel.finish()
    return not find_refused([check])


@pytest.mark.parametrize("count", COUNTS)
def test_nought_is_proved_at_any_place_with_the_same_size(count: int) -> None:
    sizes = set()
    for place in range(count):
        points = points_with_nought_at(place, count)
        proof = prove(points, place)
        sizes.add(len(proof))
        assert accepts(proof, points)
    n = (count - 1).bit_length()
    few, many = 33 * count + 32 * (2 * count - 1), 33 * 4 * n + 32 * (3 * n + 1)
    assert sizes == {few if count <= 8 else many}


@pytest.mark.parametrize("count", COUNTS)
def test_points_of_which_none_is_nought_are_refused(count: int) -> None:
    points = points_with_nought_at(0, count)
    proof = prove(points, 0)
    assert not accepts(proof, [points[0] + H, *points[1:]])
    with pytest.raises(FalseStatement):
        prove([points[0] + H, *points[1:]], 0)
    with pytest.raises(FalseStatement):
        prove(points, count - 1 if count > 1 else 0, 78)


@pytest.mark.parametrize("count", [2, 9])
def test_another_order_of_points_is_refused(count: int) -> None:
    points = points_with_nought_at(0, count)
    assert not accepts(prove(points, 0), points[::-1])
    assert not accepts(prove(points, 0), points, Transcript("t", 2))


@pytest.mark.more_in_soak
@pytest.mark.parametrize("count", [2, 9])
def test_every_flipped_byte_of_a_proof_is_refused(count: int) -> None:
    points = points_with_nought_at(1, count)
    proof = prove(points, 1)
    for place in places(proof):
        bent = bytearray(proof)
        bent[place] ^= 1 << place % 8
        try:
            assert not accepts(bytes(bent), points), place
        except Malformed:
            continue
    for cut in (proof[:-1], proof + b"\0", b""):
        with pytest.raises(Malformed):
            accepts(cut, points)


def test_no_points_make_no_statement() -> None:
    with pytest.raises(ValueError):
        accepts(b"", [])


def test_points_at_infinity_commit_to_nought_with_a_blinding_of_nought() -> None:
    points = [INFINITY, commit(3, 4)]
    assert accepts(prove(points, 0, 0), points)


def test_a_simulator_without_any_nought_makes_accepting_proofs_of_few() -> None:
    points = [commit(5, 6), commit(7, 8), commit(9, 1)]
    challenges, answers = [10, 20, 30], [111, 222, 333]
    channel = Outgoing(Programmed([60]))
    for point, c, z in zip(points, challenges, answers, strict=True):
        channel.send_point("A", multiply_generator(z) - point * c)
    channel.challenge("c")
    for j, (c, z) in enumerate(zip(challenges, answers, strict=True)):
        if j:
            channel.send_scalar("c", c)
        channel.send_scalar("z", z)
    assert accepts(channel.data(), points, Programmed([60]))


def test_a_simulator_without_any_nought_makes_accepting_proofs_of_many() -> None:
    dice = random.Random(23)
    points = [commit(dice.randrange(1, 99), dice.randrange(ORDER)) for _ in range(16)]
    n, x = 4, 987654321
    channel = Outgoing(Programmed([x]))
    answers, products = [], [1]
    for _ in range(n):
        f, u, v = (dice.randrange(ORDER) for _ in range(3))
        bit = commit(dice.randrange(2), dice.randrange(ORDER))
        channel.send_point("L", bit)
        channel.send_point("A", commit(f, u) - bit * x)
        channel.send_point("B", multiply_generator(v) - bit * (x - f))
        answers.append((f, u, v))
        products = [p * (x - f) % ORDER for p in products] + [p * f % ORDER for p in products]
    d = dice.randrange(ORDER)
    later = [multiply_generator(dice.randrange(ORDER)) for _ in range(n - 1)]
    sums = [point * product for point, product in zip(points, products, strict=True)]
    lower = [point * -power for point, power in zip(later, powers(x, n)[1:], strict=True)]
    for point in (sum_points([*sums, *lower, -multiply_generator(d)]), *later):
        channel.send_point("D", point)
    channel.challenge("x")
    for triple in answers:
        for label, scalar in zip("fuv", triple, strict=True):
            channel.send_scalar(label, scalar)
    channel.send_scalar("d", d)
    assert accepts(channel.data(), points, Programmed([x]))
