# SPDX-License-Identifier: Apache-2.0
"""Moments and days as the JSON, CSV and XML outputs write them, and strangers' words."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from protocols.metrology import date_at


def utc_text(time: int) -> str:
    """Return a moment as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_text(time: int, zone: tzinfo) -> str:
    """Return a moment as ISO 8601 on a local clock, with its offset."""
    return datetime.fromtimestamp(time, UTC).astimezone(zone).isoformat()


def local_day(time: int, zone: ZoneInfo) -> str:
    """Return the local date of a moment as ISO 8601."""
    return date_at(time, zone).isoformat()


def counted(number: int, noun: str) -> str:
    """Return how many of something, in English: `1 slot`, `2 slots`."""
    return f"{number:,} {noun_for(number, noun)}"


def noun_for(number: int, noun: str) -> str:
    """Return the noun as it is after a number, in English: `slot` after 1, else `slots`."""
    return noun if number == 1 else f"{noun}s"


def missing_in_words(number: int) -> str:
    """Return that slots have no reading, in English."""
    return f"{counted(number, 'slot')} {'is' if number == 1 else 'are'} missing"


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Return text of a stranger's making with nothing in it that a terminal would obey."""
    return "".join(mark if mark.isprintable() else instead for mark in text)


def dotted(version: bytes) -> str:
    """Return a package's version as people write it: `1.2`."""
    return ".".join(str(number) for number in version)


def printed_id(meter: bytes) -> str:
    """Return a meter's identification as people read it: its letters, or its bytes in hex."""
    text = meter.decode("latin-1")
    return text if text.isascii() and text.isprintable() else meter.hex()
