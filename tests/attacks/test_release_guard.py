# SPDX-License-Identifier: Apache-2.0
"""Attacks on the release guard that worked once: several consents, recipients and numbers together.

Each got single quarter-hours, or a curve of eight hours, to the watt-hour. Each is tried here in
two ways: with exact numbers as they were told then, and with the same weights in coins, as big as
they may be. What the attacker would work out is shown beside it, with nobody to guard it.
"""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.disclosure import (
    ConsentTerms,
    Disclosure,
    ExportRequest,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from protocols.amounts import (
    Amount,
    Combine,
    Metered,
    NumberAmount,
    QuotientRule,
    Reading,
    SlotForm,
    Sum,
    Total,
)
from protocols.amounts.steps import Rounding
from tests.support.consented import guarding
from tests.support.releases import in_coins

MARCH, SLOTS, DAY = 1_740_787_200, 2976, 86_400
BILL = ConsentTerms(
    applet=b"\xf0bill",
    package=b"billing",
    recipient="supplier",
    purpose="billing",
    statement="linear",
    least_days=28,
    least_minutes=480,
    answers=6,
    bits=24,
    until=date(2035, 12, 31),
    within_days=31,
)
"""What the shipped billing applet asks for."""
SCORES = replace(
    BILL,
    applet=b"\xf0prof",
    package=b"profiling",
    recipient="grid",
    purpose="profiling",
    least_minutes=60,
    answers=24,
    bits=28,
    slot_bits=672,
)
SAMPLE = replace(SCORES, statement="sample", least_minutes=195, answers=3, bits=20, slot_bits=0)
"""What the shipped profiling applet asks for."""


@pytest.fixture
def house() -> list[int]:
    dice = random.Random(7)
    return [dice.choice((20, 30, 60, 400)) + dice.randrange(90) for _ in range(SLOTS)]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, MARCH + 40 * DAY) as guard:
        for terms in (BILL, SCORES, SAMPLE):
            guard.grant(terms)
        yield guard


def ask(terms: ConsentTerms, *amounts: Amount | NumberAmount, days: int = 31) -> ReleaseRequest:
    numbers = tuple(number_of(one, MARCH, 900, 96 * days) for one in amounts)
    return ReleaseRequest(
        terms.applet, terms.package, terms.recipient, terms.purpose, days, numbers, bytes(32)
    )


def form(weights: Mapping[int, int]) -> Sum:
    return Sum(SlotForm.of(weights))


def generous(guard: Disclosure, *terms: ConsentTerms) -> None:
    """Put no bound on bits and counts, so that the other rules stand alone."""
    for one in terms:
        guard.grant(replace(one, bits=64, answers=1_000))


@pytest.mark.parametrize("is_fine_first", [True, False], ids=["fine first", "coarse first"])
@pytest.mark.parametrize("coin", [0, 1, 12])
def test_a_fine_and_a_coarse_consent_together_tell_no_single_slot(
    guard: Disclosure, house: list[int], coin: int, is_fine_first: bool
) -> None:
    """31 slots to one, the same and a target to another, packed under everything else."""
    dice, target = random.Random(7), 1234
    some = set(dice.sample([slot for slot in range(SLOTS) if slot != target], 31))
    high = 1 << 22 if coin == 0 else 40
    fine = form({s: 1 if s in some else high for s in range(SLOTS)})
    coarse = form({s: 1 if s in {*some, target} else high for s in range(SLOTS)})
    if coin == 0:
        with_target, without = coarse.value_of(house) % high, fine.value_of(house) % high
        assert with_target - without == house[target]  # with nobody to guard it
    generous(guard, BILL, replace(SCORES, slot_bits=10_000))
    amounts: list[Sum | Total] = (
        [fine, coarse] if coin == 0 else [in_coins(fine, coin), in_coins(coarse, coin)]
    )
    asked = [ask(terms, one) for terms, one in zip((SCORES, BILL), amounts, strict=True)]
    first, second = asked if is_fine_first else asked[::-1]
    with pytest.raises(ReleaseRefused, match="price|fineness|size"):
        guard.permit(first)
        guard.permit(second)
    assert len(guard.releases()) <= 1


