# SPDX-License-Identifier: Apache-2.0
"""Readings come in: SML telegrams of one meter, whatever carried them.

Bytes of a capture, a serial line or a TCP peer are fed in as they come. A telegram counts only
if its frame and all its messages are intact; what is damaged is reported with its place and
reason, and never guessed at. A telegram of another meter is refused by name: somebody has
plugged in the wrong cable. Where the hub is for several registers, a telegram counts only if one
of its lists has them all: a readout is of one moment.

The moment of a reading is the meter's own time stamp if it sends one. Most meters send a count of
seconds instead; then it is the time of arrival, or for a capture the capture's start plus the
seconds counted since.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hub.errors import HubError
from hub.meters.emulated import UNIT_WH, flags_of
from hub.readings import LARGEST_REGISTER_WH, Reading, Readout
from sml_codec import GetListRes, ListEntry, Obis, StreamDecoder, Telegram, Time, TimeChoice

LARGEST_SCALER: Final = 9


class SmlIntakeError(HubError):
    """A telegram cannot belong to the meter that the hub is for."""


class _Unusable(Exception):
    """An intact telegram that no readout can be taken from."""


@dataclass(frozen=True, slots=True)
class LostTelegram:
    """Bytes that no reading could be taken from."""

    offset: int
    """Where it starts in the stream."""
    reason: str


@dataclass(slots=True)
class SmlIntake:
    """Turns a stream of SML bytes into what the registers of one meter showed."""

    meter: bytes
    """The meter's identification."""
    registers: Sequence[bytes]
    """The OBIS codes of those of its registers that the hub is for."""
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

    def feed(self, data: bytes) -> list[Readout]:
        """Return the readouts that `data` completes; raise `SmlIntakeError` for another meter's."""
        return self._take(self._decoder.feed(data))

    def close(self) -> list[Readout]:
        """Return what is left at the end of the stream."""
        return self._take(self._decoder.close())

    def _take(self, telegrams: list[Telegram]) -> list[Readout]:
        readouts = []
        for telegram in telegrams:
            if not telegram.is_intact:
                self.lost.append(LostTelegram(telegram.frame.offset, _reason(telegram)))
                continue
            self.telegrams += 1
            try:
                readout = self._readout(telegram)
            except _Unusable as unusable:
                self.lost.append(LostTelegram(telegram.frame.offset, str(unusable)))
                continue
            if readout is not None and self._is_due(readout):
                self._last_time = readout.time
                readouts.append(readout)
        return readouts

    def _is_due(self, readout: Readout) -> bool:
        if self._last_time is None:
            return True
        if self.every_seconds == 0:
            return readout.time > self._last_time
        return readout.time // self.every_seconds > self._last_time // self.every_seconds

    def _readout(self, telegram: Telegram) -> Readout | None:
        """Return what a telegram says of the registers; None where it says nothing of them."""
        offset, lacks_some = telegram.frame.offset, False
        for message in telegram.file.messages:
            body = message.body
            if not isinstance(body, GetListRes):
                continue
            if body.server_id != self.meter:
                raise SmlIntakeError(
                    f"telegram at byte {offset}: of meter {body.server_id.hex()},"
                    f" this hub is for {self.meter.hex()}"
                )
            entries = {
                register: entry
                for register in self.registers
                if (entry := _entry(body, register)) is not None
            }
            if len(entries) == len(self.registers):
                return self._read(body, entries)
            lacks_some = lacks_some or bool(entries)
        if lacks_some:
            raise _Unusable("it has some of the registers only")
        return None

    def _read(self, body: GetListRes, entries: Mapping[bytes, ListEntry]) -> Readout:
        times = [entry.time for entry in entries.values()]
        if body.sensor_time is None and any(time != times[0] for time in times):
            raise _Unusable("its registers were not read at one moment")
        moment = self._moment(body.sensor_time or times[0])
        return Readout(
            {register: self._reading(body, entry, moment) for register, entry in entries.items()}
        )

    def _reading(self, body: GetListRes, entry: ListEntry, moment: int) -> Reading:
        wh = _watt_hours(entry)
        if wh is None or wh > LARGEST_REGISTER_WH:
            what = "not a count of Wh" if wh is None else "beyond any meter's"
            raise _Unusable(f"the register is {what}")
        if self._is_ahead(moment):
            raise _Unusable("its clock is ahead of the hub's")
        return Reading(moment, wh, flags_of(body.server_id, entry.status))

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


def _entry(body: GetListRes, register: bytes) -> ListEntry | None:
    return next((entry for entry in body.entries if entry.obis == Obis(register)), None)


def _watt_hours(entry: ListEntry) -> int | None:
    value, scaler = entry.value, entry.scaler or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    if entry.unit != UNIT_WH or abs(scaler) > LARGEST_SCALER:
        return None
    power: int = 10 ** abs(scaler)
    return int(value) * power if scaler >= 0 else int(value) // power
