# SPDX-License-Identifier: Apache-2.0
"""Consents of release 0.1 are shown with what they mean now, until confirmed or revoked."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    ConsentTerms,
    Disclosure,
    UnknownConsent,
)
from hub.disclosure.older_words import confirm_words, given_under_older_words
from hub.vault.database import Database
from tests.support.older_consents import as_0_1

NOW = 1_743_500_000
TERMS = ConsentTerms(b"a", b"p", "supplier", "billing", "linear", 28, 480, 3, 64, date(2030, 1, 1))


@pytest.fixture
def disclosure(tmp_path: Path) -> Iterator[Disclosure]:
    components = [CONSENT_COMPONENT, LOG_COMPONENT]
    with Database(tmp_path / "hub.db", components, key=bytes(32)) as database:
        yield Disclosure(database, lambda: NOW)


def older(disclosure: Disclosure) -> frozenset[int]:
    return given_under_older_words(disclosure.log, disclosure.consents())


def test_a_consent_of_today_is_under_today_s_words(disclosure: Disclosure) -> None:
    disclosure.grant(TERMS)
    assert older(disclosure) == frozenset()
    assert confirm_words(disclosure, 1) is None
    assert disclosure.log.length() == 1


def test_an_older_one_is_marked_until_it_is_confirmed(
    disclosure: Disclosure, monkeypatch: pytest.MonkeyPatch
) -> None:
    with as_0_1(monkeypatch):
        disclosure.grant(TERMS)
    assert older(disclosure) == {1}
    entry = confirm_words(disclosure, 1)
    assert entry is not None
    assert (entry.kind, entry.facts) == ("confirmation", {"number": 1, "words": 2})
    assert older(disclosure) == frozenset()
    [consent] = disclosure.consents()
    assert (consent.terms, consent.revoked) == (TERMS, None)  # nothing is widened by it
    assert confirm_words(disclosure, 1) is None


CHANGES: list[Callable[[Disclosure], Any]] = [
    lambda disclosure: disclosure.revoke(1),
    lambda disclosure: disclosure.narrow(1, TERMS),
]


@pytest.mark.parametrize("change", CHANGES)
def test_revoking_or_narrowing_ends_it_as_well(
    disclosure: Disclosure, monkeypatch: pytest.MonkeyPatch, change: Callable[[Disclosure], Any]
) -> None:
    with as_0_1(monkeypatch):
        disclosure.grant(TERMS)
    change(disclosure)
    assert older(disclosure) == frozenset()
    with pytest.raises(UnknownConsent, match="consent 1 was revoked"):
        confirm_words(disclosure, 1)
    with pytest.raises(UnknownConsent, match="there is no consent 9"):
        confirm_words(disclosure, 9)


@pytest.mark.parametrize(
    ("statement", "is_marked"),
    [
        ("blocks", True), ("demand", True), ("excess", True), ("match", True), ("sample", True),
        ("unattributed", False),
        ("aggregate", False), ("weighted", False), ("output daily", False),
        ("export 2025-03-01/2025-03-31", False),
    ],
)  # fmt: skip
def test_what_means_the_same_as_before_is_not_marked(
    disclosure: Disclosure, monkeypatch: pytest.MonkeyPatch, statement: str, is_marked: bool
) -> None:
    terms = ConsentTerms(b"a", b"p", "who", "why", statement, 1, 60, 3, 64, date(2030, 1, 1))
    with as_0_1(monkeypatch):
        disclosure.grant(terms)
    assert older(disclosure) == ({1} if is_marked else set())
