# SPDX-License-Identifier: Apache-2.0
"""One message of a Current Cost display.

    <msg><src>CC128-v0.11</src><dsb>00003</dsb><time>09:44:48</time><tmpr>19.8</tmpr>
    <sensor>0</sensor><id>00077</id><type>1</type><ch1><watts>02474</watts></ch1></msg>

That is CC128 and EnviR; the Classic (CC02) has `date` and `src` in parts. Use of past hours, days,
months and years is in `hist`. There is no date: `dsb` counts the days since the display was made,
or reset. There is no checksum either: all that can be checked is that tags nest and that numbers
are numbers.

Decoding loses nothing: `encode` gives the bytes that came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from meter_codecs.currentcost.errors import EncodingError, MalformedMessage
from meter_codecs.currentcost.layout import Layout, layout_of

_NUMBER: Final = re.compile(r"[ \t]*([+-]?)(\d{0,15})(?:\.(\d{1,9}))?[ \t]*", re.ASCII).fullmatch
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)", re.ASCII).fullmatch
_BLANKS: Final = str.maketrans("", "", " \t\r\n")
_UNITS: Final = {"kwhr": "kWh", "kwh": "kWh", "whr": "Wh", "wh": "Wh"}


class Value(NamedTuple):
    """One number: a whole number times a power of ten in a unit."""

    name: str
    value: int
    scaler: int
    unit: str | None
    sensor: int | None = None
    channel: int | None = None
    """Which clamp of the sensor: 1 to 3."""
    period: str | None = None
    """`h`, `d`, `m` or `y`: use of an hour (or two), a day, a month, a year."""
    age: int | None = None
    """How many of these ago."""

    @property
    def scaled(self) -> Decimal:
        """The number in its unit, exactly."""
        return Decimal(f"{self.value}E{self.scaler}")


@dataclass(frozen=True, slots=True)
class Message:
    """What a display sends at once; `offset` is where it begins in its stream."""

    layout: Layout = field(repr=False)
    texts: tuple[str, ...]
    offset: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.layout.size != len(self.texts):
            raise EncodingError("a message has one text for each tag")

    def encode(self) -> bytes:
        """Return the message, from `<msg>` to `</msg>`."""
        text = self.layout.template % self.texts
        try:
            data = text.encode("ascii")
            read_message(data)
        except (UnicodeEncodeError, MalformedMessage) as error:
            raise EncodingError(f"not a message: {error}") from error
        return data

    def text(self, *paths: str) -> str | None:
        """Return the text of the first of `paths` (as `date/dsb`) that is there, or None."""
        at = self.layout.index_of(*paths)
        return None if at is None else self.texts[at]

    @property
    def source(self) -> str | None:
        """Which display it is, and of which version: `CC128-v0.11`, `CC02 v1.06`."""
        name, version = self.text("src/name"), self.text("src/sver")
        return self.text("src") if name is None else f"{name} v{version}" if version else name

    @property
    def days(self) -> int | None:
        """The days since the display was made or reset."""
        return _whole(self.text("dsb", "date/dsb"))

    @property
    def clock(self) -> str | None:
        """The time of the display's clock; which day it is, it does not know."""
        time = self.text("time")
        if time is not None:
            return time
        parts = [_whole(self.text(f"date/{tag}")) for tag in ("hr", "min", "sec")]
        return None if None in parts else ":".join([f"{part:02}" for part in parts])

    @property
    def sensor(self) -> int | None:
        """The sensor of a live message: 0 is the whole house, others are appliances."""
        sensor = _whole(self.text("sensor"))
        return 0 if sensor is None and self.is_live else sensor

    @property
    def radio_id(self) -> str | None:
        """The number that the sensor gave itself when it was paired."""
        return self.text("id", "src/id")

    @property
    def is_history(self) -> bool:
        """Whether it has use of the past."""
        return any(slot.period for slot in self.layout.slots)

    @property
    def is_live(self) -> bool:
        """Whether it has power or impulses of the moment."""
        return any(slot.name in {"power", "impulses"} for slot in self.layout.slots)

    def values(self) -> list[Value]:
        """Return all values: the temperature, then the others in the order sent."""
        texts = self.texts
        found = []
        for slot in self.layout.slots:
            text = texts[slot.at]
            value, scaler = (int(text), 0) if text.isdecimal() else _scaled(text)
            sensor: int | None = None
            if slot.name != "temperature":
                sensor = 0 if slot.sensor_at is None else int(texts[slot.sensor_at])
            unit = slot.unit
            if slot.unit_at is not None:
                unit = _UNITS.get(texts[slot.unit_at].lower(), texts[slot.unit_at])
            found.append(
                Value(slot.name, value, scaler, unit, sensor, slot.channel, slot.period, slot.age)
            )
        return found


def _scaled(text: str) -> tuple[int, int]:
    match = _NUMBER(text)
    assert match is not None  # `read_message` has looked at it
    sign, whole, digits = match.groups()
    digits = digits or ""
    return int(f"{sign}{whole}{digits}"), -len(digits)


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)


def read_message(data: bytes, *, offset: int = 0) -> Message:
    """Return the message that fills `data` exactly; raise `MalformedMessage` for anything else."""
    text = data.decode("latin-1")
    pieces = text.replace(">", "<").split("<")
    layout = layout_of(tuple(pieces[1::2]))
    texts = tuple(pieces[2::2])
    # Equal only if brackets opened and closed in turn, and nothing was before the first.
    if len(texts) != layout.size or layout.template % texts != text:
        raise MalformedMessage("brackets do not open and close in turn")
    if "&" in text or not (text.isascii() and (text.isprintable() or _is_plain(text))):
        raise MalformedMessage("characters that no display sends")
    blanks = "".join(layout.between(texts))
    if blanks and blanks.translate(_BLANKS):
        raise MalformedMessage(f"text between tags: {blanks.strip()[:20]!r}")
    for path, at in layout.numbers:
        number = texts[at]
        if not ((number.isdecimal() and len(number) < 16) or _is_number(path, number)):
            raise MalformedMessage(f"<{path.rpartition('/')[2]}> is no number: {number[:20]!r}")
    time = layout.clock_at
    if time is not None and _CLOCK(texts[time]) is None:
        raise MalformedMessage(f"<time> is no time: {texts[time][:20]!r}")
    return Message(layout, texts, offset)


def _is_plain(text: str) -> bool:
    return text.translate(_BLANKS).isprintable()


def _is_number(path: str, text: str) -> bool:
    """Whether a text is a number; counts and numbers of sensors are whole and have no sign."""
    match = _NUMBER(text)
    if match is None or not (match[2] or match[3]):
        return False
    tag = path.rpartition("/")[2]
    if tag in {"tmpr", "tmprF", "watts"} or path.startswith("hist/"):
        return True
    return not match[1] and match[3] is None
