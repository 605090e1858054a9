# SPDX-License-Identifier: Apache-2.0
"""MQTT: plugs and sub-meters that publish what they count, as Shelly and Tasmota do.

    Tasmota         tele/<device>/SENSOR        {"ENERGY": {"Total": 12.345, "Power": 60}}
    Shelly, new     <device>/status/switch:0    {"aenergy": {"total": 12345.6}, "apower": 60.1}
                    <device>/status/em1data:0   {"total_act_energy": 12345.67}
                    <device>/status/emdata:0    {"total_act": 12345.67}
    Shelly, old     shellies/<device>/relay/0/energy     740736     (watt-minutes)
                    shellies/<device>/emeter/0/total     12345.6    (watt-hours)

A message is a topic and a payload. The meter is the topic without its last word: a device with
several relays is several meters. Numbers are read as decimals, not as floats.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from hub.meters.telegrams import DRAWN, Counted, Heard, LostBytes, MeterTelegram, counted
from protocols.metrology import Medium

PROTOCOL: Final = "MQTT"
LARGEST_PAYLOAD: Final = 16_384
LONGEST_TOPIC: Final = 256
DEEPEST: Final = 8
WATT_MINUTES: Final = 60
"""In a watt-hour."""
_NUMBER: Final = re.compile(r"\d{1,18}(?:\.\d{1,9})?", re.ASCII)
_TASMOTA: Final = re.compile(r"tele/(.+)/SENSOR")
_SHELLY: Final = re.compile(r"(.+)/status/((?:switch|em1data|emdata|pm1|cover):\d{1,2})")
_SHELLY_OLD: Final = re.compile(
    r"shellies/(.+)/((?:relay|emeter|light|roller)/\d{1,2})/(energy|total)"
)
TOPICS: Final = ("tele/+/SENSOR", "+/status/#", "shellies/+/+/+/energy", "shellies/+/+/+/total")
"""What to subscribe to."""
_TOTALS: Final = (("aenergy", "total"), ("total_act_energy",), ("total_act",))
"""Where a newer Shelly has its watt-hours."""


class MqttReader:
    """Reads messages, each fed whole (`take`)."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, topic: str, payload: bytes) -> Heard:
        """Return what a message says; of other topics, nothing."""
        heard, number = Heard(), self._count
        self._count += 1
        if len(topic) > LONGEST_TOPIC or not topic.isprintable():
            return heard
        try:
            found = _read(topic, payload)
        except _Unreadable as reason:
            heard.lost.append(LostBytes(number, f"{topic[:60]}: {reason}"))
            return heard
        if found is not None:
            meter, steps = found
            heard.telegrams.append(MeterTelegram(number, PROTOCOL, meter.encode(), {DRAWN: steps}))
        return heard


class _Unreadable(Exception):
    """A message of a known topic says nothing that is understood."""


def _read(topic: str, payload: bytes) -> tuple[str, Counted] | None:
    if match := _TASMOTA.fullmatch(topic):
        energy = _json(payload).get("ENERGY")
        if not isinstance(energy, Mapping):
            return None  # a sensor that measures something else
        return match[1], _steps(_decimal(energy.get("Total")), 0, "kWh")
    if match := _SHELLY.fullmatch(topic):
        members = _json(payload)
        for path in _TOTALS:
            value: Any = members
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None:
                return f"{match[1]}/{match[2]}", _steps(_decimal(value), 0, "Wh")
        return None
    if match := _SHELLY_OLD.fullmatch(topic):
        number = _text_number(payload)
        name = f"{match[1]}/{match[2]}"
        if match[3] == "total":
            return name, _steps(number, 0, "Wh")
        return name, Counted(int(number) // WATT_MINUTES, 1)
    return None


def _json(payload: bytes) -> Mapping[str, Any]:
    if len(payload) > LARGEST_PAYLOAD:
        raise _Unreadable(f"{len(payload)} bytes are more than such a device sends")
    if payload.count(b"{") + payload.count(b"[") > LARGEST_PAYLOAD // DEEPEST:
        raise _Unreadable("nested too deep")
    try:
        members = json.loads(payload, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _Unreadable("not JSON") from None
    if not isinstance(members, dict):
        raise _Unreadable("not a JSON object")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _Unreadable("its energy is no number")
    return Decimal(value)


def _text_number(payload: bytes) -> Decimal:
    text = payload[:32].decode("ascii", "replace").strip()
    if not _NUMBER.fullmatch(text):
        raise _Unreadable("its energy is no number")
    return Decimal(text)


def _steps(number: Decimal, scaler: int, unit: str) -> Counted:
    found = counted(number, scaler, unit, Medium.ELECTRICITY)
    if found is None:
        raise _Unreadable("its energy is below 0, or beyond any device's")
    return Counted(found.steps, 1)
