# SPDX-License-Identifier: Apache-2.0
"""One register from readings to certified days: what the vault holds, the certifier signs.

`certify` signs every slot that has ended and every local day that is over, each once, in order.
What a day commits to is kept sealed beside it, so that statements can be proved later without
certifying anything again. Days of version 1 stay as they are; for a new question the certifier
states them again in version 2 (`statement_days`), which takes no room and can be done again. Days
whose readings came late or were replaced are there as they are known now (`hub.correcting`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from hub.certifier import (
    Certification,
    Certifier,
    CertifierError,
    DayUse,
    MeterFact,
    NewCustody,
    NewMeter,
    NewStep,
    SignedSlots,
)
from hub.certifier.facts import day_of, decode_fact, encode_fact
from hub.errors import HubError
from hub.readings import Reading, ReadingFlag
from hub.vault.days import DayJournal, JournalledDay
from hub.vault.vault import Channel, Vault, VaultTampered
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    CertifiedSlot,
    DayContent,
    DayGrid,
    GridError,
    MetrologyError,
    Period,
    date_at,
    find_zone,
)
from protocols.proofs import SlotOpening, VectorOpening

_DAY = timedelta(days=1)
LATEST: Final = 2**62
CERTIFIED_SINCE: Final = (
    "the time after it is certified already: tell it before. Now say the first moment that is not"
    " certified yet; `meterlet hub correct` corrects the readings in between"
)


class ForeignDays(HubError):
    """The certified days were signed with another key than the certifier's."""

    exit_code = 3


class FactRefused(HubError):
    """What is said to have happened to a meter cannot be certified any more, or at all."""


class FormerCustody(HubError):
    """What was asked for is of a custody before this one: none of it is here any more."""

    exit_code, status_word = 5, 0x6985

    def __init__(self, begins: date) -> None:
        super().__init__(f"the custody of this meter began on {begins}; no day before it is told")
        self.begins = begins


class PeriodIncomplete(HubError):
    """A period has days that are not certified, or its bounds are not those of days."""

    exit_code, status_word = 4, 0x6A83


