# SPDX-License-Identifier: Apache-2.0
"""A supplier who hides readings in the weights of a harmless-looking sum, and digs them out again.

The attacker chooses the weights, gets Σ w·x (and nothing else), and knows that no slot uses more
than a few hundred watt-hours. It unpacks digits where it can, and reduces a lattice where it
cannot (Lagarias and Odlyzko, J. ACM 1985: a knapsack of low density falls to LLL). With the guard
off it gets readings to the watt-hour; with the guard on its questions are refused, and from what
is let through the same attack gets nothing.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from flint import fmpz_mat

from hub.disclosure import Disclosure, Form, ReleaseRefused, ReleaseRequest
from tests.support.consented import BILLING, guarding
from tests.support.releases import CENT, sum_request

SLOTS = 2976
MARCH = 1_740_787_200
TARGETS = (40, 41, 42, 43, 44)
"""The slots around ten in the morning that the attacker is curious about."""

CONSENT = replace(BILLING, answers=8)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, MARCH + 40 * 86_400, CONSENT) as disclosure:
        yield disclosure


@pytest.fixture
def house() -> list[int]:
    dice = random.Random(7)
    return [dice.choice((20, 30, 60, 400)) + dice.randrange(90) for _ in range(SLOTS)]


def ask(
    weights: Sequence[int], recipient: str = "supplier", *, exact: bool = False
) -> ReleaseRequest:
    """A sum, told in cents or exactly."""
    form, coin = Form(MARCH, 900, tuple(weights)), 1 if exact else CENT
    return sum_request(b"\xf0bill", b"package", recipient, "billing", 31, form, b"tariff", coin)


def answer(weights: Sequence[int], house: Sequence[int]) -> int:
    return sum(w * x for w, x in zip(weights, house, strict=True))


def knapsack(weights: Sequence[int], value: int, guess: int) -> list[int]:
    """Return small x with Σ w·x = value, if LLL finds them; `guess` is about their size."""
    size = len(weights)
    scale = 1 << 80
    rows = []
    for place, weight in enumerate(weights):
        rows += [0] * place + [1] + [0] * (size - place - 1) + [0, scale * weight]
    rows += [-guess] * size + [1, -scale * value]
    # The shortest vector is (x - guess, 1, 0): small, because the guess is about right.
    reduced = fmpz_mat(size + 1, size + 2, rows).lll()
    for row in range(size + 1):
        for sign in (1, -1):
            found = [sign * int(reduced[row, column]) for column in range(size + 2)]
            if found[-1] == 0 and found[-2] == 1:
                return [guess + offset for offset in found[:size]]
    return []


def isolating() -> list[int]:
    dice = random.Random(3)
    weights = [0] * SLOTS
    for slot in TARGETS:
        weights[slot] = dice.getrandbits(50) | 1 << 50
    return weights


def test_a_lattice_recovers_five_readings_from_one_number_where_nobody_guards(
    house: list[int],
) -> None:
    weights = isolating()
    value = answer(weights, house)
    assert value.bit_length() <= 64
    found = knapsack([weights[slot] for slot in TARGETS], value, 250)
    assert found == [house[slot] for slot in TARGETS]


def test_the_guard_does_not_let_that_question_through(guard: Disclosure) -> None:
    with pytest.raises(ReleaseRefused, match="size|price|fineness"):
        guard.permit(ask(isolating()))


def test_digits_packed_into_one_number_are_unpacked_where_nobody_guards(house: list[int]) -> None:
    weights = [0] * SLOTS
    for place, slot in enumerate(TARGETS):
        weights[slot] = 1 << 10 * place
    value = answer(weights, house)
    assert [value >> 10 * place & 1023 for place in range(5)] == [house[s] for s in TARGETS]


@pytest.mark.parametrize(
    "weights",
    [
        [1 << 10 * TARGETS.index(s) if s in TARGETS else 0 for s in range(SLOTS)],
        [1 if s == TARGETS[0] else 1 << 30 for s in range(SLOTS)],
        [300_000 + (s == TARGETS[0]) for s in range(SLOTS)],
        [300_000 - (s in TARGETS) for s in range(SLOTS)],
        [(1, 10**6, 10**12)[s % 3] if s < 30 else 0 for s in range(SLOTS)],
        [1 << 44 if s in TARGETS else 1 for s in range(SLOTS)],
    ],
    ids=["digits", "low bits", "one off", "a group off", "three sums", "high bits"],
)
def test_weights_that_smuggle_are_refused(guard: Disclosure, weights: list[int]) -> None:
    with pytest.raises(ReleaseRefused, match="size|price|fineness"):
        guard.permit(ask(weights, exact=True))
    assert guard.releases() == []


def test_nearly_parallel_questions_over_time_are_refused_where_they_would_tell(
    guard: Disclosure, house: list[int]
) -> None:
    flat = [300_000] * SLOTS
    bent = [300_001 if slot in TARGETS else 300_000 for slot in range(SLOTS)]
    guard.permit(ask(flat))
    # Unguarded, the difference is the sum over the targets.
    assert answer(bent, house) - answer(flat, house) == sum(house[s] for s in TARGETS)
    with pytest.raises(ReleaseRefused, match="fineness: the use of 75 min"):
        guard.permit(ask(bent))


def test_from_what_is_let_through_the_same_attack_gets_nothing(
    guard: Disclosure, house: list[int]
) -> None:
    """All that eight day and night tariffs tell: four sums, and the rest is anybody's guess."""
    asked = []
    for number in range(8):
        day, night = 300_000 + 7_919 * number, 200_000 + 104_729 * number
        weights = [day if 28 <= s % 96 < 84 else night for s in range(SLOTS)]
        guard.permit(ask(weights))
        asked.append(weights)
    answers = [answer(weights, house) for weights in asked]
    known = guard.knowledge()
    assert (known.numbers, known.bundles) == (8, 2)
    for weights, value in zip(asked, answers, strict=True):
        near = list(range(30, 80))  # the attack on a stretch, as if the rest were known
        rest = value - sum(weights[s] * house[s] for s in range(SLOTS) if s not in near)
        assert knapsack([weights[s] for s in near], rest, 100) != [house[s] for s in near]
    # And it could not do better: a house that used its hours otherwise gives the same answers.
    other = list(house)
    for slot in TARGETS:
        other[slot], other[slot + 96] = house[slot + 96], house[slot]
    assert other != house
    assert [answer(weights, other) for weights in asked] == answers
