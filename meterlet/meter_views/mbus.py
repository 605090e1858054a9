# SPDX-License-Identifier: Apache-2.0
"""M-Bus and wireless M-Bus as the JSON of `meterlet meter decode`."""

from __future__ import annotations

from datetime import date, time
from typing import Any, Final, TypeAlias

from hub.meters.readers.radio_frames import Cut, FrameCutter
from hub.meters.recognition import is_wired, is_wireless
from meter_codecs.mbus import (
    Body,
    ChecksumMismatch,
    CutOff,
    Damage,
    FixedData,
    FormatMemory,
    KeyRing,
    LongFrame,
    MbusError,
    MeterKey,
    Record,
    StreamDecoder,
    Telegram,
    decode_link,
    read_wired,
    read_wireless,
)
from meter_codecs.mbus import Event as MbusEvent
from meterlet.meter_views.events import DecodedCapture, Event, damage_view, fault_of, whole

Json: TypeAlias = dict[str, Any]
LONGEST_RADIO_FRAME: Final = 512


class WiredCapture(DecodedCapture[list[MbusEvent]]):
    """Reads a stream of M-Bus frames.

    `formats` remembers what compact frames need, from one capture to the next.
    """

    def __init__(self, keys: KeyRing, formats: FormatMemory | None = None) -> None:
        self._keys, self._formats = keys, formats or FormatMemory()
        self._decoder = StreamDecoder()

    def _shown(self, events: list[MbusEvent]) -> list[Event]:
        shown: list[Event] = []
        for event in events:
            if isinstance(event, Damage):
                kind = event.kind.value
                shown.append(damage_view(event.offset, event.length, kind, event.reason))
                continue
            self.frames += 1
            if isinstance(event.frame, LongFrame):
                telegram = read_wired(event.frame, keys=self._keys, formats=self._formats)
                shown.append(telegram_view(telegram, event.offset))
        return shown


class WirelessCapture:
    """Reads one radio frame; the end of the stream is its end."""

    def __init__(self, keys: KeyRing, formats: FormatMemory | None = None) -> None:
        self._keys, self._formats = keys, formats or FormatMemory()
        self._frame = bytearray()
        self.frames = 0

    def feed(self, data: bytes) -> list[Event]:
        """Keep these bytes: only their end says that the frame is whole."""
        self._frame += data[: LONGEST_RADIO_FRAME - len(self._frame)]
        return []

    def close(self) -> list[Event]:
        """Return what the frame says."""
        data = bytes(self._frame)
        self._frame.clear()
        try:
            frame = decode_link(data)
        except MbusError as error:
            kind = "checksum" if isinstance(error, ChecksumMismatch) else "bad"
            kind = "truncated" if isinstance(error, CutOff) else kind
            return [damage_view(0, len(data), kind, str(error))]
        self.frames += 1
        return [telegram_view(read_wireless(frame, keys=self._keys, formats=self._formats), 0)]


class RadioCapture(DecodedCapture[Cut]):
    """Reads what a receiver hands on: frames one after the other, or a line for each."""

    def __init__(self, keys: KeyRing, formats: FormatMemory | None = None) -> None:
        self._keys, self._formats = keys, formats or FormatMemory()
        self._decoder = FrameCutter()

    def _shown(self, cut: Cut) -> list[Event]:
        shown = [damage_view(one.offset, 0, "noise", one.reason) for one in cut.lost]
        for offset, wire in cut.frames:
            capture = WirelessCapture(self._keys, self._formats)
            capture.feed(wire)
            shown += [event | {"offset": offset} for event in capture.close()]
            self.frames += capture.frames
        return sorted(shown, key=lambda event: int(event["offset"]))


def view(
    data: bytes,
    *,
    key: bytes | None = None,
    keys: KeyRing | None = None,
    formats: FormatMemory | None = None,
) -> Json:
    """Return what a capture holds; raise `EncodingError` for a key that is none.

    `key` is that of all meters; `keys` are those of several.
    """
    ring = keys or KeyRing(default=None if key is None else MeterKey(key))
    is_radio = is_wireless(data) and not is_wired(data)
    return whole((WirelessCapture if is_radio else WiredCapture)(ring, formats), data)


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
        shown |= {"error": str(telegram.error), "fault": fault_of(telegram.error)}
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
