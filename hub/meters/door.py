# SPDX-License-Identifier: Apache-2.0
"""The door by which readings come in: SML telegrams of one meter, whatever carried them.

Bytes of a capture, a serial line or a TCP peer are fed in as they come. A telegram counts only
if its frame and all its messages are intact; what is damaged is reported with its place and
reason, and never guessed at. A telegram of another meter is refused by name: somebody has
plugged in the wrong cable.

The moment of a reading is the meter's own time stamp if it sends one. Most meters send a count of
seconds instead; then it is the time of arrival, or for a capture the capture's start plus the
seconds counted since.

Errors: DoorError
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hub.meters.emulated import UNIT_WH, flags_of
from hub.readings import LARGEST_REGISTER_WH, Reading
from hub.vault import Channel
from sml_codec import GetListRes, ListEntry, Obis, StreamDecoder, Telegram, Time, TimeChoice

__all__ = ["Door", "DoorError", "LostTelegram"]

LARGEST_SCALER: Final = 9


class DoorError(Exception):
    """A telegram cannot belong to the meter that the hub is for."""


@dataclass(frozen=True, slots=True)
class LostTelegram:
    """Bytes that no reading could be taken from."""

    offset: int
    """Where it starts in the stream."""
    reason: str


@dataclass(slots=True)
class Door:
    """Turns a stream of SML bytes into the readings of one register."""

    channel: Channel
    arrival: Callable[[], int]
    """The present time in epoch seconds."""
    capture_start: int | None = None
    """When the first telegram of a capture was sent."""
    every_seconds: int = 0
    """Take at most one reading in so many seconds (0: take all)."""
    ahead_seconds: int | None = None
    """Refuse what is stamped so much later than it arrives: one such reading in an append-only
    vault would keep out all that follow. None: a file may say what it likes."""
    lost: list[LostTelegram] = field(default_factory=list)
    telegrams: int = 0
    """Intact telegrams so far."""
    _decoder: StreamDecoder = field(default_factory=StreamDecoder)
    _first_index: int | None = None
    _last_time: int | None = None

    def feed(self, data: bytes) -> list[Reading]:
        """Return the readings that `data` completes; raise `DoorError` for another meter's."""
        return self._take(self._decoder.feed(data))

    def close(self) -> list[Reading]:
        """Return what is left at the end of the stream."""
        return self._take(self._decoder.close())

    def _take(self, telegrams: list[Telegram]) -> list[Reading]:
        readings = []
        for telegram in telegrams:
            if not telegram.is_intact:
                self.lost.append(LostTelegram(telegram.frame.offset, _reason(telegram)))
                continue
            self.telegrams += 1
            reading = self._reading(telegram)
            if reading is not None and self._is_due(reading):
                self._last_time = reading.time
                readings.append(reading)
        return readings

    def _is_due(self, reading: Reading) -> bool:
        if self._last_time is None:
            return True
        if self.every_seconds == 0:
            return reading.time > self._last_time
        return reading.time // self.every_seconds > self._last_time // self.every_seconds

    def _reading(self, telegram: Telegram) -> Reading | None:
        offset, register = telegram.frame.offset, Obis(self.channel.register)
        for message in telegram.file.messages:
            body = message.body
            if not isinstance(body, GetListRes):
                continue
            if body.server_id != self.channel.meter:
                raise DoorError(
                    f"telegram at byte {offset}: of meter {body.server_id.hex()},"
                    f" this hub is for {self.channel.meter.hex()}"
                )
            for entry in body.entries:
                if entry.obis == register:
                    wh = _watt_hours(entry)
                    if wh is None or wh > LARGEST_REGISTER_WH:
                        what = "not a count of Wh" if wh is None else "beyond any meter's"
                        self.lost.append(LostTelegram(offset, f"the register is {what}"))
                        return None
                    moment = self._moment(body.sensor_time or entry.time)
                    if self._is_ahead(moment):
                        self.lost.append(LostTelegram(offset, "its clock is ahead of the hub's"))
                        return None
                    return Reading(moment, wh, flags_of(body.server_id, entry.status))
        return None

    def _is_ahead(self, moment: int) -> bool:
        return self.ahead_seconds is not None and moment > self.arrival() + self.ahead_seconds

    def _moment(self, time: Time | None) -> int:
        if time is not None and time.choice in (TimeChoice.TIMESTAMP, TimeChoice.LOCAL_TIMESTAMP):
            return int(time.seconds)
        if time is None or self.capture_start is None:
            return self.arrival()
        if self._first_index is None:
            self._first_index = int(time.seconds)
        return self.capture_start + int(time.seconds) - self._first_index


def _reason(telegram: Telegram) -> str:
    reason = getattr(telegram.frame, "reason", "")
    return str(reason or telegram.file.error or "a message in it is damaged")


def _watt_hours(entry: ListEntry) -> int | None:
    value, scaler = entry.value, entry.scaler or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    if entry.unit != UNIT_WH or abs(scaler) > LARGEST_SCALER:
        return None
    power: int = 10 ** abs(scaler)
    return int(value) * power if scaler >= 0 else int(value) // power
