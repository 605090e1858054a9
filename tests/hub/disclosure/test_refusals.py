# SPDX-License-Identifier: Apache-2.0
"""Refusals on record: each of the first, then their number; and what is kept in mind of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    Disclosure,
    ReleaseRefused,
    count_refusals,
)
from hub.disclosure.refusals import EACH, MOST_KEPT, MOST_KINDS
from hub.vault.database import Database
from tests.support.consented import BILLING

NOW = 1_740_000_000
DAY = 86_400
FACTS = {
    "applet": b"\xf0bill",
    "recipient": "supplier",
    "purpose": "billing",
    "statement": "linear",
}
SIZE = ReleaseRefused("size", "70 bits, the consent allows 64")


class Clock:
    now = NOW


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disclosure(tmp_path: Path, clock: Clock) -> Iterator[Disclosure]:
    with Database(
        tmp_path / "hub.db", [LOG_COMPONENT, CONSENT_COMPONENT], key=bytes(32)
    ) as database:
        yield Disclosure(database, lambda: clock.now)


def size(disclosure: Disclosure) -> int:
    (size,) = disclosure.database.connection.execute(
        "SELECT sum(length(body)) FROM disclosure_entry"
    ).fetchone()
    return int(size)


def test_ten_thousand_refusals_are_a_few_kilobytes_and_none_is_lost_count_of(
    disclosure: Disclosure, clock: Clock
) -> None:
    for number in range(10_000):
        clock.now = NOW + number // 100
        disclosure.refusals.note({**FACTS, "begin": number}, SIZE)
    entries = list(disclosure.log.entries("refusal"))
    counts = [entry.facts["count"] for entry in entries[EACH:]]
    assert counts == [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192]
    assert {entry.facts["first"] for entry in entries[EACH:]} == {NOW}
    assert entries[-1].time == NOW + 8_191 // 100  # of the last that it counts
    assert "8192 refusals like this one today" in entries[-1].facts["why"]
    assert size(disclosure) < 8_000
    assert count_refusals(entries) == 8_192
    assert disclosure.log.verify() == len(entries)


def test_kinds_and_days_are_counted_apart(disclosure: Disclosure, clock: Clock) -> None:
    for _ in range(10):
        disclosure.refusals.note(FACTS, SIZE)
        disclosure.refusals.note({**FACTS, "purpose": "other"}, SIZE)
        disclosure.refusals.note(FACTS, ReleaseRefused("count", "6 times already"))
    clock.now += DAY
    disclosure.refusals.note(FACTS, SIZE)
    entries = list(disclosure.log.entries("refusal"))
    assert len(entries) == 3 * EACH + 1
    assert count_refusals(entries) == 3 * EACH + 1


def test_kinds_without_end_are_one_kind(disclosure: Disclosure) -> None:
    for number in range(MOST_KINDS + 1_000):
        disclosure.refusals.note({**FACTS, "purpose": str(number)}, SIZE)
    assert disclosure.log.count("refusal") <= MOST_KINDS + EACH + 7


def test_what_was_undone_with_a_command_is_on_record_all_the_same(disclosure: Disclosure) -> None:
    other = {**FACTS, "purpose": "other"}
    disclosure.refusals.note(FACTS, SIZE)
    with pytest.raises(RuntimeError), disclosure.database.transaction():
        for _ in range(20):
            disclosure.refusals.note(FACTS, SIZE)
        disclosure.refusals.note(other, SIZE)
        raise RuntimeError
    assert disclosure.log.count("refusal") == 1
    disclosure.refusals.restore()
    disclosure.refusals.restore()  # and not twice
    kept = [(one.facts["purpose"], one.facts.get("count")) for one in disclosure.log.entries()]
    assert kept == [("billing", None), ("billing", 16), ("other", None)]
    assert disclosure.log.verify() == 3


def test_a_question_stays_refused_until_something_it_follows_from_changes(
    disclosure: Disclosure, clock: Clock
) -> None:
    consent = disclosure.grant(BILLING)
    memo = disclosure.refused_before

    def is_known() -> bool:
        return memo.find(b"question") is not None

    def keep() -> None:
        memo.keep(b"question", SIZE, FACTS)
        assert is_known()

    keep()
    disclosure.refusals.note(FACTS, SIZE)
    disclosure.record_message(b"\xf0bill", "supplier", "billing", b"an answer")
    disclosure.record_connection("peer", 1, 1)
    assert is_known()  # none of this is what a rule looks at
    assert memo.find(b"another") is None
    changes = (
        lambda: disclosure.narrow(consent.number, replace(BILLING, answers=5)),
        lambda: disclosure.revoke(consent.number + 1),
        lambda: disclosure.grant(BILLING),
        lambda: disclosure.log.append(clock.now, "release", {}),
        lambda: disclosure.log.append(clock.now, "aggregate", {}),
        lambda: disclosure.log.append(clock.now, "export", {}),
        lambda: setattr(clock, "now", clock.now + DAY),
    )
    for change in changes:
        keep()
        change()
        assert not is_known()


def test_what_is_kept_in_mind_is_bounded(disclosure: Disclosure) -> None:
    for number in range(MOST_KEPT + 10):
        disclosure.refused_before.keep(str(number).encode(), SIZE, FACTS)
    assert disclosure.refused_before.find(b"9") is None
    assert disclosure.refused_before.find(b"10") is not None
