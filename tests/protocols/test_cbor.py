# SPDX-License-Identifier: Apache-2.0
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.cbor import CborError, Item, decode_array, encode_array

items = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.text()))


@given(items)
def test_arrays_are_encoded_as_another_library_does_and_decoded_again(array: list[Item]) -> None:
    data = encode_array(array)
    assert data == cbor2.dumps(array, canonical=True)
    assert decode_array(data) == array


@given(st.one_of(st.binary(max_size=60), items.map(lambda array: cbor2.dumps(array)[:-1])))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    for start in (data, b"\x83" + data):
        try:
            array = decode_array(start)
        except CborError:
            continue
        assert encode_array(array) == start


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
        ("811c", "definite"),
        ("815f4101ff", "definite"),
        ("8120", "neither"),
        ("8181", "neither"),
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
    with pytest.raises(CborError):
        encode_array([2**64])
