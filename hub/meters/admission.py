# SPDX-License-Identifier: Apache-2.0
"""One policy for what a meter shows: what follows from what is known is taken, the rest set aside.

    time     not before there were such meters, not in the future; on a live line near the hub's
    order    after the last one; the very same again counts as repeated
    value    not less than before, and not more than flows through the fuse: not at once, and not
             little by little

Nothing ends the line. What is set aside keeps out nothing that follows: the next telegram is
compared with the last one that was taken. In a capture, a telegram whose time leaps ahead is held
back until others confirm it, so that one wrong stamp does not certify empty days. A meter's very
first telegram is held back, too, until the next one follows from it. What the end of a stream
leaves unconfirmed is set aside, and taken once a telegram of a later stream follows from it.

Emulated meters send what was replayed: only its order, its value and the future count there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hub.meters.emulated import is_emulated
from hub.meters.fuse import Limit
from hub.meters.odd import Odd, OddTelegram
from hub.readings import ReadingFlag, Readout, has_leapt
from hub.text import utc_text
from protocols.metrology import Medium, medium_of
from sml_codec import Obis

EARLIEST: Final = 1_199_145_600
"""2008-01-01: no meter has sent SML before."""
LARGEST_LEAD: Final = 3_600
"""How far a meter's clock may be ahead of the hub's, in seconds, and on a live line behind it."""
LEAP_SECONDS: Final = 3_600
"""A time that is so much later than the one before is held back until others confirm it."""
CONFIRMED_AFTER: Final = 100
"""Telegrams; or an hour of them."""
LONGEST_UNCONFIRMED: Final = 86_400
"""A gap that the end of a capture leaves unconfirmed and that is believed."""
LONGEST_FIRST_GAP: Final = 40 * 86_400
"""Between a hub's first two readings: a longer one is a wrong stamp."""
COARSE_WH: Final = 1_000
"""The step of a register that is not unlocked, or counts whole cubic metres. None has a larger."""
_STEPS_WH: Final = (COARSE_WH, 100, 10)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a telegram shows, and where it stands in the stream."""

    readout: Readout
    meter: bytes
    offset: int
    arrival: int
    steps: Mapping[bytes, int]
    """By what each register goes on at least, in its whole steps, as the telegram's scaler says. No
    rise is believed for it: that is up to what the register showed before."""


@dataclass(slots=True)
class Admission:
    """Judges what a meter shows, one telegram after the other."""

    fuse: Limit
    stored: Callable[[int], Mapping[bytes, int] | None]
    """What the registers showed at a moment, where readings of that very moment are stored."""
    last: Readout | None
    """The last that was taken."""
    is_live: bool = False
    covered: Callable[[int], bool] | None = None
    """Where one reading in so long is kept: whether one is stored for the time around a moment."""
    set_aside: list[OddTelegram] = field(default_factory=list)
    """What was set aside and not fetched yet."""
    repeated: int = 0
    """How many telegrams came again."""
    unconfirmed: Callable[[], Iterable[OddTelegram]] = tuple
    """What earlier streams left unconfirmed, asked at most once."""
    confirmed: list[OddTelegram] = field(default_factory=list)
    """Those of it that were taken after all, and not fetched yet."""
    _waiting: tuple[OddTelegram, ...] | None = None
    _ahead: Mapping[bytes, int] = field(default_factory=dict)
    """By how much the last readout's registers are ahead of the fuse, in 3,600ths of a step."""
    _held: list[Candidate] = field(default_factory=list)
    _held_ahead: Mapping[bytes, int] = field(default_factory=dict)
    """The same of the latest that is held back."""
    _second: Readout | None = None
    """What follows a hub's first reading, which says whether that one was a round number."""

    def judge(self, candidate: Candidate) -> Iterator[Readout]:
        """Yield what can be taken now: the candidate, or others that it confirms."""
        odd = self._odd_stamp(candidate)
        if odd is not None:
            self._put_aside(candidate, *odd)
        elif self._held:
            yield from self._beside_held(candidate)
        elif self._has_to_wait(candidate):
            odd = self._odd_now(candidate)
            if odd is not None and self.last is not None:
                self._refuse(candidate, self.last, odd)
            elif (before := self._confirmed_by(candidate)) is not None:
                self._second = candidate.readout
                yield from self._taken(before)
                yield from self._taken(candidate)
            else:
                self._hold(candidate)
        else:
            yield from self._taken(candidate)

    def admit(self, candidate: Candidate) -> Iterator[Readout]:
        """Yield the candidate if it follows from the last one, whatever the clocks say."""
        yield from self._taken(candidate)

    def close(self) -> Iterator[Readout]:
        """Yield what is left when the stream ends."""
        held, self._held = self._held, []
        if len(held) == 1 and self.last is None:
            why = "it is the first, and nothing that follows confirms it yet"
            self._put_aside(held[0], Odd.AHEAD, why)
            return
        if len(held) == 1 and self.last is not None:
            gap = held[0].readout.time - self.last.time
            if gap > LONGEST_UNCONFIRMED:
                days = f"{gap / 86_400:,.0f} days"
                why = f"its time is {days} after the last one, and nothing confirms it"
                self._put_aside(held[0], Odd.AHEAD, why)
                return
        for one in held:
            yield from self._taken(one)

    def put_aside(self, telegram: OddTelegram) -> None:
        """Set aside what cannot even be a candidate."""
        self.set_aside.append(telegram)

    def is_stored(self, time: int, shown: Mapping[bytes, int | None]) -> bool:
        """Tell whether the very same is stored of a moment, or a reading for the time around it."""
        known = self.stored(time)
        if known is None:
            return self.covered is not None and self.covered(time)
        return known == shown

    def begin_anew(self, last: Readout | None) -> None:
        """Go on from other readings: another meter counts now."""
        self.catch_up(last)
        self._held = []

    def catch_up(self, last: Readout | None) -> None:
        """Go on from what is stored by now."""
        self.last, self._ahead = last, {}

    def _odd_stamp(self, candidate: Candidate) -> tuple[Odd, str] | None:
        time, now = candidate.readout.time, candidate.arrival
        if time > now + LARGEST_LEAD:
            return Odd.AHEAD, f"its clock is ahead of the hub's: {utc_text(time)}"
        if is_emulated(candidate.meter):
            return None
        if time < EARLIEST or (self.is_live and time < now - LARGEST_LEAD):
            return Odd.BEHIND, f"its clock is behind: {utc_text(time)}"
        return None

    def _has_to_wait(self, candidate: Candidate) -> bool:
        if is_emulated(candidate.meter):
            return False
        if self.last is None:
            return True
        return not self.is_live and candidate.readout.time - self.last.time > LEAP_SECONDS

    def _beside_held(self, candidate: Candidate) -> Iterator[Readout]:
        first, latest = self._held[0], self._held[-1]
        time = candidate.readout.time
        if self.last is None:
            yield from self._beside_first(candidate)
        elif time <= self.last.time:
            yield from self._taken(candidate)  # says why it is not
        elif time < first.readout.time:
            for one in self._held:
                why = f"its clock is ahead of the next telegram's: {utc_text(one.readout.time)}"
                self._put_aside(one, Odd.AHEAD, why)
            self._held = []
            yield from self.judge(candidate)
        elif (odd := self._odd_after(candidate, latest.readout, self._held_ahead)) is not None:
            self._refuse(candidate, latest.readout, odd)
        else:
            self._hold(candidate)
            spans = time - first.readout.time >= LEAP_SECONDS
            if spans or len(self._held) >= CONFIRMED_AFTER:
                held, self._held = self._held, []
                for one in held:
                    yield from self._taken(one)

    def _beside_first(self, candidate: Candidate) -> Iterator[Readout]:
        """Take the hub's first telegram if the next one follows from it; else set it aside."""
        first = self._held[0]
        odd = self._odd_after(candidate, first.readout, {})
        gap = candidate.readout.time - first.readout.time
        if candidate.readout.readings == first.readout.readings:
            self.repeated += 1
        elif odd is None and gap <= LONGEST_FIRST_GAP:
            self._held, self._second = [], candidate.readout
            yield from self._taken(first)
            yield from self.judge(candidate)
        else:
            kind = Odd.BEHIND if odd is None else _ODD_FIRST[odd[0]]
            why = f"it is the first, and the next telegram, of {utc_text(candidate.readout.time)}"
            more = "" if odd is None else f": {odd[1]}"
            self._put_aside(first, kind, f"{why}, does not follow from it{more}")
            self._held = []
            self._hold(candidate)

    def _hold(self, candidate: Candidate) -> None:
        before = self._held[-1].readout if self._held else self.last
        ahead = self._held_ahead if self._held else self._ahead
        self._held_ahead = self._ahead_after(candidate, before, ahead)
        self._held.append(candidate)

    def _confirmed_by(self, candidate: Candidate) -> Candidate | None:
        """Return what an earlier stream left unconfirmed and the candidate follows from."""
        if self._waiting is None:
            self._waiting = tuple(self.unconfirmed())
        for telegram in self._waiting:
            readout = telegram.readout()
            if readout is None or readout.readings.keys() != candidate.readout.readings.keys():
                continue
            if telegram.meter != candidate.meter or readout.time < EARLIEST:
                continue
            before = Candidate(readout, telegram.meter, telegram.offset, telegram.arrival, {})
            if candidate.readout.time - readout.time > LONGEST_FIRST_GAP or self._odd_now(before):
                continue
            ahead = self._ahead_after(before, self.last, self._ahead)
            if self._odd_after(candidate, readout, ahead) is None:
                self.confirmed.append(telegram)
                return before
        return None

    def _taken(self, candidate: Candidate) -> Iterator[Readout]:
        readout, last = candidate.readout, self.last
        odd = self._odd_now(candidate)
        if odd is not None and last is not None:
            self._refuse(candidate, last, odd)
            return
        self._ahead = self._ahead_after(candidate, last, self._ahead)
        readout = self.with_resolution(candidate)
        self.last = readout
        yield readout

    def _refuse(self, candidate: Candidate, last: Readout, odd: tuple[Odd, str]) -> None:
        """Set a candidate aside, or count it where the very same is known."""
        time = candidate.readout.time
        shown = {code: one.register_wh for code, one in candidate.readout.readings.items()}
        if odd[0] is Odd.LATE:
            known = self.stored(time)
            if known is None and last.time == time:
                known = {code: one.register_wh for code, one in last.readings.items()}
            if known == shown:
                self.repeated += 1
                return
            if known is None and self.covered is not None and self.covered(time):
                self.repeated += 1
                return
            if known is not None:
                odd = Odd.DIFFERS, f"another value than the one stored for {utc_text(time)}"
        self._put_aside(candidate, *odd)

    def _odd_now(self, candidate: Candidate) -> tuple[Odd, str] | None:
        """Return what is odd about a candidate after the last one that was taken."""
        return None if self.last is None else self._odd_after(candidate, self.last, self._ahead)

    def _odd_after(
        self, candidate: Candidate, last: Readout, ahead: Mapping[bytes, int]
    ) -> tuple[Odd, str] | None:
        """Return what is odd about a candidate after another readout; None: it follows."""
        seconds = candidate.readout.time - last.time
        if seconds <= 0:
            return Odd.LATE, (
                f"it came after one of {utc_text(last.time)}, and is of"
                f" {utc_text(candidate.readout.time)}"
            )
        for code, reading in candidate.readout.readings.items():
            before = last.readings[code].register_wh
            rise = reading.register_wh - before
            name, medium = Obis(code), medium_of(code)
            if rise < 0:
                is_whole = reading.register_wh == before - before % COARSE_WH
                may_be_locked = is_whole and medium is Medium.ELECTRICITY
                return Odd.FELL, (
                    f"{name} fell from {before:,} to {reading.register_wh:,} {medium.step}"
                    + (_LOCKED_NOW if may_be_locked else "")
                )
            step = 1 if is_emulated(candidate.meter) else _step_of(before)
            # What is no faster than the fuse brings the register no further ahead of it.
            is_slow = rise * _HOUR <= self.fuse.per_hour * seconds
            over_time = rise + ahead.get(code, 0) // _HOUR
            if has_leapt(last.readings[code], reading) or not (
                is_slow or self.fuse.lets_through(over_time, seconds, step)
            ):
                return Odd.LEAPT, (
                    f"{name} rose by {rise:,} {medium.step} in {seconds:,} s: more than flows"
                    f" through {self.fuse}"
                )
        return None

    def _ahead_after(
        self, candidate: Candidate, last: Readout | None, ahead: Mapping[bytes, int]
    ) -> Mapping[bytes, int]:
        """Return by how much registers are ahead of the fuse then, in 3,600ths of a step.

        In no time do they rise by more than what flows through the fuse in it and the most that
        they can be ahead: a step of the register, and some seconds' worth.
        """
        if last is None:
            return {}
        flows = self.fuse.per_hour * (candidate.readout.time - last.time)
        return {
            code: max(
                0,
                ahead.get(code, 0)
                + _HOUR * (reading.register_wh - last.readings[code].register_wh)
                - flows,
            )
            for code, reading in candidate.readout.readings.items()
        }

    def with_resolution(self, candidate: Candidate) -> Readout:
        """Return the readout, its registers that count whole kWh or m3 marked as such."""
        if is_emulated(candidate.meter):
            return candidate.readout
        return Readout(
            {
                code: replace(reading, flags=reading.flags | ReadingFlag.COARSE)
                if self._is_coarse(candidate, code)
                else reading
                for code, reading in candidate.readout.readings.items()
            }
        )

    def _is_coarse(self, candidate: Candidate, code: bytes) -> bool:
        """Tell whether a register counts whole kilowatt-hours, or cubic metres.

        The telegram's scaler says so; or the register has only ever shown whole ones, or has just
        gone on by one.
        """
        if candidate.steps.get(code, 1) >= COARSE_WH:
            return True
        shown = candidate.readout.readings[code].register_wh
        if shown == 0 or shown % COARSE_WH:
            return False
        if self.last is None:
            second = self._second
            return second is None or second.readings[code].register_wh % COARSE_WH == 0
        before = self.last.readings[code]
        if before.register_wh % COARSE_WH:
            return False
        return bool(before.flags & ReadingFlag.COARSE) or shown > before.register_wh

    def _put_aside(self, candidate: Candidate, kind: Odd, reason: str) -> None:
        self.set_aside.append(
            OddTelegram(
                kind,
                reason,
                candidate.offset,
                candidate.arrival,
                candidate.meter,
                candidate.readout.time,
                {code: one.register_wh for code, one in candidate.readout.readings.items()},
                candidate.readout.flags,
            )
        )


def _step_of(shown: int) -> int:
    """Return the largest step that a register may go on by, by what it has shown.

    A telegram's own scaler does not count: whoever sends it would choose what is believed.
    """
    return next((step for step in _STEPS_WH if shown % step == 0), 1)


_HOUR: Final = 3_600
_ODD_FIRST: Final = {Odd.LATE: Odd.AHEAD, Odd.FELL: Odd.LEAPT, Odd.LEAPT: Odd.LEAPT}
"""What is odd about a first telegram, by what is odd about the next one beside it."""
_LOCKED_NOW: Final = "; if it counts whole kilowatt-hours now, enter the meter's PIN"
