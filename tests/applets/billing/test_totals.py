# SPDX-License-Identifier: Apache-2.0
"""The number that is proved is the plain bill's total: drawn tariffs of every component.

What the proof adds (`tests/protocols/proofs/test_numbers.py`) and the whole way of an answer
(`test_private_bills.py`) are tested elsewhere; here are many tariffs.
"""

import random
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from applets.billing.charges import Plan, plan_bill
from applets.billing.reckoning import NOTHING, Line, Reckoning
from protocols.amounts import (
    AmountsMalformed,
    Combine,
    Least,
    Most,
    SlotForm,
    Sum,
    bounds_of,
    decode_numbers,
    encode_amounts,
)
from protocols.metrology import Period
from tariffs import Register, Tariff, TariffError, billed_registers, compute_bill
from tariffs.rounding import RoundingRule
from tariffs.source import load_toml
from tests.support.private_bills import FLAT, plan_drawn

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples" / "tariffs").glob("*.toml"))
FORTNIGHT = Period(date(2013, 3, 25), date(2013, 4, 8))
RULES = ("half-up", "half-even", "down")


class SlotTwice(Exception):
    """A tariff and gaps that make a peak of a slot twice, which nobody can prove."""


def tariff_drawn(seed: int) -> Tariff:
    """Demand in steps and by the kilowatt, feed-in, caps, minima, taxes, roundings of all."""
    dice = random.Random(seed)

    def price(low: int = -400, high: int = 4000) -> str:
        return f'"{dice.randrange(low, high) / 10_000:.4f}"'

    def rounding() -> str:
        if dice.random() < 0.5:
            return ""
        return f'rounding = {{ rule = "{dice.choice(RULES)}", decimals = {dice.randrange(5)} }}\n'

    def demand(name: str) -> str:
        figure = dice.choice(("peak", "mean-of-monthly-peaks", "mean-of-daily-peaks"))
        highest = f"highest = {dice.choice((1, 3, 5))}\n" if figure == "mean-of-daily-peaks" else ""
        scale = f"price_per_kw = {price(1)}\n"
        if dice.random() < 0.5:
            limits = sorted(dice.sample(range(5, 40), 2))
            ends = ", ".join(f'{{ up_to_kw = "{n / 10}", amount = "{n}.5" }}' for n in limits)
            scale = f'step = [{ends}, {{ amount = "{dice.randrange(90)}.25" }}]\n'
        return (
            f'[[charge]]\nname = "{name}"\nkind = "demand"\nfigure = "{figure}"\n{highest}'
            f'window = "{dice.choice(("30min", "60min", "90min"))}"\nper = "month"\n'
            f'interval = "{dice.choice(("month", "day", "period"))}"\n'
            f'floor_kw = "{dice.choice(("0", "0.5", "1.001", "4.0"))}"\n{scale}{rounding()}'
        )

    charges = [
        f'[[charge]]\nname = "energy"\nkind = "energy"\nprice = {price()}\n{rounding()}',
        '[[charge]]\nname = "standing"\nkind = "standing"\nper_month = "7.7777"\n' + rounding(),
    ]
    names = ["energy", "standing"]
    if dice.random() < 0.6:
        charges.append(
            f'[[charge]]\nname = "sun"\nkind = "feed-in"\nprice = {price(1)}\n{rounding()}'
        )
        names.append("sun")
    for name in ("demand", "more"):
        if dice.random() < 0.5:
            charges.append(demand(name))
            names.append(name)
    steps = [
        '[[step]]\nname = "brake"\nkind = "cap"\non = ["energy"]\nper_kwh = "0.2000"\n',
        f'[[step]]\nname = "ceiling"\nkind = "cap"\nper_month = "{dice.randrange(10, 300)}.33"\n',
        f'[[step]]\nname = "rebate"\nkind = "rebate"\npercent = "{dice.randrange(100)}.5"\n'
        f'on = ["{dice.choice(names)}"]\n',
        f'[[step]]\nname = "least"\nkind = "minimum"\nper_day = "{dice.randrange(9)}.5"\n',
        '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\n',
        '[[step]]\nname = "levy"\nkind = "tax"\npercent = "2.05"\non = ["energy"]\n',
    ]
    chosen = [step + rounding() for step in steps if dice.random() < 0.5]
    return load_toml(
        'format = 1\nname = "drawn"\nrevision = 1\ncurrency = "GBP"\nzone = "Europe/London"\n'
        "valid_from = 2013-01-01\nvalid_until = 2014-01-01\n"
        f'rounding = {{ rule = "{dice.choice(RULES)}", decimals = {dice.randrange(5)} }}\n'
        f'missing = "{dice.choice(("omit", "week-before"))}"\n' + "".join(charges + chosen)
    )


