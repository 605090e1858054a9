# SPDX-License-Identifier: Apache-2.0
"""Readings come in from meters that speak another language than SML.

A source is one line, radio or broker. A reader turns its bytes into telegrams, each of one meter
(`hub.meters.telegrams`). A door is one meter of the hub at that source: it knows its telegrams by
the meter's identification and by the registers that they show. A telegram that names no meter is
one of the hub's own, or of the one that the source is for. Of a meter whose key is known only what
that key opened counts, whatever it is written in. What does not follow from what is
known is set aside, as for SML (`hub.meters.admission`).

A telegram whose meter no door is for, but which shows just the registers of one, is foreign: a
cable in the wrong socket, or an exchanged meter. Of sources on which many meters are heard, such as
radio, it is counted and passed over.

The moment of a reading is the telegram's own time. Where it says none it is the time of arrival, in
a capture its start plus so many steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from hub.errors import HubError
from hub.meters.admission import Admission, Candidate
from hub.meters.odd import Odd, OddTelegram, too_long
from hub.meters.telegrams import (
    IN_CLEAR,
    NAMELESS,
    OTHER_KEY,
    Counted,
    Heard,
    LostBytes,
    MeterTelegram,
    Reader,
)
from hub.readings import LARGEST_REGISTER_WH, Reading, Readout
from hub.text import printed_id

CROWDED: Final = frozenset({"wireless M-Bus", "Current Cost", "MQTT"})
"""Protocols of sources on which meters of others are heard all the time."""
MOST_SEEN: Final = 100
"""Registers and meters that are remembered, to be said where nothing was stored."""
MOST_LOST: Final = 10_000
"""Faults that are remembered; a line or broker that sends nonsense for ever has more."""


class NoTimeInTelegrams(HubError):
    """A capture's meter sends no time, and nobody has said when the capture began."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "the meter sends no time: say when the capture began, as --start 2025-03-01T00:00:00"
            " (UTC), and --step 10s for the time between two telegrams"
        )


