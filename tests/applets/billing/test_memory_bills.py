# SPDX-License-Identifier: Apache-2.0
"""Bills with memory, proved and checked in chains: of drawn homes under drawn tariffs."""

import random
from contextlib import suppress
from datetime import date

import pytest

from tariffs import TariffError
from tests.support.memory_accounts import Account, fortnights, require_equal_chain
from tests.support.memory_bills import MICRO, memory_tariff_drawn
from tests.support.soak import sampled

FIRST = date(2013, 3, 25)


def settles(account: Account) -> bool:
    return any(
        one.settlement is not None and one.settlement.kind == "credit"
        for one in account.tariff.versions
    )


@pytest.mark.parametrize("seed", sampled(range(1, 200), [1, 2]))
def test_proved_bills_of_a_drawn_tariff_are_the_plain_ones(seed: int) -> None:
    dice = random.Random(seed)
    homes = fortnights(2, FIRST, 10 * seed)
    account = Account.of(memory_tariff_drawn(seed, FIRST, reach=40), homes[0])
    paid = [dice.randrange(80 * MICRO) for _ in homes] if settles(account) else []
    with suppress(TariffError):  # across the end of a year
        require_equal_chain(account, homes, paid, ends=seed % 2 == 1)
    assert account.state.number
