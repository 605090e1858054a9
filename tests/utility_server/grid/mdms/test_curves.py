# SPDX-License-Identifier: Apache-2.0
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.support.mdms import BERLIN, aggregate, new_store
from utility_server.grid.mdms.errors import AggregateMissing
from utility_server.grid.mdms.load_curve_svg import CurveLine, draw
from utility_server.grid.mdms.load_curves import load_curve, statistics
from utility_server.grid.mdms.store import AggregateStore

pytestmark = pytest.mark.one_database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AggregateStore]:
    store = new_store(tmp_path)
    store.add(aggregate(date(2025, 3, 24), 7))
    store.add(aggregate(date(2025, 4, 7), 7, seed=2, homes=54))
    yield store
    store.close()


def test_a_curve_is_what_was_aggregated_with_its_gaps_left_open(store: AggregateStore) -> None:
    curve = load_curve(store, "North")
    first, second = aggregate(date(2025, 3, 24), 7), aggregate(date(2025, 4, 7), 7, seed=2)
    assert curve.uses_wh == first.sums_wh + second.sums_wh
    assert curve.gaps == ((first.span.end, second.span.begin),)
    assert (curve.fewest_homes, curve.most_homes) == (54, 60)
    assert len(first.sums_wh) == 7 * 48 - 2  # the clock is put forward on 30 March


def test_a_curve_between_two_times_holds_the_whole_slots_between(store: AggregateStore) -> None:
    place = aggregate(date(2025, 3, 24), 7).span
    curve = load_curve(store, "North", place.begin + 900, place.begin + 3 * 1800 + 1)
    assert [begin - place.begin for begin, _ in curve.slots] == [1800, 3600]


def test_what_is_not_stored_is_named(store: AggregateStore) -> None:
    for region, minutes, why in (
        ("South", None, "region South: no sum"),
        ("North", 15, "15-minute slots"),
    ):
        with pytest.raises(AggregateMissing, match=why):
            load_curve(store, region, resolution_minutes=minutes)
    with pytest.raises(AggregateMissing, match="of that time"):
        load_curve(store, "North", 0, 3600)


def test_a_region_in_groups_is_their_sum_where_all_of_them_are_known(
    store: AggregateStore,
) -> None:
    one = aggregate(date(2025, 5, 1), 3, region="East/1", seed=5)
    two = aggregate(date(2025, 5, 2), 3, region="East/2", seed=6, homes=40)
    for group in (one, two, aggregate(date(2025, 5, 2), 1, region="Eastern", seed=7)):
        store.add(group)
    curve = load_curve(store, "East")
    expected = zip(one.sums_wh[48:], two.sums_wh[:96], strict=True)
    assert curve.uses_wh == tuple(a + b for a, b in expected)
    assert (curve.fewest_homes, curve.region) == (100, "East")
    assert curve.gaps == (
        (one.span.begin, two.span.begin),
        (one.span.end, two.span.end),
    )
    assert load_curve(store, "East/1").uses_wh == one.sums_wh
    store.add(aggregate(date(2025, 6, 1), 1, region="East/3", seed=8))
    with pytest.raises(AggregateMissing, match="no slot in common"):
        load_curve(store, "East")


def test_statistics_are_those_that_numpy_finds(store: AggregateStore) -> None:
    curve = load_curve(store, "North")
    found, uses = statistics(curve), np.array(curve.uses_wh)
    assert found.total_wh == uses.sum()
    assert found.least == (uses.min(), curve.slots[int(uses.argmin())][0])
    assert found.most == (uses.max(), curve.slots[int(uses.argmax())][0])
    assert abs(found.mean_wh - uses.mean()) <= 0.5
    assert found.load_factor == Fraction(int(uses.sum()), len(uses) * int(uses.max()))
    for percent, wh in found.percentiles_wh:
        assert wh == np.percentile(uses, percent, method="inverted_cdf")
    hours = np.array(
        [np.datetime64(begin + 7200, "s").astype(object).hour for begin, _ in curve.slots]
    )
    summer = np.array([begin >= 1743296400 for begin, _ in curve.slots])
    late = statistics(load_curve(store, "North", 1743976800, 1744581600))
    for hour, watts in late.by_hour_w:
        assert abs(watts - 2 * uses[summer & (hours == hour)][-14:].mean()) <= 0.5


def test_days_are_compared_by_their_power_not_their_length(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.add(aggregate(date(2025, 3, 29), 2, minutes=1440, sums=[2400, 2300]))
    found = statistics(load_curve(store, "North"))
    assert found.load_factor == 1
    assert found.by_hour_w == ()
    store.close()


def test_a_region_that_used_nothing_has_a_load_factor_of_nothing(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.add(aggregate(date(2025, 5, 1), 1, sums=[0] * 48))
    assert statistics(load_curve(store, "North")).load_factor == 0
    store.close()


def test_a_picture_is_sound_svg_with_a_step_for_each_slot_and_open_gaps(
    store: AggregateStore,
) -> None:
    curve = load_curve(store, "North")
    picture = draw(
        "Load <North> & more",
        [CurveLine("stored", curve.slots, curve.power_w()), CurveLine("none", [], [])],
        ZoneInfo(BERLIN),
    )
    root = ET.fromstring(picture)
    assert root.tag.endswith("svg")
    paths = [node.get("d", "") for node in root.iter() if node.tag.endswith("path")]
    (line,) = [path for path in paths if path.count("H") > 1]
    assert line.count("H") == len(curve.slots)
    assert line.count("M") == 2  # one gap
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "Load <North> & more" in texts
    assert "2025-03-24" in texts
    assert picture == draw(
        "Load <North> & more",
        [CurveLine("stored", curve.slots, curve.power_w()), CurveLine("none", [], [])],
        ZoneInfo(BERLIN),
    )


def test_a_picture_shows_powers_below_zero(store: AggregateStore) -> None:
    picture = draw(
        "noisy", [CurveLine("a", [(0, 1800), (1800, 3600)], [-1500, 900])], ZoneInfo("UTC")
    )
    assert "−1.5" in picture
    assert "0.5" in picture
