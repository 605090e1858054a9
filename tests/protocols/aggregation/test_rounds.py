# SPDX-License-Identifier: Apache-2.0
"""Rounds from announcement to sum."""

import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.aggregation.collector import Batch, RoundPhase
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.round import Round, values_at_resolution
from protocols.metrology import Period
from tests.support.aggregation import (
    OPERATOR,
    Home,
    announce,
    collect,
    homes,
    plain_sum,
    private_key,
    public_of,
    terms,
)


@pytest.mark.parametrize("dropped", [(), (3,), (0, 9)])
def test_the_opened_sum_is_the_plain_sum_of_those_who_contributed(dropped: tuple[int, ...]) -> None:
    members = homes(10, 24)
    announced = announce(members)
    collector = collect(announced, members, dropped)
    assert collector.phase is RoundPhase.COMPLETE
    opened = decrypt_sum(announced, collector.batch(), private_key())
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


@settings(max_examples=25)
@given(
    count=st.integers(2, 12),
    resolution=st.sampled_from([15, 30, 60, 1440]),
    days=st.integers(1, 3),
    group_bits=st.integers(4, 16),
    drawn=st.randoms(use_true_random=False),
)
def test_whatever_the_group_and_whoever_drops_out_the_sum_is_exact(
    count: int, resolution: int, days: int, group_bits: int, drawn: random.Random
) -> None:
    """Over the days on which the clock in London goes forward, too."""
    first = date(2013, 3, 30)
    period = Period(first, first + timedelta(days=days - 1))
    about = terms(1024, resolution, period, group_bits=group_bits)
    members = [
        Home(number, [drawn.randrange(1 << 20) for _ in range(about.value_count())])
        for number in range(count)
    ]
    dropped = set(drawn.sample(range(count), drawn.randrange(count)))
    announced = announce(members, about)
    opened = decrypt_sum(announced, collect(announced, members, dropped).batch(), private_key())
    assert opened.values == plain_sum([h for h in members if h.number not in dropped])


@pytest.mark.parametrize(
    ("resolution", "values"), [(5, 276), (15, 92), (30, 46), (60, 23), (1440, 1)]
)
def test_values_are_counted_on_the_day_the_clock_goes_forward(resolution: int, values: int) -> None:
    day = date(2013, 3, 31)
    assert terms(resolution=resolution, period=Period(day, day)).value_count() == values


def test_values_are_sums_of_slots_and_never_finer() -> None:
    days = ((1, 2, 3, 4), (5, 6, 7, 8))
    assert values_at_resolution(days, 15, 15) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert values_at_resolution(days, 15, 30) == [3, 7, 11, 15]
    assert values_at_resolution(days, 15, 1440) == [10, 26]
    for slots, resolution in ((30, 15), (30, 45), (60, 5)):
        with pytest.raises(RoundRefused):
            values_at_resolution(days, slots, resolution)
