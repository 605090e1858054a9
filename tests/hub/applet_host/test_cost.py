# SPDX-License-Identifier: Apache-2.0
"""What questions cost before they are worked on: which are quick, long, or too much."""

import pytest

from hub.applet_host.cost import (
    CHOICE_FUEL,
    FOREGROUND_FUEL,
    MOST_PROOF_FUEL,
    SLOT_FUEL,
    WorkCost,
    cost_of_amounts,
    cost_of_numbers,
)
from hub.machine.limits import MAX_FUEL, SECOND_FUEL
from protocols.amounts import (
    Above,
    Amount,
    Best,
    Bucket,
    Combine,
    Excess,
    Group,
    Metered,
    Most,
    Peaks,
    QuotientRule,
    Reading,
    SlotForm,
    Sum,
    Tiered,
    Total,
    encode_amounts,
)
from protocols.platform.errors import Refusal, Refused

MONTH, YEAR = 2_976, 35_040
MINUTE = 12 * SECOND_FUEL


def form(count: int, first: int = 0, weight: int = 1) -> SlotForm:
    return SlotForm(((first, count, weight),))


def each(slots: int) -> SlotForm:
    return SlotForm.of_each([1 + place % 977 for place in range(slots)])


def tiers(buckets: int, limits: int) -> Tiered:
    ends = tuple(range(1_000, 1_000 * limits + 1, 1_000))
    return Tiered(tuple(Bucket(form(1, at), ends, (1,) * (limits + 1)) for at in range(buckets)))


def peak(windows: int) -> Peaks:
    return Peaks((Group(tuple(form(1, at) for at in range(windows)), 0),))


def excess(slots: int, limits: int = 1) -> Excess:
    return Excess(form(slots), tuple(Above(100 + at, form(slots)) for at in range(limits)))


def cost(*amounts: Amount, slots: int = MONTH, releases: int = 0) -> WorkCost:
    size = len(encode_amounts(amounts))
    return cost_of_amounts(amounts, size, slots, slots // 96, releases)


@pytest.mark.parametrize(
    "asked",
    [
        cost(Sum(each(MONTH))),
        cost(Sum(form(MONTH)), tiers(4, 2)),
        cost(tiers(31, 1)),
        cost(Best((each(MONTH),) * 12)),
        cost(*(Reading(at) for at in range(MONTH // 13))),
    ],
    ids=["prices", "tiers", "a baseline a day", "profiles", "samples"],
)
def test_what_applets_ask_for_most_is_proved_at_once(asked: WorkCost) -> None:
    asked.require_possible(MINUTE)
    assert not asked.is_long
    assert asked.describe + asked.check + asked.prove < MAX_FUEL


@pytest.mark.parametrize("amount", [peak(MONTH), excess(MONTH), excess(MONTH, 4), tiers(100, 10)])
def test_what_takes_long_is_proved_in_the_background(amount: Amount) -> None:
    asked = cost(amount)
    asked.require_possible(MINUTE)
    assert asked.is_long
    assert asked.describe + asked.check < MAX_FUEL  # so that it can be asked for at all


def test_a_sum_over_a_year_is_proved_in_the_background() -> None:
    """All its days' commitments are folded, in a few seconds."""
    asked = cost(Sum(form(YEAR)), slots=YEAR)
    asked.require_possible(MINUTE)
    assert asked.is_long
    assert asked.describe + asked.check < MAX_FUEL


def test_what_takes_too_much_work_or_memory_is_refused() -> None:
    many_sums = cost(*(Sum(form(MONTH, 0, at + 1)) for at in range(1_000)))
    year_of_days = cost(*(Sum(form(96, 96 * day)) for day in range(365)), slots=YEAR)
    for asked in (many_sums, year_of_days, cost(tiers(1_000, 4))):
        with pytest.raises(Refused) as refused:
            asked.require_possible(10 * MINUTE)
        assert refused.value.refusal is Refusal.TOO_MUCH
    for most, is_possible in ((MINUTE, True), (2 * SECOND_FUEL, False)):
        if is_possible:
            cost(excess(MONTH)).require_possible(most)
        else:
            with pytest.raises(Refused):
                cost(excess(MONTH)).require_possible(most)
    with pytest.raises(Refused):
        WorkCost(0, 0, MOST_PROOF_FUEL + 1, 0).require_possible(10**15)


def test_more_costs_more() -> None:
    base = cost(tiers(4, 2))
    assert cost(tiers(4, 3)).prove > base.prove
    assert cost(tiers(5, 2)).prove > base.prove
    assert cost(tiers(4, 2), slots=YEAR).prove > base.prove
    assert cost(tiers(4, 2), releases=60).check > 10 * base.check
    assert cost(tiers(4, 2), releases=60).prove == base.prove
    pair = Metered(0, tiers(4, 2)), Metered(0, tiers(4, 2))
    added, chosen = (
        cost_of_numbers([Total(pair, (step,), 1, QuotientRule.DOWN)], 100, MONTH, 31, 0)
        for step in (Combine(((0, 1), (1, 1)), 0), Most((0, 1)))
    )
    assert chosen.prove == added.prove + CHOICE_FUEL
    both = Metered(0, Sum(form(MONTH))), Metered(1, Sum(form(MONTH)))
    numbers = [Total(both, (Combine(((0, 1), (1, 1)), 0),), 1, QuotientRule.DOWN)]
    one_register, two = (
        cost_of_numbers(numbers, 100, MONTH, 31, 0, registers).prove for registers in (1, 2)
    )
    assert two > 1.8 * one_register  # a proof for the days of each


def test_slots_that_go_along_are_paid_for_whenever_they_do() -> None:
    summed, compared = cost(Sum(form(MONTH))), cost(excess(40))
    assert summed.describe < compared.describe - MONTH * SLOT_FUEL
    assert summed.prove > MONTH * 50 * SECOND_FUEL // 10**6  # the days' commitments are folded
    assert FOREGROUND_FUEL < MAX_FUEL
