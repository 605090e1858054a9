# SPDX-License-Identifier: Apache-2.0
"""Current Cost messages as JSON."""

from __future__ import annotations

from typing import Any

from meter_codecs.currentcost import Event as CurrentCostEvent
from meter_codecs.currentcost import Message, StreamDecoder, Value
from meterlet.meter_views.events import DecodedCapture, Event, damage_view, whole


class CurrentCostCapture(DecodedCapture[list[CurrentCostEvent]]):
    """Reads a stream of messages."""

    def __init__(self) -> None:
        self._decoder = StreamDecoder()

    def _shown(self, events: list[CurrentCostEvent]) -> list[Event]:
        self.frames += sum(isinstance(event, Message) for event in events)
        return [
            message_view(event)
            if isinstance(event, Message)
            else damage_view(event.offset, event.length, event.kind.value, event.reason)
            for event in events
        ]


def view(data: bytes) -> dict[str, Any]:
    """Return what a capture holds."""
    return whole(CurrentCostCapture(), data)


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
