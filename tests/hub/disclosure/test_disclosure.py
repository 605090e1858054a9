# SPDX-License-Identifier: Apache-2.0
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure import (
    ConsentTerms,
    Disclosure,
    Form,
    LogTampered,
    ReleaseRefused,
    ReleaseRequest,
    UnknownConsent,
    number_of,
)
from hub.disclosure.cells import refine
from protocols.amounts import Metered, SlotForm, Sum, Total
from protocols.amounts.steps import QuotientRule
from tests.support.consented import guarding
from tests.support.releases import sum_request

NOW = 1_743_500_000  # 2025-04-01
MARCH = 1_740_787_200
DAY_SLOTS = 96
TERMS = ConsentTerms(
    applet=b"\xf0bill",
    package=b"package",
    recipient="Stadtwerke",
    purpose="billing",
    statement="linear",
    least_days=28,
    least_minutes=480,
    answers=2,
    bits=24,
    until=date(2026, 12, 31),
)


def day_and_night(days: int = 31, day: int = 300_000, night: int = 200_000) -> tuple[int, ...]:
    return ((night,) * 28 + (day,) * 56 + (night,) * 12) * days


def ask(
    weights: tuple[int, ...] = day_and_night(),
    *,
    begin: int = MARCH,
    days: int = 31,
    recipient: str = "Stadtwerke",
) -> ReleaseRequest:
    form = Form(begin, 900, weights)
    return sum_request(b"\xf0bill", b"package", recipient, "billing", days, form, b"tariff")


@pytest.fixture
def disclosure(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, NOW, TERMS) as disclosure:
        yield disclosure


