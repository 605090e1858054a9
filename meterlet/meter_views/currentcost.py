# SPDX-License-Identifier: Apache-2.0
"""Current Cost messages as JSON."""

from __future__ import annotations

from typing import Any

from meter_codecs.currentcost import Damage, Message, Value, decode_stream


def is_currentcost(data: bytes) -> bool:
    """Whether bytes look like the messages of a Current Cost display."""
    return b"<msg>" in data or b"</watts></ch" in data


def view(data: bytes) -> dict[str, Any]:
    """Return what a capture holds."""
    events = decode_stream(data)
    messages = [event for event in events if isinstance(event, Message)]
    return {
        "frames": len(messages),
        "frames_bad": sum(isinstance(event, Damage) for event in events),
        "telegrams": [message_view(message) for message in messages],
    }


def message_view(message: Message) -> dict[str, Any]:
    """Return one message; a display has a clock and counts days, but knows no date."""
    kinds = [("live", message.is_live), ("history", message.is_history)]
    return {
        "offset": message.offset,
        "protocol": "currentcost",
        "meter": message.source,
        "time": None,
        "encrypted": False,
        "authenticated": None,
        "clock": message.clock,
        "days": message.days,
        "sensor": message.sensor,
        "id": message.radio_id,
        "kind": " and ".join([name for name, has in kinds if has]),
        "values": [value_view(value) for value in message.values()],
    }


def value_view(value: Value) -> dict[str, Any]:
    """Return one value; keys that say nothing are left out."""
    view: dict[str, Any] = {
        "name": value.name,
        "value": value.value,
        "scaler": value.scaler,
        "unit": value.unit,
    }
    facets = {
        "sensor": value.sensor,
        "channel": value.channel,
        "period": value.period,
        "age": value.age,
    }
    return view | {key: facet for key, facet in facets.items() if facet is not None}
