# SPDX-License-Identifier: Apache-2.0
"""Local time: which day, and which second of it, a moment belongs to.

A clock is an IANA zone, read in one of two ways: as the clock on the wall, daylight saving
included, or as **standard time all year**, the way many meters and network tariffs keep time. A
zone's standard offset is the smaller of its offsets on 1 January and 1 July of the year, which
holds on both hemispheres and where the law calls the summer's clock the standard one (Dublin).

Days are numbered from 1970-01-01 as day 0. The first instant of a day is its midnight, or, where
the clock jumps over midnight, the moment it jumps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from protocols.canonical.day_zone import zone_named
from tariffs.errors import MalformedTariff

DAY: Final = 86_400
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
CHUNK: Final = 32 * DAY
PROBE: Final = DAY // 2
"""Offsets are compared this far apart; no zone has changed twice within half a day."""

Span = tuple[int, int, int]
"""begin, end, and the seconds to add to UTC between them."""


def day_number(day: date) -> int:
    """Return the number of a date, counted from 1970-01-01."""
    return day.toordinal() - EPOCH_ORDINAL


def date_of(day: int) -> date:
    """Return the date that has this number."""
    return date.fromordinal(EPOCH_ORDINAL + day)


@lru_cache(maxsize=64)
def _zone(key: str) -> ZoneInfo:
    try:
        return zone_named(key)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MalformedTariff(f"unknown time zone {key!r}") from error


def _wall_offset(zone: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


@lru_cache(maxsize=512)
def _standard_offset(key: str, year: int) -> int:
    noons = (datetime(year, month, 1, 12, tzinfo=UTC) for month in (1, 7))
    return min(_wall_offset(_zone(key), int(noon.timestamp())) for noon in noons)


def _offset(key: str, standard: bool, moment: int) -> int:
    zone = _zone(key)
    if standard:
        return _standard_offset(key, datetime.fromtimestamp(moment, zone).year)
    return _wall_offset(zone, moment)


@lru_cache(maxsize=1024)
def _spans(key: str, standard: bool, chunk: int) -> tuple[Span, ...]:
    """Return the stretches of constant offset that fill a chunk of time."""
    begin, end = chunk * CHUNK, (chunk + 1) * CHUNK
    spans: list[Span] = []
    offset = _offset(key, standard, begin)
    for probe in range(begin + PROBE, end + 1, PROBE):
        after = _offset(key, standard, probe)
        if after == offset:
            continue
        low, high = probe - PROBE, probe
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(key, standard, middle) == offset:
                low = middle
            else:
                high = middle
        spans.append((begin, high, offset))
        begin, offset = high, after
    if begin < end:
        spans.append((begin, end, offset))
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class ZoneClock:
    """A zone, and whether its daylight saving time is followed."""

    zone: str
    standard: bool = False

    def __post_init__(self) -> None:
        _zone(self.zone)

    def span(self, moment: int) -> Span:
        """Return a stretch of constant offset around `moment`."""
        for span in _spans(self.zone, self.standard, moment // CHUNK):
            if moment < span[1]:
                return span
        raise AssertionError("the spans fill the chunk")

    def spans(self, begin: int, end: int) -> Iterator[Span]:
        """Yield the stretches of constant offset that fill [begin, end)."""
        while begin < end:
            _, until, offset = self.span(begin)
            yield begin, min(until, end), offset
            begin = until

    def day_of(self, moment: int) -> int:
        """Return the number of the local day that `moment` lies in."""
        return (moment + self.span(moment)[2]) // DAY

    def day_begin(self, day: int) -> int:
        """Return the first instant of a local day."""
        if self.standard:
            return day * DAY - _standard_offset(self.zone, date_of(day).year)
        midnight = datetime.combine(date_of(day), datetime.min.time(), _zone(self.zone))
        return int(midnight.timestamp())  # fold 0: the first of two midnights, or the jump

    def days_begun(self, begin: int, end: int) -> Iterator[int]:
        """Yield the local days whose first instant lies in [begin, end).

        A period of whole days has exactly these. A date that a zone skipped altogether is no day.
        """
        day = self.day_of(begin) if begin < end else 0
        while begin < end:
            instant = self.day_begin(day)
            if instant >= end:
                return
            if instant >= begin and self.day_begin(day + 1) > instant:
                yield day
            day += 1

    def days_charged(self, begin: int, end: int) -> Iterator[int]:
        """Yield the local days whose middle, 12 h after they begin, lies in [begin, end).

        Every day is charged once when periods follow each other. A month of another clock (readings
        in UTC, a tariff in London) has as many days as a month of the zone's own.
        """
        return self.days_begun(begin - DAY // 2, end - DAY // 2)


@lru_cache(maxsize=4096)
def charged_days(zone: str, begin: int, end: int) -> int:
    """Return how many local days of `zone` a bill of [begin, end) is charged for."""
    return sum(1 for _ in ZoneClock(zone).days_charged(begin, end))
