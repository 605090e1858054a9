# SPDX-License-Identifier: Apache-2.0
"""P1 telegrams as JSON."""

from __future__ import annotations

import re
from typing import Any, Final

from meter_codecs.p1 import (
    Damage,
    Reading,
    Telegram,
    Undeciphered,
    decode_stream,
    readings,
)
from meter_codecs.p1.ciphering import P1Keys
from meter_codecs.p1.crc import from_seven_bits

_START: Final = re.compile(rb"/[A-Za-z]{3}[^\r\n]{0,64}\r?\n")
_DATA: Final = re.compile(rb"^[0-9A-Z:.*&-]{3,20}\([^()\r\n]*\)", re.MULTILINE)


def is_p1(data: bytes) -> bool:
    """Whether bytes look like P1 or D0 in the clear: an identification, and lines of values.

    Enciphered frames do not show what is in them: see `is_sealed_p1`.
    """
    return _is_clear(data) or is_seven_bits(data)


def is_sealed_p1(data: bytes, key: bytes) -> bool:
    """Whether bytes have an enciphered frame that is P1 inside; DLMS has frames of the same kind.

    It does not say who made it: no authentication key is needed.
    """
    events = decode_stream(data, keys=P1Keys(key))
    return any(isinstance(event, Telegram) and event.ciphering for event in events)


def is_seven_bits(data: bytes) -> bool:
    """Whether bytes look like P1 or D0 of a line of seven bits that was read with eight."""
    return not data.isascii() and not _is_clear(data) and _is_clear(from_seven_bits(data))


def _is_clear(data: bytes) -> bool:
    return bool(_START.search(data)) and bool(_DATA.search(data))


def view(data: bytes, *, key: bytes | None = None, auth_key: bytes | None = None) -> dict[str, Any]:
    """Return what a capture holds; raise `EncodingError` for a key that is none.

    Without `auth_key`, the one that all meters in Luxembourg have is tried.
    """
    keys = None if key is None else P1Keys(key, auth_key)
    events = decode_stream(data, keys=keys, seven_bits=is_seven_bits(data))
    bad = sum(isinstance(event, Damage) for event in events)
    telegrams = [telegram_view(event) for event in events if not isinstance(event, Damage)]
    return {"frames": len(events) - bad, "frames_bad": bad, "telegrams": telegrams}


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