def test_a_day_in_quarter_hours_is_not_told_by_two_applets_together(guard: Disclosure) -> None:
    """24 numbers each, three sums to a number; the differences were 72 quarter-hours."""
    targets = range(11 * 96 + 24, 12 * 96)
    dice = random.Random(7)
    others = [slot for slot in range(SLOTS) if slot not in targets]
    dice.shuffle(others)
    groups = [others[31 * place : 31 * place + 31] for place in range(72)]
    fine = [
        form({slot: 1 << 15 * k for k in range(3) for slot in groups[3 * n + k]}) for n in range(24)
    ]
    coarse = [
        form({s: 1 << 17 * k for k in range(3) for s in (*groups[3 * n + k], targets[3 * n + k])})
        for n in range(24)
    ]
    with pytest.raises(ReleaseRefused, match="size: 50 bits"):
        guard.permit(ask(SCORES, *fine))
    generous(guard, replace(SCORES, slot_bits=100_000), BILL)
    guard.permit(ask(SCORES, *fine))  # each of the sums goes over hours
    with pytest.raises(ReleaseRefused, match="price"):
        guard.permit(ask(BILL, *coarse))
    guard.grant(replace(BILL, bits=64, answers=1_000, slot_bits=100_000))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(BILL, *coarse))


def test_a_month_is_not_told_in_eight_hours_by_one_answer(guard: Disclosure) -> None:
    """One number under a consent to six held two sums each: 91 totals of eight hours."""
    windows = [range(32 * number, 32 * number + 32) for number in range(91)]
    exact = [
        form({s: 1 if s in window else (1 << 22) + number for s in range(SLOTS)})
        for number, window in enumerate(windows)
    ]
    with pytest.raises(ReleaseRefused, match="size: 48 bits"):
        guard.permit(ask(BILL, *exact))
    coins = [
        in_coins(form({s: 9 if s in window else 1 for s in range(SLOTS)}), 9) for window in windows
    ]
    with pytest.raises(ReleaseRefused, match="count: 0 numbers .* 91 more are asked for"):
        guard.permit(ask(replace(BILL, bits=24), *coins))
    with pytest.raises(ReleaseRefused, match="window: the total of 0.333 days"):
        guard.permit(ask(BILL, *coins[:2]))  # together with anything else
    generous(guard, BILL)
    with pytest.raises(ReleaseRefused, match="window: the total of 0.333 days"):
        guard.permit(ask(BILL, *coins))


def test_samples_are_not_taken_out_of_a_sum_that_is_told_to_another(
    guard: Disclosure, house: list[int]
) -> None:
    places = list(range(0, SLOTS, 13))
    guard.permit(ask(SAMPLE, *map(Reading, places)))
    target = 1002
    assert target not in places
    members = {*places[:31], target}
    high = 1 << 20
    packed = form({s: 1 if s in members else high for s in range(SLOTS)})
    known = sum(house[place] for place in places[:31])
    assert packed.value_of(house) % high - known == house[target]  # with nobody to guard it
    generous(guard, BILL)
    with pytest.raises(ReleaseRefused, match="price"):
        guard.permit(ask(BILL, packed))
    # In coins the same cells are refused for what they leave once the samples are taken out ...
    two = [
        in_coins(form({s: high if s in members else 1 for s in range(SLOTS)}), unit)
        for high, unit in ((9, 10), (8, 10))
    ]
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(BILL, *two))
    guard.grant(replace(BILL, recipient="elsewhere"))
    # ... and would be told where nobody was handed samples.
    clean = {s: 9 if s % 93 == 4 else 1 for s in range(SLOTS)}
    guard.permit(ask(BILL, in_coins(form(clean), 10)))


def test_a_sample_and_scores_of_one_profile_tell_no_slot_that_was_not_sampled(
    guard: Disclosure,
) -> None:
    """The shipped profiling applet alone, with holidays that its recipient chose for this.

    The score's class had four slots, three of which were sampled.
    """
    places = list(range(0, SLOTS, 13))
    guard.permit(ask(SAMPLE, *map(Reading, places)))
    others = [s for s in range(SLOTS) if s not in places]
    scores = [
        in_coins(
            form({s: 4 if s in (*places[3 * n : 3 * n + 3], others[400 * n]) else -1
                  for s in range(SLOTS)})
        , 2)
        for n in range(5)
    ]  # fmt: skip
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(SCORES, *scores))


