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

In a stream or a file each message is framed, its lengths in big-endian bytes:

    length of the topic (2) | length of the payload (4) | topic (UTF-8) | payload
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from hub.meters.telegrams import DRAWN, Counted, Heard, LostBytes, MeterTelegram, counted
from protocols.canonical.foreign_text import ForeignTextRefused, read_json
from protocols.metrology import Medium

PROTOCOL: Final = "MQTT"
LARGEST_PAYLOAD: Final = 16_384
LONGEST_TOPIC: Final = 256
DEEPEST: Final = 8
WATT_MINUTES: Final = 60
"""In a watt-hour."""
LONGEST_NUMBER: Final = 64
"""Letters of a number; no device sends more."""
_HEAD: Final = struct.Struct(">HI")
_NO_NUMBER: Final = Decimal("NaN")
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


def framed(topic: str, payload: bytes) -> bytes:
    """Return a message as `MqttReader.feed` takes it."""
    name = topic.encode()
    return _HEAD.pack(len(name), len(payload)) + name + payload


def is_framed(data: bytes) -> bool:
    """Whether bytes begin with a framed message of a topic that is read."""
    if len(data) < _HEAD.size:
        return False
    name_size, size = _HEAD.unpack_from(data)
    name = data[_HEAD.size : _HEAD.size + name_size]
    if not 0 < name_size == len(name) <= LONGEST_TOPIC or size > LARGEST_PAYLOAD:
        return False
    topic = name.decode("ascii", "replace")
    return any(one.fullmatch(topic) for one in (_TASMOTA, _SHELLY, _SHELLY_OLD))


@dataclass(slots=True)
class MqttReader:
    """Reads framed messages; what is too long is passed over, and never held in memory."""

    _buffer: bytearray = field(default_factory=bytearray)
    _offset: int = 0
    """Where the buffer begins in the stream."""
    _passing: int = 0
    """Bytes of a message that is too long, still to come."""

    def feed(self, data: bytes) -> Heard:
        """Return what the messages say that these bytes complete."""
        heard = Heard()
        self._buffer += data
        while self._pass_on() and len(self._buffer) >= _HEAD.size:
            name_size, size = _HEAD.unpack_from(self._buffer)
            whole = _HEAD.size + name_size + size
            if name_size > LONGEST_TOPIC or size > LARGEST_PAYLOAD:
                heard.lost.append(
                    LostBytes(self._offset, f"a message of {whole} bytes is more than any device's")
                )
                self._passing = whole
                continue
            if len(self._buffer) < whole:
                break
            message = bytes(self._buffer[_HEAD.size : whole])
            self._passing = whole
            _take(heard, message[:name_size], message[name_size:], self._offset)
        return heard

    def close(self) -> Heard:
        """Tell of a message that was cut off."""
        heard = Heard()
        if self._buffer or self._passing:
            heard.lost.append(LostBytes(self._offset, "a message is cut off"))
            self._buffer.clear()
        return heard

    def _pass_on(self) -> bool:
        """Pass over bytes that are done with; tell whether all of them were there."""
        passed = min(self._passing, len(self._buffer))
        del self._buffer[:passed]
        self._offset += passed
        self._passing -= passed
        return not self._passing


def _take(heard: Heard, name: bytes, payload: bytes, offset: int) -> None:
    """Read a message; of other topics, nothing."""
    try:
        topic = name.decode()
    except UnicodeDecodeError:
        return
    if not topic.isprintable():
        return
    try:
        found = _read(topic, payload)
    except _Unreadable as reason:
        heard.lost.append(LostBytes(offset, f"{topic[:60]}: {reason}", meter_of(topic)))
        return
    if found is not None:
        meter, steps = found
        heard.telegrams.append(MeterTelegram(offset, PROTOCOL, meter.encode(), {DRAWN: steps}))


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


def meter_of(topic: str) -> bytes:
    """Return whose topic it is, of those that are read; nothing of others."""
    for pattern in (_TASMOTA, _SHELLY, _SHELLY_OLD):
        if match := pattern.fullmatch(topic):
            return "/".join(match.groups()[:2]).encode()
    return b""


def _json(payload: bytes) -> Mapping[str, Any]:
    if len(payload) > LARGEST_PAYLOAD:
        raise _Unreadable(f"{len(payload)} bytes are more than such a device sends")
    if payload.count(b"{") + payload.count(b"[") > LARGEST_PAYLOAD // DEEPEST:
        raise _Unreadable("nested too deep")
    try:
        members = read_json(
            payload, parse_float=_number, parse_int=_number, parse_constant=_no_constant
        )
    except ForeignTextRefused:
        raise _Unreadable("not JSON") from None
    if not isinstance(members, dict):
        raise _Unreadable("not a JSON object")
    return members


def _number(text: str) -> Decimal:
    """Return a number; one that is too long, or beyond all decimals, is not a number."""
    if len(text) > LONGEST_NUMBER:
        return _NO_NUMBER
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NO_NUMBER


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _decimal(value: object) -> Decimal:
    if not isinstance(value, Decimal):
        raise _Unreadable("its energy is no number")
    return value


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
