# SPDX-License-Identifier: Apache-2.0
"""Times in files: ISO 8601, days in other orders, clocks of twelve hours, seconds since 1970.

`01/03/2025` is the first of March or the third of January. One number above 12 in the column tells;
where none does, the file is ambiguous and an option has to say (`--time-format`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from hub.meters.files.errors import ReplayError, wrong_line

YEARS: Final = range(1971, 2106)
"""What 32 bits of seconds hold, whatever the zone."""
DAY_FIRST, MONTH_FIRST = "day first", "month first"
_SECONDS: Final = re.compile(r"\d{9,10}(?:\.\d{1,9})?", re.ASCII)
_MILLISECONDS: Final = re.compile(r"\d{12,13}(?:\.\d{1,9})?", re.ASCII)
_DATE: Final = (
    r"(?:(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"
    r"|(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?P=mark)(?P<late>\d{4}|\d{2}))"
)
_TIME: Final = (
    r"(?P<hours>\d{1,2})[:.h](?P<minutes>\d{2})(?:[:.](?P<seconds>\d{2})(?:[.,]\d{1,9})?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_OFFSET: Final = r"(?:\s*(?P<offset>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_WRITTEN: Final = re.compile(rf"{_DATE}(?:(?:[T_]|,?\s+){_TIME}{_OFFSET})?", re.ASCII)
_CLOCK: Final = re.compile(_TIME, re.ASCII)
_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})[ T]?(\d{2})(\d{2})(\d{2})?", re.ASCII)
_DAY: Final = timedelta(days=1)


def is_time_of_day(text: str) -> bool:
    """Tell whether a cell is a time without a day."""
    return bool(_CLOCK.fullmatch(text.strip()))


def clock_minutes(text: str) -> int | None:
    """Return the minutes since midnight that a cell such as `13:30` or `1:30 PM` says."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None or match["seconds"] not in (None, "00"):
        return None
    try:
        hours, minutes = _hours(match), int(match["minutes"])
    except ValueError:
        return None
    return 60 * hours + minutes if minutes < 60 and 60 * hours + minutes <= 24 * 60 else None


def day_order(cells: Iterable[str]) -> str | None:
    """Return whether days or months come first; None where cells do not tell.

    Raises `ValueError` where they contradict each other.
    """
    firsts, seconds = 0, 0
    dotted = True
    for cell in cells:
        match = _WRITTEN.match(cell.strip())
        if match is None or match["first"] is None:
            continue
        dotted = dotted and match["mark"] == "."
        firsts, seconds = max(firsts, int(match["first"])), max(seconds, int(match["second"]))
    if firsts > 12 and seconds > 12:
        raise ValueError("neither its days nor its months come first")
    if seconds > 12:
        return MONTH_FIRST
    return DAY_FIRST if firsts > 12 or dotted else None


def needs_order(cell: str) -> bool:
    """Tell whether a cell's day and month could be swapped."""
    match = _WRITTEN.match(cell.strip())
    return match is not None and match["first"] is not None and match["mark"] != "."


