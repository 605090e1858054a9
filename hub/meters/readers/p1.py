# SPDX-License-Identifier: Apache-2.0
"""P1: the electricity meter, and each meter behind its port as one of its own."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Final

from hub.meters.readers.decoding import DecodingReader
from hub.meters.telegrams import (
    COLD,
    COLD_WATER,
    DRAWN,
    GAS,
    HEAT,
    HOT_WATER,
    IN_CLEAR,
    NO_TAG,
    SEEN_BEFORE,
    Counted,
    Counters,
    Heard,
    LostBytes,
    MeterTelegram,
    Quantity,
    counted,
    epoch_seconds,
    gathered,
    key_mark,
)
from meter_codecs.p1 import (
    Channel,
    Damage,
    Event,
    Medium,
    Reading,
    StreamDecoder,
    Telegram,
    Undeciphered,
    channels,
    readings,
)
from meter_codecs.p1.channels import text_of
from meter_codecs.p1.ciphering import P1Keys
from protocols.metrology import medium_of

PROTOCOL: Final = "P1"
CLOCK: Final = "0-0:1.0.0"
IDENTIFICATIONS: Final = (
    "0-0:96.1.1",
    "0-0:96.1.0",
    "1-0:96.1.0",
    "0-0:42.0.0",
    "1-0:0.0.0",
    "0.0.0",
)
_CODE: Final = re.compile(r"(?:(\d{1,3})-(\d{1,3}):)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_BEHIND: Final = {
    Medium.GAS: GAS,
    Medium.WATER: COLD_WATER,
    Medium.HOT_WATER: HOT_WATER,
    Medium.HEAT: HEAT,
    Medium.COOLING: COLD,
    Medium.ELECTRICITY: DRAWN,
}


class P1Reader(DecodingReader[Iterable[Event]]):
    """Reads a P1 port or a readout; `zone` is where its clock hangs."""

    def __init__(
        self, zone: tzinfo, keys: P1Keys | None = None, *, seven_bits: bool = False
    ) -> None:
        self._zone, self._keys, self._counters = zone, keys, Counters()
        self._mark = None if keys is None else key_mark(keys.enciphering)
        self._decoder = StreamDecoder(keys=keys, seven_bits=seven_bits)

    def _heard(self, events: Iterable[Event]) -> Heard:
        heard = Heard()
        for event in events:
            match event:
                case Damage() | Undeciphered():
                    heard.lost.append(LostBytes(event.offset, event.reason))
                case Telegram():
                    if why := self._untrusted(event):
                        heard.lost.append(LostBytes(event.offset, why))
                    else:
                        heard.telegrams += self._telegrams(event)
        return heard

    def _untrusted(self, telegram: Telegram) -> str:
        """Return why a telegram is not believed; nothing if it is."""
        if self._keys is None:
            return ""
        seal = telegram.ciphering
        if seal is None:
            return IN_CLEAR
        if self._keys.authentication is not None and not seal.is_authenticated:
            return NO_TAG
        return "" if self._counters.follows(seal.system_title, seal.counter) else SEEN_BEFORE

    def _telegrams(self, telegram: Telegram) -> list[MeterTelegram]:
        every = readings(telegram)
        by_code = {one.obis.removesuffix("*255"): one for one in every if one.of is None}
        clock = by_code.get(CLOCK)
        now = None if clock is None else self._seconds(clock.time)
        identity = next((by_code[code] for code in IDENTIFICATIONS if code in by_code), None)
        meter = text_of(str(identity.value)) if identity is not None else telegram.identification
        found = [
            MeterTelegram(
                telegram.offset, PROTOCOL, meter.encode(), _counted(every), now,
                key_mark=self._mark,  # in clear it would not have been believed
            )
        ]  # fmt: skip
        found += [
            one
            for channel in channels(telegram)
            if not channel.is_dead and (one := self._behind(channel, telegram.offset, now))
        ]
        return found

    def _behind(self, channel: Channel, offset: int, now: int | None) -> MeterTelegram | None:
        """Return what a meter behind the port says; it is read at times of its own."""
        quantity = None if channel.medium is None else _BEHIND.get(channel.medium)
        reading = channel.reading
        if quantity is None or reading is None or reading.scaler is None:
            return None
        one = _value(reading, quantity)
        if one is None:
            return None
        time = self._seconds(reading.time)
        meter = channel.identification or f"channel {channel.number}"
        return MeterTelegram(
            offset, PROTOCOL, meter.encode(), {quantity: one}, time or now, key_mark=self._mark
        )

    def _seconds(self, time: datetime | None) -> int | None:
        return None if time is None else epoch_seconds(time, self._zone)


def _counted(every: Sequence[Reading]) -> dict[Quantity, Counted]:
    return gathered(
        (quantity, _value(one, quantity))
        for one in every
        if one.of is None
        and one.position is None
        and one.scaler is not None
        and (quantity := _quantity(one.obis)) is not None
    )


def _quantity(code: str) -> Quantity | None:
    """Return what a code of the electricity meter's own counts: others have a channel in B."""
    match = _CODE.fullmatch(code.removesuffix("*255"))
    if match is None or match[1] not in (None, "1"):
        return None
    return Quantity(1, int(match[3]), int(match[4]), int(match[5]))


def _value(reading: Reading, quantity: Quantity) -> Counted | None:
    assert reading.scaler is not None
    assert isinstance(reading.value, int)
    medium = medium_of(bytes([quantity.medium]))
    return counted(reading.value, reading.scaler, reading.unit, medium)
