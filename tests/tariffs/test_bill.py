# SPDX-License-Identifier: Apache-2.0
import json
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import (
    Rounding,
    RoundingRule,
    TariffError,
    UnbillableReadings,
    UnpricedSlot,
    compute_bill,
    total_from_energy_amount,
)
from tariffs.rounding import divide, format_decimal, parse_decimal
from tariffs.source import load_toml
from tests.tariffs.plans import Plan, local_days_halved, moments, plans

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tariffs"
RULES = {
    RoundingRule.HALF_EVEN: ROUND_HALF_EVEN,
    RoundingRule.HALF_UP: ROUND_HALF_UP,
    RoundingRule.DOWN: ROUND_DOWN,
}


def example(name: str) -> str:
    return (EXAMPLES / f"{name}.toml").read_text()


@settings(deadline=None, max_examples=100)
@given(plans(), st.data())
def test_a_bill_equals_an_independent_recomputation(plan: Plan, data: st.DataObject) -> None:
    slot = data.draw(st.sampled_from([900, 1800]))
    start = data.draw(moments(slot))
    use = data.draw(st.lists(st.integers(0, 5000), min_size=1, max_size=150))
    starts = [start + slot * i for i in range(len(use))]
    tariff = load_toml(plan.toml())
    bill = compute_bill(tariff, starts, slot, use)
    days = local_days_halved(plan.zone, bill.begin, bill.end)
    exact = plan.bill(starts, use, days)
    assert Fraction(bill.total_exact, 10**bill.exact_decimals) == exact
    assert bill.exact_decimals == 15
    assert bill.total == plan.rounded(exact)
    assert bill.complete
    energy = sum(p * u for p, u in zip(tariff.prices(starts, slot), use, strict=True))
    proved = total_from_energy_amount(tariff, energy, bill.begin, bill.end)
    assert (proved.total_exact, proved.total) == (bill.total_exact, bill.total)


@given(st.integers(-(10**30), 10**30), st.sampled_from(list(RULES)), st.integers(0, 9))
def test_rounding_is_that_of_the_decimal_module(
    number: int, rule: RoundingRule, decimals: int
) -> None:
    with localcontext(prec=60):  # more digits than any number here has
        exact = Decimal(number).scaleb(-15)
        expected = exact.quantize(Decimal(1).scaleb(-decimals), rounding=RULES[rule])
    text = Rounding(rule, decimals).text(number, 15)
    assert Decimal(text) == expected
    assert text == f"{expected or abs(expected):f}"


@pytest.mark.parametrize(
    ("number", "rule", "rounded"),
    [
        (25, RoundingRule.HALF_EVEN, 2),
        (35, RoundingRule.HALF_EVEN, 4),
        (25, RoundingRule.HALF_UP, 3),
        (-25, RoundingRule.HALF_UP, -3),
        (-25, RoundingRule.HALF_EVEN, -2),
        (29, RoundingRule.DOWN, 2),
        (-29, RoundingRule.DOWN, -2),
        (26, RoundingRule.HALF_EVEN, 3),
        (24, RoundingRule.HALF_UP, 2),
    ],
)
def test_ties_go_where_the_rule_says(number: int, rule: RoundingRule, rounded: int) -> None:
    assert divide(number, 10, rule) == rounded


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_decimals_come_back_as_they_were_written(number: int, decimals: int) -> None:
    text = format_decimal(number, decimals)
    if len(text.partition(".")[0].lstrip("-")) <= 12 and text != "-0":
        assert parse_decimal(text, decimals) == number


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "01", "1e3", "+1", "1,5", "٣", "0.1234567", " 1", "1\n", "--1", "NaN"]
)
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(TariffError, match="decimal"):
        parse_decimal(text, 6)


def test_items_add_up_and_name_band_energy_price_and_amount() -> None:
    tariff = load_toml(example("gb-economy7-2013"))
    starts = [tariff.begin + 1800 * i for i in range(48)]
    bill = compute_bill(tariff, starts, 1800, [100] * 48)
    night, day, standing, vat = bill.items
    assert (night.component, night.label, night.quantity, night.rate) == (
        "energy", "night", 1400, 62_800,
    )  # fmt: skip
    assert (day.label, day.quantity, day.rate) == ("day", 3400, 159_300)
    assert (standing.kind, standing.quantity, standing.unit, standing.rate) == (
        "standing", 1, "day", 205_500,
    )  # fmt: skip
    net = 1400 * 62_800 * 10**6 + 3400 * 159_300 * 10**6 + 205_500 * 10**9
    assert vat.amount_exact == net * 5 // 100
    assert bill.total_exact == net * 105 // 100 == 876_792_000_000_000
    assert bill.total == "0.88"


