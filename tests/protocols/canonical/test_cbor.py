# SPDX-License-Identifier: Apache-2.0
import json
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.cbor import (
    MAX_DEPTH,
    CborError,
    CborItem,
    CborValue,
    decode,
    decode_array,
    encode,
    encode_array,
)
from tests.protocols.canonical.corpus import flat_arrays, trees
from tests.support.soak import examples

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
"""What the encoders wrote before they became one, as the first bytes of SHA-256."""

items = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.text()))
integers = st.integers(-(2**64), 2**64 - 1)


def values_with(
    keys: st.SearchStrategy[int | str],
) -> st.SearchStrategy[CborValue]:
    return st.recursive(
        integers | st.binary(max_size=300) | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


values = values_with(integers | st.text(max_size=8))


def short(data: bytes) -> str:
    return sha256(data).hexdigest()[:8]


def test_encodings_are_those_that_were_recorded() -> None:
    assert list(map(short, map(encode_array, flat_arrays()))) == RECORDED["flat arrays"]
    assert list(map(short, map(encode, trees(mixed=False)))) == RECORDED["trees"]
    assert list(map(short, map(encode, trees(mixed=True)))) == RECORDED["mixed trees"]


@given(items)
def test_arrays_are_encoded_as_another_library_does_and_decoded_again(
    array: list[CborItem],
) -> None:
    data = encode_array(array)
    assert data == cbor2.dumps(array, canonical=True)
    assert decode_array(data) == array


# Of keys of two types, the other library orders by length first (RFC 7049), which 8949 left behind.
@given(values_with(st.text(max_size=30)) | values_with(integers.filter(lambda key: key >= 0)))
def test_values_are_encoded_as_another_library_does(value: CborValue) -> None:
    assert encode(value) == cbor2.dumps(value, canonical=True)


@given(values)
def test_values_come_back_and_a_general_decoder_agrees(value: CborValue) -> None:
    data = encode(value)
    assert decode(data) == value
    assert cbor2.loads(data) == value


@examples(125, soak=500)
@given(st.binary(max_size=60) | items.map(lambda array: cbor2.dumps(array)[:-1]))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    for start in (data, b"\x83" + data, b"\xa2" + data):
        try:
            value = decode(start)
        except CborError:
            continue
        assert encode(value) == start
        if isinstance(value, list) and all(isinstance(item, CborItem) for item in value):
            assert encode(decode(start)) == start


@given(st.binary(max_size=60) | items.map(lambda array: cbor2.dumps(array)[:-1]))
def test_any_bytes_are_no_flat_array_or_reproduced(data: bytes) -> None:
    for start in (data, b"\x83" + data):
        try:
            array = decode_array(start)
        except CborError:
            continue
        assert encode_array(array) == start


# RFC 8949, appendix A: those of its examples that are values here.
@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (1, "01"),
        (10, "0a"),
        (23, "17"),
        (24, "1818"),
        (25, "1819"),
        (100, "1864"),
        (1000, "1903e8"),
        (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"),
        (18446744073709551615, "1bffffffffffffffff"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (-1, "20"),
        (-10, "29"),
        (-100, "3863"),
        (-1000, "3903e7"),
        (b"", "40"),
        (bytes.fromhex("01020304"), "4401020304"),
        ("", "60"),
        ("a", "6161"),
        ("IETF", "6449455446"),
        ('"\\', "62225c"),
        ("\u00fc", "62c3bc"),
        ("\u6c34", "63e6b0b4"),
        ("\U00010151", "64f0908591"),
        ([], "80"),
        ([1, 2, 3], "83010203"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        (
            list(range(1, 26)),
            "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        ),
        ({}, "a0"),
        ({1: 2, 3: 4}, "a201020304"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        (["a", {"b": "c"}], "826161a161626163"),
        (
            {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"},
            "a56161614161626142616361436164614461656145",
        ),
    ],
)
def test_examples_of_rfc_8949_are_encoded_and_decoded(value: CborValue, data: str) -> None:
    assert encode(value).hex() == data
    assert decode(bytes.fromhex(data)) == value


# The others: floats, simple values, tags, big numbers, and lengths that are not definite.
@pytest.mark.parametrize(
    "data",
    [
        "c249010000000000000000", "c349010000000000000000", "f90000", "f98000", "f93c00",
        "fb3ff199999999999a", "f93e00", "f97bff", "fa47c35000", "fa7f7fffff",
        "fb7e37e43c8800759c", "f90001", "f90400", "f9c400", "fbc010666666666666", "f97c00",
        "f97e00", "f9fc00", "fa7f800000", "fa7fc00000", "faff800000", "fb7ff0000000000000",
        "fb7ff8000000000000", "fbfff0000000000000", "f4", "f5", "f6", "f7", "f0", "f8ff",
        "c074323031332d30332d32315432303a30343a30305a", "c11a514b67b0", "c1fb41d452d9ec200000",
        "d74401020304", "d818456449455446",
        "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
        "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff", "9f018202039f0405ffff",
        "9f01820203820405ff", "83018202039f0405ff", "83019f0203ff820405",
        "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
        "bf61610161629f0203ffff", "826161bf61626163ff", "bf6346756ef563416d7421ff",
    ],
)  # fmt: skip
def test_the_other_examples_of_rfc_8949_are_refused(data: str) -> None:
    with pytest.raises(CborError):
        decode(bytes.fromhex(data))


def test_keys_are_in_the_order_of_rfc_8949() -> None:
    # Section 4.2.1, but for the keys that are no key here.
    keys = [10, 100, -1, "z", "aa"]
    assert list(decode(encode(dict.fromkeys(reversed(keys), 0)))) == keys  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "cut short"),
        ("1817", "shortest"),
        ("190017", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("5f41004100ff", "indefinite"),
        ("1c", "reserved"),
        ("f4", "no place"),
        ("f97e00", "no place"),
        ("c100", "no place"),
        ("a201000100", "repeated or out of order"),
        ("a202000100", "repeated or out of order"),
        ("a1410000", "neither a number nor text"),
        ("61ff", "UTF-8"),
        ("0000", "after its end"),
        ("9bffffffffffffffff", "more items than bytes"),
        ("81" * 20 + "00", "too deeply"),
        ("42", "cut short"),
    ],
)
def test_what_is_not_deterministic_is_refused(data: str, reason: str) -> None:
    with pytest.raises(CborError, match=reason):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "missing"),
        ("01", "not an array"),
        ("a0", "not an array"),
        ("8101ff", "1 bytes follow"),
        ("81", "missing"),
        ("9bffffffffffffffff", "missing"),
        ("811801", "shortest"),
        ("8119000a", "shortest"),
        ("980101", "shortest"),
        ("9f01ff", "definite"),
        ("811c", "reserved"),
        ("815f4101ff", "definite"),
        ("8120", "neither"),
        ("8180", "neither"),
        ("81a0", "neither"),
        ("8181", "missing"),
        ("81c101", "neither"),
        ("81f6", "neither"),
        ("81fb3ff0000000000000", "neither"),
        ("814361", "missing"),
        ("8161ff", "UTF-8"),
    ],
)
def test_other_than_deterministic_flat_arrays_are_refused(data: str, reason: str) -> None:
    with pytest.raises(CborError, match=reason):
        decode_array(bytes.fromhex(data))


def test_numbers_beyond_64_bits_cannot_be_written() -> None:
    for number in (2**64, -(2**64) - 1):
        with pytest.raises(CborError, match="64 bits"):
            encode(number)
    with pytest.raises(CborError, match="64 bits"):
        encode_array([2**64])
    with pytest.raises(CborError, match="negative"):
        encode_array([-1])


@pytest.mark.parametrize("value", [True, None, 1.0, {b"": 0}, {True: 0}, {None: 0}, [{1}]])
def test_values_of_other_types_have_no_encoding(value: CborValue) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_what_is_nested_too_deeply_is_neither_written_nor_read() -> None:
    value: CborValue = 0
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(CborError, match="too deeply"):
        encode([value])
    with pytest.raises(CborError, match="too deeply"):
        encode_array([[]])  # type: ignore[list-item]
