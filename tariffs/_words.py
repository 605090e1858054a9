# SPDX-License-Identifier: Apache-2.0
"""The small words of a tariff's source: days, times, dates, intervals, moments."""

import re
from typing import Final

from tariffs.clock import DAY, ZoneClock, date_of, day_number
from tariffs.errors import MalformedTariff
from tariffs.periods import check_year_start
from tariffs.schedule import DAY_NAMES, DateRange, When

TIMES: Final = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
DATES: Final = re.compile(r"(\S+)(?: to (\S+))?")
DATE: Final = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})", re.ASCII)
SECONDS: Final = re.compile(r"([1-9][0-9]{0,4}) ?(s|min|h)", re.ASCII)
UNIT_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}


def parse_days(text: str) -> int:
    """Return the days that "Mon", "Mon-Fri" or "holiday" names, as bits."""
    first, dash, last = text.partition("-")
    week = DAY_NAMES[:7]
    known = first in week and last in week if dash else first in DAY_NAMES
    if not known:
        raise MalformedTariff(f"impossible days {text!r}: write Mon, Mon-Fri or holiday")
    begin = DAY_NAMES.index(first)
    end = DAY_NAMES.index(last) if dash else begin
    if end < begin:
        raise MalformedTariff(f"impossible days {text!r}: the week begins with Mon")
    return sum(1 << day for day in range(begin, end + 1))


def parse_times(text: str) -> tuple[int, int]:
    """Return the minutes of the day that "07:00-19:00" names."""
    match = TIMES.fullmatch(text)
    if match is None:
        raise MalformedTariff(
            f"impossible times {text!r}: write 07:00-19:00, midnight as 00:00 or 24:00"
        )
    begin, until = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return When(times=((begin, until),)).times[0]


def parse_date_range(text: str) -> DateRange:
    """Return the dates that "06-01 to 09-30", "2025-12-24" or the like names."""
    match = DATES.fullmatch(text)
    first = _parse_date(match[1] if match else "", text)
    last = _parse_date(match[2], text) if match and match[2] else first
    return DateRange(first, last)


def _parse_date(text: str, whole: str) -> tuple[int, int, int]:
    match = DATE.fullmatch(text)
    if match is None:
        raise MalformedTariff(f"impossible dates {whole!r}: write 06-01 to 09-30, or 2025-12-24")
    return int(match[1] or 0), int(match[2]), int(match[3])


def parse_month_day(text: str) -> tuple[int, int]:
    """Return the month and the day that "04-01" names."""
    year, month, day = _parse_date(text, text)
    if year:
        raise MalformedTariff(f"impossible day of every year {text!r}: write 04-01")
    check_year_start((month, day))
    return month, day


def parse_seconds(text: str) -> int:
    """Return the seconds of "30min", "1h" or "300s"."""
    match = SECONDS.fullmatch(text)
    if match is None:
        raise MalformedTariff(f"impossible length of time {text!r}: write 30min, 1h or 300s")
    return int(match[1]) * UNIT_SECONDS[match[2]]


def parse_event(text: str, clock: ZoneClock) -> tuple[int, int]:
    """Return from when until when "2025-07-03 17:00-20:00" lasts, on a clock."""
    day, _, times = text.partition(" ")
    first = parse_date_range(day)
    if not first.first[0] or first.first != first.last:
        raise MalformedTariff(f"impossible event {text!r}: write 2025-07-03 17:00-20:00")
    begin, until = parse_times(times)
    year, month, number = first.first
    midnight = day_number(date_of(0).replace(year, month, number)) * DAY
    return to_moment(clock, midnight + 60 * begin), to_moment(clock, midnight + 60 * until)


def to_moment(clock: ZoneClock, local: int, after: int | None = None) -> int:
    """Return the moment at which a clock shows `local` (seconds since 1970 on that clock).

    Of two, the first that is later than `after`. Raises `MalformedTariff` if the clock never shows
    it: the hour that is jumped over in spring.
    """
    offsets = {clock.span(local - DAY)[2], clock.span(local + DAY)[2]}
    shown = sorted(local - offset for offset in offsets if clock.span(local - offset)[2] == offset)
    if not shown:
        text = f"{date_of(local // DAY)} {local % DAY // 3600:02}:{local % 3600 // 60:02}"
        raise MalformedTariff(f"{text} does not exist on the clock of {clock.zone}")
    return next((moment for moment in shown if after is None or moment > after), shown[-1])
