# SPDX-License-Identifier: Apache-2.0
"""Values of records: numbers, texts and times as EN 13757-3 (annex A) codes them.

Each function turns the bytes of a record into a value. `None` means that the bytes say there is no
value: decimal digits above 9, a date of zeros, a time marked as invalid.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time
from math import isfinite
from typing import Final, TypeAlias

from meter_codecs.mbus.errors import EncodingError

Value: TypeAlias = int | float | str | date | datetime | time | None
"""A number, a text or a time; `None` where the meter has none to tell."""

Decoder: TypeAlias = Callable[[bytes], Value]

_UNPACK_REAL: Final = struct.Struct("<f").unpack


def no_value(_: bytes) -> None:
    """A record without data."""
    return


def integer(data: bytes) -> int:
    """Type B: a binary number with a sign."""
    return int.from_bytes(data, "little", signed=True)


def count(data: bytes) -> int:
    """Type C: a binary number without a sign."""
    return int.from_bytes(data, "little")


def real(data: bytes) -> float | None:
    """Type H: a floating-point number of four bytes; none if it is infinite or no number."""
    value: float = _UNPACK_REAL(data)[0]
    return value if isfinite(value) else None


def decimal(data: bytes) -> int | None:
    """Type A: decimal digits, two a byte; f as the first digit is a minus."""
    digits = data[::-1].hex()
    try:
        return int(digits)
    except ValueError:
        negative = digits[:1] == "f" and digits[1:].isdecimal()
        return -int(digits[1:]) if negative else None


def text(data: bytes) -> str:
    """Characters of Latin-1, the last one first."""
    return data[::-1].decode("latin-1")


def _year(short: int, century: int) -> int | None:
    """Return the year of two digits; a meter without a century means 1981 to 2080."""
    if short > 99:
        return None
    if century == 0:
        return 2000 + short if short <= 80 else 1900 + short
    return 1900 + 100 * century + short


def _date(low: int, high: int, century: int = 0) -> date | None:
    year = _year(low >> 5 | (high & 0xF0) >> 1, century)
    try:
        return None if year is None else date(year, high & 0x0F, low & 0x1F)
    except ValueError:
        return None


def date_g(data: bytes) -> date | None:
    """Type G: a date of two bytes."""
    return _date(data[0], data[1])


def _moment(day: date | None, hour: int, minute: int, second: int = 0) -> datetime | None:
    if day is None or hour > 23 or minute > 59 or second > 59:
        return None
    return datetime(day.year, day.month, day.day, hour, minute, second)


def date_time_f(data: bytes) -> datetime | None:
    """Type F: a local time to the minute, of four bytes."""
    minute, hour, low, high = data
    if minute & 0x80:
        return None
    return _moment(_date(low, high, hour >> 5 & 3), hour & 0x1F, minute & 0x3F)


def date_time_i(data: bytes) -> datetime | None:
    """Type I: a local time to the second, of six bytes."""
    second, minute, hour, low, high, _ = data
    if minute & 0x80:
        return None
    return _moment(_date(low, high), hour & 0x1F, minute & 0x3F, second & 0x3F)


def time_j(data: bytes) -> time | None:
    """Type J: a time of day, of three bytes."""
    second, minute, hour = (byte & 0x3F for byte in data)
    if hour > 23 or minute > 59 or second > 59:
        return None
    return time(hour, minute, second)


MOMENTS: Final[dict[int, Decoder]] = {2: date_g, 3: time_j, 4: date_time_f, 6: date_time_i}
"""How a date or a time of so many bytes is coded."""


def encode_integer(value: int, size: int) -> bytes:
    """Return a binary number of `size` bytes; raise `EncodingError` if it does not fit."""
    try:
        return value.to_bytes(size, "little", signed=True)
    except OverflowError:
        raise EncodingError(f"{value} does not fit into {size} bytes") from None


def encode_count(value: int, size: int) -> bytes:
    """Return a number without a sign, of `size` bytes; raise `EncodingError` if it does not fit."""
    try:
        return value.to_bytes(size, "little")
    except OverflowError:
        raise EncodingError(f"{value} does not fit into {size} bytes") from None


def encode_decimal(value: int, size: int) -> bytes:
    """Return decimal digits of `size` bytes; raise `EncodingError` if they do not fit."""
    digits = f"{value:0{2 * size}d}" if value >= 0 else f"f{-value:0{2 * size - 1}d}"
    if len(digits) != 2 * size:
        raise EncodingError(f"{value} does not fit into {size} bytes of digits")
    return bytes.fromhex(digits)[::-1]


def encode_real(value: float) -> bytes:
    """Return a floating-point number of four bytes."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        raise EncodingError(f"{value} does not fit into a float of four bytes") from None


def encode_text(value: str) -> bytes:
    """Return characters of Latin-1, the last one first."""
    try:
        return value.encode("latin-1")[::-1]
    except UnicodeEncodeError:
        raise EncodingError(f"{value!r} has characters outside Latin-1") from None


def encode_date(value: date) -> bytes:
    """Return a date of two bytes."""
    if not 1981 <= value.year <= 2080:
        raise EncodingError(f"the year {value.year} is not in 1981 to 2080")
    short = value.year % 100
    return bytes([value.day | (short & 7) << 5, value.month | (short >> 3) << 4])


def encode_date_time(value: datetime, size: int = 4) -> bytes:
    """Return a local time of four bytes, or six with its seconds."""
    day = encode_date(value.date())
    if size == 4:
        return bytes([value.minute, value.hour]) + day
    return bytes([value.second, value.minute, value.hour]) + day + b"\0"
