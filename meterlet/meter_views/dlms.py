# SPDX-License-Identifier: Apache-2.0
"""What a capture of a DLMS meter says, as JSON: frames, telegrams, values, dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dlms_codec import (
    NO_KEYS,
    UNIT_SYMBOLS,
    Damage,
    DlmsError,
    Keys,
    PushValue,
    StreamDecoder,
    Telegram,
    Transport,
    decode_apdu,
    decode_telegram,
    is_object_list,
    recognise,
)
from dlms_codec.datetimes import DateTime
from meterlet.meter_views.dlms_trees import DialogueTrees, data_tree, plain_value
from meterlet.meter_views.events import MALFORMED, Event, damage_view, fault_of, whole

_ASCII: Final = {"m³": "m3", "m³/h": "m3/h", "m³/d": "m3/d", "°C": "degC", "°": "deg", "": None}
"""Symbols as the JSON of meters writes them."""
LONGEST_MESSAGE: Final = 1 << 20


class DlmsCapture:
    """Reads a stream of frames, or with no transport one message that ends with the stream.

    `system_title` is the sender's, for messages that do not say it.
    """

    def __init__(
        self,
        transport: Transport | None,
        keys: Keys = NO_KEYS,
        system_title: bytes | None = None,
    ) -> None:
        self._keys, self._title = keys, system_title
        self._decoder: StreamDecoder | None = None
        if transport is not None:
            self._decoder = StreamDecoder(transport, keys=keys, system_title=system_title)
        self._dialogue = DialogueTrees(keys, system_title)
        self._message = bytearray()

    @property
    def frames(self) -> int:
        """Whole frames so far; one message without a frame is one."""
        return 1 if self._decoder is None else self._decoder.frames

    def feed(self, data: bytes) -> list[Event]:
        """Return what these bytes complete."""
        if self._decoder is not None:
            return self._shown(self._decoder.feed(data))
        self._message += data[: LONGEST_MESSAGE - len(self._message)]
        return []

    def close(self) -> list[Event]:
        """Return what is left at the end."""
        if self._decoder is not None:
            return self._shown(self._decoder.close())
        message = bytes(self._message)
        return self._shown([decode_telegram(message, keys=self._keys, system_title=self._title)])

    def _shown(self, events: Sequence[Telegram | Damage]) -> list[Event]:
        return [
            damage_view(event.offset, event.length, event.kind.value, event.reason)
            if isinstance(event, Damage)
            else telegram_view(event, self._dialogue)
            for event in events
        ]


def dlms_view(
    data: bytes, *, keys: Keys = NO_KEYS, system_title: bytes | None = None
) -> dict[str, Any]:
    """Return the frames and telegrams of a capture, as a tree of JSON.

    Raises `MalformedDlms` if there is nothing of DLMS in it.
    """
    return whole(DlmsCapture(recognise(data), keys, system_title), data)


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
        known = error if isinstance(error, Exception) else telegram.error
        view["fault"] = MALFORMED if known is None else fault_of(known)
    return view


def value_view(entry: PushValue) -> dict[str, Any]:
    """Return a value of a push as a tree of JSON."""
    meaning, value = entry.meaning, entry.value
    view: dict[str, Any] = {"obis": None if meaning.obis is None else str(meaning.obis)}
    if is_object_list(entry):
        view |= {"value": None, "type": "objects"}
    else:
        view["value"] = plain_value(value)
    view |= {"scaler": meaning.scaler, "unit": unit_text(meaning.unit)}
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


def unit_text(code: int | None) -> str | None:
    """Return the symbol of a unit, as the JSON of meters writes it."""
    if code is None:
        return None
    symbol = UNIT_SYMBOLS.get(code, f"unit {code}")
    return _ASCII.get(symbol, symbol)


def _iso(time: DateTime | None) -> str | None:
    local = None if time is None else time.local
    return None if local is None else local.isoformat()
