# SPDX-License-Identifier: Apache-2.0
"""Private bill equals plain bill: real households, drawn tariffs of every provable component.

Everything but machine and channel is the real thing: days that a certifier signed, the plan that
applet and utility both derive, the session's proof, the messages, and `check_bill`. Low Carbon
London, 30 minutes, gaps and both clock changes included (UK Power Networks, London Datastore,
CC BY 4.0). Where the data is absent a drawn household stands in for it.
"""

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from protocols.amounts import Peaks
from protocols.metrology import Period
from tariffs.source import load_toml
from tests.support.private_bills import (
    FLAT,
    answered,
    drawn_month,
    plan_drawn,
    plan_of,
    real_month,
    refused_by,
    require_equal,
)
from tests.support.soak import sampled

HOMES = ("MAC000002", "MAC000004", "MAC000005", "MAC000007")
GAPS = (range(500, 520), range(600, 601))


@pytest.mark.parametrize("seed", sampled(range(4), [0, 1]))
def test_any_days_of_a_real_home_are_billed_as_in_the_open(seed: int) -> None:
    """Quarters, cycles from any day, up to four months; blocks of the quarter or year."""
    dice = random.Random(seed)
    first = date(2013, 1, 1) + timedelta(days=dice.randrange(240))
    days = Period(first, first + timedelta(days=dice.randrange(27, 120)))
    period = Period.quarter(2013, 2) if seed == 0 else days
    tariff = plan_drawn(300 + seed, demand=seed % 2 == 1, longer=("quarter", "year")[seed // 2])
    require_equal(tariff, real_month(HOMES[seed], period))


@pytest.mark.parametrize("seed", sampled(range(12), range(6)))
def test_the_private_bill_is_the_plain_one_for_drawn_tariffs(seed: int) -> None:
    """Fifteen days, the clock change in spring, with gaps for every other household."""
    month = drawn_month(seed, GAPS if seed % 2 else ())
    tariff = plan_drawn(seed, demand=False)
    require_equal(tariff, month)


@pytest.mark.parametrize("seed", range(4))
def test_the_private_bill_is_the_plain_one_for_drawn_demand_charges(seed: int) -> None:
    require_equal(plan_drawn(seed, demand=True), drawn_month(seed, GAPS if seed % 2 else ()))


@pytest.mark.parametrize(("highest", "floor"), [(1, "0"), (3, "0"), (6, "1.4"), (40, "0.5")])
def test_the_mean_of_the_highest_daily_peaks_is_billed_privately(highest: int, floor: str) -> None:
    charge = (
        '[[charge]]\nname = "peaks"\nkind = "demand"\nfigure = "mean-of-daily-peaks"\n'
        f'highest = {highest}\nwindow = "60min"\nper = "month"\nfloor_kw = "{floor}"\n'
        '[[charge.band]]\nname = "evening"\nprice_per_kw = "4.10"\n'
        'when = { times = "17:00-20:00" }\n'
        '[[charge.band]]\nname = "other"\nprice_per_kw = "0"\n'
    )
    tariff, month = load_toml(FLAT + charge), drawn_month(highest, GAPS)
    amounts = [one.amount for one in plan_of(tariff, month).total.metered]
    assert [one.highest for one in amounts if isinstance(one, Peaks)] == [highest % 40] * 2
    require_equal(tariff, month)


@pytest.mark.parametrize(
    ("figure", "window", "floor"),
    [
        ("mean-of-daily-peaks", "90min", "0.501"),
        ("mean-of-daily-peaks", "120min", "0"),
        ("mean-of-monthly-peaks", "150min", "1.403"),
    ],
)
def test_means_of_peaks_that_make_no_whole_watts_are_billed_privately(
    figure: str, window: str, floor: str
) -> None:
    charge = (
        f'[[charge]]\nname = "peaks"\nkind = "demand"\nfigure = "{figure}"\n'
        f'window = "{window}"\nper = "year"\ninterval = "year"\nfloor_kw = "{floor}"\n'
        'price_per_kw = "4.10"\n'
    )
    tariff, month = load_toml(FLAT + charge), drawn_month(8, GAPS)
    amounts = [one.amount for one in plan_of(tariff, month).total.metered]
    assert any(isinstance(one, Peaks) and one.rate != (1, 1) for one in amounts)
    require_equal(tariff, month)


@pytest.mark.parametrize("month", sampled(range(1, 13), (1, 3, 10)))
def test_a_real_home_pays_the_plain_bill_all_year(month: int) -> None:
    """A home a month, both clock changes and the homes' own gaps among them."""
    home = real_month(HOMES[month % len(HOMES)], Period.month(2013, month))
    require_equal(plan_drawn(100 + month, demand=month in (3, 10)), home)


def test_an_answer_with_another_total_kind_or_house_is_refused() -> None:
    tariff, month = plan_drawn(3, demand=False), drawn_month(3)
    answer = answered(tariff, month)
    cheaper = replace(answer, total=answer.total - Decimal("0.01"))
    assert refused_by(tariff, month, cheaper.encode()) == "total"
    other = answered(tariff, drawn_month(4))
    mixed = replace(other, registers=answer.registers)
    assert refused_by(tariff, month, mixed.encode()) == "proof"
    flat = load_toml(FLAT)
    wrong = replace(answer, tariff=flat.digest)
    assert refused_by(flat, month, wrong.encode()) == "proof"


def test_a_bill_over_a_price_change_is_proved_part_by_part() -> None:
    version = (
        "[[version]]\nvalid_from = {}\nvalid_until = {}\n[[version.charge]]\n"
        'name = "energy"\nkind = "energy"\nprice = "{}"\n[[version.charge]]\nname = "more"\n'
        'kind = "blocks"\ninterval = "month"\n'
        'block = [{{ up_to = "60", price = "0" }}, {{ price = "0.1" }}]\n'
        '[[version.step]]\nname = "VAT"\nkind = "tax"\npercent = "5"\n'
    )
    head = FLAT[: FLAT.index("valid_from")] + FLAT[FLAT.index("rounding") : FLAT.index("[[")]
    tariff = load_toml(
        head
        + version.format("2013-01-01", "2013-04-03", "0.2")
        + version.format("2013-04-03", "2014-01-01", "0.3")
    )
    month = drawn_month(9)
    kinds = [one.amount.kind for one in plan_of(tariff, month).total.metered]
    assert sorted(kinds) == ["blocks", "blocks", "linear"]  # the energy of both is one sum
    require_equal(tariff, month)