def test_missing_slots_are_listed_and_never_billed_as_zero_in_silence() -> None:
    tariff = load_toml(example("gb-economy7-2013"))
    starts = [tariff.begin + 1800 * i for i in (0, 1, 2, 5, 6)]
    bill = compute_bill(
        tariff, starts, 1800, [10, None, 30, 60, 70], [0, 0, 3, 1, 2], end=tariff.begin + 1800 * 9
    )
    assert [(slot - tariff.begin) // 1800 for slot in bill.missing_slots] == [1, 2, 3, 4, 7, 8]
    assert not bill.complete
    assert (bill.estimated_slots, bill.substituted_slots) == (1, 1)
    assert sum(item.quantity or 0 for item in bill.items if item.unit == "Wh") == 140
    assert len(json.loads(json.dumps(bill.as_json()))["missing_slots"]) == 6


def test_a_bill_whose_every_slot_is_missing_still_charges_the_days() -> None:
    tariff = load_toml(example("gb-economy7-2013"))
    bill = compute_bill(tariff, [], 1800, [], begin=tariff.begin, end=tariff.begin + 86400)
    assert len(bill.missing_slots) == 48
    assert [item.component for item in bill.items] == ["standing charge", "VAT"]


@pytest.mark.parametrize(
    ("starts", "use", "states", "message"),
    [
        ([0, 1800], [1], None, "one use and one state"),
        ([0], [1], [0, 0], "one use and one state"),
        ([], [], None, "no slots"),
        ([1800, 0], [1, 1], None, "not in order"),
        ([0, 0], [1, 1], None, "not in order"),
        ([0, 900], [1, 1], None, "whole number of slots"),
        ([0, 900, 3600], [1, 1, 1], None, "not on the grid"),
        ([0], [-1], None, "negative"),
        ([0], [1], [4], "state"),
        ([0], [1], [-1], "state"),
    ],
)
def test_readings_that_form_no_slots_are_refused(
    starts: list[int], use: list[int], states: list[int] | None, message: str
) -> None:
    tariff = load_toml(example("gb-economy7-2013"))
    shifted = [tariff.begin + start for start in starts]
    with pytest.raises(UnbillableReadings, match=message):
        compute_bill(tariff, shifted, 1800, use, states)


def test_a_period_outside_the_validity_is_refused() -> None:
    tariff = load_toml(example("gb-economy7-2013"))
    with pytest.raises(UnpricedSlot, match="not within the validity"):
        compute_bill(tariff, [tariff.end - 1800], 3600, [1])
    with pytest.raises(UnpricedSlot, match="not within the validity"):
        total_from_energy_amount(tariff, 1, tariff.begin - 1, tariff.end)
    with pytest.raises(UnpricedSlot, match="not within the validity"):
        total_from_energy_amount(tariff, 1, tariff.begin, tariff.begin)


TWO_VERSIONS = """
format = 1
name = "price change"
revision = 2
currency = "EUR"
zone = "Europe/Berlin"
rounding = { rule = "half-even", decimals = 2 }
[[version]]
valid_from = 2020-01-01
valid_until = 2020-07-01
charge = [
  { name = "energy", kind = "energy", price = "0.292" },
  { name = "base", kind = "standing", per_day = "0.3" },
]
step = { name = "USt", kind = "tax", percent = "19" }
[[version]]
valid_from = 2020-07-01
valid_until = 2021-01-01
charge = [
  { name = "energy", kind = "energy", price = "0.2975" },
  { name = "base", kind = "standing", per_day = "0.4" },
]
step = { name = "USt", kind = "tax", percent = "16" }
"""


def test_a_bill_spans_a_change_of_price_and_of_tax() -> None:
    tariff = load_toml(TWO_VERSIONS)
    change = tariff.boundaries[1]
    starts = [change + 3600 * i for i in range(-48, 72)]
    bill = compute_bill(tariff, starts, 3600, [1000] * 120)
    expected = (48 * Fraction("0.292") + 2 * Fraction("0.3")) * Fraction("1.19") + (
        72 * Fraction("0.2975") + 3 * Fraction("0.4")
    ) * Fraction("1.16")
    assert Fraction(bill.total_exact, 10**15) == expected
    assert [item.begin for item in bill.items] == [bill.begin] * 3 + [change] * 3
    with pytest.raises(TariffError, match="spans versions"):
        total_from_energy_amount(tariff, 1, bill.begin, bill.end)
    with pytest.raises(UnpricedSlot, match="reaches beyond"):
        tariff.prices([change - 1800], 3600)


def test_one_energy_sum_is_refused_where_taxes_tell_the_charges_apart() -> None:
    text = example("de-modul3-2025").replace(
        'percent = "19"', 'percent = "19"\non = ["supply", "basic price"]'
    )
    tariff = load_toml(text)
    with pytest.raises(TariffError, match="step Umsatzsteuer: it is on some of the charges"):
        total_from_energy_amount(tariff, 1, tariff.begin, tariff.end)


def test_percentages_on_percentages_stay_exact_with_more_decimals() -> None:
    text = example("gb-economy7-2013") + (
        '\n[[step]]\nname = "surcharge"\nkind = "tax"\npercent = "0.0001"\n'
    )
    tariff = load_toml(text)
    starts = [tariff.begin + 1800 * i for i in range(48)]
    bill = compute_bill(tariff, starts, 1800, [1] * 48)
    assert bill.exact_decimals == 21
    net = Fraction("0.2055") + 14 * Fraction("0.0000628") + 34 * Fraction("0.0001593")
    assert Fraction(bill.total_exact, 10**21) == net * Fraction("1.05") * Fraction("1.000001")
