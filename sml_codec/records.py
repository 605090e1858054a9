# SPDX-License-Identifier: Apache-2.0
"""Values as plain records, ready for JSON, and back.

    {"obis": "1-0:1.8.0*255", "value": 40508, "type": "int", "size": 5, "scaler": -1, "unit": 30,
     "status": 8, "time": [1, 1982288]}

`value` is the raw number before scaling, true or false, an octet string as lower-case hex, a list,
or null where the meter sent none; `type` is `uint`, `int`, `octets`, `bool`, `list` or null; `size`
the bytes of an integer on the wire. `status`, `time`, `signature` and `corrected` are there only if
the meter sent (or the decoder corrected) them. A time is [choice, seconds], with the offsets of a
local timestamp [3, [seconds, offset, season]]; where the meter leaves the choice out, so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sml_codec.elements import Element
from sml_codec.errors import EncodingError
from sml_codec.messages import (
    ListEntry,
    PeriodEntry,
    Time,
    TimeChoice,
    Value,
    time_choice,
    value_kind,
)
from sml_codec.numbers import INTEGERS, UNSIGNEDS, SizedInt, sized
from sml_codec.obis import Obis

SmlRecord: TypeAlias = dict[str, object]


def record_of(entry: ListEntry | PeriodEntry) -> SmlRecord:
    """Return an entry as a record."""
    kind, size = value_kind(entry.value)
    record: SmlRecord = {"obis": str(entry.obis), "value": _plain(entry.value), "type": kind}
    if size is not None:
        record["size"] = size
    record["scaler"] = entry.scaler
    record["unit"] = entry.unit
    if isinstance(entry, ListEntry):
        if entry.status is not None:
            record["status"] = entry.status
        if entry.time is not None:
            record["time"] = _plain_time(entry.time)
        if entry.corrected is not None:
            record["corrected"] = entry.corrected
    if entry.signature is not None:
        record["signature"] = entry.signature.hex()
    return record


def entry_of(record: Mapping[str, object]) -> ListEntry:
    """Return the entry of a record; `corrected` is not on the wire, and is passed over.

    Raises `EncodingError` if it is not a record that `record_of` could have returned.
    """
    try:
        return ListEntry(
            obis=Obis.parse(str(record["obis"])),
            status=_optional_int(record.get("status")),
            time=_time(record.get("time")),
            unit=_optional_int(record.get("unit")),
            scaler=_optional_int(record.get("scaler")),
            value=_value(record["value"], record.get("type"), record.get("size")),
            signature=_optional_octets(record.get("signature")),
        )
    except (KeyError, TypeError, ValueError, IndexError) as reason:
        raise EncodingError(f"not a record of a value: {reason!r}") from None


def _plain(element: Element) -> object:
    if isinstance(element, bytes):
        return element.hex()
    if isinstance(element, tuple):
        return [_plain(child) for child in element]
    if isinstance(element, SizedInt):
        return int(element)
    return element


def _plain_time(time: Time) -> object:
    seconds: object = time.seconds
    if time.local_offset is not None:
        seconds = [time.seconds, time.local_offset, time.season_offset]
    return seconds if time.choice is None else [int(time.choice), seconds]


def _value(value: object, kind: object, size: object) -> Value:
    match kind, value:
        case None, None:
            return None
        case "bool", bool():
            return value
        case "octets", str():
            return bytes.fromhex(value)
        case "uint" | "int", int():
            signed = kind == "int"
            if isinstance(size, int) and 1 <= size <= 8:
                return (INTEGERS if signed else UNSIGNEDS)[size - 1](value)
            return sized(value, signed=signed)
        case "list", list():
            return tuple(_element(child) for child in value)
    raise ValueError(f"{value!r} is no value of type {kind!r}")


def _element(value: object) -> Element:
    match value:
        case None | bool() | int():
            return value
        case str():
            return bytes.fromhex(value)
        case list():
            return tuple(_element(child) for child in value)
    raise ValueError(f"{value!r} is no element")


def _time(time: object) -> Time | None:
    match time:
        case None:
            return None
        case int() | [int(), int(), int()]:
            return _chosen(None, time)
        case [int() as choice, chosen]:
            return _chosen(time_choice(choice), chosen)
    raise ValueError(f"{time!r} is no time")


def _chosen(choice: TimeChoice | int | None, chosen: object) -> Time:
    match chosen:
        case int():
            return Time(choice, chosen)
        case [int() as seconds, int() as local, int() as season]:
            return Time(choice, seconds, local, season)
    raise ValueError(f"{chosen!r} is no time")


def _optional_int(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{value!r} is no integer")


def _optional_octets(value: object) -> bytes | None:
    return None if value is None else bytes.fromhex(str(value))
