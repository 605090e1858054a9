# SPDX-License-Identifier: Apache-2.0
"""Days, months, quarters and years of a part, whole or in share.

A month that a bill covers in part counts for the share of its days that begin in the part. Shares
are exact fractions; what is made of them is rounded where it is used.
"""

import enum
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final, TypeAlias

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.clock import DAY, ZoneClock, charged_days, date_of, day_number
from tariffs.errors import MalformedTariff
from tariffs.usage import Part

YearStart: TypeAlias = tuple[int, int]
"""Month and day on which years begin; every year has the day."""
NEW_YEAR: Final[YearStart] = (1, 1)


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


def check_year_start(begins: YearStart) -> None:
    """Refuse what is no day of every year."""
    try:
        date(2001, *begins)  # a common year
    except (TypeError, ValueError):
        raise MalformedTariff("years begin on a day that every year has, such as 04-01") from None


def year_start_member(begins: YearStart) -> dict[int | str, CborValue]:
    """Return the member of a document that says when years begin: none for 1 January."""
    return {} if begins == NEW_YEAR else {"year_begins": list(begins)}


def read_year_start(fields: TariffReader) -> YearStart:
    """Return when the years of a document's component begin."""
    if "year_begins" not in fields:
        return NEW_YEAR
    match fields.integers("year_begins"):
        case (int(month), int(day)) if (month, day) != NEW_YEAR:
            return month, day
        case _:
            raise MalformedTariff("'year_begins' is not a month and a day other than 1 January")


def interval_days(
    interval: Interval, day: int, year_begins: YearStart = NEW_YEAR
) -> tuple[int, int]:
    """Return the first day of the interval that a day lies in, and the first of the next."""
    if interval is Interval.DAY:
        return day, day + 1
    here, months = date_of(day), MONTHS[interval]
    if interval is Interval.YEAR:
        year = here.year - ((here.month, here.day) < year_begins)
        return (
            day_number(date(year, *year_begins)),
            day_number(date(year + 1, *year_begins)),
        )
    month = (here.month - 1) // months * months
    after = here.year * 12 + month + months
    return (
        day_number(date(here.year, month + 1, 1)),
        day_number(date(after // 12, after % 12 + 1, 1)),
    )


def interval_before(
    interval: Interval, day: int, count: int, year_begins: YearStart = NEW_YEAR
) -> int:
    """Return the first day of the interval that comes `count` before the one of a day."""
    first, _ = interval_days(interval, day, year_begins)
    if interval is Interval.DAY:
        return first - count
    here = date_of(first)
    month = here.year * 12 + here.month - 1 - count * MONTHS[interval]
    return day_number(date(month // 12, month % 12 + 1, here.day))


def billed_days(part: Part) -> range:
    """Return the local days that a part is charged for.

    Where that is none, the range is empty and begins with the first day that a later one is.
    """
    days = list(part.clock.days_charged(part.begin, part.end))
    if days:
        return range(days[0], days[-1] + 1)
    following = next(part.clock.days_charged(part.end, part.end + 3 * DAY))
    return range(following, following)


def stretches(interval: Interval, part: Part, year_begins: YearStart = NEW_YEAR) -> list[Stretch]:
    """Return the stretches that fill a part, in order."""
    zone = part.clock.zone
    if interval is Interval.PERIOD:
        whole = part.period_begin, part.period_end
        return [_stretch(zone, part.begin, part.end, *whole, part.clock.day_of(whole[0]))]
    found = []
    at = part.begin
    while at < part.end:
        first_day, after = interval_days(interval, part.clock.day_of(at), year_begins)
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