def test_a_bill_is_permitted_and_put_on_record(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    (release,) = disclosure.releases()
    assert release.form.weights == day_and_night()
    assert (release.recipient, release.purpose, release.time) == ("Stadtwerke", "billing", NOW)
    known = disclosure.knowledge(["Stadtwerke"])
    assert (known.slots, known.numbers, known.bundles, known.bits) == (2976, 1, 1, 21)
    assert known.least_seconds == 31 * 86_400  # two prices, and one number about all of it
    assert known.shortest_window == (MARCH, MARCH + 31 * 86_400)
    assert disclosure.knowledge(["somebody else"]).numbers == 0
    assert [e.kind for e in disclosure.log.entries()] == ["consent", "release"]


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (ask(recipient="Grid"), "consent: none"),
        (replace(ask(), purpose="marketing"), "consent: none"),
        (replace(ask(), applet=b"\xf0other"), "consent: none"),
        (replace(ask(), package=b"wider package"), "consent: none"),
        (ask(day_and_night(27), days=27), "period: 27 days"),
        (ask((1 << 30,) * 2976), "size: 33 bits"),
        (ask((10**8,) * 32 + (0,) * 2944), "price: a watt-hour counts for 10 units"),
        (ask((1_000_000,) * 31 + (1,) * 2945), "price: its prices differ by a factor of 1e.06"),
        (ask((*range(1_000, 3_975), -19)), "price: its prices differ"),
        (ask((1,) + (0,) * 2975), "fineness: the use of 15 min"),
        (ask((250_000,) * 31 + (0,) * 2945), "fineness: the use of 465 min"),
        (ask((250_000,) * 32 + (0,) * 2944), "window: the total of 0.333 days"),
        (ask((0,) * 96 + (250_000,) * 96 + (0,) * 2784), "window: the total of 1 days"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_recorded(
    disclosure: Disclosure, request_: ReleaseRequest, rule: str
) -> None:
    with pytest.raises(ReleaseRefused, match=rule):
        disclosure.permit(request_)
    assert disclosure.releases() == []
    (refusal,) = disclosure.log.entries("refusal")
    assert refusal.facts["why"].startswith(rule.split(":")[0])


def test_two_innocent_bills_whose_difference_isolates_a_slot_are_refused(
    disclosure: Disclosure,
) -> None:
    disclosure.permit(ask())
    bent = list(day_and_night())
    bent[40] = bent[0]  # a day slot at the night's price: fine by itself
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(ask(tuple(bent)))


def test_two_recipients_who_collude_learn_no_more(disclosure: Disclosure) -> None:
    disclosure.grant(replace(TERMS, recipient="Grid"))
    disclosure.permit(ask())
    shifted = (200_000,) * 29 + day_and_night()[29:]
    with pytest.raises(ReleaseRefused, match="fineness"):
        disclosure.permit(ask(shifted, recipient="Grid"))


def test_shifted_periods_whose_difference_is_short_are_refused(disclosure: Disclosure) -> None:
    flat = (250_000,) * 2976
    disclosure.permit(ask(flat))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 60 min"):
        disclosure.permit(ask(flat, begin=MARCH + 3600))
    # A day's shift tells how two days differ; with a third number, the total of one.
    with pytest.raises(ReleaseRefused, match="window: the total of 1 days"):
        disclosure.permit(ask(flat, begin=MARCH + 86_400))
    disclosure.permit(ask(flat, begin=MARCH + 31 * 86_400))  # the days after it
    known = disclosure.knowledge()
    assert (known.numbers, known.bundles) == (2, 2)
    assert known.shortest_window == (MARCH, MARCH + 31 * 86_400)


def test_a_price_for_each_slot_is_one_number_where_it_is_the_only_one(
    disclosure: Disclosure,
) -> None:
    """What varies in all the other slots hides what one of them adds."""
    each = tuple(100_000 + 37 * place for place in range(2976))
    disclosure.permit(ask(each))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min .* entry 2"):
        disclosure.permit(ask())


def test_missing_slots_are_told_of_by_no_number(disclosure: Disclosure) -> None:
    """One way of a bill counts them with a price and another leaves them out: the same number."""
    left_out = list(day_and_night())
    left_out[40] = 0
    prices = SlotForm.of_each(day_and_night()), SlotForm.of_each(left_out)
    for form in prices:
        total = Total((Metered(0, Sum(form)),), (), 10**7, QuotientRule.HALF_UP)
        number = number_of(total, MARCH, 900, 2976, missing=[[40]])
        assert number.forms[0].weights == tuple(left_out)
        disclosure.permit(replace(ask(), numbers=(number,)))


def test_a_short_window_put_together_from_three_answers_is_refused(disclosure: Disclosure) -> None:
    """[0, 30) and [30, 60) are harmless, and so is [29, 60): but not all three."""
    month = (250_000,) * (96 * 30)
    disclosure.permit(ask(month, days=30))
    disclosure.permit(ask(month, begin=MARCH + 30 * 86_400, days=30))
    with pytest.raises(ReleaseRefused, match="window: the total of (1|29) days"):
        disclosure.permit(ask((250_000,) * (96 * 31), begin=MARCH + 29 * 86_400))


def test_a_narrower_consent_takes_the_place_of_a_wider_one(disclosure: Disclosure) -> None:
    narrower = replace(TERMS, answers=1, until=date(2026, 6, 30))
    new = disclosure.narrow(1, narrower)
    assert (new.number, new.replaces) == (2, 1)
    disclosure.permit(ask())
    with pytest.raises(ReleaseRefused, match="count"):
        disclosure.permit(ask(day_and_night(day=310_000)))
    with pytest.raises(ValueError, match="more than consent 2"):
        disclosure.narrow(2, TERMS)
    with pytest.raises(UnknownConsent, match="consent 1 was revoked"):
        disclosure.narrow(1, narrower)
    assert [e.kind for e in disclosure.log.entries()][:2] == ["consent", "narrowing"]


def test_so_many_numbers_are_told_about_the_same_time_and_no_more(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    disclosure.permit(ask(day_and_night(day=310_000)))
    another = ask(day_and_night(day=320_000))
    with pytest.raises(ReleaseRefused, match="count: 2 numbers about the same time"):
        disclosure.permit(another)
    with pytest.raises(ReleaseRefused, match="count: 2 numbers about the same time"):
        disclosure.permit(ask(day_and_night(), begin=MARCH + 10 * 86_400))


def test_the_same_number_again_counts_once(disclosure: Disclosure) -> None:
    for _ in range(5):
        disclosure.permit(ask())
    assert (disclosure.knowledge().numbers, disclosure.knowledge().bits) == (1, 21)
    disclosure.permit(ask(day_and_night(day=310_000)))
    assert len(disclosure.releases()) == 6  # each is on record


def test_the_same_consent_is_not_granted_twice(disclosure: Disclosure) -> None:
    assert disclosure.grant(TERMS).number == 1
    other = disclosure.grant(replace(TERMS, answers=3))
    assert (other.number, other.replaces) == (2, 1)
    assert [one.number for one in disclosure.consents() if one.revoked is None] == [2]
    disclosure.revoke(2)
    with pytest.raises(ReleaseRefused, match="consent: number 2 was revoked"):
        disclosure.permit(ask())  # the first one is not back


def test_what_a_revoked_consent_let_be_told_still_counts(disclosure: Disclosure) -> None:
    """A finer consent, given and revoked in between, blinds no rule."""
    disclosure.permit(ask())
    finer = disclosure.grant(replace(TERMS, least_minutes=15, slot_bits=100))
    disclosure.revoke(finer.number)
    disclosure.grant(TERMS)
    bent = list(day_and_night())
    bent[40] = bent[0]
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(ask(tuple(bent)))
    assert disclosure.releases()[0].numbers[0].least_minutes == 480


def test_a_revoked_or_expired_consent_ends_it(disclosure: Disclosure) -> None:
    late = Disclosure(disclosure.database, lambda: NOW + 700 * 86_400)
    with pytest.raises(ReleaseRefused, match="consent: number 1 has expired"):
        late.permit(ask())
    disclosure.revoke(1)
    with pytest.raises(ReleaseRefused, match="consent: number 1 was revoked"):
        disclosure.permit(ask())
    with pytest.raises(UnknownConsent, match="no consent 7"):
        disclosure.revoke(7)
    assert disclosure.grant(TERMS).number == 2
    disclosure.permit(ask())


def test_messages_are_kept_to_the_byte(disclosure: Disclosure) -> None:
    entry = disclosure.record_message(b"\xf0bill", "Stadtwerke", "billing", b"SML")
    assert disclosure.log.content(entry) == b"SML"
    disclosure.record_connection("127.0.0.1", 800, 210)
    (connection,) = disclosure.log.entries("connection")
    assert connection.facts["sent"] == 210


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM disclosure_entry WHERE sequence = 2", "entry 2 is missing"),
        ("UPDATE disclosure_entry SET body = x'80' WHERE sequence = 2", "entry 2 is not what"),
        ("UPDATE disclosure_entry SET digest = zeroblob(32) WHERE sequence = 3", "entry 3 is not"),
    ],
)
def test_a_rewritten_log_is_found(disclosure: Disclosure, statement: str, place: str) -> None:
    disclosure.permit(ask())
    disclosure.permit(ask())
    assert disclosure.log.verify() == 3
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        disclosure.database.connection.execute(statement)
    disclosure.database.connection.execute("DROP TRIGGER entry_is_never_changed")
    disclosure.database.connection.execute("DROP TRIGGER entry_is_never_deleted")
    disclosure.database.connection.execute(statement)
    with pytest.raises(LogTampered, match=place):
        disclosure.log.verify()


@pytest.mark.parametrize(
    "body", [b"", b"\x80", b"\xff", b"\x84\x01\x01\x01\xa0", b"\x9f", bytes(9)]
)
def test_an_entry_that_cannot_be_read_is_named(disclosure: Disclosure, body: bytes) -> None:
    disclosure.permit(ask())
    disclosure.database.connection.execute("DROP TRIGGER entry_is_never_changed")
    disclosure.database.connection.execute("UPDATE disclosure_entry SET body = ?", (body,))
    with pytest.raises(LogTampered, match="entry 1 is not what was written"):
        list(disclosure.log.entries())


FORMS = st.lists(
    st.tuples(
        st.integers(0, 6), st.lists(st.integers(-3, 3), min_size=1, max_size=12).map(tuple)
    ).map(lambda t: Form(900 * t[0], 900, t[1])),
    min_size=1,
    max_size=4,
)


def weight_of(form: Form, moment: int) -> int:
    return form.weights[(moment - form.begin) // 900] if form.begin <= moment < form.end else 0


@given(FORMS, st.data())
def test_moving_use_within_a_bundle_changes_no_number(
    forms: list[Form], data: st.DataObject
) -> None:
    """The theorem that the guard rests on: numbers depend on the bundles' totals alone.

    Use is moved between any two slots of a bundle, so that what one number makes of both stays.
    """
    moments = range(0, 900 * 18, 900)
    refinement = refine([[form] for form in forms])
    [runs] = refinement.runs.values()
    bundle_of = {
        moment: bundle
        for begin, end, bundle in runs
        for moment in range(begin, end, 900)
        if bundle >= 0
    }
    columns = {m: tuple(weight_of(form, m) for form in forms) for m in moments}
    assert set(bundle_of) == {m for m in moments if any(columns[m])}
    sizes = Counter(bundle_of.values())
    assert [bundle.slots for bundle in refinement.bundles] == [
        sizes[place] for place in range(len(refinement.bundles))
    ]
    if not bundle_of:
        return
    a = data.draw(st.sampled_from(sorted(bundle_of)))
    b = data.draw(st.sampled_from([m for m in bundle_of if bundle_of[m] == bundle_of[a]]))
    use = {m: Fraction(data.draw(st.integers(0, 50))) for m in moments}

    def numbers() -> list[Fraction]:
        return [sum((weight_of(f, m) * use[m] for m in moments), Fraction(0)) for f in forms]

    before = numbers()
    heard = next(place for place, weight in enumerate(columns[a]) if weight)
    use[a] += 7 * columns[b][heard]
    use[b] -= 7 * columns[a][heard]
    assert numbers() == before


@given(FORMS, st.integers(1, 12))
def test_closed_stretches_are_found_and_none_is_missed(forms: list[Form], slots: int) -> None:
    """Against looking at every stretch by itself."""
    refinement = refine([[form] for form in forms])
    bundle_of: dict[int, int] = {}
    for runs in refinement.runs.values():
        for begin, end, bundle in runs:
            bundle_of |= dict.fromkeys(range(begin, end, 900), bundle)
    whole = Counter(bundle for bundle in bundle_of.values() if bundle >= 0)
    closed = []
    for begin in range(0, 900 * 18, 900):
        for end in range(begin + 900, 900 * 19, 900):
            inside = [bundle_of.get(moment, -1) for moment in range(begin, end, 900)]
            counts = Counter(inside)
            if -1 not in counts and all(whole[bundle] == n for bundle, n in counts.items()):
                closed.append((end - begin, begin, end))
    stretch = refinement.shortest_closed_stretch()
    assert (stretch is None) == (not closed)
    if stretch is not None:
        assert stretch[1] - stretch[0] == min(closed)[0]
    found = next(refinement.closed_stretches(900 * slots), None)
    assert (found is None) == all(length >= 900 * slots for length, _, _ in closed)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20), st.data())
