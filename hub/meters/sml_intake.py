# SPDX-License-Identifier: Apache-2.0
"""Readings come in: SML telegrams of one meter, whatever carried them.

Bytes of a capture, a serial line or a TCP peer are fed in as they come. A telegram counts only
if its frame and all its messages are intact; what is damaged is reported with its place and
reason, and never guessed at. An intact one that does not follow from what is known is set aside
(`hub.meters.admission`). So is a telegram of another meter: somebody has plugged in the wrong
cable, or the meter was exchanged. Where the hub is for several registers, a telegram counts only if
one of its lists has them all: a readout is of one moment.

The moment of a reading is the time stamp of the register, or of its list, if the meter sends one.
Most meters send a count of seconds instead, some nothing. On a live line it is then the time of
arrival, which the count is held against (`hub.meters.clocks`). For a capture it is the capture's
start plus the seconds counted since, or so many steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Final

from hub.errors import HubError
from hub.meters.admission import Admission, Candidate
from hub.meters.clocks import TwoClocks
from hub.meters.emulated import UNIT_WH, flags_of
from hub.meters.odd import Odd, OddTelegram, too_long
from hub.readings import LARGEST_REGISTER_WH, Reading, ReadingFlag, Readout
from sml_codec import (
    GetListRes,
    ListEntry,
    Obis,
    StreamDecoder,
    Telegram,
    Time,
    TimeChoice,
)

LARGEST_SCALER: Final = 9
MOST_SEEN: Final = 100
"""Names of values that are remembered, to be said where none of them is a register."""
SML_IN_CLEAR: Final = (
    "SML comes in clear, and there is a key for this meter: anybody can have sent it, and none of"
    " it is taken. If the meter has no key any more: `meterlet hub meters key --forget`"
)
STAMPS: Final = (TimeChoice.TIMESTAMP, TimeChoice.LOCAL_TIMESTAMP)


class SmlIntakeError(HubError):
    """A telegram cannot belong to the meter that the hub is for."""


class NoTimeOfDay(HubError):
    """A capture's meter sends no time of day, and nobody has said when the capture began."""

    exit_code = 2

    def __init__(self, *, counts: bool) -> None:
        what = "a count of seconds" if counts else "no time at all"
        step = "" if counts else ", and --step 15min for the time between two telegrams"
        super().__init__(
            f"the meter sends {what}: say when the capture began, as --start"
            f" 2025-03-01T00:00:00 (UTC){step}"
        )


class _Unusable(Exception):
    """An intact telegram that no readout can be taken from."""