def parse_written(text: str, order: str = DAY_FIRST) -> datetime:
    """Return a time as a cell says it; raise `ValueError` if it is none."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text.partition(".")[0]), UTC)
    if _MILLISECONDS.fullmatch(text) and not _is_compact(text):
        return datetime.fromtimestamp(int(text.partition(".")[0]) // 1000, UTC)
    if compact := _COMPACT.fullmatch(text):
        return datetime(*(int(part or 0) for part in compact.groups()))  # type: ignore[arg-type]
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return datetime.fromisoformat(text)
    if match["year"]:
        year, month, day = int(match["year"]), int(match["month"]), int(match["day"])
    else:
        year = int(match["late"]) + (2000 if len(match["late"]) == 2 else 0)
        month, day = int(match["second"]), int(match["first"])
        if order == MONTH_FIRST and match["mark"] != ".":
            month, day = day, month
    if match["hours"] is None:
        return datetime(year, month, day)
    hours = _hours(match)
    minutes, seconds = int(match["minutes"]), int(match["seconds"] or 0)
    if (hours, minutes, seconds) == (24, 0, 0):
        return _with_offset(datetime(year, month, day) + _DAY, match["offset"])
    return _with_offset(datetime(year, month, day, hours, minutes, seconds), match["offset"])


def _is_compact(text: str) -> bool:
    return len(text) == 12 and 1971 <= int(text[:4]) <= 2105


def _hours(match: re.Match[str]) -> int:
    hours = int(match["hours"])
    if match["half"] is None:
        return hours
    if not 1 <= hours <= 12:
        raise ValueError("not an hour of a clock of twelve")
    return hours % 12 + (12 if match["half"] in "pP" else 0)


def _with_offset(moment: datetime, offset: str | None) -> datetime:
    if offset is None:
        return moment
    if not offset.startswith(("+", "-")):
        return moment.replace(tzinfo=UTC)
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = 60 * int(digits[:2]) + int(digits[2:])
    return moment.replace(
        tzinfo=timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
    )


@dataclass(slots=True)
class SeenClock:
    """What a file's times have said of their clock so far."""

    assumed: str | None = None
    """The clock that times without an offset were read on, where nobody said one."""
    home: str | None = None
    """The home's clock, where such a time is another moment on it."""

    def lines(self) -> Iterator[str]:
        """Yield what a user is told."""
        if self.home is not None:
            yield (
                f"times without an offset are read as {self.assumed}; if they are those of the"
                f" home's clock, say --zone {self.home}"
            )


@dataclass(frozen=True, slots=True)
class TimeReader:
    """Turns cells into seconds since 1970."""

    path: Path
    zone: ZoneInfo
    """The clock of times without an offset of their own."""
    pattern: str | None = None
    """How times are written: `epoch`, `epoch-ms`, or directives such as %d.%m.%Y %H:%M."""
    order: str = DAY_FIRST
    seen: SeenClock = field(default_factory=SeenClock)
    """Is told what the times say of their clock."""
    home: ZoneInfo | None = None
    """The home's clock, where nobody has said which clock is the file's."""

    def moment(self, number: int, text: str, previous: int | None) -> int:
        """Return a line's time; of the hour that a clock repeats, the one after `previous`."""
        moment = self._parsed(number, text)
        if moment.year not in YEARS:
            raise self._wrong(number, f"{text} is not within {YEARS[0]} to {YEARS[-1]}")
        if moment.tzinfo is not None:
            return int(moment.timestamp())
        local = moment.replace(tzinfo=self.zone)
        seconds = int(local.timestamp())
        if datetime.fromtimestamp(seconds, UTC).astimezone(self.zone).replace(
            tzinfo=None
        ) != moment.replace(microsecond=0):
            raise self._wrong(number, f"{text} does not exist on the clock of {self.zone.key}")
        if self.home is not None:
            self.seen.assumed = self.zone.key
            if int(moment.replace(tzinfo=self.home).timestamp()) != seconds:
                self.seen.home = self.home.key
        # The repeated hour of an autumn night: what would run backwards is its second pass.
        if previous is not None and seconds <= previous:
            seconds = int(local.replace(fold=1).timestamp())
        return seconds

    def _parsed(self, number: int, text: str) -> datetime:
        try:
            match self.pattern:
                case None:
                    return parse_written(text, self.order)
                case "epoch":
                    return datetime.fromtimestamp(_whole(text), UTC)
                case "epoch-ms":
                    return datetime.fromtimestamp(_whole(text) // 1000, UTC)
                case pattern:
                    return datetime.strptime(text.strip(), pattern)
        except (ValueError, OverflowError, OSError):
            pass
        said = "an ISO 8601 time" if self.pattern is None else f"a time as {self.pattern}"
        way = "; say --time-format" if self.pattern is None else ""
        raise self._wrong(number, f"{text[:40]!r} is not {said}{way}")

    def _wrong(self, number: int, what: str) -> ReplayError:
        return wrong_line(self.path, number, what)


def _whole(text: str) -> int:
    text = text.strip()
    if not re.fullmatch(r"\d{1,14}(?:\.\d{1,9})?", text, re.ASCII):
        raise ValueError(text)
    return int(text.partition(".")[0])
