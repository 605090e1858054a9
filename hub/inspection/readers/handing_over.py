# SPDX-License-Identifier: Apache-2.0
"""What a reader is handed, on record as an export before it leaves.

Whole local days are handed over: what the log says of a request is the days that it touches, so
asking for another part of them tells nothing more. Days that are on record as handed over, no
coarser and with the same corrections, are handed over again under the consent alone.

    resolution     slots are summed up from the day's begin; the rest of a day that is no whole
                   number of them joins the one before. So all resolutions nest, and no cut of a
                   period leaves a piece of a sum
    certified      a day is handed over once it is certified
    live           of a reader that may see what is used right now, the day under way counts as
                   handed over in full, minute by minute, from its first request on; it gets the
                   slots that are over, and the last reading before the last whole minute
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import Any, Final, NoReturn

from hub.device import Device
from hub.disclosure import ExportRequest, ReleaseRefused
from hub.disclosure.revised import revised_of
from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import BITS_A_READING, require_custody
from hub.inspection.readers.readers import Reader
from hub.inspection.views.calendar import ONE_DAY
from hub.inspection.views.live import LONGEST_SECONDS, PowerNow, power_of, today
from hub.inspection.views.slots import SlotRun, register_slots
from hub.metering import MeteredRegister
from protocols.metrology import DayGrid, Medium, Period, SlotState, medium_of
from sml_codec import Obis

MOST_ROWS: Final = 2_000
"""On a page, but for one day that has more."""
MOST_DAYS: Final = 366
"""On a page."""
DAY_MINUTES: Final = 1_440
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class HandedSlot:
    """One reading that is handed over."""

    begin: int
    end: int
    use: int | None
    """In the register's steps; None where nothing is known of it."""
    state: SlotState


@dataclass(frozen=True, slots=True)
class HandedSlots:
    """A page of them."""

    register: bytes
    minutes: int
    slots: tuple[HandedSlot, ...] = field(repr=False)
    next_day: date | None
    """Where the next page begins; None: this is the last one."""

    @property
    def medium(self) -> Medium:
        """What the register is of."""
        return medium_of(self.register)


@dataclass(frozen=True, slots=True)
class HandedLatest:
    """The last reading, and where that is allowed what is used right now."""

    slots: HandedSlots
    power: PowerNow | None


@dataclass(frozen=True, slots=True)
class _Day:
    grid: DayGrid
    rows: tuple[HandedSlot, ...]
    revised: tuple[tuple[int, int], ...]

    @property
    def minutes(self) -> int:
        return (self.grid.end - self.grid.begin) // _MINUTE


