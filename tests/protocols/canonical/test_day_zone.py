# SPDX-License-Identifier: Apache-2.0
"""Days that begin at six: the gas day."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.day_zone import wall_zone, zone_named
from protocols.metrology import DayGrid, GridError, Period, date_at, find_zone

GAS_DAY = "Europe/Berlin@06:00"
MOMENTS = st.integers(0, 4_000_000_000)


@given(MOMENTS, st.sampled_from([GAS_DAY, "America/New_York@09:00", "Australia/Lord_Howe@01:00"]))
def test_a_moment_there_and_back(moment: int, name: str) -> None:
    there = datetime.fromtimestamp(moment, zone_named(name))
    assert int(there.timestamp()) == moment
    wall = datetime.fromtimestamp(moment, wall_zone(name))
    assert there.replace(tzinfo=None) + timedelta(hours=int(name[-5:-3])) == wall.replace(
        tzinfo=None
    )


@given(MOMENTS)
def test_the_day_is_that_of_the_wall_clock_six_hours_before(moment: int) -> None:
    wall = datetime.fromtimestamp(moment, ZoneInfo("Europe/Berlin"))
    expected = (wall.replace(tzinfo=None) - timedelta(hours=6)).date()
    assert date_at(moment, find_zone(GAS_DAY)) == expected


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2025, 3, 29), 23), (date(2025, 3, 30), 24), (date(2025, 10, 25), 25)],
    ids=str,
)
def test_the_gas_day_of_a_change_of_the_clock_is_the_one_before(day: date, hours: int) -> None:
    grid = DayGrid(day, GAS_DAY, 60)
    assert len(grid) == hours
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(day.year, day.month, day.day, 6, tzinfo=berlin)
    assert grid.begin == int(begin.timestamp())
    assert datetime.fromtimestamp(grid.end, berlin).hour == 6


def test_days_follow_each_other_without_a_gap() -> None:
    grids = Period.year(2025).grids(GAS_DAY, 15)
    assert all(one.end == after.begin for one, after in pairwise(grids))
    begin, end = Period.month(2025, 3).bounds(GAS_DAY)
    assert datetime.fromtimestamp(begin, UTC) == datetime(2025, 3, 1, 5, tzinfo=UTC)
    assert datetime.fromtimestamp(end, UTC) == datetime(2025, 4, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin@00:00", "Europe/Berlin@6:00", "Europe/Berlin@13:00", "Europe/Berlin@06:30",
     "@06:00", "Nowhere@06:00", "Europe/Berlin@06:00@06:00"],
)  # fmt: skip
def test_other_names_are_no_zones(name: str) -> None:
    with pytest.raises((ZoneInfoNotFoundError, ValueError)):
        zone_named(name)
    with pytest.raises(GridError):
        find_zone(name)


def test_a_zone_is_told_by_its_name_and_found_once() -> None:
    assert str(zone_named(GAS_DAY)) == GAS_DAY
    assert zone_named(GAS_DAY) is zone_named(GAS_DAY)
    assert zone_named("Europe/Berlin") is ZoneInfo("Europe/Berlin")
