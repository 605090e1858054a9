# SPDX-License-Identifier: Apache-2.0
"""What a total comes to, how far it can go, and how it changes with what it is made of."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.amounts import (
    AmountsMalformed,
    Bucket,
    Combine,
    Group,
    Least,
    Metered,
    Most,
    Peaks,
    QuotientRule,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
    TotalStep,
    decode_numbers,
    encode_amounts,
)
from protocols.amounts.total import LEAST_SLOPE, MOST_METERED, MOST_STEPS, MOST_TOTALS
from tariffs import RoundingRule
from tests.protocols.amounts.test_codec import totals

DRAWN = Sum(SlotForm.of({0: 300, 1: 200}))
FED_IN = Sum(SlotForm.of({0: -80, 1: -80}))
BLOCKS = Tiered((Bucket(SlotForm.of({0: 1, 1: 1}), (50,), (10, 30)),))
DECIMALS = {
    QuotientRule.DOWN: ROUND_DOWN,
    QuotientRule.HALF_UP: ROUND_HALF_UP,
    QuotientRule.HALF_EVEN: ROUND_HALF_EVEN,
}


def of_one(*steps: TotalStep, divisor: int = 1) -> Total:
    return Total((Metered(0, DRAWN),), steps, divisor, QuotientRule.DOWN)


def test_a_bill_with_feed_in_a_minimum_and_tax_is_one_number() -> None:
    bill = Total(
        (Metered(0, DRAWN), Metered(1, FED_IN)),
        (
            Combine((), 4000),
            Combine(((0, 1), (1, 1)), 500),
            Most((2, 3)),
            Combine(((4, 119),)),
            Rounding(5, 1000, QuotientRule.HALF_UP),
        ),
        7,
        QuotientRule.HALF_EVEN,
    )
    # 300·10 + 200·20 − 80·30 + 500 = 5,100; · 119 / 1000 = 606.9; 607 / 7 = 86.7
    assert bill.value_of([[10, 20], [30, 0]]) == 87
    assert bill.value_of([[0, 0], [99, 99]]) == 68  # the minimum: 476 / 7
    assert bill.kinds == ("linear",)
    assert bill.forms == ((0, DRAWN.form), (1, FED_IN.form))
    assert bill.registers == 2
    assert bill.comparisons == 2 + 1 + 6


def test_its_kinds_are_those_of_its_amounts() -> None:
    peak = Peaks((Group((SlotForm.of({0: 1}),), 0),))
    metered = Metered(0, DRAWN), Metered(0, peak), Metered(1, BLOCKS), Metered(1, DRAWN)
    whole = Total(metered, (Combine(tuple((n, 1) for n in range(4))),), 1, QuotientRule.DOWN)
    assert whole.kinds == ("blocks", "demand", "linear")


@given(st.integers(-(10**24), 10**24), st.integers(1, 10**15), st.sampled_from(QuotientRule))
def test_quotients_are_rounded_as_decimals_are(
    number: int, divisor: int, rule: QuotientRule
) -> None:
    exact = Fraction(number, divisor)
    scaled = Decimal(number // divisor) + (
        Decimal("0.5") if (rest := Fraction(number % divisor, divisor)) == Fraction(1, 2)
        else Decimal("0.25") if 0 < rest < Fraction(1, 2)
        else Decimal("0.75") if rest else Decimal(0)
    )  # fmt: skip
    assert abs(rule.divide(number, divisor) - exact) < 1
    assert rule.divide(number, divisor) == int(scaled.quantize(Decimal(1), DECIMALS[rule]))


def test_the_rules_have_the_names_that_tariffs_give_them() -> None:
    assert {str(rule) for rule in QuotientRule} == {str(rule) for rule in RoundingRule}


@given(totals(), st.data())
def test_a_total_lies_in_its_range(total: Total, data: st.DataObject) -> None:
    uses = [data.draw(st.lists(st.integers(0, 9000), min_size=202, max_size=202))] * 8
    carried = {one.name: data.draw(st.integers(*one.bounds)) for one in total.carried}
    exact = [one.amount.value_of(uses[one.register]) for one in total.metered]
    bounds = [(value - data.draw(st.integers(0, 99)), value + 7) for value in exact]
    low, high = total.range_of(bounds)
    assert low <= total.value_of(uses, carried) <= high
    known = [(carried[one.name],) * 2 for one in total.carried]
    value = total.value_of(uses, carried)
    assert total.range_of([(value, value) for value in exact], known) == (value, value)


def test_a_range_needs_bounds_of_each_amount() -> None:
    for bounds in ([], [(0, 1), (0, 1)], [(1, 0)]):
        with pytest.raises(ValueError, match="bounds"):
            of_one().range_of(bounds)


def test_slopes_are_in_units_of_the_number() -> None:
    assert of_one(divisor=10).slopes() == ((Fraction(1, 10), Fraction(1, 10)),)
    taxed = of_one(Combine(((0, 119),)), Rounding(1, 100, QuotientRule.DOWN), divisor=10)
    assert taxed.slopes() == ((Fraction(119, 1000), Fraction(119, 1000)),)


def test_a_cap_makes_two_cases_of_which_one_is_flat() -> None:
    capped = of_one(Combine((), 900), Least((0, 1)))
    assert capped.slopes() == ((Fraction(1),) * 2,)  # 0 apart
    less = of_one(Combine((), 900), Least((0, 1)), Combine(((0, 3), (2, -1))))
    assert less.slopes() == ((Fraction(2), Fraction(3)),)


def test_of_a_cap_by_energy_either_amount_may_count() -> None:
    energy = Sum(SlotForm.of({0: 1, 1: 1}))
    total = Total(
        (Metered(0, DRAWN), Metered(0, energy)),
        (Combine(((1, 250),)), Least((0, 2))),
        100,
        QuotientRule.HALF_UP,
    )
    assert total.slopes() == ((Fraction(1, 100),) * 2, (Fraction(5, 2),) * 2)


def test_a_value_that_cancels_out_has_no_slope() -> None:
    assert of_one(Combine(((0, 2),)), Combine(((0, 2), (1, -1)))).slopes() == ((Fraction(0),) * 2,)


def test_of_more_cases_than_are_told_apart_the_least_may_be_anything() -> None:
    steps: list[TotalStep] = [Combine((), 5)]
    slopes = []
    for _ in range(8):
        last = len(steps)
        steps += [Least((1, last)) if last > 1 else Least((0, 1))]
        steps += [Combine(((last if last > 1 else 0, 3), (last + 1, 1)))]
        slopes.append(of_one(*steps).slopes()[0])
    assert [most for _, most in slopes] == [4**n for n in range(1, 9)]  # three times it, and it
    assert [least for least, _ in slopes[:3]] == [3, 9, 27]
    assert slopes[-1][0] == LEAST_SLOPE


def test_many_amounts_in_many_steps_are_refused_before_they_cost_much() -> None:
    metered = (Metered(0, DRAWN),) * MOST_METERED
    first = Combine(tuple((place, 1) for place in range(MOST_METERED)))
    chain = [Combine(((MOST_METERED + n, 1),)) for n in range(100)]
    with pytest.raises(AmountsMalformed, match="cases"):
        Total(metered, (first, *chain), 1, QuotientRule.DOWN)
    with pytest.raises(AmountsMalformed):
        Total((*metered, Metered(0, DRAWN)), (), 1, QuotientRule.DOWN)
    with pytest.raises(AmountsMalformed):
        of_one(*(Combine(((place, 1),)) for place in range(MOST_STEPS + 1)))


def test_a_description_has_so_many_totals_and_no_more() -> None:
    one = of_one()
    assert len(decode_numbers(encode_amounts([one] * MOST_TOTALS))) == MOST_TOTALS
    with pytest.raises(AmountsMalformed, match="totals"):
        decode_numbers(encode_amounts([one] * (MOST_TOTALS + 1)))


def test_a_month_of_daily_peaks_is_no_trouble() -> None:
    peaks = Metered(0, Peaks((Group((SlotForm.of({0: 1}),), 0),)))
    rounded = [Rounding(n, 31, QuotientRule.HALF_UP) for n in range(366)]
    total = Total(
        (peaks,) * 366,
        (*rounded, Combine(tuple((366 + n, 119) for n in range(366)))),
        100,
        QuotientRule.HALF_UP,
    )
    assert len(encode_amounts([total])) < 64_000
    assert total.slopes()[365] == (Fraction(119, 3100),) * 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Combine(((0, 1 << 127),)),
        lambda: Combine((), -(1 << 127)),
        lambda: of_one(divisor=1 << 127),
        lambda: Rounding(0, 1 << 127, QuotientRule.DOWN),
    ],
)
def test_a_number_beyond_128_bits_is_refused(make: object) -> None:
    with pytest.raises(AmountsMalformed):
        make()  # type: ignore[operator]