def compare(tariff: Tariff, period: Period, slot: int, dice: random.Random) -> Plan:
    """Work the total out in the open, from the plan and from the readings."""
    begin, end = period.bounds(tariff.zone)
    starts = range(begin, end, slot)
    scale = dice.choice((1, 40, 700))
    uses = {
        register: [dice.randrange(3 * scale) if dice.random() < 0.9 else 0 for _ in starts]
        for register in Register
    }
    states = [0] * len(starts)
    for missing in dice.sample(range(400, len(starts)), dice.choice((0, 5))):
        states[missing] = 3
        for use in uses.values():
            use[missing] = 0
    try:
        plan = plan_bill(tariff, starts, slot, states, begin, end)
    except TariffError as error:
        if "a slot stands in for a missing one" in str(error):  # and is in two windows
            raise SlotTwice from None
        raise
    registers = billed_registers(tariff, begin, end)
    plain = compute_bill(
        tariff, starts, slot, uses[Register.IMPORT], states,
        export_wh=uses[Register.EXPORT] if Register.EXPORT in registers else None,
        begin=begin, end=end,
    )  # fmt: skip
    number = plan.total.value_of([uses[register] for register in registers])
    assert str(plan.amount_of(number)) == str(Decimal(plain.total))
    assert plan.registers == registers
    low, high = plan.total.range_of(
        [bounds_of(one.amount, 3 * scale) for one in plan.total.metered]
    )
    assert low <= number <= high
    assert decode_numbers(encode_amounts([plan.total])) == (plan.total,)
    return plan


@pytest.mark.parametrize("seed", range(120))
def test_the_number_is_the_plain_total_of_a_drawn_tariff(seed: int) -> None:
    tariff, dice = tariff_drawn(seed), random.Random(seed)
    with suppress(SlotTwice):
        compare(tariff, FORTNIGHT, 1800, dice)


@pytest.mark.parametrize("seed", range(40))
def test_the_number_is_the_plain_total_of_blocks_and_bands(seed: int) -> None:
    compare(plan_drawn(seed, demand=seed % 2 == 0), FORTNIGHT, 1800, random.Random(seed))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_number_is_the_plain_total_of_the_example_tariffs(path: Path) -> None:
    tariff = load_toml(path.read_text(), files=lambda name: (path.parent / name).read_text())
    if tariff.has_memory:  # which `test_memory_plans.py` has
        return
    first = date.fromtimestamp(tariff.begin + 86_400)
    for month in range(12):
        period = Period.month(first.year + month // 12, 1 + month)
        begin, end = period.bounds(tariff.zone)
        if not tariff.begin <= begin < end <= tariff.end:
            continue
        compare(tariff, period, 1800 if tariff.zone == "Europe/London" else 900, random.Random(5))
        return


def test_sums_that_are_only_added_up_are_one_sum() -> None:
    vat = '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "5"\n'
    more = '[[charge]]\nname = "more"\nkind = "energy"\nprice = "0.013"\n'
    total = compare(load_toml(FLAT + more + vat), FORTNIGHT, 1800, random.Random(1)).total
    assert [one.amount.kind for one in total.metered] == ["linear"]
    assert len(total.steps) <= 1
    rounded = more + 'rounding = { rule = "half-up", decimals = 2 }\n'
    total = compare(load_toml(FLAT + rounded + vat), FORTNIGHT, 1800, random.Random(1)).total
    assert len(total.metered) == 2  # one is rounded by itself


def test_a_charge_that_is_rebated_whole_is_not_in_the_number() -> None:
    rebate = '[[step]]\nname = "gone"\nkind = "rebate"\npercent = "100"\non = ["energy"]\n'
    with pytest.raises(TariffError, match="nothing of the bill depends on what was used"):
        compare(load_toml(FLAT + rebate), FORTNIGHT, 1800, random.Random(1))


def test_what_depends_on_no_reading_is_worked_out_at_once() -> None:
    reckoning = Reckoning()
    five, seven = Line({}, 5), Line({}, 7)
    assert reckoning.least(five, seven) == five
    assert reckoning.most(five, seven) == seven
    assert reckoning.quotient(seven, 2, RoundingRule.HALF_EVEN) == Line({}, 4)
    with pytest.raises(AmountsMalformed):
        reckoning.total(five, 1, RoundingRule.DOWN)
    amount = reckoning.metered(0, Sum(SlotForm(((0, 4, 6),))))
    assert reckoning.quotient(amount * 10, 5, RoundingRule.DOWN) == amount * 2
    assert reckoning.least(amount, amount) == amount
    assert amount - amount == NOTHING
    highest = reckoning.most(reckoning.most(amount, five), reckoning.most(amount, seven))
    assert reckoning.most(highest, highest) == highest
    told = reckoning.total(highest, 1, RoundingRule.DOWN)
    assert [type(step) for step in told.steps] == [Combine, Combine, Most]  # of many, one step
    total = reckoning.total(reckoning.least(amount * 30, Line({}, 90)), 60, RoundingRule.DOWN)
    assert total.steps == (Combine((), 3), Least((0, 1)))  # and all of it divided by 30
    assert total.divisor == 2