class _Unstamped(Exception):
    """An intact telegram whose moment is not known, for the reason given."""


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
    admission: Admission | None = None
    """Who sets aside what does not follow from what is known. None: nobody does."""
    clocks: TwoClocks | None = None
    """What the meter's count of seconds is held against; None: a capture, or a trusted clock."""
    is_capture: bool = False
    """Whether the time of arrival says nothing of when a telegram was sent."""
    capture_step: int | None = None
    """Seconds between two telegrams of a capture whose meter sends no time."""
    mounted: Callable[[], bytes] | None = None
    """Which meter counts by now, asked where a telegram is another's; None: the same for ever."""
    former: Callable[[], Set[bytes]] | None = None
    """Which meters were taken down by now: what they sent before may come again."""
    latest: Callable[[], Readout | None] | None = None
    """What is stored by now, asked where another meter has begun to count."""
    has_key: Callable[[], bool] | None = None
    """Whether a key is known of the meter: then nothing counts that came in clear, as all SML."""
    lost: list[LostTelegram] = field(default_factory=list)
    telegrams: int = 0
    """Intact telegrams so far."""
    thinned: int = 0
    """Telegrams that were not due yet."""
    lists: int = 0
    """Lists of values so far, of the meter that counts."""
    seen: dict[Obis, None] = field(default_factory=dict)
    """What the meter sends, in the order in which it came first."""
    _decoder: StreamDecoder = field(default_factory=StreamDecoder)
    untimed: NoTimeOfDay | None = None
    """Why nothing of a capture can be stamped."""
    _first_index: int | None = None
    _last_time: int | None = None
    _needs_key: bool | None = None
    """What `has_key` says of the meter that counts; None: it was not asked yet."""
    is_refused: bool = False
    """Whether it was said that the meter is not believed in clear: once is enough."""
    _unstamped: int = 0
    """Telegrams of a capture that brought no time of any kind, so far."""

    def feed(self, data: bytes) -> list[Readout]:
        """Return the readouts that `data` completes.

        Raises `SmlIntakeError` for another meter's where nobody sets it aside.
        """
        return self._take(self._decoder.feed(data))

    def close(self) -> list[Readout]:
        """Return what is left at the end; raise `NoTimeOfDay` where a capture has no moments."""
        readouts = self._take(self._decoder.close())
        if self.untimed is not None:
            raise self.untimed
        if self.admission is not None:
            readouts += self._due(self.admission.close())
        return readouts

    def _take(self, telegrams: list[Telegram]) -> list[Readout]:
        readouts: list[Readout] = []
        for telegram in telegrams:
            faults = "; ".join(telegram.faults)  # the words of `meterlet sml check`
            if not telegram.is_intact:
                self.lost.append(LostTelegram(telegram.frame.offset, faults))
                continue
            self.telegrams += 1
            try:
                candidate = self._candidate(telegram)
            except _Unusable as unusable:
                self.lost.append(LostTelegram(telegram.frame.offset, str(unusable)))
                continue
            if candidate is None:
                if faults:
                    self.lost.append(LostTelegram(telegram.frame.offset, faults))
                continue
            if self.admission is None:
                readouts += self._due(iter([candidate.readout]))
            else:
                readouts += self._due(self.admission.judge(candidate))
        return readouts

    def _due(self, readouts: Iterator[Readout]) -> Iterator[Readout]:
        for readout in readouts:
            if self._is_due(readout):
                self._last_time = readout.time
                yield readout
            else:
                self.thinned += 1

    def _is_due(self, readout: Readout) -> bool:
        if self._last_time is None:
            return True
        if self.every_seconds == 0:
            return readout.time > self._last_time
        return readout.time // self.every_seconds > self._last_time // self.every_seconds

    def _candidate(self, telegram: Telegram) -> Candidate | None:
        """Return what a telegram says of the registers; None where it says nothing of them."""
        offset, lacks_some = telegram.frame.offset, False
        for message in telegram.file.messages:
            body = message.body
            if not isinstance(body, GetListRes):
                continue
            if body.server_id != self.meter and not self._is_mounted(body.server_id):
                self._refuse_foreign(body, offset)
                return None
            if self._is_in_doubt(offset):
                return None
            self.lists += 1
            if len(self.seen) < MOST_SEEN:
                self.seen.update(dict.fromkeys(entry.obis for entry in body.entries[:MOST_SEEN]))
            entries = self._entries(body)
            if len(entries) == len(self.registers):
                return self._read(body, entries, offset)
            lacks_some = lacks_some or bool(entries)
        if lacks_some:
            raise _Unusable("it has some of the registers only")
        return None

    def _is_in_doubt(self, offset: int) -> bool:
        """Tell whether the meter is not believed in clear; say so the first time."""
        if self._needs_key is None:
            self._needs_key = self.has_key is not None and self.has_key()
        if self._needs_key and not self.is_refused:
            self.is_refused = True
            self.lost.append(LostTelegram(offset, SML_IN_CLEAR))
        return self._needs_key

    def _entries(self, body: GetListRes) -> dict[bytes, ListEntry]:
        return {
            register: entry
            for register in self.registers
            if (entry := _entry(body, register)) is not None
        }

    def _is_mounted(self, meter: bytes) -> bool:
        """Tell whether another meter counts since this intake was made; go on with it then."""
        if self.mounted is None or self.mounted() != meter:
            return False
        self.meter, self._needs_key, self.is_refused = meter, None, False
        if self.clocks is not None:
            self.clocks = TwoClocks()
        if self.admission is not None and self.latest is not None:
            self.admission.begin_anew(self.latest())
        return True

    def _refuse_foreign(self, body: GetListRes, offset: int) -> None:
        what = f"of meter {body.server_id.hex()}, this hub is for {self.meter.hex()}"
        if self.admission is None:
            raise SmlIntakeError(f"telegram at byte {offset}: {what}")
        if why := too_long(body.server_id):
            raise _Unusable(why)
        entries = self._entries(body)
        shown = {code: _watt_hours(entry) for code, entry in entries.items()}
        stamp = _stamp(body, list(entries.values()))
        time = int(stamp.seconds) if stamp is not None and stamp.choice in STAMPS else None
        if time is None and not self.is_capture:
            time = self.arrival()
        is_former = self.former is not None and body.server_id in self.former()
        if is_former and time is not None and self.admission.is_stored(time, shown):
            self.admission.repeated += 1
            return
        self.admission.put_aside(
            OddTelegram(
                Odd.FOREIGN,
                f"it is {what}",
                offset,
                self.arrival(),
                body.server_id,
                time,
                {c: wh for c, wh in shown.items() if wh is not None and wh <= LARGEST_REGISTER_WH},
                reduce(
                    or_,
                    (flags_of(body.server_id, one.status) for one in entries.values()),
                    ReadingFlag.NONE,
                ),
            )
        )

    def _read(
        self, body: GetListRes, entries: Mapping[bytes, ListEntry], offset: int
    ) -> Candidate | None:
        times = [entry.time for entry in entries.values()]
        stamp = _stamp(body, list(entries.values()))
        if stamp is not body.sensor_time and any(time != times[0] for time in times):
            raise _Unusable("its registers were not read at one moment")
        shown = {register: _register_wh(entry) for register, entry in entries.items()}
        arrival = self.arrival()
        try:
            moment = self._moment(stamp, arrival)
        except _Unstamped as reason:
            assert self.admission is not None
            self.admission.put_aside(
                OddTelegram(
                    Odd.STEPPED, str(reason), offset, arrival, body.server_id, arrival, shown
                )
            )
            return None
        except NoTimeOfDay as refusal:
            self.untimed = refusal
            return None
        readings = {
            code: Reading(moment, shown[code], flags_of(body.server_id, entry.status))
            for code, entry in entries.items()
        }
        steps = {code: 10 ** max(entry.scaler or 0, 0) for code, entry in entries.items()}
        return Candidate(Readout(readings), body.server_id, offset, arrival, steps)

    def _moment(self, time: Time | None, arrival: int) -> int:
        if time is not None and time.choice in STAMPS:
            return int(time.seconds)
        if self.capture_start is not None:
            return self._moment_in_capture(time)
        if self.is_capture:
            raise NoTimeOfDay(counts=time is not None)
        if time is not None and self.clocks is not None:
            doubt = self.clocks.stamp(int(time.seconds), arrival)
            if doubt is not None:
                raise _Unstamped(doubt)
        return arrival

    def _moment_in_capture(self, time: Time | None) -> int:
        assert self.capture_start is not None
        if time is None:
            if self.capture_step is None and self.is_capture:
                raise NoTimeOfDay(counts=False)
            step = self.capture_step
            self._unstamped += 1
            if step is None:
                return self.arrival()
            return self.capture_start + step * (self._unstamped - 1)
        if self._first_index is None:
            self._first_index = int(time.seconds)
        return self.capture_start + int(time.seconds) - self._first_index


def _stamp(body: GetListRes, entries: Sequence[ListEntry]) -> Time | None:
    """Return the time of what a list shows: a time of day before a count of seconds."""
    own = entries[0].time if entries else None
    for time in (own, body.sensor_time):
        if time is not None and time.choice in STAMPS:
            return time
    return body.sensor_time or own


def _entry(body: GetListRes, register: bytes) -> ListEntry | None:
    return next((entry for entry in body.entries if entry.obis == Obis(register)), None)


def _register_wh(entry: ListEntry) -> int:
    wh = _watt_hours(entry)
    if wh is None or wh > LARGEST_REGISTER_WH:
        what = "not a count of Wh" if wh is None else "beyond any meter's"
        raise _Unusable(f"the register is {what}")
    return wh


def _watt_hours(entry: ListEntry) -> int | None:
    value, scaler = entry.value, entry.scaler or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    if entry.unit != UNIT_WH or abs(scaler) > LARGEST_SCALER:
        return None
    power: int = 10 ** abs(scaler)
    return int(value) * power if scaler >= 0 else int(value) // power
