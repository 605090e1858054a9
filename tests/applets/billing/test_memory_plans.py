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
from tariffs.source import load_toml
from tests.support.memory_bills import Home, Unprovable, chain, memory_tariff_drawn, months

ROOT = Path(__file__).resolve().parents[3]
FIRST = date(2025, 1, 1)


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
        for bill in chain(tariff, home, days):
            total = bill.plan.total
            assert decode_numbers(encode_amounts([total])) == (total,)
