# SPDX-License-Identifier: Apache-2.0
"""The meters behind a P1 port: gas, water, heat and others, each on an M-Bus channel.

    0-1:24.1.0(003)                                 channel 1 is gas
    0-1:96.1.0(4730303339303031373030343630313137)  and its identification, as hex
    0-1:24.2.1(181106140010W)(01569.646*m3)         its last reading

A channel moves when a meter is changed, and the old one stays with its last reading: a channel is
dead when it has no reading, no time, or one that is long past.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from meter_codecs.p1.moments import HOUR
from meter_codecs.p1.readings import Reading, readings
from meter_codecs.p1.telegram import Telegram

LONG_PAST: Final = timedelta(days=3)
"""How old the last reading of a live meter may be; water is read once a day, at times later."""

_OF_CHANNEL: Final = re.compile(r"0-([1-9]\d?):(.*)", re.ASCII).fullmatch
_REGISTER: Final = re.compile(r"24\.2\.\d{1,3}(\*255)?", re.ASCII).fullmatch


class Medium(enum.Enum):
    """What a meter measures, by its device type (EN 13757-3, table of media)."""

    ELECTRICITY = "electricity"
    GAS = "gas"
    HEAT = "heat"
    HOT_WATER = "hot water"
    WATER = "water"
    COOLING = "cooling"
    OTHER = "other"


_MEDIA: Final = {
    2: Medium.ELECTRICITY,
    3: Medium.GAS,
    4: Medium.HEAT,
    6: Medium.HOT_WATER,
    7: Medium.WATER,
    10: Medium.COOLING,
    11: Medium.COOLING,
    12: Medium.HEAT,
    13: Medium.HEAT,
    21: Medium.HOT_WATER,
    22: Medium.WATER,
}


@dataclass(frozen=True, slots=True)
class Channel:
    """One meter behind the port."""

    number: int
    device_type: int | None
    identification: str
    """Which meter it is, as people read it."""
    reading: Reading | None
    """Its last reading; 24.2.3 is a gas volume that is not corrected for temperature."""
    is_dead: bool

    @property
    def medium(self) -> Medium | None:
        """What it measures; None where the telegram does not say."""
        if self.device_type is None:
            return None
        return _MEDIA.get(self.device_type, Medium.OTHER)


def channels(
    telegram: Telegram, *, winter: timedelta = HOUR, long_past: timedelta = LONG_PAST
) -> list[Channel]:
    """Return the channels of a telegram, by number."""
    every = readings(telegram, winter=winter)
    by_number: dict[int, list[tuple[str, Reading]]] = {}
    for reading in every:
        match = _OF_CHANNEL(reading.obis)
        if match is not None:
            by_number.setdefault(int(match[1]), []).append((match[2], reading))
    now = next((r for r in every if r.obis in {"0-0:1.0.0", "0-0:1.0.0*255"}), None)
    return [_channel(n, by_number[n], now, long_past) for n in sorted(by_number)]


def _channel(
    number: int,
    found: Sequence[tuple[str, Reading]],
    now: Reading | None,
    long_past: timedelta,
) -> Channel:
    codes = {code.removesuffix("*255"): reading for code, reading in found}
    kind = codes.get("24.1.0")
    device_type = None
    if kind is not None and isinstance(kind.value, str) and re.fullmatch("[0-9]{1,3}", kind.value):
        device_type = int(kind.value)
    identity = next((codes[c] for c in ("96.1.0", "96.1.1") if c in codes), None)
    registers = [reading for code, reading in found if _REGISTER(code)]
    reading = registers[-1] if registers else None
    return Channel(
        number,
        device_type,
        text_of(str(identity.value)) if identity is not None else "",
        reading,
        _is_dead(reading, now, long_past),
    )


def _is_dead(reading: Reading | None, now: Reading | None, long_past: timedelta) -> bool:
    if reading is None or reading.scaler is None or reading.time is None:
        return True
    if now is None or now.time is None:
        return False  # DSMR 2 and 3 do not say what time it is
    time = reading.time if reading.time.tzinfo else reading.time.replace(tzinfo=now.time.tzinfo)
    return now.time - time > long_past


_NUMBER_CODES: Final = (
    "0-0:96.1.1", "0-0:42.0.0", "0-0:96.1.0", "1-0:0.0.0", "0-0:96.1.255", "0-0:C.1.0", "0.0.0",
    "C.1", "C.1.0", "9.21",
)  # fmt: skip


def meter_number(telegram: Telegram) -> str | None:
    """Return the number of the meter whose port this is, as people read it; None if it says none.

    Where a telegram has several, it is the first in the order in which countries use them: DSMR,
    Luxembourg, Hungary, then IEC 62056-21.
    """
    found = {line.code.removesuffix("*255"): line for line in reversed(telegram.lines)}
    for code in _NUMBER_CODES:
        line = found.get(code)
        if line is not None and line.values and line.values[0]:
            return text_of(line.values[0])
    return None


def text_of(hexadecimal: str) -> str:
    """Return the text that hexadecimal digits stand for; what stands for none is left as it is."""
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", hexadecimal):
        return hexadecimal
    text = bytes.fromhex(hexadecimal).decode("latin-1")
    return text.strip() if text.isascii() and text.isprintable() else hexadecimal
