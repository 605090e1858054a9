# SPDX-License-Identifier: Apache-2.0
"""One register from readings to certified days: what the vault holds, the certifier signs.

`certify` signs every local day that is over, each once, in order. What a day commits to is kept
sealed beside it, so that statements can be proved later without certifying anything again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from hub.certifier import Certification, Certifier, DayUse
from hub.errors import HubError
from hub.vault.days import DayJournal, JournalledDay
from hub.vault.vault import Channel, Vault
from protocols.metrology import (
    CertifiedDay,
    DayGrid,
    GridError,
    MetrologyError,
    Period,
    date_at,
    find_zone,
)

_DAY = timedelta(days=1)


class ForeignDays(HubError):
    """The certified days were signed with another key than the certifier's."""

    exit_code = 3


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
        which the readings begin. Raises `ForeignDays` before it signs anything after another's day.
        """
        done = 0
        latest = self.check_key()
        previous = None if latest is None else _certification(latest)
        for grid in self._ended_days(previous):
            if no_further is not None and grid.end > no_further:
                break  # nobody vouches for the meter any more
            readings = list(self.vault.between(self.channel, grid.begin, grid.end))
            previous = self.certifier.certify(grid.day, readings, previous)
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

    def certifications(self, period: Period) -> list[Certification]:
        """Return all days of a period; raise `PeriodIncomplete` where one is not certified."""
        days = self.journal.between(period.first, period.last)
        present = {day.day for day in days}
        for due in period.days(self.zone):
            if due not in present:
                raise PeriodIncomplete(f"{due} is not certified")
        return [_certification(day) for day in days]

    def period(self, begin: int, end: int) -> Period:
        """Return the days that fill [begin, end); raise `PeriodIncomplete` if none do just that."""
        try:
            return Period.filling(begin, end, self.zone)
        except GridError as error:
            raise PeriodIncomplete(str(error)) from None

    def uses(self, period: Period) -> list[DayUse]:
        """Return what each slot of a period used; stays inside the hub."""
        return [certification.use for certification in self.certifications(period)]

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

    def may_have(self, period: Period) -> bool:
        """Tell whether all days of a period lie between the first and last that are certified."""
        return self.certified_count(period) == (period.last - period.first).days + 1

    def _ended_days(self, previous: Certification | None) -> Iterator[DayGrid]:
        earliest, latest = self.vault.earliest(self.channel), self.vault.latest(self.channel)
        if earliest is None or latest is None:
            return
        zone = find_zone(self.zone)
        first = date_at(earliest.time, zone) if previous is None else previous.day.day + _DAY
        last = date_at(latest.time, zone)
        if first > last:
            return
        for day in Period(first, last).days(self.zone):
            grid = DayGrid(day, self.zone, self.slot_minutes)
            if grid.end > latest.time:
                return
            yield grid


def _certification(day: JournalledDay) -> Certification:
    return Certification(CertifiedDay.decode(day.certified), DayUse.decode(day.use))
