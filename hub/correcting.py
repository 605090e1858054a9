# SPDX-License-Identifier: Apache-2.0
"""Readings that come late or replace wrong ones: which slots they change, and the days signed anew.

    readings -> beside those received (`hub.vault.corrections`) -> uses as they are known now
             -> the certifier signs each day that differs, as its next revision

What was certified of a register stays: a correction moves energy between slots, and between slots
and the energy that no slot holds. At the last day's end the register is what it was. There is one
exception. An emulated meter that replays interval data has no register of its own, its register is
the sum of what was replayed. There all that follows is moved by the difference, and each later day
gets a revision in which no slot changes.

By itself a correction only tells of slots of which nothing was read: they were missing, or
estimated. What was read is replaced where the caller says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final, TypeAlias

from hub.certifier import (
    Certification,
    CorrectionRefused,
    DayUse,
    register_at,
    slot_uses,
)
from hub.metering import MeteredRegister
from hub.readings import Reading, ReadingFlag
from hub.text import utc_text
from hub.vault.vault import VaultTampered
from protocols.metrology import (
    CorrectionReason,
    DayGrid,
    Period,
    SlotState,
    date_at,
    find_zone,
)

UNREAD: Final = frozenset({SlotState.MISSING, SlotState.ESTIMATED})
"""States of slots that late readings may fill without replacing what was read."""
_DAY: Final = timedelta(days=1)
_Day: TypeAlias = tuple[Certification, DayUse]
"""A day as it is certified, and its use as it is known now."""


@dataclass(frozen=True, slots=True)
class CorrectedDay:
    """A day before and after."""

    day: date
    before: Certification = field(repr=False)
    after: Certification = field(repr=False)

    @property
    def revision(self) -> int:
        """The number of the revision."""
        return self.after.day.revision

    @property
    def changed(self) -> tuple[int, ...]:
        """The places of the slots that changed."""
        revisions = self.after.day.revisions
        return tuple(place for place, one in enumerate(revisions) if one == self.revision)


@dataclass(frozen=True, slots=True)
class CorrectedRegister:
    """What a correction did to a register."""

    register: bytes
    reason: CorrectionReason
    days: tuple[CorrectedDay, ...]
    """Those that were signed again, in order; none where nothing differs."""

    @property
    def changed(self) -> tuple[CorrectedDay, ...]:
        """The days of which slots changed."""
        return tuple(day for day in self.days if day.changed)

    @property
    def slots(self) -> int:
        """How many slots changed."""
        return sum(len(day.changed) for day in self.days)


def correct_register(
    meter: MeteredRegister,
    readings: Sequence[Reading],
    now: int,
    *,
    is_interval_data: bool = False,
    may_replace: bool = False,
    has_register: bool = True,
) -> CorrectedRegister:
    """Put readings of certified time beside those received, and sign anew the days that differ.

    `is_interval_data` says that the readings count from 0: they go on from the register at the
    first one. `has_register` says that the meter has a register of its own. Within a transaction of
    the caller's; `now` is later than that of any correction before. Raises `CorrectionRefused` or
    `ReadingRefused` with what is in the way.
    """
    work, register = _Work(meter), meter.channel.register
    made, lift_wh, around = work.prepared(list(readings), is_interval_data, has_register)
    if not made:
        return CorrectedRegister(register, CorrectionReason.LATE, ())
    days = work.looked_at(made, lift_wh, around)
    read = next(_changed_where_read(days), None)
    if read is not None and not may_replace:
        raise CorrectionRefused(
            f"the slot from {utc_text(read)} was read already; say --replace if what was read is"
            " wrong"
        )
    reason = CorrectionReason.LATE if read is None else CorrectionReason.REPLACED
    meter.vault.correct(meter.channel, now, reason.name.lower(), made, lift_wh)
    return CorrectedRegister(register, reason, tuple(work.signed(days, reason, now)))


class _Undone(Exception):
    """Ends what was tried, and takes it back."""


@dataclass(frozen=True, slots=True)
class _Work:
    meter: MeteredRegister

    def prepared(
        self, readings: list[Reading], is_interval_data: bool, has_register: bool
    ) -> tuple[list[Reading], int, tuple[int, int]]:
        """Return the readings as they are stored, by how much later ones move, and what they touch.

        That is the time from the reading before them to the one after.
        """
        meter, step = self.meter, 60 * self.meter.slot_minutes
        if not readings:
            raise CorrectionRefused("there are no readings in it")
        first, last = readings[0].time, readings[-1].time
        self._require_certified(first, last)
        known = list(meter.vault.between(meter.channel, first - 1, last + 1))
        before = [one for one in known if one.time < first]
        inside = [one for one in known if first <= one.time <= last]
        after = [one for one in known if one.time > last]
        if not before:
            raise CorrectionRefused(
                f"{utc_text(first)}: the hub's readings begin there; correct what is after it"
            )
        if any(one.flags & ReadingFlag.EXCHANGED for one in (*inside, *after)):
            raise CorrectionRefused("a meter was exchanged in that time, what it showed stays")
        stood, stands = register_at(known, first, step), register_at(known, last, step)
        lift_wh = 0
        if is_interval_data:
            offset = stood - readings[0].register_wh
            readings = [replace(r, register_wh=r.register_wh + offset) for r in readings]
            lift_wh = readings[-1].register_wh - stands
        if lift_wh and has_register:
            rise, shown = readings[-1].register_wh - stood, stands - stood
            unit = self.meter.channel.unit
            raise CorrectionRefused(
                f"the rows come to {rise:,} {unit}, the meter's register rose by {shown:,} {unit}"
                " in that time: what was used comes to what the register shows"
            )
        if lift_wh:
            self._require_one_meter(last)
        made = [replace(one, flags=one.flags & ~ReadingFlag.RESUMED) for one in readings[:1]]
        made += readings[1:]
        next_known = (*inside, *after)[:1]
        is_unread = any(one.flags & ReadingFlag.RESUMED for one in next_known)
        if is_unread and first - before[-1].time > step:
            # The time before the first reading is as unread as it was.
            made[0] = replace(made[0], flags=made[0].flags | ReadingFlag.RESUMED)
        if after and after[0].flags & ReadingFlag.RESUMED and after[0].time - last <= step:
            resumed = after[0]
            made.append(
                replace(
                    resumed,
                    register_wh=resumed.register_wh + lift_wh,
                    flags=resumed.flags & ~ReadingFlag.RESUMED,
                )
            )
        touched = before[-1].time, after[0].time if after else last
        return ([] if made == inside else made), lift_wh, touched

    def looked_at(
        self, made: Sequence[Reading], lift_wh: int, around: tuple[int, int]
    ) -> list[_Day]:
        """Return the days that readings may differ in, as they are certified and would be known."""
        meter, zone = self.meter, find_zone(self.meter.zone)
        span = meter.journal.span()
        assert span is not None
        first = max(span[0], date_at(around[0], zone))
        last = min(span[1], date_at(around[1], zone))
        days: list[_Day] = []
        with suppress(_Undone), meter.journal.database.transaction():
            meter.vault.correct(meter.channel, 0, "", made, lift_wh)
            days = self._uses(first, last)
            self._require_signed_slots(span[1])
            raise _Undone
        end, moved = days[-1][0].use.end_wh + lift_wh, days[-1][1].end_wh
        if moved != end:
            unit = meter.channel.unit
            raise CorrectionRefused(
                f"the register at the end of {last} would be {moved:,} {unit}, certified are"
                f" {end:,} {unit}: it stays, what was used comes to what the register shows"
            )
        if lift_wh and last < span[1]:
            later = meter.certifications(Period(last + _DAY, span[1]))
            days += [(one, _moved(one.use, lift_wh)) for one in later]
        return days

    def signed(
        self, days: Sequence[_Day], reason: CorrectionReason, now: int
    ) -> Iterator[CorrectedDay]:
        """Sign anew the days that differ, keep and yield them."""
        meter = self.meter
        for run in _runs([(old, use) for old, use in days if use != old.use]):
            for (old, _), new in zip(run, meter.certifier.correct(run, reason), strict=True):
                one = CorrectedDay(old.use.grid.day, old, new)
                meter.journal.append_revision(
                    one.day, one.revision, now, new.day.encode(), new.use.encode()
                )
                yield one

    def _uses(self, first: date, last: date) -> list[_Day]:
        """Return days with their uses as they are known now."""
        meter, days = self.meter, list[_Day]()
        for old in meter.certifications(Period(first, last)):
            grid = old.use.grid
            readings = list(meter.vault.between(meter.channel, grid.begin, grid.end))
            start_wh = days[-1][1].end_wh if days else old.use.start_wh
            # The chain's very first day begins with its first reading.
            is_first = old.day.content.counter == 1
            use = slot_uses(grid, readings, start_wh=None if is_first else start_wh)
            days.append((old, use))
        return days

    def _require_certified(self, first: int, last: int) -> None:
        meter, span = self.meter, self.meter.journal.span()
        if span is None:
            raise CorrectionRefused("no day is certified yet: `meterlet hub ingest` takes readings")
        begin = DayGrid(span[0], meter.zone, meter.slot_minutes).begin
        end = DayGrid(span[1], meter.zone, meter.slot_minutes).end
        if not begin <= first <= last <= end:
            raise CorrectionRefused(
                f"readings of {utc_text(first)} to {utc_text(last)}; certified are {span[0]} to"
                f" {span[1]}: a day that is not certified yet is corrected once it is"
            )

    def _require_one_meter(self, since: int) -> None:
        later = self.meter.vault.received(self.meter.channel, since, 1 << 62)
        if any(one.flags & ReadingFlag.EXCHANGED and one.time > since for one in later):
            raise CorrectionRefused("the meter was exchanged since: its register ends as it did")

    def _require_signed_slots(self, certified: date) -> None:
        """Return if slots of the day that is not over stay what was signed; refuse if not."""
        open_day = self.meter.journal.last_day_of_slots()
        if open_day is None or open_day <= certified:
            return
        try:
            self.meter.certified_slots(open_day)
        except VaultTampered:
            raise CorrectionRefused(
                f"slots of {open_day} are signed already and would change: correct it once the day"
                " is certified"
            ) from None


def _runs(days: Sequence[_Day]) -> list[list[_Day]]:
    """Return days as runs of days that follow one another."""
    runs: list[list[_Day]] = []
    for one in days:
        if runs and runs[-1][-1][1].grid.end == one[1].grid.begin:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _moved(use: DayUse, by_wh: int) -> DayUse:
    return replace(use, start_wh=use.start_wh + by_wh, end_wh=use.end_wh + by_wh)


def _changed_where_read(days: Sequence[_Day]) -> Iterator[int]:
    """Yield when slots begin that would change though something was read in them."""
    for old, use in days:
        known = zip(old.use.uses, old.use.states, strict=True)
        for place, (was, now) in enumerate(
            zip(known, zip(use.uses, use.states, strict=True), strict=True)
        ):
            if was != now and was[1] not in UNREAD:
                yield use.grid.boundaries()[place]
