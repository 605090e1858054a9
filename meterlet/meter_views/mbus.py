# SPDX-License-Identifier: Apache-2.0
"""M-Bus and wireless M-Bus as the JSON of `meterlet meter decode`."""

from __future__ import annotations

from datetime import date, time
from typing import Any, TypeAlias

from meter_codecs.mbus import (
    Body,
    ChecksumMismatch,
    Damage,
    DamageKind,
    FixedData,
    FormatMemory,
    KeyRing,
    LongFrame,
    MbusError,
    MeterKey,
    Received,
    Record,
    Telegram,
    decode_link,
    decode_stream,
    manufacturer_text,
    read_wired,
    read_wireless,
)

Json: TypeAlias = dict[str, Any]


def is_wired(data: bytes) -> bool:
    """Whether these bytes begin like a long frame of M-Bus with values, or hold an intact one.

    Below CI 20 there is DLMS, which M-Bus only carries.
    """
    if len(data) > 6 and data[0] == data[3] == 0x68 and data[1] == data[2]:
        return data[1] >= 3 and data[6] > 0x1F
    return any(
        isinstance(event, Received) and isinstance(event.frame, LongFrame) and event.frame.ci > 0x1F
        for event in decode_stream(data)
    )


_CONTROLS = frozenset(
    {0x06, 0x08, 0x18, 0x28, 0x38, 0x40, 0x43, 0x44, 0x46, 0x47, 0x48, 0x53, 0x73}
)
"""The control bytes of a radio link that carry values, or ask for a meter to be installed."""


def is_wireless(data: bytes) -> bool:
    """Whether these bytes are one frame of wireless M-Bus, or would be if its checksums held."""
    start = 2 if data[:2] in (b"\x54\xcd", b"\x54\x3d") and len(data) != 0x55 else 0
    if len(data) < start + 11 or data[start + 1] not in _CONTROLS:
        return False
    if not manufacturer_text(data[start + 2] | data[start + 3] << 8).isalpha():
        return False
    try:
        decode_link(data)
    except ChecksumMismatch:
        return True
    except MbusError:
        return False
    return True


def is_mbus(data: bytes) -> bool:
    """Whether these bytes are M-Bus with values, wired or wireless."""
    return is_wired(data) or is_wireless(data)


def view(
    data: bytes,
    *,
    key: bytes | None = None,
    keys: KeyRing | None = None,
    formats: FormatMemory | None = None,
) -> Json:
    """Return what a capture holds; raise `EncodingError` for a key that is none.

    `key` is that of all meters; `keys` are those of several. `formats` remembers what compact
    frames need, from one capture to the next.
    """
    ring = keys or KeyRing(default=None if key is None else MeterKey(key))
    memory = formats or FormatMemory()
    if is_wireless(data) and not is_wired(data):
        return _view_wireless(data, ring, memory)
    return _view_wired(data, ring, memory)


def _view_wired(data: bytes, keys: KeyRing, formats: FormatMemory) -> Json:
    frames, damage, telegrams = 0, [], []
    for event in decode_stream(data):
        if isinstance(event, Damage):
            if event.kind is not DamageKind.NOISE:
                damage.append(_damage(event.offset, event.reason))
            continue
        frames += 1
        if isinstance(event.frame, LongFrame):
            telegram = read_wired(event.frame, keys=keys, formats=formats)
            telegrams.append(telegram_view(telegram, event.offset))
    return _shown(frames, damage, telegrams)


def _view_wireless(data: bytes, keys: KeyRing, formats: FormatMemory) -> Json:
    try:
        frame = decode_link(data)
    except MbusError as error:
        return _shown(0, [_damage(0, str(error))], [])
    return _shown(1, [], [telegram_view(read_wireless(frame, keys=keys, formats=formats), 0)])


def _damage(offset: int, reason: str) -> Json:
    return {"offset": offset, "reason": reason}


def _shown(frames: int, damage: list[Json], telegrams: list[Json]) -> Json:
    shown: Json = {"frames": frames, "frames_bad": len(damage), "telegrams": telegrams}
    return shown | {"damage": damage} if damage else shown


def telegram_view(telegram: Telegram, offset: int) -> Json:
    """Return one telegram; one that cannot be read has no values and says why."""
    protocol = "m-bus" if isinstance(telegram.frame, LongFrame) else "wm-bus"
    shown: Json = {"offset": offset, "protocol": protocol, "meter": _meter(telegram), "time": None}
    shown["encrypted"] = telegram.is_encrypted
    shown["authenticated"] = telegram.is_authenticated
    if telegram.meter is not None:
        shown |= {
            "manufacturer": telegram.meter.manufacturer,
            "id": telegram.meter.number,
            "version": telegram.meter.version,
            "medium": telegram.meter.medium,
        }
    if telegram.ci is not None:
        shown["ci"] = telegram.ci
    if telegram.header is not None:
        shown |= {"access": telegram.header.access, "status": telegram.header.status}
        shown["mode"] = telegram.header.mode
    if telegram.counter is not None:
        shown["counter"] = telegram.counter
    shown["values"] = _values(telegram)
    if isinstance(telegram.content, Body):
        if telegram.content.own_data is not None:
            shown["manufacturer_data"] = telegram.content.own_data.hex()
        if telegram.content.more_follows:
            shown["more"] = True
    if telegram.error is not None:
        shown["error"] = str(telegram.error)
    return shown


def _meter(telegram: Telegram) -> str | None:
    if isinstance(telegram.content, FixedData):
        return telegram.content.number
    return str(telegram.meter) if telegram.meter else None


def _values(telegram: Telegram) -> list[Json] | None:
    match telegram.content:
        case FixedData() as fixed:
            return [
                {
                    "name": counter.quantity.name,
                    "storage": counter.storage,
                    "value": counter.value,
                    "scaler": None if counter.value is None else counter.quantity.scaler,
                    "unit": counter.quantity.unit,
                }
                for counter in fixed.counters
            ]
        case Body() as body:
            return [value_view(record) for record in body.records]
        case None:
            return None


def value_view(record: Record) -> Json:
    """Return one value, as sent, before scaling."""
    value = record.value
    if isinstance(value, date | time):
        value = value.isoformat()
    shown = {
        "name": record.name,
        "storage": record.storage,
        "tariff": record.tariff,
        "subunit": record.subunit,
        "function": record.function.value,
        "value": value,
        "scaler": record.scaler,
        "unit": record.unit,
    }
    if record.head.extensions:
        shown["vife"] = record.head.extensions.hex()
    return shown
