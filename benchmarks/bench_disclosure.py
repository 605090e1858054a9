# SPDX-License-Identifier: Apache-2.0
"""The release guard: checking and recording a release where there are 60 already.

A month of 2,976 slots. Beside it the naive way: the rank of the same forms by exact elimination
over the integers (FLINT), without looking for windows or classes.
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from flint import fmpz_mat
from pytest_benchmark.fixture import BenchmarkFixture

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    Disclosure,
    Form,
    ReleaseRequest,
    knowledge_of,
)
from hub.vault.database import Database
from tests.support.consented import BILLING
from tests.support.releases import sum_request

SLOTS = 2976
EARLIER = 60
TERMS = replace(BILLING, answers=1000, until=date(2100, 1, 1))


class Undo(Exception):
    """Takes back what a round has written."""


def bands(dice: random.Random) -> tuple[int, ...]:
    """A tariff of three bands."""
    day, night, weekend = (dice.randrange(200_000, 400_000) for _ in range(3))
    first, last = dice.choice([(24, 88), (28, 84), (32, 80)])
    return tuple(
        weekend if s // 96 % 7 > 4 else day if first <= s % 96 < last else night
        for s in range(SLOTS)
    )


def dynamic(dice: random.Random) -> tuple[int, ...]:
    """A price of its own for every slot."""
    return tuple(dice.randrange(50_000, 400_000) for _ in range(SLOTS))


KINDS = {"three bands": bands, "a price a slot": dynamic}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with Database(
        tmp_path / "hub.db", [CONSENT_COMPONENT, LOG_COMPONENT], key=bytes(32)
    ) as database:
        yield Disclosure(database, lambda: 40 * 86_400)


def request_for(weights: tuple[int, ...]) -> ReleaseRequest:
    form = Form(0, 900, weights)
    return sum_request(b"\xf0bill", b"package", "supplier", "billing", 31, form, b"tariff")


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_record(benchmark: BenchmarkFixture, guard: Disclosure, kind: str) -> None:
    dice = random.Random(1)
    # Prices of their own for every slot need a consent that lets every slot become known.
    guard.grant(TERMS if kind == "three bands" else replace(TERMS, least_minutes=15))
    for _ in range(EARLIER):
        guard.permit(request_for(KINDS[kind](dice)))
    one_more = request_for(KINDS[kind](dice))

    def update() -> None:
        with suppress(Undo), guard.database.transaction():
            guard.permit(one_more)
            raise Undo

    benchmark.name = f"guard: check and record, {kind}"
    benchmark(update)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known(benchmark: BenchmarkFixture, kind: str) -> None:
    dice = random.Random(1)
    forms = [Form(0, 900, KINDS[kind](dice)) for _ in range(EARLIER + 1)]
    benchmark.name = f"rank, windows and classes, {kind}"
    benchmark(knowledge_of, forms)


def test_exact_elimination(benchmark: BenchmarkFixture) -> None:
    dice = random.Random(1)
    flat = [weight for _ in range(EARLIER + 1) for weight in dynamic(dice)]
    benchmark.name = "naive: rank alone over the integers, a price a slot"
    benchmark(lambda: fmpz_mat(EARLIER + 1, SLOTS, flat).rank())