def test_a_number_never_needs_more_bits_than_said(weights: list[int], data: st.DataObject) -> None:
    if not any(weights):
        return
    divisor = data.draw(st.integers(1, 10_000))
    use = [data.draw(st.integers(0, 17_250)) for _ in weights]  # 69 kW for a quarter of an hour
    sums = Sum(SlotForm.of_each(weights))
    total = Total((Metered(0, sums),), (), divisor, QuotientRule.HALF_EVEN)
    none = [0] * len(weights)
    told = number_of(total, 0, 900, len(weights), [""])
    assert abs(total.value_of([use]) - total.value_of([none])).bit_length() <= told.bits


def test_a_release_of_one_sum_that_version_0_1_put_on_record_still_counts(
    disclosure: Disclosure,
) -> None:
    weights = day_and_night()
    facts = {
        "applet": b"\xf0bill",
        "package": b"package",
        "recipient": "Stadtwerke",
        "purpose": "billing",
        "statement": "linear",
        "subject": b"tariff",
        "begin": MARCH,
        "slot_seconds": 900,
        "weights": struct.pack(f"<{len(weights)}q", *weights),
        "bits": 47,
        "least_minutes": 480,
    }
    old = disclosure.log.append(NOW, "release", facts)
    today = disclosure.permit(ask())
    first, second = disclosure.releases()
    assert (first.sequence, second.sequence) == (old.sequence, today.sequence)
    assert (first.form, first.numbers[0].bits) == (second.form, 47)  # an exact sum, that one
    assert first.numbers[0].spread == 0
    assert disclosure.knowledge().bits == 47 + 21
    with pytest.raises(ReleaseRefused, match="count: 2 numbers about the same time"):
        disclosure.permit(ask(day_and_night(day=310_000)))
    disclosure.grant(replace(TERMS, answers=9))
    bent = list(weights)
    bent[40] = bent[0]
    with pytest.raises(ReleaseRefused, match="fineness"):
        disclosure.permit(ask(tuple(bent)))
