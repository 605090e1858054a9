# SPDX-License-Identifier: Apache-2.0
"""Prices that differ in every slot: by a consent that says so, counted, and beside coarser ones."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    Disclosure,
    ReleaseRefused,
    ReleaseRequest,
    knowledge_of,
)
from hub.vault import Database
from tests.hub.disclosure.test_disclosure import MARCH, NOW, TERMS, ask, day_and_night

FINE = replace(TERMS, purpose="settlement", least_minutes=15, answers=2, bits=50)
DAY = 86_400


@pytest.fixture
def disclosure(tmp_path: Path) -> Iterator[Disclosure]:
    with Database(tmp_path / "hub.db", [CONSENT_COMPONENT, LOG_COMPONENT]) as database:
        disclosure = Disclosure(database, lambda: NOW)
        disclosure.grant(TERMS)
        disclosure.grant(FINE)
        yield disclosure


def prices(seed: int, days: int = 31) -> tuple[int, ...]:
    dice = random.Random(seed)
    return tuple(dice.randrange(-50_000, 400_000) for _ in range(96 * days))


def fine(weights: tuple[int, ...], *, begin: int = MARCH, days: int = 31) -> ReleaseRequest:
    return replace(ask(weights, begin=begin, days=days), purpose="settlement")


def test_a_price_for_every_slot_takes_a_consent_to_just_that(disclosure: Disclosure) -> None:
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(ask(prices(1)))
    disclosure.permit(fine(prices(1)))
    (release,) = disclosure.releases()
    assert [number.least_minutes for number in release.numbers] == [15]
    known = disclosure.knowledge()
    assert (known.rank, known.least_seconds) == (1, 900)
    assert known.exposed_slots > 2_900  # what the resident is shown


def test_a_fine_consent_counts_whatever_overlaps(disclosure: Disclosure) -> None:
    for shift in range(2):
        begin = MARCH + shift * DAY
        disclosure.permit(fine(prices(shift), begin=begin))
    with pytest.raises(ReleaseRefused, match="count: this period was answered 2 times"):
        disclosure.permit(fine(prices(3, 29), begin=MARCH + 3 * DAY, days=29))
    disclosure.permit(fine(prices(4, 28), begin=MARCH + 40 * DAY, days=28))  # is apart


def test_what_was_told_finely_does_not_stand_in_the_way_of_an_ordinary_bill(
    disclosure: Disclosure,
) -> None:
    disclosure.permit(fine(prices(1)))
    disclosure.permit(ask())
    bent = list(day_and_night())
    bent[40] = bent[0]
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(ask(tuple(bent)))  # is held against the earlier bill, still


def test_a_fine_sum_less_an_ordinary_one_tells_no_slot(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    bent = list(day_and_night())
    bent[40] += 1
    with pytest.raises(ReleaseRefused, match="window: the total of 0.0104 days"):
        disclosure.permit(fine(tuple(bent)))


def test_an_older_record_counts_as_told_under_an_ordinary_consent(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    (entry,) = disclosure.log.entries("release")
    facts = {name: value for name, value in entry.facts.items() if name != "least_minutes"}
    disclosure.log.append(NOW, "release", facts)
    old = disclosure.releases()[-1]
    assert old.numbers[0].least_minutes == 480
    assert knowledge_of(list(old.forms)).rank == 1
