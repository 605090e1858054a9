# SPDX-License-Identifier: Apache-2.0
"""The release guard: checking and recording a release where there are many already.

A month of 2,976 slots where 60 releases about it are on record, and a year where 504 are. Beside it
what the guard did before: the rank of the same forms modulo a prime (FLINT), and by exact
elimination over the integers, which neither looks for stretches of time nor for bundles.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from flint import fmpz_mat, nmod_mat
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
from tests.support.releases import number_of_sum, sum_request

SLOTS = 2976
EARLIER = 60
A_MONTH = 42
PRIME = (1 << 61) - 1
TERMS = replace(
    BILLING, answers=10_000, within_days=1, bits=32, slot_bits=1 << 16, until=date(2100, 1, 1)
)


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


def request_for(weights: tuple[int, ...], begin: int = 0) -> ReleaseRequest:
    form, days = Form(begin, 900, weights), len(weights) // 96
    return sum_request(b"\xf0bill", b"package", "supplier", "billing", days, form, b"tariff")


def permit_and_undo(guard: Disclosure, request: ReleaseRequest) -> Callable[[], None]:
    def update() -> None:
        with suppress(Undo), guard.database.transaction():
            guard.permit(request)
            raise Undo

    return update


def consent_to(guard: Disclosure, kind: str) -> None:
    # Several prices of their own for every slot need a consent that lets every slot be told apart.
    guard.grant(TERMS if kind == "three bands" else replace(TERMS, least_minutes=15))


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_record(benchmark: BenchmarkFixture, guard: Disclosure, kind: str) -> None:
    dice = random.Random(1)
    consent_to(guard, kind)
    for _ in range(EARLIER):
        guard.permit(request_for(KINDS[kind](dice)))
    benchmark.name = f"guard: check and record after {EARLIER} releases, {kind}"
    benchmark(permit_and_undo(guard, request_for(KINDS[kind](dice))))


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_record_a_year(benchmark: BenchmarkFixture, guard: Disclosure, kind: str) -> None:
    dice = random.Random(1)
    consent_to(guard, kind)
    for month in range(12):
        for _ in range(A_MONTH):
            guard.permit(request_for(KINDS[kind](dice), 900 * SLOTS * month))
    benchmark.name = f"guard: check and record a year after {12 * A_MONTH} releases, {kind}"
    benchmark(permit_and_undo(guard, request_for(KINDS[kind](dice) * 12)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known(benchmark: BenchmarkFixture, kind: str) -> None:
    dice = random.Random(1)
    numbers = [number_of_sum(Form(0, 900, KINDS[kind](dice))) for _ in range(EARLIER + 1)]
    benchmark.name = f"bundles and stretches of {EARLIER + 1} numbers, {kind}"
    benchmark(knowledge_of, numbers)


def test_rank_modulo_a_prime(benchmark: BenchmarkFixture) -> None:
    dice = random.Random(1)
    flat = [weight for _ in range(EARLIER + 1) for weight in dynamic(dice)]
    benchmark.name = "as before: rank alone modulo a prime, a price a slot"
    benchmark(lambda: nmod_mat(EARLIER + 1, SLOTS, flat, PRIME).rref())


def test_exact_elimination(benchmark: BenchmarkFixture) -> None:
    dice = random.Random(1)
    flat = [weight for _ in range(EARLIER + 1) for weight in dynamic(dice)]
    benchmark.name = "naive: rank alone over the integers, a price a slot"
    benchmark(lambda: fmpz_mat(EARLIER + 1, SLOTS, flat).rank())
