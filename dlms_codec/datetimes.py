# SPDX-License-Identifier: Apache-2.0
"""Dates and times of COSEM, in which any part may be left open (DLMS UA 1000-1, clause 4.1.6).

year 2, month, day of month, day of week      ffff and ff: not said; month fd, fe: daylight saving
hour, minute, second, hundredths              ff: not said
deviation 2                                   minutes from local time to UTC; 8000: not said
clock status                                  80 daylight saving, 01 invalid, ...; ff: not said
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import ClassVar, Final, Self

from dlms_codec.errors import EncodingError

NOT_SAID: Final = 0xFF
DAYLIGHT_SAVING: Final = 0x80
NO_DEVIATION: Final = -0x8000


class CosemMoment(bytes):
    """The bytes of a date, a time or both."""

    __slots__ = ()
    tag: ClassVar[int]
    size: ClassVar[int]

    def __init_subclass__(cls, *, tag: int, size: int) -> None:
        cls.tag, cls.size = tag, size

    def __new__(cls, value: bytes) -> Self:
        """Check the length; any parts may be open, and so is what they are."""
        if len(value) != cls.size:
            raise EncodingError(f"{len(value)} bytes for {cls.__name__}, which has {cls.size}")
        return super().__new__(cls, value)

    def encode(self) -> bytes:
        """Return the tag and the bytes."""
        return bytes([self.tag]) + self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({bytes(self).hex()!r})"


class Date(CosemMoment, tag=26, size=5):
    """A date."""

    __slots__ = ()

    @property
    def day(self) -> date | None:
        """The day; None if a part of it is open or it is none."""
        return _date(self)


class Time(CosemMoment, tag=27, size=4):
    """A time of day."""

    __slots__ = ()

    @property
    def clock(self) -> time | None:
        """The time of day; None if its hour or minute is open. Open seconds are zero."""
        return _time(self)


class DateTime(CosemMoment, tag=25, size=12):
    """A date and a time of day, with how far from UTC the clock is."""

    __slots__ = ()

    @classmethod
    def of(cls, moment: datetime, *, status: int = 0) -> Self:
        """Return a moment, with its deviation if it says how far from UTC it is."""
        offset = moment.utcoffset()
        deviation = NO_DEVIATION if offset is None else -int(offset.total_seconds() // 60)
        return cls(
            moment.year.to_bytes(2, "big")
            + bytes([moment.month, moment.day, moment.isoweekday()])
            + bytes([moment.hour, moment.minute, moment.second, moment.microsecond // 10000])
            + deviation.to_bytes(2, "big", signed=True)
            + bytes([status])
        )

    @property
    def local(self) -> datetime | None:
        """What the meter's clock shows, to the second; None if the minute is not said or is none.

        A second that is not said is zero.
        """
        day, clock = _date(self), _time(self[5:9])
        return None if day is None or clock is None else datetime.combine(day, clock)

    @property
    def deviation(self) -> int | None:
        """Minutes from local time to UTC: -60 for Central Europe in winter; None if not said."""
        minutes = int.from_bytes(self[9:11], "big", signed=True)
        return None if minutes == NO_DEVIATION else minutes

    @property
    def status(self) -> int | None:
        """The clock status; None if not said."""
        return None if self[11] == NOT_SAID else self[11]

    @property
    def moment(self) -> datetime | None:
        """The moment with its zone; None if the deviation is not said, or impossible.

        Some meters send a deviation of 0 and mean local time: ask who knows the meter.
        """
        local, deviation = self.local, self.deviation
        if local is None or deviation is None or not -1440 < deviation < 1440:
            return None
        return local.replace(tzinfo=timezone(timedelta(minutes=-deviation)))


def _date(raw: bytes) -> date | None:
    try:
        return date(raw[0] << 8 | raw[1], raw[2], raw[3])
    except ValueError:
        return None


def _time(raw: bytes) -> time | None:
    try:
        return time(raw[0], raw[1], 0 if raw[2] == NOT_SAID else raw[2])
    except ValueError:
        return None


def as_date_time(value: object) -> DateTime | None:
    """Return the date and time that a value is or looks like: 12 octets with a plausible day."""
    if isinstance(value, DateTime):
        return value
    if type(value) is not bytes or len(value) != 12:
        return None
    moment = DateTime(value)
    return moment if moment.local is not None and value[4] in PLAUSIBLE_WEEKDAYS else None


PLAUSIBLE_WEEKDAYS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 7, NOT_SAID})
"""Days of the week; some meters send 0."""
