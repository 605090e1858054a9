# SPDX-License-Identifier: Apache-2.0
"""Buckets of local time: slots, hours, days, weeks, months and years between two days.

Hours count from a day's begin: the day the clock goes forward has 23, the other 25, and none is
made up or left out. Weeks begin on Monday (ISO 8601). What a period cuts is cut.
"""

import enum
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from protocols.metrology import Period

HOUR = 3_600
ONE_DAY = timedelta(days=1)


class By(enum.StrEnum):
    """How finely a view is cut."""

    SLOT = "slot"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def is_of_days(self) -> bool:
        """Whether a bucket is made of whole days, so that fixed charges belong to it."""
        return self not in (By.SLOT, By.HOUR)


def buckets(period: Period, by: By, zone: str, slot_minutes: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each bucket, in epoch seconds, in order and without gaps."""
    if by.is_of_days:
        days = period.days(zone)
        for _, group in groupby(days, lambda day: calendar_period(by, day)):
            first, *rest = group
            yield Period(first, rest[-1] if rest else first).bounds(zone)
        return
    step = 60 * slot_minutes if by is By.SLOT else HOUR
    for grid in period.grids(zone, slot_minutes):
        yield from pairwise([*range(grid.begin, grid.end, step), grid.end])


def calendar_period(by: By, day: date) -> Period:
    """Return the day, week, month or year that a day is in."""
    match by:
        case By.WEEK:
            monday = day - timedelta(days=day.weekday())
            return Period(monday, monday + 6 * ONE_DAY)
        case By.MONTH:
            return Period.month(day.year, day.month)
        case By.YEAR:
            return Period(date(day.year, 1, 1), date(day.year, 12, 31))
        case _:
            return Period(day, day)


def utc_offset(moment: datetime, zone: ZoneInfo) -> int:
    """Return how many seconds the clock of a zone is ahead of UTC at a moment."""
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def period_before(period: Period, by: By | None = None) -> Period:
    """Return the period to compare with: the month or year before a whole one, or as many days.

    `by` says which of them is meant; by default whichever the period is.
    """
    for whole in (By.MONTH, By.YEAR) if by is None else (by,):
        if whole in (By.MONTH, By.YEAR) and calendar_period(whole, period.first) == period:
            return calendar_period(whole, period.first - ONE_DAY)
    return Period(period.first - (period.last - period.first) - ONE_DAY, period.first - ONE_DAY)
