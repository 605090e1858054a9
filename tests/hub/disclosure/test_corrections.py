# SPDX-License-Identifier: Apache-2.0
"""Numbers about slots that were corrected since others were told: what the difference tells."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import gcd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    ConsentTerms,
    Disclosure,
    ExportRequest,
    Form,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from hub.disclosure.cells import refine
from hub.disclosure.unattributed import UnattributedRequest
from hub.vault.database import Database
from protocols.amounts import Metered, QuotientRule, SlotForm, Sum, Total
from tests.hub.disclosure.test_disclosure import DAY_SLOTS, MARCH, NOW, TERMS, ask, day_and_night

CORRECTING = replace(TERMS, corrected_minutes=480, answers=3)
SLOTS = 31 * DAY_SLOTS
TENTH = 9 * DAY_SLOTS + 32  # eight in the morning of the tenth: one price until nine


def opened(folder: Path) -> Database:
    return Database(folder / "hub.db", [CONSENT_COMPONENT, LOG_COMPONENT], key=bytes(32))


@pytest.fixture
def disclosure(tmp_path: Path) -> Iterator[Disclosure]:
    with opened(tmp_path) as database:
        disclosure = Disclosure(database, lambda: NOW)
        disclosure.grant(CORRECTING)
        yield disclosure


def bill(
    revised: Mapping[int, int] | None = None, missing: tuple[int, ...] = (), **changes: object
) -> ReleaseRequest:
    """A month's bill over what is known when some slots were corrected."""
    total = Total(
        (Metered(0, Sum(SlotForm.of_each(day_and_night()))),), (), 10**7, QuotientRule.HALF_UP
    )
    number = number_of(total, MARCH, 900, SLOTS, [""], [missing], [revised or {}])
    return replace(ask(), numbers=(number,), **changes)  # type: ignore[arg-type]  # by name


def corrected(first: int, slots: int, revision: int = 1) -> dict[int, int]:
    return dict.fromkeys(range(first, first + slots), revision)


def test_a_bill_that_nothing_was_told_before_is_as_good_over_corrected_slots(
    disclosure: Disclosure,
) -> None:
    disclosure.permit(bill(corrected(TENTH, 2)))
    assert disclosure.knowledge().bundles == 1
    [release] = disclosure.releases()
    assert release.corrected_slots == 2


@pytest.mark.parametrize("missing", [(), (TENTH, TENTH + 1)])
def test_half_an_hour_that_was_corrected_is_told_by_no_second_bill(
    disclosure: Disclosure, missing: tuple[int, ...]
) -> None:
    disclosure.permit(bill(missing=missing))
    with pytest.raises(
        ReleaseRefused,
        match=r"fineness: it would tell of 30 min of corrected slots .* no finer than 480 min:"
        " it can be told once more slots are corrected",
    ):
        disclosure.permit(bill(corrected(TENTH, 2)))
    disclosure.permit(bill(corrected(TENTH, 40)))
    assert disclosure.knowledge().numbers == 2


def test_ten_hours_are_told_where_the_consent_says_so(tmp_path: Path) -> None:
    for terms, rule in (
        (TERMS, r"window: the total of 0\.417 days that were corrected from .*allows no other"),
        (replace(CORRECTING, corrected_minutes=720), r"window: the total of 0\.417 days"),
        (replace(CORRECTING, corrected_minutes=600), ""),
    ):
        folder = tmp_path / str(terms.corrected_minutes)
        folder.mkdir()
        with opened(folder) as database:
            guard = Disclosure(database, lambda: NOW)
            guard.grant(terms)
            guard.permit(bill())
            second = bill(corrected(TENTH, 40))
            if rule:
                with pytest.raises(ReleaseRefused, match=rule):
                    guard.permit(second)
            else:
                guard.permit(second)


