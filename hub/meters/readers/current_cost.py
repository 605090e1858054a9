# SPDX-License-Identifier: Apache-2.0
"""Current Cost: a display whose sensors show power, or count the impulses of a meter.

A sensor of power has no register. Here it gets one: power times the time since the message before,
up to `LONGEST_GAP`; what was used in a longer gap is not known. It starts at 0, and goes on from
what the hub has stored where that is told (`CurrentCostReader.begin_at`). A sensor of impulses has
a register: impulses by the impulses of a kilowatt-hour.

A display tells no date. Times are those of arrival. In a capture they are its start and so many
steps for each sensor (`CurrentCostReader.replay`); where nobody has said those, there are none.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from hub.meters.readers.decoding import DecodingReader
from hub.meters.telegrams import DRAWN, Counted, Heard, LostBytes, MeterTelegram
from meter_codecs.currentcost import Damage, Message, StreamDecoder, Value

PROTOCOL: Final = "Current Cost"
LONGEST_GAP: Final = 120
"""Seconds; a sensor is heard every six."""
WATT_SECONDS: Final = 3_600
"""In a watt-hour."""
LARGEST_WATTS: Final = 100_000
"""More than a clamp measures."""
MOST_SENSORS: Final = 64
"""Of strangers that are remembered; a display has ten."""


@dataclass(slots=True)
class _Sensor:
    """What is known of a sensor of power."""

    watt_seconds: int = 0
    last: int | None = None
    watts: int = 0
    messages: int = 0


@dataclass(slots=True)
class _Sensors:
    """What is known of sensors: of the hub's, and of strangers that were heard last."""

    _begun: dict[bytes, _Sensor] = field(default_factory=dict)
    _heard: dict[bytes, _Sensor] = field(default_factory=dict)
    """The one that was heard longest ago comes first."""

    def __len__(self) -> int:
        return len(self._begun) + len(self._heard)

    def __setitem__(self, meter: bytes, sensor: _Sensor) -> None:
        self._heard.pop(meter, None)
        self._begun[meter] = sensor

    def setdefault(self, meter: bytes, new: _Sensor) -> _Sensor:
        """Return a sensor that was heard; one whose name is new makes an old one forgotten."""
        if meter in self._begun:
            return self._begun[meter]
        found = self._heard[meter] = self._heard.pop(meter, new)
        if len(self._heard) > MOST_SENSORS:
            del self._heard[next(iter(self._heard))]
        return found


@dataclass(slots=True)
class CurrentCostReader(DecodingReader[Iterable[Message | Damage]]):
    """Reads a display; `arrival` is the present time in epoch seconds."""

    arrival: Callable[[], int]
    _decoder: StreamDecoder = field(default_factory=StreamDecoder)
    _sensors: _Sensors = field(default_factory=_Sensors)
    _is_capture: bool = False
    _start: int | None = None
    _step: int | None = None

    def replay(self, start: int | None, step: int | None) -> None:
        """Read a capture: when it began, and the seconds between two messages of a sensor."""
        self._is_capture, self._start, self._step = True, start, step

    def begin_at(self, meter: bytes, watt_hours: int) -> None:
        """Let a sensor's register go on from what is stored of it."""
        self._sensors[meter] = _Sensor(watt_hours * WATT_SECONDS)

    def _heard(self, events: Iterable[Message | Damage]) -> Heard:
        heard = Heard()
        for event in events:
            if isinstance(event, Damage):
                heard.lost.append(LostBytes(event.offset, event.reason))
            elif event.is_live:
                self._take(event, heard)
        return heard

    def _take(self, message: Message, heard: Heard) -> None:
        values = message.values()
        meter = sensor_name(message).encode()
        power = [one for one in values if one.name == "power" and one.period is None]
        if power:
            now = self._moment(meter)
            watts = sum(one.value for one in power)
            if not 0 <= watts <= LARGEST_WATTS:
                heard.lost.append(LostBytes(message.offset, f"{watts} W is beyond any sensor's"))
                return
            steps = self._go_on(meter, now, watts)
        else:
            found = _impulses(values)
            if found is None:
                return
            now, steps, watts = self._moment(meter), found, 0
        heard.telegrams.append(
            MeterTelegram(
                message.offset, PROTOCOL, meter, {DRAWN: Counted(steps, 1)}, now,
                watts if power else None,
            )
        )  # fmt: skip

    def _moment(self, meter: bytes) -> int | None:
        """Return when a sensor's next message was sent; None where nobody knows."""
        if not self._is_capture:
            return self.arrival()
        if self._start is None or self._step is None:
            return None
        sensor = self._sensors.setdefault(meter, _Sensor())
        sensor.messages += 1
        return self._start + self._step * (sensor.messages - 1)

    def _go_on(self, meter: bytes, now: int | None, watts: int) -> int:
        """Return the register of a sensor of power, after the time since the message before."""
        sensor = self._sensors.setdefault(meter, _Sensor())
        if now is None:
            return sensor.watt_seconds // WATT_SECONDS
        if sensor.last is not None and 0 < now - sensor.last <= LONGEST_GAP:
            sensor.watt_seconds += sensor.watts * (now - sensor.last)
        if sensor.last is None or now > sensor.last:
            sensor.last, sensor.watts = now, watts
        return sensor.watt_seconds // WATT_SECONDS


def sensor_name(message: Message) -> str:
    """Return by what a sensor is known: the display's number for it, and its own if it has one."""
    number = message.sensor or 0
    own = message.radio_id
    return f"current cost sensor {number}" + (f" id {own}" if own else "")


def _impulses(values: Iterable[Value]) -> int | None:
    """Return the register of a sensor of impulses in watt-hours."""
    found = {one.name: one.value for one in values}
    count, each = found.get("impulses"), found.get("impulses per unit")
    if count is None or not each:
        return None
    return count * 1000 // each
