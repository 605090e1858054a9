# SPDX-License-Identifier: Apache-2.0
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.certified_span import (
    CertifiedSpanError,
    decode_span,
    encode_span,
    span_in_words,
)
from protocols.metrology import Period


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_days_come_back_as_they_went_out(one: date, other: date) -> None:
    span = Period(min(one, other), max(one, other))
    assert decode_span(encode_span(span)) == span
    assert str(span.last) in span_in_words(span)


def test_no_day_is_told_as_none() -> None:
    assert decode_span(encode_span(None)) is None
    assert span_in_words(None) == "no day is certified yet"


@given(st.binary(min_size=1, max_size=20) | st.from_regex(rb"[0-9]{16}", fullmatch=True))
def test_any_other_bytes_are_refused_or_reproduced(data: bytes) -> None:
    try:
        span = decode_span(data)
    except CertifiedSpanError:
        return
    assert encode_span(span) == data


@pytest.mark.parametrize("data", [b"2025033120250301", b"2025023020250301", b"2025-03-2025-03-"])
def test_days_out_of_order_or_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(CertifiedSpanError):
        decode_span(data)