def test_a_finer_consent_that_was_revoked_blinds_no_rule(guard: Disclosure) -> None:
    finer = guard.grant(replace(BILL, least_minutes=15, slot_bits=100))
    guard.revoke(finer.number)
    guard.grant(BILL)
    first = {s: 3 if s % 2 else 5 for s in range(SLOTS)}
    second = {s: {3: 21, 5: 55}[w] for s, w in first.items()}
    second[777] = 55 if first[777] == 3 else 21
    guard.permit(ask(BILL, in_coins(form(first), 20)))
    assert guard.releases()[0].numbers[0].least_minutes == 480
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(BILL, in_coins(form(second), 200)))


def test_an_export_to_one_opens_nothing_to_another(guard: Disclosure) -> None:
    """Hours were handed to an adviser: what half an hour of one was is no question for others."""
    export = replace(
        BILL, applet=b"", package=b"", recipient="adviser", purpose="advice",
        statement="export 2025-03-01/2025-03-31", least_days=1, least_minutes=60, answers=1,
        bits=100_000,
    )  # fmt: skip
    guard.grant(export)
    end = MARCH + SLOTS * 900
    guard.permit_export(
        ExportRequest("adviser", "advice", 60, MARCH, end, "2025-03-01/2025-03-31", 744, 744 * 20)
    )
    flat = form(dict.fromkeys(range(SLOTS), 30))
    guard.permit(ask(BILL, in_coins(flat, 100)))
    # Prices that change at the half hour: all the halves together last 15 hours and more.
    halves = {s: 20 if (s + 2) // 28 % 2 else 30 for s in range(SLOTS)}
    guard.permit(ask(BILL, in_coins(form(halves), 100)))
    # One half hour at a price of its own, that the supplier alone could not make out either.
    once = {**halves, 1000: 90, 1001: 90}
    with pytest.raises(ReleaseRefused, match="fineness: the use of 30 min"):
        guard.permit(ask(BILL, in_coins(form(once), 100)))


def test_a_question_of_hundreds_of_sums_over_months_costs_little(guard: Disclosure) -> None:
    """It stood still for minutes: the cost was cubic in the number of sums."""
    sums = [in_coins(form(dict.fromkeys(range(32 * n, 32 * n + 32), 1))) for n in range(400)]
    request = ask(BILL, *sums, days=140)
    begin = time.process_time()
    with pytest.raises(ReleaseRefused, match="count|how often"):
        guard.permit(request)
    assert time.process_time() - begin < 2
    generous(guard, replace(BILL, within_days=1))
    begin = time.process_time()
    with pytest.raises(ReleaseRefused, match="window"):
        guard.permit(request)
    assert time.process_time() - begin < 10


def test_a_quotient_inside_a_number_is_no_staircase_to_a_single_slot(guard: Disclosure) -> None:
    """A threshold on one slot, by a rounding whose one step outweighs all the rest of the month."""
    target, everything = 1234, dict.fromkeys(range(SLOTS), 200000)

    def staircase(divisor: int, worth: int, offset: int) -> Total:
        alone = Metered(0, form({target: 1}))
        rest = Metered(0, form({s: w for s, w in everything.items() if s != target}))
        steps = (
            Combine(((0, 1),), offset),
            Rounding(2, divisor, QuotientRule.HALF_UP),
            Combine(((1, 1), (3, worth))),
        )
        return Total((alone, rest), steps, 10**7, QuotientRule.HALF_UP)

    step = staircase(10**6, 10**12, 5 * 10**5 - 300)  # a step of 100,000 cents at 300 Wh
    values = [step.value_of([[use] * SLOTS]) for use in (299, 300)]
    assert values[1] - values[0] > 90_000  # with nobody to guard it
    generous(guard, BILL)
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(BILL, step))
    guard.permit(ask(BILL, staircase(50, 10**7, 0)))  # as charges are rounded to the cent
