# SPDX-License-Identifier: Apache-2.0
"""What the lines of a telegram mean: numbers, units, times, lists.

    1-0:1.8.1(000004.426*kWh)                  a number with a unit
    0-0:96.14.0(0002)                          a text; a number without a unit is one, too
    0-1:24.2.1(170102161005W)(00000.107*m3)    a time, then its number
    1.6.1(0.345*kW)(0512081415)                a number, then its time (IEC 62056-21)
    1-0:99.97.0(1)(0-0:96.7.19)(TIME)(240*s)   a log: how many entries, of what, then each
    0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(TIME)(TIME)(3.695*kW)
                                               a list: when it was stored, when it was, how much
    0-0:98.1.0(TIME)(40.777*kWh)(8.950*kWh)    values of one moment
    9.4(097.4*C&096.2*C)                       the same in heat meters (EN 1434-3)
    0-1:24.3.0(TIME)(00)(60)(1)(0-1:24.2.1)(m3)
    (00001.001)                                a profile: status, minutes, how many columns, code
                                               and unit of each; the values follow

A value is a whole number and a power of ten, as many decimals as were sent: never a float.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from meter_codecs.p1.moments import HOUR, has_season, may_be_time, read_time
from meter_codecs.p1.telegram import CODE, Telegram

_NUMBER: Final = re.compile(r" *([+-]?\d{1,20})(?:\.(\d{1,20}))?\*([^*]+)", re.ASCII).fullmatch
_BARE: Final = re.compile(r" *([+-]?\d{1,20})(?:\.(\d{1,20}))?", re.ASCII).fullmatch
_CODE: Final = re.compile(rf"(?=.*\.){CODE}", re.ASCII).fullmatch  # `00` is none here


class Reading(NamedTuple):
    """One value: a whole number times a power of ten in a unit, or a text as it was sent."""

    obis: str
    value: int | str
    scaler: int | None = None
    unit: str | None = None
    time: datetime | None = None
    """When it was, or was stored, where the line says."""
    of: str | None = None
    """The code of the log, list or profile that it stands in."""
    position: int | None = None
    """Its place in a line of many values."""
    event_time: datetime | None = None
    """In lists of peaks: when the peak was."""

    @property
    def scaled(self) -> Decimal | None:
        """The number in its unit, exactly; None for a text."""
        if self.scaler is None:
            return None
        return Decimal(f"{self.value}E{self.scaler}")


def readings(telegram: Telegram, *, winter: timedelta = HOUR) -> list[Reading]:
    """Return all values of a telegram, in the order sent.

    `winter` is how far winter time is ahead of UTC in the meter's country.
    """
    found: list[Reading] = []
    make, kind, append = tuple.__new__, Reading, found.append  # looked up once
    profile: _Profile | None = None
    last = ""
    for code, values, rest, _ in telegram.lines:
        if rest or not values:
            continue
        if not code:
            found += profile.take(values) if profile else _many(last, values, winter)
            continue
        last, profile = code, None
        if len(values) == 1:
            text = values[0]
            number, _, unit = text.partition("*")
            whole, _, digits = number.partition(".")
            digits_of_both = whole + digits
            # The same that _reading does, for the line that is most frequent by far.
            if unit and digits and digits_of_both.isdecimal() and _NUMBER(text):
                value = (code, int(digits_of_both), -len(digits), unit, None, None, None, None)
                append(make(kind, value))
            else:
                parts = text.split("&")
                if len(parts) > 1 and all(map(_NUMBER, parts)):
                    found += _many(code, parts, winter)
                else:
                    append(_reading(code, text, winter))
        elif len(values) == 2 and has_season(values[0]):
            time = read_time(values[0], winter)
            found.append(_reading(code, values[1], winter, time=time))
        elif (profile := _Profile.of_line(code, values, winter)) is not None:
            found += profile.take(values[4 + 2 * len(profile.columns) :])
        else:
            found += _many(code, values, winter)
    return found


def _reading(
    code: str,
    text: str,
    winter: timedelta,
    *,
    time: datetime | None = None,
    position: int | None = None,
) -> Reading:
    number = _NUMBER(text)
    if number is None:
        own = read_time(text, winter) if time is None and has_season(text) else time
        return Reading(code, text, None, None, own, None, position)
    whole, digits, unit = number.groups()
    digits = digits or ""
    return Reading(code, int(whole + digits), -len(digits), unit, time, None, position)


@dataclass(slots=True)
class _Profile:
    """A profile of IEC 62056-21: what its columns are, and when the next row was."""

    code: str
    columns: Sequence[tuple[str, str]]
    time: datetime | None
    step: timedelta
    winter: timedelta

    @classmethod
    def of_line(cls, code: str, values: Sequence[str], winter: timedelta) -> _Profile | None:
        """Return the profile that a line begins, None if it begins none."""
        if len(values) < 6 or not (may_be_time(values[0]) and _is_count(values[2])):
            return None
        count = int(values[3]) if _is_count(values[3]) else 0
        names, units = values[4 : 4 + 2 * count : 2], values[5 : 5 + 2 * count : 2]
        if not count or len(units) != count or not all(map(_CODE, names)):
            return None
        columns = tuple(zip(names, units, strict=True))
        step = timedelta(minutes=int(values[2]))
        return cls(code, columns, read_time(values[0], winter), step, winter)

    def take(self, values: Sequence[str]) -> Iterator[Reading]:
        """Yield the readings of rows; what does not fill a row has the unit of its column, too."""
        for at, text in enumerate(values):
            name, unit = self.columns[at % len(self.columns)]
            number = _BARE(text)
            if number is None:
                yield _reading(name, text, self.winter, time=self.time)._replace(of=self.code)
            else:
                whole, digits = number[1], number[2] or ""
                value = int(whole + digits)
                yield Reading(name, value, -len(digits), unit, self.time, self.code)
            if (at + 1) % len(self.columns) == 0 and self.time is not None:
                try:
                    self.time += self.step
                except OverflowError:
                    self.time = None


def _is_count(text: str) -> bool:
    return len(text) <= 4 and text.isdecimal() and text.isascii()


def _many(code: str, values: Sequence[str], winter: timedelta) -> Iterator[Reading]:
    """Yield the readings of a line of many values."""
    names = 1
    if _is_count(values[0]):
        while names < len(values) and _CODE(values[names]):
            names += 1
    if names > 1:
        yield from _entries(code, values[0], values[1:names], values[names:], winter)
    else:
        yield from _of_one_moment(code, values, winter)


def _entries(
    code: str, count: str, names: Sequence[str], values: Sequence[str], winter: timedelta
) -> Iterator[Reading]:
    """Yield the entries of a log or list: one or two times, then a value for them.

    A list of peaks names its code twice, for the time and for the value. Other columns follow
    each other.
    """
    times: list[datetime | None] = []
    column = 0
    for text in values:
        if may_be_time(text):
            if column:
                times, column = [], 0
            times.append(read_time(text, winter))
            continue
        name = names[min(column, len(names) - 1)]
        time = times[0] if times else None
        event = times[1] if len(times) > 1 else None
        yield _reading(name, text, winter)._replace(time=time, of=code, event_time=event)
        column += 1
    if not values:  # an empty log: how many entries it has is all that it says
        yield Reading(code, count)


def _of_one_moment(code: str, values: Sequence[str], winter: timedelta) -> Iterator[Reading]:
    """Yield values that stand together, their time before or after them."""
    time: datetime | None = None
    rest = list(values)
    dated = any(_NUMBER(text) for text in rest)
    if len(rest) > 1 and (has_season(rest[0]) or not rest[0] or (dated and may_be_time(rest[0]))):
        time = read_time(rest.pop(0), winter)
    elif len(rest) > 1 and _NUMBER(rest[0]) and may_be_time(rest[-1]):
        time = read_time(rest.pop(), winter)
    if all(has_season(text) for text in rest):
        rest = list(values)
    for position, text in enumerate(rest):
        yield _reading(code, text, winter, time=time, position=position if len(rest) > 1 else None)
