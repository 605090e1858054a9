# SPDX-License-Identifier: Apache-2.0
"""Days, months, quarters and years of a part, whole or in share.

A month that a bill covers in part counts for the share of its days that begin in the part. Shares
are exact fractions; what is made of them is rounded where it is used.
"""

import enum
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from tariffs.clock import ZoneClock, charged_days, date_of, day_number
from tariffs.usage import Part


class Interval(enum.StrEnum):
    """A stretch of the calendar, or the bill's period."""

    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    PERIOD = "period"


MONTHS = {Interval.MONTH: 1, Interval.QUARTER: 3, Interval.YEAR: 12}


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of an interval that lies in a part of a bill."""

    begin: int
    end: int
    first: date
    """The first date of the interval, be it in the part or not."""
    days: int
    """Local days in the stretch (`clock.charged_days`)."""
    share: Fraction
    """How much of the interval the stretch is: by days, or by time if no day lies in it."""


def _bounds(interval: Interval, day: int) -> tuple[int, int]:
    if interval is Interval.DAY:
        return day, day + 1
    here, months = date_of(day), MONTHS[interval]
    month = (here.month - 1) // months * months
    after = here.year * 12 + month + months
    return (
        day_number(date(here.year, month + 1, 1)),
        day_number(date(after // 12, after % 12 + 1, 1)),
    )


def stretches(interval: Interval, part: Part) -> list[Stretch]:
    """Return the stretches that fill a part, in order."""
    zone = part.clock.zone
    if interval is Interval.PERIOD:
        whole = part.period_begin, part.period_end
        return [_stretch(zone, part.begin, part.end, *whole, part.clock.day_of(whole[0]))]
    found = []
    at = part.begin
    while at < part.end:
        first_day, after = _bounds(interval, part.clock.day_of(at))
        begin, end = part.clock.day_begin(first_day), part.clock.day_begin(after)
        until = min(end, part.end)
        found.append(_stretch(zone, at, until, begin, end, first_day))
        at = until
    return found


def _stretch(zone: str, begin: int, end: int, since: int, until: int, day: int) -> Stretch:
    days, whole = charged_days(zone, begin, end), charged_days(zone, since, until)
    share = Fraction(days, whole) if whole else Fraction(end - begin, until - since)
    return Stretch(begin, end, date_of(day), days, share)


def share(interval: Interval, part: Part) -> Fraction:
    """Return how many of the intervals a part is; with `DAY`, how many days begin in it."""
    if interval is Interval.DAY:
        return Fraction(charged_days(part.clock.zone, part.begin, part.end))
    return sum((one.share for one in stretches(interval, part)), Fraction(0))


def days_of(clock: ZoneClock, begin: int, end: int) -> range:
    """Return the local days that [begin, end) touches."""
    return range(clock.day_of(begin), clock.day_of(end - 1) + 1)
