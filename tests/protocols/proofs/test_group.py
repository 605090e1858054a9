# SPDX-License-Identifier: Apache-2.0
"""The group against published multiples and against a slow one of the tests' own."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import Malformed, Point, PointVector
from protocols.proofs.generators import generators, hash_to_point
from protocols.proofs.group import (
    GENERATOR,
    INFINITY,
    ORDER,
    decode_scalar,
    encode_scalar,
    multiply_generator,
    multiply_generator_many,
    sum_columns,
    sum_points,
    weighted_sum,
)
from tests.protocols.proofs import oracle

# Multiples of G as published: SEC 2 v2 (1), the list of C. Batson for implementers of secp256k1
# (2, 3, 112233445566778899, n - 1), and the public key of vector 1 of BIP 340.
MULTIPLES = {
    1: "79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798",
    2: "C6047F9441ED7D6D3045406E95C07CD85C778E4B8CEF3CA7ABAC09B95C709EE5",
    3: "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
    112233445566778899: "A90CC3D3F3E146DAADFC74CA1372207CB4B725AE708CEF713A98EDD73D99EF29",
    ORDER - 1: "79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798",
    0xB7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF:
        "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
}  # fmt: skip

scalars = st.one_of(
    st.integers(-5, 5),
    st.integers(0, ORDER - 1),
    st.sampled_from([ORDER - 2, ORDER - 1, ORDER, ORDER + 1, ORDER // 2, ORDER // 2 + 1]),
)


def points(count: int, seed: int = 1) -> list[Point]:
    dice = random.Random(seed)
    return [multiply_generator(dice.randrange(1, ORDER)) for _ in range(count)]


def as_affine(point: Point) -> oracle.Affine:
    return None if point.is_infinity else oracle.decode(point.encode())


@pytest.mark.parametrize("factor", MULTIPLES)
def test_published_multiples_of_the_generator_come_out(factor: int) -> None:
    assert multiply_generator(factor).encode()[1:].hex().upper() == MULTIPLES[factor]
    assert GENERATOR * factor == multiply_generator(factor)


def test_the_order_is_the_published_one_and_ends_at_infinity() -> None:
    assert oracle.N == ORDER
    assert multiply_generator(ORDER).is_infinity
    assert (GENERATOR * ORDER).is_infinity
    assert multiply_generator(ORDER - 1) == -GENERATOR


@given(scalars, scalars)
@settings(max_examples=30, deadline=None)
def test_products_and_sums_equal_those_of_the_slow_group(a: int, b: int) -> None:
    left, right = multiply_generator(a), multiply_generator(b)
    assert as_affine(left) == oracle.multiply(a, oracle.G)
    assert as_affine(left * b) == oracle.multiply(a * b, oracle.G)
    assert as_affine(left + right) == oracle.add(as_affine(left), as_affine(right))
    assert as_affine(left - right) == as_affine(multiply_generator(a - b))
    assert as_affine(-left) == as_affine(multiply_generator(-a))


def test_infinity_is_neutral_and_has_no_encoding() -> None:
    assert GENERATOR + INFINITY == GENERATOR == INFINITY + GENERATOR
    assert GENERATOR - GENERATOR == INFINITY == -INFINITY == INFINITY * 7 == sum_points([])
    assert INFINITY != GENERATOR
    assert hash(INFINITY) != hash(GENERATOR)
    with pytest.raises(Malformed, match="no encoding"):
        INFINITY.encode()
    with pytest.raises(Malformed, match="infinity"):
        PointVector([GENERATOR, INFINITY])


@pytest.mark.parametrize("size", [33, 65])
def test_a_point_is_reproduced_from_its_only_encodings(size: int) -> None:
    for point in points(5):
        data = point.encode(size)
        assert data == oracle.encode(as_affine(point), size)
        assert Point.decode(data) == point


@given(st.one_of(st.binary(min_size=33, max_size=33), st.binary(min_size=65, max_size=65)))
def test_any_bytes_are_refused_or_reproduced_as_a_point(data: bytes) -> None:
    for start in (data, b"\2" + data[1:], b"\4" + data[1:]):
        try:
            point = Point.decode(start)
        except Malformed:
            continue
        assert point.encode(len(start)) == start


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "33 or 65"),
        (b"\0", "33 or 65"),
        (bytes(33), "not a point"),
        (b"\5" + GENERATOR.encode()[1:], "not a point"),
        (b"\6" + GENERATOR.encode(65)[1:], "not 04"),
        (b"\2" + (oracle.P + 1).to_bytes(32, "big"), "not a point"),
        (b"\4" + (oracle.P + 1).to_bytes(32, "big") + bytes(32), "not a point"),
        (GENERATOR.encode(65)[:64] + b"\0", "not a point"),
        (b"\2" + (5).to_bytes(32, "big"), "not a point"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_canonical_point_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        Point.decode(data)


def test_hybrid_encodings_are_refused_in_vectors_too() -> None:
    good = GENERATOR.encode(65)
    hybrid = bytes([6 + good[64] % 2]) + good[1:]
    with pytest.raises(Malformed):
        PointVector.decode(good + hybrid, 65)


@pytest.mark.parametrize("size", [33, 65])
def test_a_vector_names_the_first_point_that_is_off_the_curve(size: int) -> None:
    data = bytearray(PointVector(points(6)).encode(size))
    data[3 * size : 4 * size] = bytes([data[3 * size]]) + b"\xff" * (size - 1)
    with pytest.raises(Malformed, match="point 3"):
        PointVector.decode(bytes(data), size)
    with pytest.raises(Malformed, match="whole number"):
        PointVector.decode(bytes(data[:-1]), size)


def test_scalars_have_one_encoding() -> None:
    for scalar in (0, 1, ORDER - 1):
        assert decode_scalar(encode_scalar(scalar)) == scalar
    for data in (ORDER.to_bytes(32, "big"), b"\xff" * 32, bytes(31), bytes(33), b""):
        with pytest.raises(Malformed):
            decode_scalar(data)


def test_vectors_slice_join_and_select_like_lists() -> None:
    listed = points(9)
    vector = PointVector(listed)
    assert list(vector) == listed
    assert list(vector[2:7:2]) == listed[2:7:2]
    assert vector[-1] == listed[-1]
    joined = PointVector.join([vector[:3], PointVector(), vector[3:]])
    assert joined == vector
    assert hash(joined) == hash(vector)
    assert list(vector.select([4, 4, 0])) == [listed[4], listed[4], listed[0]]
    assert PointVector.decode(vector.encode(65), 65) == PointVector.decode(vector.encode(33), 33)
    assert PointVector().encode() == b""
    assert PointVector.decode(b"") == PointVector()
    with pytest.raises(IndexError):
        vector[9]


@pytest.mark.parametrize("bits", [1, 8, 20, 64, 200, 256])
@pytest.mark.parametrize("count", [0, 1, 3, 60, 400])
def test_a_weighted_sum_is_the_sum_of_the_products(count: int, bits: int) -> None:
    dice = random.Random(bits)
    listed = points(count)
    weights = [dice.randrange(-(2**bits), 2**bits) for _ in listed]
    expected = sum_points(point * weight for weight, point in zip(weights, listed, strict=True))
    assert PointVector(listed).weighted_sum(weights) == expected
    assert weighted_sum(zip(weights, listed, strict=True)) == expected


@given(st.lists(st.tuples(st.sampled_from([-3, -1, 0, 2, ORDER, ORDER - 1]), st.integers(0, 4))))
@settings(max_examples=40, deadline=None)
def test_weights_that_repeat_and_points_that_cancel_are_summed_right(
    terms: list[tuple[int, int]],
) -> None:
    total = sum(weight * factor for weight, factor in terms)
    listed = [(weight, multiply_generator(factor)) for weight, factor in terms]
    assert weighted_sum(listed) == multiply_generator(total)


def test_a_weighted_sum_equals_the_slow_groups_beyond_the_bucket_threshold() -> None:
    dice = random.Random(5)
    listed = points(150)
    weights = [dice.randrange(1 << 16) for _ in listed]
    total: oracle.Affine = None
    for weight, point in zip(weights, listed, strict=True):
        total = oracle.add(total, oracle.multiply(weight, as_affine(point)))
    assert as_affine(PointVector(listed).weighted_sum(weights)) == total


@pytest.mark.parametrize(
    "call",
    [
        lambda: PointVector(points(2)).weighted_sum([1]),
        lambda: sum_columns([PointVector(points(2)), PointVector(points(1))]),
        lambda: multiply_generator_many([1, 0]),
        lambda: multiply_generator_many([ORDER]),
        lambda: GENERATOR.encode(34),
        lambda: PointVector.decode(b"", 64),
    ],
)  # fmt: skip
def test_calls_the_library_would_not_survive_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        call()


def test_columns_that_cancel_are_refused() -> None:
    listed = points(3)
    negated = [-point for point in listed]
    assert list(sum_columns([PointVector(listed)] * 2)) == [point * 2 for point in listed]
    with pytest.raises(Malformed, match="infinity"):
        sum_columns([PointVector(listed), PointVector(negated)])


def test_hashed_points_depend_on_every_byte_of_the_label_and_do_not_change() -> None:
    assert hash_to_point(b"a") != hash_to_point(b"b") != hash_to_point(b"")
    assert hash_to_point(b"a") == hash_to_point(b"a")
    assert list(generators(b"x", 3)) == list(generators(b"x", 5)[:3])
    # Frozen: commitments made with this generator have to be readable for ever.
    assert hash_to_point(b"pedersen value generator").encode().hex() == VALUE_GENERATOR


VALUE_GENERATOR = "02651a6e9a6dc0fbcdb047e284fecd44cec7745497e19de2aea125edc4f1af55dd"