@dataclass(frozen=True, slots=True)
class HandingOver:
    """Hands one register's readings to one reader."""

    device: Device
    reader: Reader
    register: bytes

    @property
    def meter(self) -> MeteredRegister:
        """The register."""
        return self._owner.registers[self.register]

    @property
    def _owner(self) -> Device:
        return self.device.meter_of(self.register)

    @property
    def _is_live(self) -> bool:
        return self.reader.scope.is_live

    def require_register(self) -> None:
        """Return if the reader may read the register; else record the refusal and raise."""
        if self.register not in self.reader.scope.registers:
            self._refuse(None)
        if self.register not in self.device.every_register:
            raise InspectionError(f"{Obis(self.register)}: the hub has this register no more")

    def require_consent(self) -> None:
        """Return if the reader's consent holds; else record the refusal and raise."""
        self.device.disclosure.require_export(self._nothing(self.reader.terms.least_minutes))

    def slots(self, period: Period, minutes: int, since: date | None = None) -> HandedSlots:
        """Return the readings of some days, from `since` on, as many as go on a page.

        Raises `ReleaseRefused` where the consent does not allow it.
        """
        self.require_register()
        scope = self.reader.scope.period
        if period.first < scope.first or period.last > scope.last:
            self._refuse(period)
        minutes = max(minutes, self.meter.slot_minutes)
        days, next_day = self._page(Period(since or period.first, period.last), minutes)
        self._record(days, minutes)
        rows = tuple(row for day in days for row in day.rows)
        return HandedSlots(self.register, minutes, rows, next_day)

    def latest(self) -> HandedLatest:
        """Return the last reading that the consent allows; raise as `slots` does."""
        self.require_register()
        scope, minutes = self.reader.scope.period, self.reader.terms.least_minutes
        minutes = max(minutes, self.meter.slot_minutes)
        now = today(self._owner)
        span = self.meter.journal.span()
        is_now = self._is_live and scope.first <= now <= scope.last
        last = now if is_now else min(scope.last, span[1] if span else scope.first)
        day = max(last, scope.first)
        found = self.slots(Period(day, day), minutes)
        if not found.slots and is_now and day > scope.first:  # the day has just begun
            found = self.slots(Period(day - ONE_DAY, day - ONE_DAY), minutes)
        if is_now:
            self._record([self._day(now, minutes)], minutes)
        newest = HandedSlots(self.register, minutes, found.slots[-1:], None)
        return HandedLatest(newest, self._power(now) if is_now else None)

    def _power(self, day: date) -> PowerNow | None:
        """Return the power at the last reading before the last whole minute, of this day alone."""
        begin = self._grid(day).begin
        until = self.device.now() // _MINUTE * _MINUTE
        if until <= begin:
            return None
        vault, channel = self.meter.vault, self.meter.channel
        readings = list(vault.between(channel, begin, until))
        oldest = readings[-1].time - LONGEST_SECONDS if readings else 0
        return power_of([one for one in readings if oldest <= one.time])

    def _page(self, period: Period, minutes: int) -> tuple[list[_Day], date | None]:
        days: list[_Day] = []
        rows = 0
        for day in self._days(period, minutes):
            if days and (rows + len(day.rows) > MOST_ROWS or len(days) == MOST_DAYS):
                return days, day.grid.day
            days.append(day)
            rows += len(day.rows)
        return days, None

    def _days(self, period: Period, minutes: int) -> Iterator[_Day]:
        """Yield the days that can be handed over, in order."""
        span = self.meter.journal.span()
        last = None if span is None else span[1]
        if self._is_live:
            last = today(self._owner)
        for day in period.days(self.meter.zone):
            if last is None or day > last:
                return
            found = self._day(day, minutes)
            if found.rows:
                yield found

    def _day(self, day: date, minutes: int) -> _Day:
        grid, only = self._grid(day), Period(day, day)
        run = register_slots(self._owner, self.register, grid.begin, grid.end)
        if not self._is_live:
            run = run.between(grid.begin, min(grid.end, run.certified_until))
        return _Day(grid, tuple(_merged(run, grid, minutes)), self.meter.revised(only))

    def _grid(self, day: date) -> DayGrid:
        return DayGrid(day, self.meter.zone, self.meter.slot_minutes)

    def _record(self, days: Sequence[_Day], minutes: int) -> None:
        """Put on record what was not handed over before, days in a row as one."""
        known = self._on_record()
        # On record before a byte leaves, and refused before it is: nothing is told by trying.
        fresh = [day for day in days if not self._was_handed_over(day, minutes, known)]
        if not fresh:
            request = self._request(days, minutes) if days else self._nothing(minutes)
            self.device.disclosure.require_export(request)
        for run in self._runs(fresh, minutes):
            bounds = run[0].grid.begin, run[-1].grid.end
            period = Period(run[0].grid.day, run[-1].grid.day)
            require_custody(self._owner, self.register, period, bounds, self.reader.terms)
            self.device.disclosure.permit_export(self._request(run, minutes))

    def _runs(self, days: Sequence[_Day], minutes: int) -> Iterator[list[_Day]]:
        """Yield days that follow one another and have readings of one length."""

        def key(placed: tuple[int, _Day]) -> tuple[int, ...]:
            place, day = placed
            step = self._step(day, minutes)
            length = day.minutes if step >= DAY_MINUTES else 0
            return day.grid.day.toordinal() - place, step, length, self._is_seen_live(day)

        for _, group in groupby(enumerate(days), key):
            yield [day for _, day in group]

    def _step(self, day: _Day, minutes: int) -> int:
        """Return how long the readings of a day are on record as, in minutes."""
        if self._is_seen_live(day):
            return self.meter.slot_minutes
        return minutes if minutes < DAY_MINUTES else max(DAY_MINUTES, day.minutes)

    def _is_seen_live(self, day: _Day) -> bool:
        return self._is_live and day.grid.day == today(self._owner)

    def _request(self, days: Sequence[_Day], minutes: int) -> ExportRequest:
        is_live = self._is_seen_live(days[0])
        count = sum(day.minutes if is_live else len(day.rows) for day in days)
        return replace(
            self._nothing(self._step(days[0], minutes)),
            begin=days[0].grid.begin,
            end=days[-1].grid.end,
            readings=count,
            bits=BITS_A_READING * count,
            revised=tuple(one for day in days for one in day.revised),
            is_live=is_live,
        )

    def _nothing(self, minutes: int) -> ExportRequest:
        """Return a request for no reading: what it needs is the consent."""
        begin, _ = self.reader.scope.period.bounds(self.device.description.zone)
        return ExportRequest(
            recipient=self.reader.name,
            purpose=self.reader.terms.purpose,
            resolution_minutes=minutes,
            begin=begin,
            end=begin,
            subject=self.reader.scope.subject,
            readings=0,
            bits=0,
            register=self._name,
            reader=self.reader.number,
        )

    @property
    def _name(self) -> str:
        """The register as the log names it: the main one has no name."""
        is_main = self.register == self.device.description.register
        return "" if is_main else str(Obis(self.register))

    def _on_record(self) -> list[Mapping[str, Any]]:
        """Return what the log says was handed over of this register to this reader."""
        return [
            entry.facts
            for entry in self.device.disclosure.log.entries("export")
            if entry.facts.get("reader") == self.reader.number
            and entry.facts.get("register", "") == self._name
        ]

    def _was_handed_over(self, day: _Day, minutes: int, known: Sequence[Mapping[str, Any]]) -> bool:
        return any(
            facts["begin"] <= day.grid.begin
            and day.grid.end <= facts["end"]
            and facts["resolution_minutes"] <= self._step(day, minutes)
            and day.revised
            == tuple(one for one in revised_of(facts) if day.grid.begin <= one[0] < day.grid.end)
            for facts in known
        )

    def _refuse(self, period: Period | None) -> NoReturn:
        """Refuse what no consent is about, on record."""
        facts: dict[str, Any] = {
            "recipient": self.reader.name,
            "purpose": self.reader.terms.purpose,
            "reader": self.reader.number,
        }
        if period is not None:
            begin, end = period.bounds(self.device.description.zone)
            facts |= {"register": self._name, "begin": begin, "end": end}
        refused = ReleaseRefused("consent", f"none to tell {self.reader.name} this")
        self.device.disclosure.refusals.note(facts, refused)
        raise refused


def _merged(run: SlotRun, grid: DayGrid, minutes: int) -> Iterator[HandedSlot]:
    """Yield the slots of a day, summed up; one that is not over is left out."""
    seconds = _MINUTE * minutes
    last = max(1, (grid.end - grid.begin) // seconds) - 1

    def place(row: tuple[int, int, SlotState]) -> int:
        return min((row[0] - grid.begin) // seconds, last)

    rows = zip(run.starts, run.use_wh, run.states, strict=True)
    for number, group in groupby(rows, key=place):
        starts, uses, states = zip(*group, strict=True)
        begin = grid.begin + number * seconds
        end = grid.end if number == last else begin + seconds
        # Never a part of a sum: what it lacks would be told by the next one.
        if starts[0] == begin and starts[-1] + run.seconds == end:
            state = max(states)
            yield HandedSlot(begin, end, None if state is SlotState.MISSING else sum(uses), state)