@dataclass(slots=True)
class MeterDoor:
    """One meter of the hub at a source."""

    name: str
    """Of a further meter; nothing of the hub's own."""
    registers: Sequence[bytes]
    mounted: Callable[[], bytes]
    """Which meter counts by now."""
    admission: Admission
    every_seconds: int = 0
    """Take at most one reading in so many seconds (0: take all)."""
    is_capture: bool = False
    capture_start: int | None = None
    capture_step: int | None = None
    keys: Callable[[], Set[bytes]] = frozenset
    """The marks of the keys that open what the meter sends; none: it is believed in clear."""
    is_named: bool = False
    """Whether its telegrams have to name it."""
    former: Callable[[], Set[bytes]] = frozenset
    """Which meters were taken down by now: what they sent before may come again."""
    latest: Callable[[], Readout | None] = lambda: None
    """What is stored by now, asked where another meter has begun to count."""
    telegrams: int = 0
    """Of this meter so far."""
    thinned: int = 0
    _unstamped: int = 0
    _last: tuple[int, tuple[int, ...]] | None = None
    _last_time: int | None = None
    _meter: bytes = field(init=False)
    """Which meter counted last."""
    _keys: Set[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._meter, self._keys = self.mounted(), self.keys()

    @property
    def printed_meter(self) -> str:
        """Which meter counts, as people read it."""
        return printed_id(self.mounted())

    def shown(self, telegram: MeterTelegram) -> dict[bytes, Counted] | None:
        """Return what its registers show; None where the telegram lacks one of them."""
        found: dict[bytes, Counted] = {}
        for register in self.registers:
            one = telegram.shown(register)
            if one is None or one.steps > LARGEST_REGISTER_WH:
                return None
            found[register] = one
        return found

    def doubt(self, telegram: MeterTelegram) -> str:
        """Return why a telegram that may be the meter's is not believed; nothing if it is."""
        self._go_on()
        if not telegram.meter and self.is_named:
            return NAMELESS
        if not self._keys or telegram.key_mark in self._keys:
            return ""
        return IN_CLEAR if telegram.key_mark is None else OTHER_KEY

    def _go_on(self) -> None:
        """Go on with another meter, where one counts since the last telegram."""
        meter = self.mounted()
        if meter == self._meter:
            return
        self._meter, self._keys, self._last = meter, self.keys(), None
        self.admission.begin_anew(self.latest())

    def take(
        self, telegram: MeterTelegram, shown: Mapping[bytes, Counted], arrival: int
    ) -> Iterator[Readout]:
        """Yield the readouts that can be stored by now."""
        self.telegrams += 1
        moment = self._moment(telegram, arrival)
        values = tuple(one.steps for one in shown.values())
        if self._last == (moment, values):  # meters behind a port are read once an hour
            self.admission.repeated += 1
            return
        if telegram.time is None and self._last is not None and self._last[0] == moment:
            self.thinned += 1  # the second of its arrival has a reading already
            return
        self._last = moment, values
        readings = {code: Reading(moment, one.steps) for code, one in shown.items()}
        steps = {code: one.at_least for code, one in shown.items()}
        candidate = Candidate(Readout(readings), self.mounted(), telegram.offset, arrival, steps)
        yield from self._due(self.admission.judge(candidate))

    def close(self) -> Iterator[Readout]:
        """Yield what is left when the source ends."""
        yield from self._due(self.admission.close())

    def refuse(self, telegram: MeterTelegram, shown: Mapping[bytes, Counted], arrival: int) -> None:
        """Set aside a telegram of another meter."""
        said, ours = printed_id(telegram.meter), printed_id(self.mounted())
        time = telegram.time if telegram.time is not None or self.is_capture else arrival
        values = {code: one.steps for code, one in shown.items()}
        is_former = telegram.meter in self.former()
        if is_former and time is not None and self.admission.is_stored(time, values):
            self.admission.repeated += 1
            return
        self.admission.put_aside(
            OddTelegram(
                Odd.FOREIGN,
                f"it is of meter {said}, this hub is for {ours}",
                telegram.offset,
                arrival,
                telegram.meter,
                time,
                values,
            )
        )

    def _moment(self, telegram: MeterTelegram, arrival: int) -> int:
        if telegram.time is not None:
            return telegram.time
        if not self.is_capture:
            return arrival
        if self.capture_start is None or self.capture_step is None:
            raise NoTimeInTelegrams
        self._unstamped += 1
        return self.capture_start + self.capture_step * (self._unstamped - 1)

    def _due(self, readouts: Iterator[Readout]) -> Iterator[Readout]:
        for readout in readouts:
            last, every = self._last_time, self.every_seconds
            if every and last is not None and readout.time // every <= last // every:
                self.thinned += 1
                continue
            self._last_time = readout.time
            yield readout


@dataclass(slots=True)
class TelegramIntake:
    """Turns the bytes of a source into what the hub's meters showed."""

    reader: Reader
    doors: Sequence[MeterDoor]
    arrival: Callable[[], int]
    """The present time in epoch seconds."""
    lost: list[LostBytes] = field(default_factory=list)
    telegrams: int = 0
    """Of any meter so far."""
    foreign: int = 0
    """Telegrams of meters that no door is for."""
    seen: dict[str, None] = field(default_factory=dict)
    """What meters were heard, with what, in the order in which they came first."""

    def feed(self, data: bytes) -> list[tuple[MeterDoor, Readout]]:
        """Return the readouts that `data` completes, each with its meter."""
        return self._take(self.reader.feed(data))

    def close(self) -> list[tuple[MeterDoor, Readout]]:
        """Return what is left at the end; raise `NoTimeInTelegrams` where moments are not known."""
        found = self._take(self.reader.close())
        return found + [(door, readout) for door in self.doors for readout in door.close()]

    def _take(self, heard: Heard) -> list[tuple[MeterDoor, Readout]]:
        for lost in heard.lost:
            if lost.meter and not any(lost.meter == door.mounted() for door in self.doors):
                self.foreign += 1  # of a neighbour: what cannot be read of it is no fault
            else:
                self._lose(lost)
        found: list[tuple[MeterDoor, Readout]] = []
        for telegram in heard.telegrams:
            self.telegrams += 1
            if telegram.protocol not in CROWDED and (why := too_long(telegram.meter)):
                if len(self.lost) < MOST_LOST:
                    self.lost.append(LostBytes(telegram.offset, why))
                continue
            self._remember(telegram)
            arrival = self.arrival()
            near = [
                (door, shown) for door in self.doors if (shown := door.shown(telegram)) is not None
            ]
            own = [one for one in near if telegram.meter in (b"", one[0].mounted())]
            if len(own) == 1:
                [(door, shown)] = own
                if why := door.doubt(telegram):
                    self._lose(LostBytes(telegram.offset, why, telegram.meter))
                    continue
                found += [(door, one) for one in door.take(telegram, shown, arrival)]
                continue
            self.foreign += 1
            if len(near) == 1 and not own and telegram.protocol not in CROWDED:
                door, shown = near[0]
                door.refuse(telegram, shown, arrival)
        return found

    def _lose(self, lost: LostBytes) -> None:
        if len(self.lost) < MOST_LOST:
            self.lost.append(lost)

    def _remember(self, telegram: MeterTelegram) -> None:
        if len(self.seen) >= MOST_SEEN:
            return
        codes = ", ".join(f"{one.medium}-0:{one.c}.{one.d}.{one.e}" for one in telegram.counted)
        meter = printed_id(telegram.meter) or "a meter without a name"
        self.seen.setdefault(f"{meter}: {codes or 'no register'}")
