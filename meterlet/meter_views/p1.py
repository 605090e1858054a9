# SPDX-License-Identifier: Apache-2.0
"""P1 telegrams as JSON."""

from __future__ import annotations

from typing import Any

from hub.meters.recognition import is_seven_bits
from meter_codecs.p1 import Damage, Reading, StreamDecoder, Telegram, Undeciphered, readings
from meter_codecs.p1 import Event as P1Event
from meter_codecs.p1.ciphering import P1Keys
from meterlet.meter_views.events import (
    MALFORMED,
    NO_KEY,
    WRONG_AUTH_KEY,
    WRONG_KEY,
    DecodedCapture,
    Event,
    damage_view,
    whole,
)


class P1Capture(DecodedCapture[list[P1Event]]):
    """Reads a stream of P1 or D0; without `auth_key`, the one of all of Luxembourg is tried.

    Raises `EncodingError` for a key that is none.
    """

    def __init__(
        self, key: bytes | None = None, auth_key: bytes | None = None, *, seven_bits: bool = False
    ) -> None:
        self._has_key = key is not None
        keys = None if key is None else P1Keys(key, auth_key)
        self._decoder = StreamDecoder(keys=keys, seven_bits=seven_bits)

    def _shown(self, events: list[P1Event]) -> list[Event]:
        return [self._event(event) for event in events]

    def _event(self, event: P1Event) -> Event:
        if isinstance(event, Damage):
            return damage_view(event.offset, event.length, event.kind.value, event.reason)
        self.frames += 1
        view = telegram_view(event)
        if isinstance(event, Undeciphered):
            view["fault"] = self._fault(event)
        return view

    def _fault(self, event: Undeciphered) -> str:
        if not self._has_key:
            return NO_KEY
        if event.reason.startswith("the authentication key"):
            return WRONG_AUTH_KEY
        return WRONG_KEY if event.reason.startswith("the enciphering key") else MALFORMED


def view(data: bytes, *, key: bytes | None = None, auth_key: bytes | None = None) -> dict[str, Any]:
    """Return what a capture holds; raise `EncodingError` for a key that is none."""
    return whole(P1Capture(key, auth_key, seven_bits=is_seven_bits(data)), data)


def telegram_view(event: Telegram | Undeciphered) -> dict[str, Any]:
    """Return one telegram; one that stays closed has no values and says why."""
    view: dict[str, Any] = {"offset": event.offset, "protocol": "p1", "meter": None, "time": None}
    if isinstance(event, Undeciphered):
        envelope = event.envelope
        return view | {
            "encrypted": True,
            "authenticated": False if event.is_forged else None,
            "system_title": envelope.system_title.hex(),
            "counter": envelope.counter,
            "values": None,
            "error": event.reason,
        }
    found = readings(event)
    clock = next((r.time for r in found if r.obis.removesuffix("*255") == "0-0:1.0.0"), None)
    view |= {
        "meter": event.identification,
        "time": clock.isoformat() if clock and clock.tzinfo else None,
        "encrypted": event.ciphering is not None,
        "authenticated": event.ciphering.is_authenticated if event.ciphering else None,
    }
    if event.ciphering:
        view["system_title"] = event.ciphering.system_title.hex()
        view["counter"] = event.ciphering.counter
    view["values"] = [value_view(reading) for reading in found]
    if event.unreadable:
        view["unreadable"] = [event.lines[i].text for i in event.unreadable]
    return view


def value_view(reading: Reading) -> dict[str, Any]:
    """Return one value; keys that say nothing are left out."""
    view: dict[str, Any] = {
        "obis": reading.obis,
        "value": reading.value,
        "scaler": reading.scaler,
        "unit": reading.unit,
    }
    if reading.time is not None:
        view["time"] = reading.time.isoformat()
    if reading.event_time is not None:
        view["event_time"] = reading.event_time.isoformat()
    if reading.of is not None:
        view["of"] = reading.of
    if reading.position is not None:
        view["index"] = reading.position
    return view
