# SPDX-License-Identifier: Apache-2.0
"""Faults come as often as is said, and where one connection is cut is one of its exchanges."""

import random
from collections import Counter

import pytest

from meterlet.fleet.faults import (
    LONGEST_DELAY,
    USUAL_EXCHANGES,
    ConnectionFaults,
    Cut,
    FaultCounts,
    FaultRates,
)


def connections(rates: FaultRates, count: int) -> tuple[list[list[Cut | None]], FaultCounts]:
    """Return what happens at each exchange of some connections, and what was counted."""
    dice, counts, lives = random.Random(5), FaultCounts(), []
    for _ in range(count):
        faults = ConnectionFaults(rates, dice, counts)
        lives.append([faults.cut() for _ in range(USUAL_EXCHANGES)])
    return lives, counts


def test_one_in_ten_connections_is_cut_at_any_of_its_exchanges_in_any_way() -> None:
    lives, counts = connections(FaultRates(drop=0.1), 10_000)
    places = Counter(place for life in lives for place, cut in enumerate(life) if cut)
    ways = Counter(cut for life in lives for cut in life if cut)
    assert 900 < sum(places.values()) == counts.dropped < 1100
    assert all(sum(cut is not None for cut in life) <= 1 for life in lives)
    assert set(places) == set(range(USUAL_EXCHANGES))
    assert set(ways) == set(Cut)
    assert min(places.values()) > 60
    assert min(ways.values()) > 250


def test_without_faults_nothing_happens_and_with_all_of_them_everything_does() -> None:
    lives, counts = connections(FaultRates(), 100)
    assert not any(cut for life in lives for cut in life)
    calm = ConnectionFaults(FaultRates(), random.Random(1), counts)
    assert not any(calm.delay() or calm.is_repeated() for _ in range(100))
    assert counts == FaultCounts()
    wild = ConnectionFaults(FaultRates(1, 1, 1), random.Random(1), counts)
    assert all(0 < wild.delay() <= LONGEST_DELAY and wild.is_repeated() for _ in range(100))
    assert any(wild.cut() for _ in range(USUAL_EXCHANGES))
    assert counts == FaultCounts(dropped=1, delayed=100, repeated=100)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        FaultRates(drop=share)
