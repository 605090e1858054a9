# SPDX-License-Identifier: Apache-2.0
"""Rounds from announcement to sum."""

import pytest

from protocols.aggregation import Batch, Phase, Round, open_sum
from tests.protocols.aggregation.homes import (
    OPERATOR,
    announce,
    collect,
    homes,
    plain_sum,
    private_key,
    public_of,
)


@pytest.mark.parametrize("dropped", [(), (3,), (0, 9)])
def test_the_opened_sum_is_the_plain_sum_of_those_who_contributed(dropped: tuple[int, ...]) -> None:
    members = homes(10, 24)
    announced = announce(members)
    collector = collect(announced, members, dropped)
    assert collector.phase is Phase.COMPLETE
    opened = open_sum(announced, collector.batch(), private_key())
    present = [home for home in members if home.number not in dropped]
    assert opened.values == plain_sum(present)
    assert opened.meters == tuple(home.meter for home in present)


def test_announcement_and_batch_survive_the_wire() -> None:
    members = homes(6, 24)
    announced = announce(members)
    assert Round.decode(announced.encode()) == announced
    assert announced.is_by(public_of(OPERATOR))
    batch = collect(announced, members, (2,)).batch()
    assert Batch.decode(batch.encode()) == batch
