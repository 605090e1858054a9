# SPDX-License-Identifier: Apache-2.0
"""How often: so many answers about any stretch of so many days, whenever they are asked for."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure import CONSENT_COMPONENT, LOG_COMPONENT, Disclosure, ReleaseRefused
from hub.disclosure.frequency import check_often
from hub.disclosure.records import terms_facts
from hub.vault.database import Database
from tests.hub.disclosure.test_disclosure import MARCH, NOW, TERMS, ask
from tests.support.consented import guarding
from tests.support.log_of_01 import make_file, write_entry

DAY = 86_400
OFTEN = replace(TERMS, answers=2, within_days=31)
FLAT = (1,) * 96


@pytest.fixture
def disclosure(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, NOW, OFTEN) as disclosure:
        yield disclosure


def days(first: int, count: int) -> tuple[int, int]:
    return first * DAY, (first + count) * DAY


def is_refused(asked: tuple[int, int], told: list[tuple[int, int]], within: int = 31) -> bool:
    try:
        check_often(asked, told, replace(OFTEN, within_days=within))
    except ReleaseRefused:
        return True
    return False


@pytest.mark.parametrize(
    ("asked", "told", "refused"),
    [
        (days(0, 28), [], False),
        (days(0, 28), [days(0, 28)], False),
        (days(0, 28), [days(0, 28)] * 2, True),
        (days(1, 28), [days(0, 28), days(2, 28)], True),
        (days(3, 28), [days(0, 28), days(1, 28)], True),
        (days(4, 28), [days(0, 28), days(1, 28)], False),  # 0 to 32 is more than 31 days
        (days(2, 28), [days(0, 28), days(5, 28)], False),
        (days(31, 31), [days(0, 31)] * 2, False),
        (days(0, 365), [days(0, 365)] * 9, False),  # lies in no 31 days: `count` is its rule
        (days(0, 31), [days(0, 365)] * 9, False),
    ],
)
def test_what_counts_is_what_lies_within_the_days(
    asked: tuple[int, int], told: list[tuple[int, int]], refused: bool
) -> None:
    assert is_refused(asked, told) is refused


def test_a_month_whose_clock_goes_back_is_no_longer_than_its_days() -> None:
    begin, end = days(0, 31)
    assert is_refused((begin, end + 3600), [(begin, end + 3600)] * 2)


@given(
    periods=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=25),
    within=st.integers(1, 14),
    answers=st.integers(1, 3),
)
def test_however_it_is_asked_no_stretch_gets_more_and_nothing_is_refused_that_fits(
    periods: list[tuple[int, int]], within: int, answers: int
) -> None:
    terms = replace(OFTEN, answers=answers, within_days=within)
    told: list[tuple[int, int]] = []

    def fullest(spans: list[tuple[int, int]]) -> int:
        return max(
            (
                sum(start * DAY <= a and b <= (start + within) * DAY for a, b in spans)
                for start in range(41)
            ),
            default=0,
        )

    for first, count in periods:
        asked = days(first, count)
        fits = count > within or fullest([*told, asked]) <= answers
        try:
            check_often(asked, told, terms)
        except ReleaseRefused:
            assert not fits
            continue
        assert fits
        told.append(asked)
    assert fullest(told) <= answers


def priced(number: int) -> tuple[int, ...]:
    return (250_000 + number,) * (96 * 28)


def test_a_period_moved_by_a_day_does_not_start_counting_anew(disclosure: Disclosure) -> None:
    for number in (0, 1):
        disclosure.permit(ask(priced(number), days=28))
    for shift in (1, 2):
        with pytest.raises(ReleaseRefused, match="count: 2 numbers about the same time"):
            disclosure.permit(ask(priced(0), begin=MARCH + shift * DAY, days=28))
    with pytest.raises(ReleaseRefused, match="how often: 2 answers about periods within 60 days"):
        disclosure.grant(replace(OFTEN, within_days=60))
        disclosure.permit(ask(priced(0), begin=MARCH + 28 * DAY, days=28))
    assert [e.facts["why"].split(":")[0] for e in disclosure.log.entries("refusal")] == [
        "count", "count", "how often",
    ]  # fmt: skip
    assert len(disclosure.releases()) == 2


def test_a_year_of_months_is_billed_in_one_go_and_each_may_be_asked_for_again(
    disclosure: Disclosure,
) -> None:
    for month in range(1, 13):
        first = datetime(2024, month, 1, tzinfo=UTC)
        after = datetime(2024 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        count = (after - first).days
        for price in (1, 2, 2):
            weights = (250_000 + price,) * (96 * count)
            disclosure.permit(ask(weights, begin=int(first.timestamp()), days=count))
    assert len(disclosure.releases()) == 36
    with pytest.raises(ReleaseRefused, match="count: 2 numbers about the same time"):
        disclosure.permit(ask(FLAT * 31, begin=int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())))


def test_other_applets_and_kinds_have_counts_of_their_own(disclosure: Disclosure) -> None:
    disclosure.grant(replace(OFTEN, applet=b"\xf0other"))
    for number in (0, 1):
        disclosure.permit(ask(priced(number), days=28))
    third = ask(priced(2), days=28)
    with pytest.raises(ReleaseRefused, match="count"):
        disclosure.permit(third)
    disclosure.permit(replace(third, applet=b"\xf0other"))


def test_terms_are_wider_where_the_same_answers_may_be_had_within_fewer_days() -> None:
    assert replace(OFTEN, within_days=7).covers(OFTEN)
    assert not OFTEN.covers(replace(OFTEN, within_days=7))
    with pytest.raises(ValueError, match="within_days"):
        replace(OFTEN, within_days=0)


@pytest.mark.parametrize("version", [1, 2])
def test_consents_of_an_older_hub_say_what_they_said(tmp_path: Path, version: int) -> None:
    path = tmp_path / "hub.db"
    make_file(path, version)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO consent (applet, package, recipient, purpose, statement, least_days,"
            " least_minutes, answers, bits, until) VALUES (?, ?, ?, ?, ?, 28, 480, 2, 24, ?)",
            (*TERMS.subject, date(2026, 12, 31).isoformat()),
        )
        facts = terms_facts(TERMS)
        for name in ("least_group", "within_days")[version - 1 :]:
            del facts[name]
        write_entry(connection, NOW, "consent", {"number": 1, **facts})
    connection.close()
    with Database(path, [LOG_COMPONENT, CONSENT_COMPONENT], key=bytes(32)) as database:
        disclosure = Disclosure(database, lambda: NOW)
        (consent,) = disclosure.consents()
        assert consent.terms == replace(TERMS, within_days=1)
        for month in range(3):
            disclosure.permit(ask(priced(0), begin=MARCH + 28 * month * DAY, days=28))
