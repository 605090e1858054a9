# SPDX-License-Identifier: Apache-2.0
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    ConsentTerms,
    Disclosure,
    Form,
    LogTampered,
    ReleaseRefused,
    ReleaseRequest,
    UnknownConsent,
    knowledge_of,
)
from hub.disclosure.knowledge import alike_slots, answer_bits, determined_windows
from hub.vault.database import Database
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
    bits=64,
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
    with Database(
        tmp_path / "hub.db", [CONSENT_COMPONENT, LOG_COMPONENT], key=bytes(32)
    ) as database:
        disclosure = Disclosure(database, lambda: NOW)
        disclosure.grant(TERMS)
        yield disclosure


def test_a_bill_is_permitted_and_put_on_record(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    (release,) = disclosure.releases()
    assert release.form.weights == day_and_night()
    assert (release.recipient, release.purpose, release.time) == ("Stadtwerke", "billing", NOW)
    known = disclosure.knowledge(["Stadtwerke"])
    assert (known.slots, known.rank, known.classes, known.bits) == (2976, 1, 2, 47)
    assert known.least_seconds == 31 * 40 * 900
    assert known.shortest_window is None
    assert disclosure.knowledge(["somebody else"]).rank == 0
    assert [e.kind for e in disclosure.log.entries()] == ["consent", "release"]


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (ask(recipient="Grid"), "consent: none"),
        (replace(ask(), purpose="marketing"), "consent: none"),
        (replace(ask(), applet=b"\xf0other"), "consent: none"),
        (replace(ask(), package=b"wider package"), "consent: none"),
        (ask(day_and_night(27), days=27), "period: 27 days"),
        (ask((1 << 40,) * 2976), "size: 69 bits"),
        (ask((0,) * 2976), "fineness"),
        (ask((1,) + (0,) * 2975), "fineness: the use of 15 min"),
        (ask(tuple(range(1, 2977))), "fineness: the use of 15 min"),
        (ask((1_000_000,) * 31 + (1,) * 2945), "fineness: the use of 465 min"),
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
    # A day's shift tells how two days differ, but the total of neither.
    disclosure.permit(ask(flat, begin=MARCH + 86_400))
    known = disclosure.knowledge()
    assert (known.rank, known.classes) == (2, 3)
    assert known.shortest_window == (MARCH, MARCH + 31 * 86_400)


def test_a_short_window_put_together_from_three_answers_is_refused(disclosure: Disclosure) -> None:
    """[0, 30) and [30, 60) are harmless, and so is [29, 60): but not all three."""
    month = (250_000,) * (96 * 30)
    disclosure.permit(ask(month, days=30))
    disclosure.permit(ask(month, begin=MARCH + 30 * 86_400, days=30))
    with pytest.raises(ReleaseRefused, match="window: the total of 1 days"):
        disclosure.permit(ask((250_000,) * (96 * 31), begin=MARCH + 29 * 86_400))


def test_a_narrower_consent_takes_the_place_of_a_wider_one(disclosure: Disclosure) -> None:
    narrower = replace(TERMS, answers=1, until=date(2026, 6, 30))
    new = disclosure.narrow(1, narrower)
    assert (new.number, new.replaces) == (2, 1)
    disclosure.permit(ask())
    with pytest.raises(ReleaseRefused, match="count"):
        disclosure.permit(ask())
    with pytest.raises(ValueError, match="more than consent 2"):
        disclosure.narrow(2, TERMS)
    with pytest.raises(UnknownConsent, match="consent 1 was revoked"):
        disclosure.narrow(1, narrower)
    assert [e.kind for e in disclosure.log.entries()][:2] == ["consent", "narrowing"]


def test_the_same_question_is_answered_so_often_and_no_more(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    disclosure.permit(ask())
    with pytest.raises(ReleaseRefused, match="count: .* 2 times"):
        disclosure.permit(ask())


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


@given(FORMS, st.data())
def test_moving_use_between_alike_slots_changes_no_answer(
    forms: list[Form], data: st.DataObject
) -> None:
    """The theorem the guard rests on: answers depend on the classes' sums alone."""
    moments = range(0, 900 * 18, 900)
    use = {m: data.draw(st.integers(0, 50)) for m in moments}
    weights = {
        m: tuple(f.weights[(m - f.begin) // 900] if f.begin <= m < f.end else 0 for f in forms)
        for m in moments
    }
    a = data.draw(st.sampled_from(moments))
    b = data.draw(st.sampled_from([m for m in moments if weights[m] == weights[a]]))

    def answers() -> list[int]:
        return [sum(w * use[f.begin + 900 * n] for n, w in enumerate(f.weights)) for f in forms]

    before = answers()
    use[a] += 7
    use[b] -= 7
    assert answers() == before
    assert alike_slots(forms).total() == sum(any(w) for w in weights.values())
    assert knowledge_of(forms).classes == len({w for w in weights.values() if any(w)})


@given(FORMS)
def test_rank_and_windows_are_those_of_exact_elimination(forms: list[Form]) -> None:
    """Against fractions, window by window."""
    columns = range(min(f.begin for f in forms), max(f.end for f in forms), 900)
    rows = [
        [f.weights[(m - f.begin) // 900] if f.begin <= m < f.end else 0 for m in columns]
        for f in forms
    ]
    rank = exact_rank(rows)
    assert knowledge_of(forms).rank == rank
    windows = set()
    for a in range(len(columns)):
        for b in range(a, len(columns)):
            indicator = [int(a <= c <= b) for c in range(len(columns))]
            if exact_rank([*rows, indicator]) == rank:
                windows.add((columns[a], columns[b] + 900))
    assert set(determined_windows(forms)) == windows


def exact_rank(rows: list[list[int]]) -> int:
    left = [[Fraction(cell) for cell in row] for row in rows]
    rank = 0
    for column in range(len(left[0])):
        pivot = next((row for row in left[rank:] if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        left.insert(rank, pivot)
        for row in left[rank + 1 :]:
            factor = row[column] / pivot[column]
            row[:] = [cell - factor * p for cell, p in zip(row, pivot, strict=True)]
        rank += 1
    return rank


@given(st.lists(st.integers(-1000, 1000), max_size=20), st.data())
def test_an_answer_never_needs_more_bits_than_said(weights: list[int], data: st.DataObject) -> None:
    most = (1 << 17) - 1
    use = [data.draw(st.integers(0, most)) for _ in weights]
    answer = sum(w * x for w, x in zip(weights, use, strict=True))
    assert abs(answer).bit_length() <= answer_bits(weights)


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
    assert replace(second, sequence=old.sequence) == first
    assert disclosure.knowledge().bits == 2 * 47
    with pytest.raises(ReleaseRefused, match="count: this period was answered 2 times"):
        disclosure.permit(ask())
    bent = list(weights)
    bent[40] = bent[0]
    with pytest.raises(ReleaseRefused, match="fineness"):
        disclosure.permit(ask(tuple(bent), begin=MARCH + 86_400))
