# SPDX-License-Identifier: Apache-2.0
"""What a capture of a DLMS meter says, as JSON: frames, telegrams, values, dialogues."""

from __future__ import annotations

from typing import Any, Final

from dlms_codec import (
    NO_KEYS,
    UNIT_SYMBOLS,
    Damage,
    DamageKind,
    DlmsError,
    Keys,
    MalformedDlms,
    PushValue,
    StreamDecoder,
    Telegram,
    decode_apdu,
    decode_telegram,
    is_object_list,
    recognise,
)
from dlms_codec.datetimes import DateTime
from meterlet.meter_views.dlms_trees import DialogueTrees, data_tree, plain_value

_ASCII: Final = {"m³": "m3", "m³/h": "m3/h", "m³/d": "m3/d", "°C": "degC", "°": "deg", "": None}
"""Symbols as the JSON of meters writes them."""


def is_dlms(data: bytes) -> bool:
    """Return whether a capture holds frames or a message of DLMS."""
    try:
        recognise(data)
    except MalformedDlms:
        return False
    return True


def dlms_view(
    data: bytes, *, keys: Keys = NO_KEYS, system_title: bytes | None = None
) -> dict[str, Any]:
    """Return the frames and telegrams of a capture, as a tree of JSON.

    `system_title` is the sender's, for messages that do not say it. Raises `MalformedDlms` if there
    is nothing of DLMS in it.
    """
    transport = recognise(data)
    if transport is None:
        telegram = decode_telegram(data, keys=keys, system_title=system_title)
        return _view(1, 0, [telegram], keys, system_title)
    decoder = StreamDecoder(transport, keys=keys, system_title=system_title)
    events = decoder.feed(data) + decoder.close()
    bad = sum(
        isinstance(event, Damage) and event.kind is not DamageKind.INCOMPLETE for event in events
    )
    telegrams = [event for event in events if isinstance(event, Telegram)]
    return _view(decoder.frames, bad, telegrams, keys, system_title)


def _view(
    frames: int, bad: int, telegrams: list[Telegram], keys: Keys, system_title: bytes | None
) -> dict[str, Any]:
    dialogue = DialogueTrees(keys, system_title)
    views = [telegram_view(telegram, dialogue) for telegram in telegrams]
    return {"frames": frames, "frames_bad": bad, "telegrams": views}


def telegram_view(telegram: Telegram, dialogue: DialogueTrees | None = None) -> dict[str, Any]:
    """Return a telegram as a tree of JSON: a push has `values`, any other message `apdu`.

    `dialogue` has the keys, and what earlier messages of the same line told.
    """
    push = telegram.push
    view: dict[str, Any] = {
        "offset": telegram.offset,
        "protocol": "dlms",
        "meter": None,
        "time": None if push is None else _iso(push.time),
        "encrypted": telegram.protection is not None and telegram.protection.protected.encrypted,
        "authenticated": telegram.authenticated,
    }
    if telegram.protection is not None:
        protected = telegram.protection.protected
        view |= {"security": protected.control, "counter": protected.counter}
        title = getattr(telegram.protection, "system_title", b"")
        if title:
            view["system_title"] = title.hex()
    if push is not None:
        view["values"] = [value_view(entry) for entry in push.values]
        if push.profile is not None:
            view["profile"] = push.profile
        view["body"] = data_tree(push.body)
        return view
    view["values"] = None
    error: object = telegram.error
    try:
        tree = (dialogue or DialogueTrees()).of(decode_apdu(telegram.wire))
    except DlmsError as failure:
        error = failure
    else:
        view["apdu"] = tree
        error = tree.get("error") if telegram.protection is not None else None
    if error is not None:
        view["error"] = str(error)
    return view


def value_view(entry: PushValue) -> dict[str, Any]:
    """Return a value of a push as a tree of JSON."""
    meaning, value = entry.meaning, entry.value
    view: dict[str, Any] = {"obis": None if meaning.obis is None else str(meaning.obis)}
    if is_object_list(entry):
        view |= {"value": None, "type": "objects"}
    else:
        view["value"] = plain_value(value)
    view |= {"scaler": meaning.scaler, "unit": _unit(meaning.unit)}
    if meaning.index is not None:
        view["index"] = meaning.index
    if meaning.class_id is not None:
        view |= {"class": meaning.class_id, "attribute": meaning.attribute}
    if meaning.profile is not None:
        view["profile"] = meaning.profile
    time = _iso(entry.time)
    if time is not None:
        view["time"] = time
    return view


def _unit(code: int | None) -> str | None:
    if code is None:
        return None
    symbol = UNIT_SYMBOLS.get(code, f"unit {code}")
    return _ASCII.get(symbol, symbol)


def _iso(time: DateTime | None) -> str | None:
    local = None if time is None else time.local
    return None if local is None else local.isoformat()
