# SPDX-License-Identifier: Apache-2.0
"""M-Bus on a wire, and radio frames of wireless M-Bus: meters of gas, water, heat, electricity."""

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

from hub.meters.readers.decoding import DecodingReader
from hub.meters.readers.radio_frames import Cut, FrameCutter
from hub.meters.telegrams import (
    COLD,
    COLD_WATER,
    DRAWN,
    FED_IN,
    GAS,
    HEAT,
    HOT_WATER,
    IN_CLEAR,
    OTHER_KEY,
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
from meter_codecs.mbus import (
    NO_KEYS,
    Damage,
    DamageKind,
    Event,
    FixedData,
    FormatMemory,
    FragmentJoiner,
    Function,
    KeyRing,
    LongFrame,
    MbusError,
    Received,
    Record,
    StreamDecoder,
    Telegram,
    decode_link,
    read_wired,
    read_wireless,
)
from protocols.metrology import Medium

PROTOCOL: Final = "M-Bus"
RADIO: Final = "wireless M-Bus"
NOW: Final = 0
"""The storage number of what is shown now."""
MEDIA: Final = {
    0x02: DRAWN,
    0x03: GAS,
    0x04: HEAT,
    0x06: HOT_WATER,
    0x07: COLD_WATER,
    0x0A: COLD,
    0x0B: COLD,
    0x0C: HEAT,
    0x0D: HEAT,
    0x15: HOT_WATER,
    0x16: COLD_WATER,
}
"""What a meter of each device type counts (EN 13757-7, table 13)."""
_SCALES: Final = frozenset({0x00, *range(0x70, 0x78), 0x7D})
"""VIFEs that are no more than a factor, or say that there was no error."""
_BACKWARD: Final = 0x3C
_REGISTERS: Final = frozenset({0x3B, 0x3E})
"""VIFEs of a register all the same: of forward flow alone, and at base conditions. What has any
other is an increment, a limit, a duration or the maker's own."""
_FIXED: Final = {
    "electricity": DRAWN,
    "gas": GAS,
    "heat": HEAT,
    "hot water": HOT_WATER,
    "water": COLD_WATER,
    "cold water": COLD_WATER,
}


class WiredReader(DecodingReader[Iterable[Event]]):
    """Reads what meters on a bus answer."""

    def __init__(self, zone: tzinfo, keys: KeyRing = NO_KEYS) -> None:
        self._zone, self._keys, self._counters = zone, keys, Counters()
        self._decoder, self._formats = StreamDecoder(), FormatMemory()

    def _heard(self, events: Iterable[Event]) -> Heard:
        heard = Heard()
        for event in events:
            match event:
                case Damage(kind=kind):
                    if kind is not DamageKind.NOISE:
                        heard.lost.append(LostBytes(event.offset, event.reason))
                case Received(frame=LongFrame() as frame):
                    telegram = read_wired(frame, keys=self._keys, formats=self._formats)
                    if why := _untrusted(telegram, self._keys, self._counters):
                        heard.lost.append(LostBytes(event.offset, why))
                    else:
                        _take(heard, telegram, event.offset, PROTOCOL, self._zone)
                case _:
                    pass
        return heard


class RadioReader(DecodingReader[Cut]):
    """Reads radio frames, in pieces of any size, as bytes or as a receiver's lines."""

    def __init__(self, zone: tzinfo, keys: KeyRing = NO_KEYS) -> None:
        self._zone, self._keys, self._formats = zone, keys, FormatMemory()
        self._decoder, self._joiner, self._counters = FrameCutter(), FragmentJoiner(), Counters()

    def _heard(self, cut: Cut) -> Heard:
        heard = Heard(lost=cut.lost)
        for offset, wire in cut.frames:
            try:
                frame = self._joiner.add(decode_link(wire))
            except MbusError as error:
                heard.lost.append(LostBytes(offset, str(error)))
                continue
            if frame is None:
                continue  # more of the message follows
            telegram = read_wireless(frame, keys=self._keys, formats=self._formats)
            if why := _untrusted(telegram, self._keys, self._counters):
                heard.lost.append(LostBytes(offset, why, _name(telegram)))
            else:
                _take(heard, telegram, offset, RADIO, self._zone)
        return heard


def _untrusted(telegram: Telegram, keys: KeyRing, counters: Counters) -> str:
    """Return why a telegram that can be read is not believed; nothing if it is."""
    if telegram.error is not None:
        return ""
    if isinstance(telegram.content, FixedData):  # never enciphered
        return "" if keys.find_number(telegram.content.number) is None else IN_CLEAR
    if telegram.meter is None or (key := keys.find(telegram.meter)) is None:
        return ""
    if not telegram.is_encrypted:
        return IN_CLEAR
    if telegram.key is not key:
        return OTHER_KEY
    meter = str(telegram.meter).encode()
    return "" if counters.follows(meter, telegram.counter) else SEEN_BEFORE


def _name(telegram: Telegram) -> bytes:
    return b"" if telegram.meter is None else str(telegram.meter).encode()


def _take(heard: Heard, telegram: Telegram, offset: int, protocol: str, zone: tzinfo) -> None:
    if telegram.error is not None:
        whose = _name(telegram) if protocol == RADIO else b""
        heard.lost.append(LostBytes(offset, str(telegram.error), whose))
        return
    content, meter = telegram.content, telegram.meter
    if isinstance(content, FixedData):
        found = gathered(_fixed(content))
        name = content.number
    elif meter is not None:
        found = gathered(_records(telegram, MEDIA.get(meter.device_type)))
        name = str(meter)
    else:
        return
    mark = None if telegram.key is None else key_mark(telegram.key)
    time = _time(telegram, zone)
    heard.telegrams.append(
        MeterTelegram(offset, protocol, name.encode(), found, time, key_mark=mark)
    )


def _records(
    telegram: Telegram, counts: Quantity | None
) -> Iterator[tuple[Quantity, Counted | None]]:
    """Yield what the records of the present say: others are of past days, or extremes.

    A gas meter may have its last hour alone, in another memory, and when that was beside it.
    """
    if counts is None:
        return
    medium = Medium(counts.medium)
    name = "volume" if medium.counts_volume else "energy"
    memory = _memory(telegram, name)
    # A meter may send what it fed in before what it drew, and a part of a total before the total.
    for one in sorted(telegram.records, key=lambda one: bool(_qualities(one))):
        if one.name != name or one.storage != memory or one.function is not Function.INSTANTANEOUS:
            continue
        if one.subunit or one.is_invalid or one.scaler is None:
            continue
        what = _of_direction(counts, _qualities(one))
        if what is not None and isinstance(one.value, int | float):
            quantity = what._replace(e=one.tariff)
            yield quantity, counted(Decimal(one.value), one.scaler, one.unit, medium)


def _qualities(record: Record) -> frozenset[int]:
    """Return the VIFEs that say more of a value than its scale."""
    return frozenset(record.head.extensions) - _SCALES


def _of_direction(counts: Quantity, qualities: frozenset[int]) -> Quantity | None:
    """Return what a value counts that has these VIFEs; None where it is no register."""
    if qualities <= _REGISTERS:
        return counts
    return FED_IN if counts == DRAWN and qualities == {_BACKWARD} else None


def _memory(telegram: Telegram, name: str) -> int:
    """Return the number of the memory that is read: that of the present, or the only dated one."""
    memories = {one.storage for one in telegram.records if one.name == name}
    dated = {one.storage for one in telegram.records if one.name == "date-time"}
    if NOW in memories or len(memories) != 1 or not memories <= dated:
        return NOW
    return memories.pop()


def _fixed(content: FixedData) -> Iterator[tuple[Quantity, Counted | None]]:
    counts = _FIXED.get(content.medium)
    if counts is None:
        return
    medium = Medium(counts.medium)
    name = "volume" if medium.counts_volume else "energy"
    for one in content.counters:
        if one.quantity.name == name and one.storage == NOW and one.value is not None:
            yield counts, counted(one.value, one.quantity.scaler, one.quantity.unit, medium)


def _time(telegram: Telegram, zone: tzinfo) -> int | None:
    memories = {_memory(telegram, name) for name in ("volume", "energy")}
    memory = max(memories)
    for one in telegram.records:
        if one.name == "date-time" and one.storage == memory and isinstance(one.value, datetime):
            return epoch_seconds(one.value, zone)
    return None