def test_under_a_consent_that_allows_none_a_whole_month_may_be_corrected(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        guard = Disclosure(database, lambda: NOW)
        guard.grant(TERMS)
        guard.permit(bill())
        guard.permit(bill(corrected(0, SLOTS)))


def test_what_one_correction_hides_the_next_one_may_not_show(disclosure: Disclosure) -> None:
    """Ten hours, and then all but half an hour of them again: the rest would be by itself."""
    disclosure.permit(bill())
    disclosure.permit(bill(corrected(TENTH, 40)))
    again = corrected(TENTH, 40) | corrected(TENTH, 38, 2)
    with pytest.raises(ReleaseRefused, match="fineness: it would tell of 30 min of corrected"):
        disclosure.permit(bill(again))
    disclosure.permit(bill(corrected(TENTH, 40, 2)))


def test_another_recipient_does_not_help(disclosure: Disclosure) -> None:
    disclosure.grant(replace(CORRECTING, recipient="Grid", applet=b"\xf0grid"))
    disclosure.permit(bill())
    with pytest.raises(ReleaseRefused, match="fineness: it would tell of 30 min"):
        disclosure.permit(bill(corrected(TENTH, 2), recipient="Grid", applet=b"\xf0grid"))


def test_what_was_told_under_a_consent_without_corrections_is_held_to_it(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as database:
        guard = Disclosure(database, lambda: NOW)
        guard.grant(replace(TERMS, answers=3))
        guard.permit(bill())
        guard.grant(CORRECTING)
        with pytest.raises(ReleaseRefused, match=r"window: the total of 0\.417 days"):
            guard.permit(bill(corrected(TENTH, 40)))


def test_readings_that_were_exported_before_do_not_stand_for_the_corrected_ones(
    disclosure: Disclosure,
) -> None:
    export = ConsentTerms(
        b"", b"", "Stadtwerke", "check", "export 2025-03-01/2025-03-31", 1, 15, 1, 1 << 40,
        TERMS.until,
    )  # fmt: skip
    disclosure.grant(export)
    disclosure.permit_export(
        ExportRequest(
            "Stadtwerke", "check", 15, MARCH, MARCH + SLOTS * 900, "2025-03-01/2025-03-31", SLOTS,
            32 * SLOTS,
        )
    )  # fmt: skip
    with pytest.raises(ReleaseRefused, match="fineness: .* 30 min"):
        disclosure.permit(bill(corrected(TENTH, 2)))
    disclosure.permit(bill(corrected(TENTH, 40)))


def test_the_same_corrected_number_counts_once_and_refusals_are_thought_over_again(
    disclosure: Disclosure,
) -> None:
    disclosure.permit(bill())
    for _ in range(3):
        disclosure.permit(bill(corrected(TENTH, 40)))
    with pytest.raises(ReleaseRefused) as refused:
        disclosure.permit(bill(corrected(TENTH, 41)))
    disclosure.refused_before.keep(b"question", refused.value, {})
    assert disclosure.refused_before.find(b"question") is not None
    disclosure.record_correction("1-0:1.8.0*255", "late", [])
    assert disclosure.refused_before.find(b"question") is None


def test_energy_in_no_slot_is_not_told_again_for_half_an_hour(disclosure: Disclosure) -> None:
    disclosure.grant(replace(CORRECTING, statement="unattributed", corrected_minutes=0, bits=64))
    first = UnattributedRequest(
        TERMS.applet, b"package", "Stadtwerke", "billing", b"limit", "", MARCH,
        MARCH + SLOTS * 900, 31, 3_100, 600, is_opened=True, slot_minutes=15,
    )  # fmt: skip
    disclosure.permit_unattributed(first)
    half_an_hour = replace(first, revised=((MARCH, 1), (MARCH + 900, 1)), missing_minutes=570)
    with pytest.raises(ReleaseRefused, match="30 min of corrected slots"):
        disclosure.permit_unattributed(half_an_hour)
    hours = tuple((MARCH + 900 * place, 1) for place in range(40))
    disclosure.permit_unattributed(replace(first, revised=hours, is_opened=False))


def test_a_narrower_consent_has_corrections_of_more_or_none() -> None:
    assert CORRECTING.covers(replace(CORRECTING, corrected_minutes=0))
    assert CORRECTING.covers(replace(CORRECTING, corrected_minutes=600))
    assert not CORRECTING.covers(replace(CORRECTING, corrected_minutes=300))
    assert not TERMS.covers(replace(TERMS, corrected_minutes=10_000))


# --- The theorem ----------------------------------------------------------------------------------

PLACES = 8


@st.composite
def forms_over_revisions(draw: st.DrawFn) -> list[Form]:
    """Forms about one register, each over what was known when it was told."""
    forms = []
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, 3))
        slots = draw(st.integers(2, PLACES))
        weights = draw(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=slots, max_size=slots))
        revised = draw(st.dictionaries(st.integers(0, slots - 1), st.integers(1, 2), max_size=4))
        forms.append(Form(900 * first, 900, tuple(weights), revised=tuple(sorted(revised.items()))))
    return forms


