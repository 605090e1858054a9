# SPDX-License-Identifier: Apache-2.0
"""60 London homes settled at real half-hourly prices, of each supplier one number: to the digit.

The number is that which settling customer by customer adds up to (`applets.settlement`), whoever
drops out, with prices below zero and slots without a reading.
"""

import random
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from itertools import islice
from pathlib import Path

import pytest

from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.round import RoundTerms
from protocols.metrology import Period
from tests.support.aggregation import Home, announce, collect, private_key, terms
from tests.support.homes import ZONE, rows_of
from tests.support.homes import homes as certified_homes
from tests.support.settlement import agile, answered, checked
from tests.support.soak import sampled
from utility_server.retail.group_settlement import resolution_of, weighting_of
from utility_server.retail.settlement import NANO_PER_PENNY
from utility_server.retail.shares import round_shares

JANUARY = Period.month(2013, 1)


@cache
def about() -> RoundTerms:
    index = agile()
    assert resolution_of(index) == 30
    weighting = weighting_of(index, JANUARY, ZONE, 30)
    assert len(weighting.prices) == 1488
    assert min(weighting.prices) < 0 < max(weighting.prices)
    return terms(2048, 30, JANUARY, zone=ZONE, weighting=weighting)


@cache
def london() -> tuple[Home, ...]:
    begin, end = JANUARY.bounds(ZONE)
    return tuple(
        Home(number, [rows.get(start, 0) for start in range(begin, end, 1800)])
        for number, rows in enumerate(rows_of(JANUARY).values())
    )


@cache
def worth(number: int) -> int:
    """What a home's use was worth, by the file's rows and the index's prices alone."""
    index, rows = agile(), list(rows_of(JANUARY).values())[number]
    prices = index.prices
    return sum(
        (prices.prices[(start - prices.begin) // prices.step_seconds] or 0) * wh
        for start, wh in rows.items()
    )


@pytest.mark.parametrize("percent", sampled([0, 1, 20], [20]))
def test_each_suppliers_number_is_what_its_customers_add_up_to(percent: int) -> None:
    homes, exact, plain = london(), {}, {}
    assert len(homes) == 60
    count = -(-len(homes) * percent // 100)
    dropped = set(random.Random(percent).sample(range(len(homes)), count))
    for supplier in ("Nordstrom", "Stadtwerke"):
        customers = [home for home in homes if home.number % 2 == (supplier == "Nordstrom")]
        announced = announce(customers, about())
        collector = collect(announced, customers, dropped)
        [exact[supplier]] = decrypt_sum(announced, collector.batch(), private_key(2048)).values
        plain[supplier] = sum(
            worth(home.number) for home in customers if home.number not in dropped
        )
    assert exact == plain
    shares = round_shares(exact, NANO_PER_PENNY)
    assert sum(shares.values()) == round(sum(plain.values()) / NANO_PER_PENNY)


def test_a_homes_part_is_what_its_own_proof_says(tmp_path: Path) -> None:
    """The settlement applet's proved value and the number that a certifier puts into a sum."""
    terms, index = about(), agile()
    weighting = terms.weighting
    assert weighting is not None
    for number, home in enumerate(islice(certified_homes(JANUARY, tmp_path), 3)):
        settled = checked(home, answered(home, index), index)
        [lifted] = terms.contributed(home.uses)
        exact = lifted + weighting.low(terms.value_bits)
        assert exact == worth(number)
        pennies = Decimal(exact).scaleb(-7).quantize(Decimal(1), ROUND_HALF_EVEN)
        assert settled.value == int(pennies) * 10**7


def test_a_months_contribution_is_one_ciphertext_and_a_signature() -> None:
    homes = london()[:5]
    (contribution, *_) = collect(announce(homes, about()), homes).evidence()
    assert len(contribution.ciphertexts) == 512
    assert len(contribution.encode()) < 900
