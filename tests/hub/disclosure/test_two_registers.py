# SPDX-License-Identifier: Apache-2.0
"""What is drawn and what is fed in are different unknowns, to the guard and in what it knows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure import (
    Disclosure,
    Form,
    Knowledge,
    Number,
    ReleaseRefused,
    ReleaseRequest,
    knowledge_of,
)
from hub.disclosure.cells import windows_agree
from hub.disclosure.records import release_of
from hub.disclosure.rules import check_spacing, overlaps
from tests.hub.disclosure.test_disclosure import MARCH, NOW, TERMS, ask, day_and_night
from tests.support.consented import guarding
from tests.support.releases import number_of_sum

FED_IN = "1-0:2.8.0*255"


def fed_in(form: Form) -> Form:
    return replace(form, register=FED_IN)


def about_feed_in(request: ReleaseRequest) -> ReleaseRequest:
    (number,) = request.numbers
    number = replace(number, forms=(fed_in(request.form),), identity=b"")
    return replace(request, numbers=(number,))


def length(known: Knowledge) -> int | None:
    window = known.shortest_window
    return None if window is None else window[1] - window[0]


forms = st.lists(
    st.builds(
        Form,
        st.integers(0, 6).map(lambda n: 900 * n),
        st.just(900),
        st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple),
    ),
    max_size=4,
)


def numbers(found: list[Form]) -> list[Number]:
    return [number_of_sum(form, 1) for form in found]


@given(forms, forms)
def test_what_is_known_of_two_registers_is_what_is_known_of_each(
    drawn: list[Form], exported: list[Form]
) -> None:
    other = [fed_in(form) for form in exported]
    one, two = knowledge_of(numbers(drawn)), knowledge_of(numbers(other))
    both = knowledge_of(numbers([*drawn, *other]))
    assert two == knowledge_of(numbers(exported))
    for name in ("slots", "numbers", "bundles", "exposed_slots", "bits", "peaks"):
        assert getattr(both, name) == getattr(one, name) + getattr(two, name), name
    lengths = [length(known) for known in (one, two) if known.shortest_window]
    assert length(both) == min(filter(None, lengths), default=None)


def test_windows_of_two_registers_have_no_slot_in_common() -> None:
    one = Form(0, 900, (1, 1, 2, 2), is_peak=True)
    other = Form(0, 900, (0, 1, 1, 0), is_peak=True)
    assert not windows_agree([one, other])
    assert windows_agree([one, fed_in(other)])
    assert not overlaps(one, fed_in(one))


def test_samples_are_spaced_in_each_register() -> None:
    one = Form(0, 900, (1, 0), is_sample=True)
    next_to_it = Form(0, 900, (0, 1), is_sample=True)
    check_spacing([(one, 60), (fed_in(next_to_it), 60)])
    for near in ([one, next_to_it], [fed_in(one), fed_in(next_to_it)]):
        with pytest.raises(ReleaseRefused, match="fineness"):
            check_spacing((form, 60) for form in near)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, NOW, TERMS) as guard:
        yield guard


def test_each_register_is_answered_as_often_as_the_consent_says(guard: Disclosure) -> None:
    dearer, dearest = (ask(day_and_night(day=price)) for price in (310_000, 320_000))
    for request in (ask(), about_feed_in(ask()), dearer, about_feed_in(dearer)):
        guard.permit(request)
    for request in (dearest, about_feed_in(dearest)):
        with pytest.raises(ReleaseRefused, match="count"):
            guard.permit(request)


def test_differences_are_refused_within_a_register_and_none_is_seen_across(
    guard: Disclosure,
) -> None:
    dear = list(day_and_night())
    dear[5] += 1  # with the plain bill it would tell one slot
    guard.permit(ask())
    guard.permit(about_feed_in(ask()))
    for request in (ask(tuple(dear)), about_feed_in(ask(tuple(dear)))):
        with pytest.raises(ReleaseRefused, match="fineness"):
            guard.permit(request)


def test_a_release_says_its_register_and_one_on_record_without_is_of_the_import_register(
    guard: Disclosure,
) -> None:
    of_import, of_export = guard.permit(ask()), guard.permit(about_feed_in(ask()))
    assert "register" not in of_import.facts
    assert of_export.facts["register"] == FED_IN
    assert [release_of(one).form.register for one in (of_import, of_export)] == ["", FED_IN]
    assert [one.form for one in guard.releases()] == [ask().form, fed_in(ask().form)]
    assert guard.knowledge().numbers == 2
    assert ask().form.begin == MARCH
