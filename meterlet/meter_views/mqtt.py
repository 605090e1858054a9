# SPDX-License-Identifier: Apache-2.0
"""Messages of a broker as the JSON of `meterlet meter decode`."""

from __future__ import annotations

from hub.meters.readers.mqtt import MqttReader
from hub.meters.telegrams import Heard
from meterlet.meter_views.events import Event, damage_view


class MqttCapture:
    """Reads framed messages, as the source of a broker hands them on."""

    def __init__(self) -> None:
        self._reader = MqttReader()
        self.frames = 0

    def feed(self, data: bytes) -> list[Event]:
        """Return what these bytes complete."""
        return self._shown(self._reader.feed(data))

    def close(self) -> list[Event]:
        """Return what is left at the end."""
        return self._shown(self._reader.close())

    def _shown(self, heard: Heard) -> list[Event]:
        self.frames += len(heard.telegrams)
        shown: list[Event] = [damage_view(one.offset, 0, "bad", one.reason) for one in heard.lost]
        for one in heard.telegrams:
            values = [
                {"name": "energy", "value": counted.steps, "scaler": 0, "unit": "Wh"}
                for counted in one.counted.values()
            ]
            shown.append(
                {
                    "offset": one.offset,
                    "protocol": "mqtt",
                    "meter": one.meter.decode(),
                    "time": None,
                    "encrypted": False,
                    "authenticated": None,
                    "values": values,
                }
            )
        return sorted(shown, key=lambda event: int(event["offset"]))
