# SPDX-License-Identifier: Apache-2.0
"""What stands, and what is asked, become terms that allow no more than either."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure.carrying import narrower
from hub.disclosure.consents import ConsentTerms

some = st.integers(1, 4)
none_or_some = st.integers(0, 3)


@st.composite
def terms(draw: st.DrawFn, package: bytes, by_bits: bool) -> ConsentTerms:
    return ConsentTerms(
        applet=b"applet", package=package, recipient="grid", purpose="planning", statement="linear",
        least_days=draw(some), least_minutes=draw(some), answers=draw(some), bits=draw(some),
        until=date(2030, 1, draw(some)), least_group=draw(some), within_days=draw(some),
        slot_bits=draw(some) if by_bits else 0, memory_days=draw(none_or_some),
        published=draw(none_or_some), corrected_minutes=draw(none_or_some),
    )  # fmt: skip


@given(st.data(), st.booleans())
def test_it_allows_no_more_than_either_and_all_that_both_do(data: st.DataObject, b: bool) -> None:
    standing, asked = data.draw(terms(b"old", b)), data.draw(terms(b"new", b))
    made = narrower(standing, asked)
    assert made.package == b"new"
    assert asked.covers(made)
    assert standing.covers(replace(made, package=b"old"))
    other = data.draw(terms(b"new", b))
    both = asked.covers(other) and standing.covers(replace(other, package=b"old"))
    assert both == made.covers(other)


@given(terms(b"old", False), terms(b"new", False))
def test_terms_of_another_subject_or_manner_do_not_go_over(
    standing: ConsentTerms, asked: ConsentTerms
) -> None:
    with pytest.raises(ValueError, match="different subjects"):
        narrower(standing, replace(asked, purpose="billing"))
    with pytest.raises(ValueError, match="by bits"):
        narrower(standing, replace(asked, slot_bits=8))