@dataclass(frozen=True, slots=True)
class MeteredRegister:
    """A register, its readings and its certified days."""

    vault: Vault
    journal: DayJournal
    certifier: Certifier

    @property
    def channel(self) -> Channel:
        """Which register of which meter."""
        return self.journal.channel

    @property
    def zone(self) -> str:
        """The IANA zone whose local days are certified."""
        return self.certifier.series.zone

    @property
    def slot_minutes(self) -> int:
        """The length of a slot."""
        return self.certifier.series.slot_minutes

    def certify(
        self, progress: Callable[[date], None] | None = None, no_further: int | None = None
    ) -> int:
        """Certify every day that has ended and is not certified yet; return how many.

        A day that reaches beyond `no_further`, and all after it, are left as they are.

        A day has ended when there is a reading at or after its end. The first day is the one in
        which the readings begin. Of the day that has not ended, the slots that have are certified.
        Raises `ForeignDays` before it signs anything after another's day.
        """
        done = 0
        latest = self.check_key()
        previous = None if latest is None else _certification(latest)
        for grid in self._days_to_certify(previous):
            if no_further is not None and grid.end > no_further:
                break  # nobody vouches for the meter any more
            readings = list(self.vault.between(self.channel, grid.begin, grid.end))
            facts, before = self.facts(grid), self._signed(grid.day)
            if readings[-1].time < grid.end:
                slots = self.certifier.certify_slots(grid.day, readings, previous, facts, before)
                self._keep(grid.day, before.count, slots)
                break
            previous = self.certifier.certify(grid.day, readings, previous, facts, before)
            with self.journal.database.transaction():
                self._keep(grid.day, before.count, previous.signed)
                self.journal.append(
                    grid.day,
                    previous.day.content.counter,
                    previous.day.encode(),
                    previous.use.encode(),
                )
            done += 1
            if progress is not None:
                progress(grid.day)
        return done

    def record(self, fact: NewStep | NewCustody) -> None:
        """Record what happened to the meter, to be signed with its day.

        Raises `FactRefused` where slots after it are certified already, or where a register's steps
        change within a slot, or a custody within a day.
        """
        if isinstance(fact, NewCustody):  # the day says so, its slots do not
            grid = self._require_open_day(fact.time)
        else:
            grid = self._require_uncertified(fact.time)
        whole = grid.boundaries() if isinstance(fact, NewStep) else (grid.begin,)
        if fact.time not in whole:
            raise FactRefused("steps change where a slot begins, a custody where a day does")
        self.journal.append_fact(fact.time, encode_fact(fact))

    def exchange_meter(self, time: int, meter: bytes, end_wh: int, start_wh: int) -> None:
        """Record that another meter counts from `time` on, with what both registers showed.

        The same meter may begin anew: its register restarts. The old meter's last reading is a
        second before. Raises `FactRefused` where slots after it are certified already,
        `ReadingRefused` where the readings do not follow those before.
        """
        grid = self._require_uncertified(time - 1)  # at midnight it is of the day that ends
        facts = [fact for fact in self.facts(grid) if day_of(fact, grid)]
        moments = [fact.time for fact in facts if isinstance(fact, NewMeter)]
        if grid.slot_at(time - 1) in {grid.slot_at(moment - 1) for moment in moments}:
            raise FactRefused("a meter was exchanged in that slot already: one slot has one")
        readings = Reading(time - 1, end_wh), Reading(time, start_wh, ReadingFlag.EXCHANGED)
        with self.journal.database.transaction():
            self.vault.append(self.channel, readings)
            self.journal.append_fact(time, encode_fact(NewMeter(time, meter)))

    @property
    def mounted_meter(self) -> bytes:
        """The id of the meter that counts now."""
        meters = [fact.meter for fact in self.all_facts() if isinstance(fact, NewMeter)]
        return meters[-1] if meters else self.first_meter

    @property
    def former_meters(self) -> frozenset[bytes]:
        """The ids of the meters that were taken down in this custody, and not put up again."""
        meters = [fact.meter for fact in self.all_facts() if isinstance(fact, NewMeter)]
        return frozenset((self.first_meter, *meters)) - {self.mounted_meter}

    @property
    def first_meter(self) -> bytes:
        """The id of the meter that counted when the custody began."""
        inherited = self.certifier.inherited
        return self.channel.meter if inherited is None else inherited.mounted

    def all_facts(self) -> list[MeterFact]:
        """Return all that is recorded of the meter in this custody, in order of time."""
        return [decode_fact(*row) for row in self.journal.facts(0, LATEST)]

    @property
    def custody_begins(self) -> date | None:
        """The first day of this custody; None where the hub has known no other."""
        inherited = self.certifier.inherited
        return None if inherited is None else inherited.day

    def require_custody(self, period: Period) -> None:
        """Return if a period has no day of a former custody; raise `FormerCustody` if it has."""
        begins = self.custody_begins
        if begins is not None and period.first < begins:
            raise FormerCustody(begins)

    def _require_uncertified(self, time: int) -> DayGrid:
        grid = self._require_open_day(time)
        if time < grid.boundaries()[self._signed(grid.day).count]:
            raise FactRefused(CERTIFIED_SINCE)
        return grid

    def _require_open_day(self, time: int) -> DayGrid:
        grid = DayGrid(date_at(time, find_zone(self.zone)), self.zone, self.slot_minutes)
        latest, begins = self.journal.latest(), self.custody_begins
        is_former = begins is not None and grid.day < begins
        if is_former or (latest is not None and latest.day >= grid.day):
            raise FactRefused(CERTIFIED_SINCE)
        return grid

    def facts(self, grid: DayGrid) -> tuple[MeterFact, ...]:
        """Return what happened to the meter on a day."""
        return tuple(decode_fact(*row) for row in self.journal.facts(grid.begin, grid.end))

    def certified_slots(self, day: date) -> tuple[CertifiedSlot, ...]:
        """Return the slots of a day that were signed when they ended, with their signatures.

        Raises `PeriodIncomplete` where there are none, `VaultTampered` where they are not whole.
        """
        signatures, digest = self.journal.slots(day)
        before = [one for one in self.journal.between(day - _DAY, day - _DAY) if signatures]
        if not signatures:
            raise PeriodIncomplete(f"no slot of {day} was signed when it ended")
        first = [_certification(one) for one in self.journal.as_first_certified(day, day)]
        if first and isinstance(content := first[0].day.content, DayContent):
            signed = self.certifier.slots_of(first[0], content.steps, len(signatures))
            if signed[-1].digest != digest:
                raise VaultTampered(f"{day}: the day is not that of its certified slots")
            return tuple(map(CertifiedSlot, signed, signatures))
        grid = DayGrid(day, self.zone, self.slot_minutes)
        readings = list(self.vault.between(self.channel, grid.begin, grid.end))
        previous = _certification(before[0]) if before else None
        slots = self.certifier.slots(day, readings, previous, self.facts(grid), len(signatures))
        if slots[-1].digest != digest:
            raise VaultTampered(f"{day}: the readings are not those of its certified slots")
        return tuple(map(CertifiedSlot, slots, signatures))

    def _signed(self, day: date) -> SignedSlots:
        signatures, digest = self.journal.slots(day)
        return SignedSlots(len(signatures), digest)

    def _keep(self, day: date, first: int, slots: Sequence[CertifiedSlot]) -> None:
        if slots:
            signatures = [slot.signature for slot in slots]
            self.journal.append_slots(day, first, slots[-1].content.digest, signatures)

    def check_key(self) -> JournalledDay | None:
        """Return the last certified day; raise `ForeignDays` if another key has signed it."""
        latest = self.journal.latest()
        if latest is not None:
            keys = self.certifier.keys
            try:
                day = CertifiedDay.decode(latest.certified)
                day.verify(keys.public_key)
            except MetrologyError as error:
                raise ForeignDays(f"not the certifier's key, or not its day: {error}") from None
            if day.announcements != keys.announcements[: len(day.announcements)]:
                # An old copy of the key file: what it would sign, no recipient takes.
                raise ForeignDays("the days were signed with a later key than the certifier's")
        return latest

    def certifications(self, period: Period, before: int | None = None) -> list[Certification]:
        """Return all days of a period; raise `PeriodIncomplete` where one is not certified.

        With `before`, as they were known before that moment. Raises `FormerCustody` where one is of
        a custody before this one.
        """
        self.require_custody(period)
        days = self.journal.between(period.first, period.last, before)
        present = {day.day for day in days}
        for due in period.days(self.zone):
            if due not in present:
                raise PeriodIncomplete(f"{due} is not certified")
        return [_certification(day) for day in days]

    def statement_days(self, period: Period) -> list[Certification]:
        """Return all days of a period in version 2, over which statements are proved.

        Raises `PeriodIncomplete` where one is not certified, and as `in_version_2`.
        """
        return self.in_version_2(self.certifications(period))

    def in_version_2(self, days: Sequence[Certification]) -> list[Certification]:
        """Return days with those of version 1 stated again, which takes 7 ms each.

        Raises `ForeignDays` where one of version 1 is not this certifier's.
        """
        try:
            return [self.certifier.restate(day) for day in days]
        except (MetrologyError, CertifierError) as error:
            raise ForeignDays(f"not the certifier's key, or not its day: {error}") from None

    def opened(
        self, days: Sequence[Certification], *, needs_slots: bool
    ) -> tuple[CertifiedPeriod, SlotOpening | VectorOpening]:
        """Return days of version 2 as a statement about them is sent, and what its prover knows.

        They come with their slots' commitments just where the statement needs them.
        """
        opening = self.certifier.opening(days, needs_slots=needs_slots)
        sent = [self.certifier.with_slots(one) if needs_slots else one.day for one in days]
        return CertifiedPeriod(tuple(sent)), opening

    def period(self, begin: int, end: int) -> Period:
        """Return the days that fill [begin, end); raise `PeriodIncomplete` if none do just that."""
        try:
            return Period.filling(begin, end, self.zone)
        except GridError as error:
            raise PeriodIncomplete(str(error)) from None

    def revised(self, period: Period) -> tuple[tuple[int, int], ...]:
        """Return when slots of a period start that were corrected, and their revisions."""
        newest = {one.day: one for one in self.journal.revisions(period.first, period.last)}
        return tuple(
            (start, revision)
            for day in map(_certification, newest.values())
            for start, revision in zip(
                day.use.grid.boundaries()[:-1], day.day.revisions, strict=True
            )
            if revision
        )

    def uses(self, period: Period, before: int | None = None) -> list[DayUse]:
        """Return what each slot of a period used; stays inside the hub.

        With `before`, as it was known before that moment.
        """
        return [certification.use for certification in self.certifications(period, before)]

    def certified_between(self, begin: int, end: int) -> list[DayUse]:
        """Return the use of the certified days that [begin, end) touches; stays inside the hub."""
        days = Period.touching(begin, end, self.zone)
        return [_certification(day).use for day in self.journal.between(days.first, days.last)]

    def certified_count(self, period: Period) -> int:
        """Return how many certified days a period has, or a few more, without opening one."""
        span = self.journal.span()
        if span is None:
            return 0
        first, last, _ = span
        return max(0, (min(last, period.last) - max(first, period.first)).days + 1)

    def certified_span(self) -> Period | None:
        """Return from which day to which all are certified, of this custody; None: none is."""
        span = self.journal.span()
        if span is None:
            return None
        first, last, _ = span
        if self.custody_begins is not None:
            first = max(first, self.custody_begins)
        return Period(first, last) if first <= last else None

    def may_have(self, period: Period) -> bool:
        """Tell whether all days of a period lie between the first and last that are certified."""
        return self.certified_count(period) == (period.last - period.first).days + 1

    def signed_up_to(self) -> date | None:
        """Return the last day that is certified, or the one before that whose slots are signed."""
        days = [span[1]] if (span := self.journal.span()) is not None else []
        if (open_day := self.journal.last_day_of_slots()) is not None:
            days.append(open_day - _DAY)
        if self.custody_begins is not None:
            days.append(self.custody_begins - _DAY)
        return max(days, default=None)

    def _days_to_certify(self, previous: Certification | None) -> Iterator[DayGrid]:
        """Yield the days that have readings and are not certified; the last may not be over."""
        earliest, latest = self.vault.earliest(self.channel), self.vault.latest(self.channel)
        if earliest is None or latest is None:
            return
        zone = find_zone(self.zone)
        first = date_at(earliest.time, zone)
        if previous is not None:
            first = previous.day.day + _DAY
        elif self.custody_begins is not None:
            first = self.custody_begins
        last = date_at(latest.time, zone)
        if first > last:
            return
        for day in Period(first, last).days(self.zone):
            yield DayGrid(day, self.zone, self.slot_minutes)


def _certification(day: JournalledDay) -> Certification:
    return Certification(CertifiedDay.decode(day.certified), DayUse.decode(day.use))
