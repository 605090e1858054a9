# SPDX-License-Identifier: Apache-2.0
"""Rows of our own databases, by cbor2: the same bytes as our own encoder where that has any."""

from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.cbor import CborError, encode
from protocols.canonical.stored import decode_row, encode_row
from tests.protocols.canonical.corpus import flat_arrays, trees
from tests.support.soak import examples

rows = st.recursive(
    st.integers() | st.booleans() | st.none() | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(rows)
def test_rows_come_back(row: Any) -> None:
    assert decode_row(encode_row(row)) == row


def test_rows_are_encoded_as_documents_are() -> None:
    for value in (*flat_arrays(), *trees(mixed=False)):
        assert encode_row(value) == encode(value)


@examples(250, soak=1000)
@given(st.binary(max_size=60) | rows.map(lambda row: cbor2.dumps(row)[:-1]))
def test_nothing_but_the_packages_own_error_comes_out(data: bytes) -> None:
    for start in (data, b"\x83" + data, b"\xa2" + data, b"\xc0" + data, b"\xd8\x23" + data):
        with suppress(CborError):
            decode_row(start)


@pytest.mark.parametrize("data", ["", "9bffffffffffffffff", "81" * 5000, "d8235f"])
def test_what_cannot_be_read_is_refused(data: str) -> None:
    with pytest.raises(CborError):
        decode_row(bytes.fromhex(data))