Node = tuple[int, int]


def column_of(forms: list[Form], node: Node) -> tuple[int, ...]:
    found = []
    for form in forms:
        place = (node[0] - form.begin) // 900
        inside = 0 <= place < len(form.weights)
        own = inside and dict(form.revised).get(place, 0) == node[1]
        found.append(form.weights[place] if own else 0)
    return tuple(found)


def bundles_of(forms: list[Form]) -> dict[Node, tuple[int, ...]]:
    """Return, of each slot in each revision, what makes it alike with others."""
    nodes = [(900 * place, revision) for place in range(PLACES + 4) for revision in range(3)]
    columns = {node: column_of(forms, node) for node in nodes}
    return {
        node: tuple(weight // gcd(*column) for weight in column)
        for node, column in columns.items()
        if any(column)
    }


@given(forms_over_revisions())
def test_a_corrected_slot_is_another_one_than_before(forms: list[Form]) -> None:
    """Bundles are slots in their revisions whose columns are proportional, as the theorem says."""
    refinement = refine([[form] for form in forms])
    expected = Counter(Counter(bundles_of(forms).values()).values())
    assert Counter(bundle.slots for bundle in refinement.bundles) == expected


@given(forms_over_revisions())
def test_no_stretch_as_a_number_saw_it_is_missed(forms: list[Form]) -> None:
    """Against looking at every stretch by itself, as each number saw it."""
    bundle_of = bundles_of(forms)
    members: dict[tuple[int, ...], set[Node]] = defaultdict(set)
    for node, bundle in bundle_of.items():
        members[bundle].add(node)
    shortest: int | None = None
    for form in forms:
        seen = [
            (form.begin + 900 * place, dict(form.revised).get(place, 0))
            for place in range(len(form.weights))
        ]
        for first in range(len(seen)):
            for last in range(first + 1, len(seen) + 1):
                inside = set(seen[first:last])
                if all(node in bundle_of and members[bundle_of[node]] <= inside for node in inside):
                    length = 900 * (last - first)
                    shortest = length if shortest is None else min(shortest, length)
    found = refine([[form] for form in forms]).shortest_closed_stretch()
    if shortest is not None:
        assert found is not None
        assert found[1] - found[0] <= shortest


def test_a_correction_over_two_prices_covers_the_minutes_at_each_or_many_times_over(
    disclosure: Disclosure,
) -> None:
    disclosure.permit(bill())
    night = 9 * DAY_SLOTS
    with pytest.raises(ReleaseRefused, match="fineness: it would tell of 180 min of corrected"):
        disclosure.permit(bill(corrected(night, 40)))  # three hours at night, seven by day
    disclosure.permit(bill(corrected(night, DAY_SLOTS)))  # a whole day
