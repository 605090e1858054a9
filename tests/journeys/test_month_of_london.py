# SPDX-License-Identifier: Apache-2.0
"""A month of the 60 London homes, added up privately: exact, whoever drops out, whoever cheats."""

import random
from datetime import date
from functools import cache

import pytest

from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.round import Round
from protocols.metrology import Period
from tests.support.aggregation import Home, announce, collect, plain_sum, private_key, terms
from tests.support.mdms import london_homes

MARCH = Period(date(2013, 3, 1), date(2013, 3, 31))


@cache
def london() -> tuple[Home, ...]:
    uses = london_homes(MARCH.first, MARCH.last)
    return tuple(Home(number, list(values)) for number, values in enumerate(uses))


def month() -> Round:
    about = terms(bits=2048, resolution=30, period=MARCH, zone="UTC")
    assert about.value_count() == 1488
    return announce(london(), about)


@pytest.mark.parametrize("percent", [0, 1, 20])
def test_the_sums_of_a_month_are_the_plain_sums_whoever_drops_out(percent: int) -> None:
    homes = london()
    count = -(-len(homes) * percent // 100)
    dropped = random.Random(percent).sample(range(len(homes)), count)
    announced = month()
    collector = collect(announced, homes, dropped)
    opened = decrypt_sum(announced, collector.batch(), private_key(2048))
    present = [home for home in homes if home.number not in dropped]
    assert opened.values == plain_sum(present)
    assert len(opened.meters) == len(homes) - count
    assert sum(opened.values) > 10_000_000


def test_a_months_contribution_takes_less_than_10_7_bytes_a_reading() -> None:
    announced = month()
    (contribution,) = collect(announced, london()[:60], range(1, 60)).evidence()
    # What is sent once a round whatever its length is not counted a reading's.
    assert len(contribution.ciphertexts) / 1488 < 10.7
    assert len(contribution.encode()) / 1488 < 11
