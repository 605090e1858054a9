# SPDX-License-Identifier: Apache-2.0
"""A bill on hidden values is the plain one, number and memory: chains of drawn tariffs.

What proofs add to it is in `test_memory_bills.py`.
"""

import random
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest

from protocols.amounts import decode_numbers, encode_amounts
from tariffs.memory import BillMemory
from tariffs.source import load_toml
from tests.support.memory_bills import (
    Home,
    RealHome,
    Unprovable,
    chain,
    memory_tariff_drawn,
    months,
    two_real_years,
)
from tests.support.soak import sampled

ROOT = Path(__file__).resolve().parents[3]
FIRST = date(2025, 1, 1)
REMEMBERING = {
    path: tariff
    for path in sorted((ROOT / "examples" / "tariffs").glob("*.toml"))
    if "look_back" in (text := path.read_text())
    or "cumulative" in text
    or '"credit"' in text
    or '"instalment"' in text
    if (tariff := load_toml(text)).has_memory
}


def any_days(dice: random.Random, count: int) -> list[date]:
    days = [FIRST]
    while len(days) <= count:
        days.append(days[-1] + timedelta(days=dice.choice((1, 7, 12, 30, 31, 45))))
    return days


@pytest.mark.parametrize(
    "seed", [*range(60), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(60, 2000))]
)
def test_a_chain_of_drawn_bills_is_the_plain_one(seed: int) -> None:
    dice, tariff = random.Random(seed), memory_tariff_drawn(seed)
    days = months(FIRST, 14) if seed % 2 else any_days(dice, 14)
    home = Home(dice, 3600, dice.choice((1, 40, 900)))
    with suppress(Unprovable):
        for bill in chain(tariff, home, days, ends=seed % 3 == 0):
            total = bill.plan.total
            assert decode_numbers(encode_amounts([total])) == (total,)


@pytest.mark.parametrize("seed", range(40))
def test_a_contract_s_last_bill_is_the_plain_one_and_leaves_nothing(seed: int) -> None:
    """Whichever day it ends on, and whatever was carried to it."""
    dice, tariff = random.Random(seed), memory_tariff_drawn(seed)
    days = any_days(dice, dice.randrange(1, 6))
    home = Home(dice, 3600, dice.choice((40, 900)))
    with suppress(Unprovable):
        bills = list(chain(tariff, home, days, ends=True))
        assert [bill.plain.is_last for bill in bills] == [*[False] * (len(bills) - 1), True]
        assert bills[-1].plain.memory == BillMemory(bills[-1].bounds[1], {})
        assert bills[-1].plan.total.kept == ()


@pytest.mark.parametrize(
    "path", sampled(REMEMBERING, [*REMEMBERING][::3]), ids=lambda path: path.stem
)
def test_two_years_of_real_homes_are_billed_as_in_the_open(path: Path) -> None:
    tariff, rows = REMEMBERING[path], two_real_years()
    first = date.fromordinal(tariff.valid_from.toordinal())
    count = sum(1 for day in months(first, 24) if day <= tariff.valid_until) - 1
    home = RealHome(random.Random(1), 900, rows=rows)
    bills = list(chain(tariff, home, months(first, min(count, 23))))
    assert len(bills) >= 20
