# SPDX-License-Identifier: Apache-2.0
"""Grids on the days when clocks and calendars do something."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.metrology import SLOT_MINUTES, DayGrid, GridError, Period, find_zone
from tests.support.soak import examples

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Atlantic/Azores",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Cairo",
    "Asia/Beirut",
    "Etc/GMT+12",
]


@pytest.mark.parametrize(
    ("day", "zone", "minutes", "slots"),
    [
        (date(2025, 3, 1), "Europe/Berlin", 15, 96),
        (date(2025, 3, 30), "Europe/Berlin", 15, 92),
        (date(2025, 10, 26), "Europe/Berlin", 15, 100),
        (date(2025, 10, 26), "Europe/Berlin", 60, 25),
        (date(2025, 3, 30), "Europe/London", 5, 276),
        (date(2025, 3, 30), "UTC", 15, 96),
        (date(2025, 4, 6), "Australia/Lord_Howe", 15, 98),
        (date(2025, 10, 5), "Australia/Lord_Howe", 30, 47),
        (date(2018, 11, 4), "America/Sao_Paulo", 15, 92),  # the day starts at 01:00
        (date(2018, 2, 17), "America/Sao_Paulo", 15, 100),  # 23:00 to 24:00 comes twice
        (date(2024, 11, 3), "America/Havana", 15, 100),  # 00:00 to 01:00 comes twice
        (date(2010, 11, 6), "America/St_Johns", 15, 96),  # one minute after midnight the clock
        (date(2010, 11, 7), "America/St_Johns", 15, 100),  # went back to the day before
        (date(2011, 12, 29), "Pacific/Apia", 15, 96),  # the day before the skipped one
    ],
)
def test_a_day_has_as_many_slots_as_its_clock_shows(
    day: date, zone: str, minutes: int, slots: int
) -> None:
    grid = DayGrid(day, zone, minutes)
    assert len(grid) == slots
    assert len(grid.boundaries()) == slots + 1
    assert (grid.boundaries()[0], grid.boundaries()[-1]) == (grid.begin, grid.end)


def test_the_first_second_of_a_day_without_midnight_is_one_o_clock() -> None:
    grid = DayGrid(date(2018, 11, 4), "America/Sao_Paulo", 60)
    local = datetime.fromtimestamp(grid.begin, ZoneInfo("America/Sao_Paulo"))
    assert (local.day, local.hour) == (4, 1)


@given(
    st.dates(date(1985, 1, 1), date(2040, 1, 1)),
    st.sampled_from(ZONES),
    st.sampled_from(SLOT_MINUTES),
)
@examples(75, soak=300)
def test_days_follow_each_other_without_a_gap(day: date, zone: str, minutes: int) -> None:
    try:
        grids = Period(day, day + timedelta(days=2)).grids(zone, minutes)
    except GridError:
        assert minutes == 60  # a day with half an hour more or less
        return
    info = find_zone(zone)
    for before, after in pairwise(grids):
        assert before.end == after.begin
    for grid in grids:
        first = datetime.fromtimestamp(grid.begin, UTC).astimezone(info)
        last_before = datetime.fromtimestamp(grid.begin - 1, UTC).astimezone(info)
        assert first.date() == grid.day
        assert last_before.date() < grid.day
        assert grid.slot_at(grid.begin) == 0
        assert grid.slot_at(grid.end - 1) == len(grid) - 1


@pytest.mark.parametrize(
    ("day", "zone", "minutes", "reason"),
    [
        (date(2011, 12, 30), "Pacific/Apia", 15, "2011-12-30 does not exist in Pacific/Apia"),
        (date(2025, 10, 5), "Australia/Lord_Howe", 60, "23:30:00, not a whole number"),
        (date(2025, 1, 1), "Mars/Olympus", 15, "no time zone 'Mars/Olympus'"),
        (date(2025, 1, 1), "/etc/localtime", 15, "no time zone"),
        (date(2025, 1, 1), "../UTC", 15, "no time zone"),
        (date(2025, 1, 1), "Europe", 15, "no time zone"),
        (date(2025, 1, 1), "", 15, "no time zone"),
        (date(2025, 1, 1), "a\0b", 15, "no time zone"),
        (date(2025, 1, 1), "UTC", 10, "slots of 10 minutes"),
        (date(2025, 1, 1), "UTC", 0, "slots of 0 minutes"),
        (date(1969, 12, 31), "UTC", 15, "only the years"),
        (date(9999, 12, 31), "UTC", 15, "only the years"),
    ],
)
def test_what_no_grid_can_be_made_of_is_refused(
    day: date, zone: str, minutes: int, reason: str
) -> None:
    with pytest.raises(GridError, match=reason):
        DayGrid(day, zone, minutes)


def test_a_time_of_another_day_is_in_no_slot() -> None:
    grid = DayGrid(date(2025, 1, 1), "UTC", 15)
    for time in (grid.begin - 1, grid.end):
        with pytest.raises(GridError):
            grid.slot_at(time)


def test_a_period_leaves_out_days_the_calendar_skipped() -> None:
    period = Period(date(2011, 12, 28), date(2012, 1, 1))
    days = list(period.days("Pacific/Apia"))
    assert [day.day for day in days] == [28, 29, 31, 1]
    begin, end = period.bounds("Pacific/Apia")
    assert end - begin == 4 * 86_400


def test_a_month_ends_on_its_last_day() -> None:
    assert Period.month(2024, 2) == Period(date(2024, 2, 1), date(2024, 2, 29))
    assert Period.month(2024, 12).last == date(2024, 12, 31)
    begin, end = Period.month(2025, 3).bounds("Europe/Berlin")
    assert end - begin == 31 * 86_400 - 3600
    for year, month in [(2025, 0), (2025, 13), (1969, 1)]:
        with pytest.raises(GridError):
            Period.month(year, month)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(GridError):
        Period(date(2025, 1, 2), date(2025, 1, 1))
    with pytest.raises(GridError):
        Period(date(2025, 1, 2), date(2300, 1, 1))
