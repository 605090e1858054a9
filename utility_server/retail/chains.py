# SPDX-License-Identifier: Apache-2.0
"""The certified days that bills were verified with: of each register one chain, across all bills.

Each day names the digest of the day before, and counts one up. Within a bill that is checked with
the days themselves (`protocols.metrology.verify_days`). Here the days of one bill are held against
those of all others of the same meter and register: whoever puts a hub back to an older state and
has it certify other readings has two days of one number, and is found when the second is shown.
A day of version 1 that is stated again in version 2 is the same day, under the digest it had.

Of each day the utility also keeps which meter was up when it began and when it ended, in which
steps its register counted, and the commitments to it: the day after has to begin with just that,
also where it came with another bill. So the chain follows a meter that is exchanged, and nothing
else changes a meter. What the days' events say is kept as well (`known_chains`).

A corrected day is the same day, too, as its next revision. It names the digests of those before it,
so that the newest one that is known has to be among them, and no older one is taken any more.

Errors: VerificationFailed, under the name `chain`; `certifier` where a day is of a key whose time
was over (`utility_server.retail.certifier_keys`)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, and_, or_, select

from protocols.canonical import cbor
from protocols.canonical.stored import encode_row
from protocols.metrology import (
    CertifiedDay,
    DayContent,
    FirstDayOfCustody,
    KeyAnnouncement,
    MeterEvent,
    MeterExchange,
)
from protocols.metrology.events import decode_event
from protocols.proofs import Point
from utility_server.database import revision_table as revisions
from utility_server.database import span_table as spans
from utility_server.errors import StoreError
from utility_server.packed_days import KnownDay, Standing, pack_days, runs_of, unpack_days
from utility_server.retail.certifier_keys import announcements_of, require_keys_of_their_time
from utility_server.retail.corrected_bills import broken_chain, earlier_of, require_revision
from utility_server.writes import Writes

_AT_ONCE: Final = 200
"""Chains that are looked up in one statement."""
_Key = tuple[bytes, bytes]
"""A meter and a register."""


def extend_chains(connection: Connection, days: Sequence[CertifiedDay]) -> None:
    """Keep verified days; raise `VerificationFailed` where they do not fit those that are known.

    Each register's days are in order, without a gap.
    """
    writes = Writes()
    KnownDays.beside(connection, days).extend(days, writes)
    writes.write(connection)


@dataclass(frozen=True, slots=True)
class KnownDays:
    """What is known of some chains, as far as some days touch it: read at once for all of them."""

    _days: Mapping[_Key, Mapping[int, KnownDay]]
    _spans: Mapping[_Key, Sequence[tuple[int, int]]]
    """The first and last numbers of days that are in one row."""
    _revisions: Mapping[_Key, Mapping[int, Mapping[int, bytes]]]
    _announcements: Mapping[bytes, tuple[KeyAnnouncement, ...]]

    @classmethod
    def beside(cls, connection: Connection, days: Iterable[CertifiedDay]) -> "KnownDays":
        """Read what is known of days, and of those right before and after them."""
        bounds: dict[_Key, tuple[int, int]] = {}
        for key, chain in _chains(days):
            first, last = bounds.get(key, (chain[0].content.counter, chain[-1].content.counter))
            bounds[key] = (
                min(first, chain[0].content.counter), max(last, chain[-1].content.counter)
            )  # fmt: skip
        known: dict[_Key, dict[int, KnownDay]] = {key: {} for key in bounds}
        rows: dict[_Key, list[tuple[int, int]]] = {key: [] for key in bounds}
        keys = list(bounds)
        for place in range(0, len(keys), _AT_ONCE):
            touched = or_(
                *(
                    and_(
                        spans.c.meter == key[0],
                        spans.c.register == key[1],
                        spans.c.first <= bounds[key][1] + 1,
                        spans.c.last >= bounds[key][0] - 1,
                    )
                    for key in keys[place : place + _AT_ONCE]
                )
            )
            for row in connection.execute(select(spans).where(touched)):
                key = bytes(row.meter), bytes(row.register)
                rows[key].append((row.first, row.last))
                known[key].update(enumerate(unpack_days(row.days), start=row.first))
        meters = list(dict.fromkeys(meter for meter, _ in keys))
        revised: dict[_Key, dict[int, dict[int, bytes]]] = {}
        if meters:
            for row in connection.execute(
                select(revisions)
                .where(revisions.c.meter.in_(meters))
                .order_by(revisions.c.revision)
            ):
                of_chain = revised.setdefault((bytes(row.meter), bytes(row.register)), {})
                of_chain.setdefault(row.counter, {})[row.revision] = bytes(row.digest)
        announced = announcements_of(connection, meters) if meters else {}
        return cls(known, rows, revised, announced)

    def extend(self, days: Iterable[CertifiedDay], writes: Writes) -> None:
        """Have verified days kept, of those that this was read for.

        Each register's days are in order, without a gap. Raises `VerificationFailed` where they do
        not fit those that are known; what `writes` has got by then is to be taken back.
        """
        announced = dict(self._announcements)
        for key, chain in _chains(days):
            meter = key[0]
            announced[meter] = require_keys_of_their_time(announced[meter], chain, writes)
            known = self._days[key]
            first, last = chain[0].content.counter, chain[-1].content.counter
            for day in chain:
                there = known.get(day.content.counter)
                if there is not None and there.digest != day.link:
                    raise broken_chain(day, "is not the one that was verified before")
            before, after = known.get(first - 1), known.get(last + 1)
            if before is not None and before.digest != chain[0].content.previous:
                raise broken_chain(chain[0], "does not follow the day that was verified before it")
            if after is not None and after.previous != chain[-1].link:
                raise broken_chain(chain[-1], "is not the one that the day after it follows")
            fresh = _keep_revisions(self._revisions.get(key, {}), chain, writes)
            self._extend_days(key, chain, fresh, writes)

    def _extend_days(
        self, key: _Key, chain: Sequence[CertifiedDay], fresh: set[int], writes: Writes
    ) -> None:
        """Keep how days begin and end; raise `VerificationFailed` where one goes on from no other.

        Days with a new revision are `fresh`: what a register showed at midnight may be known better
        by it. The day beside it, of another bill, then has a revision that was not shown yet.
        """
        known, (meter, register) = self._days[key], key
        first, last = chain[0].content.counter, chain[-1].content.counter
        shown = list(_standings(chain))
        before, after = _standing(known.get(first - 1)), _standing(known.get(last + 1))
        if before is not None and not _goes_on(before.ends, shown[0].begins, first in fresh):
            raise broken_chain(
                chain[0], "does not begin with the meter and register of the day before it"
            )
        if after is not None and not _goes_on(shown[-1].ends, after.begins, last in fresh):
            raise broken_chain(
                chain[-1], "does not end with the meter and register of the day after it"
            )
        new, changed = list[tuple[int, KnownDay]](), dict[int, KnownDay]()
        for day, standing in zip(chain, shown, strict=True):
            counter = day.content.counter
            there = known.get(counter)
            if there is None:
                new.append((counter, KnownDay(day.content.previous, day.link, standing)))
            elif there.standing is None:
                changed[counter] = there._replace(standing=standing)
            elif counter in fresh:
                better = there.standing._replace(begins=standing.begins, ends=standing.ends)
                changed[counter] = there._replace(standing=better)
        for run in runs_of(new, len(new)):
            packed = pack_days([day for _, day in run])
            writes.add(
                spans, meter=meter, register=register, first=run[0][0], last=run[-1][0], days=packed
            )
        for begin, end in self._spans[key]:
            if any(begin <= counter <= end for counter in changed):
                packed = pack_days([changed.get(one, known[one]) for one in range(begin, end + 1)])
                row = {"meter": meter, "register": register, "first": begin}
                writes.change(spans, row, days=packed)


def _keep_revisions(
    known: Mapping[int, Mapping[int, bytes]], chain: Sequence[CertifiedDay], writes: Writes
) -> set[int]:
    """Keep the revisions of corrected days; return the counters of days with a new one.

    Raises `VerificationFailed` for a revision that is outdated.
    """
    fresh = set[int]()
    for day in chain:
        content = day.content
        there = known.get(content.counter, {})
        if there:
            newest = max(there)
            require_revision(day.link, newest, there[newest], day)
        if not day.revision:
            continue
        if day.revision not in there:
            fresh.add(content.counter)
        shown = {**dict(enumerate(earlier_of(day))), day.revision: day.digest}
        for revision, digest in shown.items():
            if revision not in there:
                writes.add(
                    revisions,
                    meter=content.meter,
                    register=content.register,
                    counter=content.counter,
                    revision=revision,
                    digest=digest,
                )
    return fresh


_SHOWN = MeterExchange, FirstDayOfCustody


@dataclass(frozen=True, slots=True)
class MeterChange:
    """What a certified day said of a meter."""

    day: date
    register: bytes
    event: MeterEvent


@dataclass(frozen=True, slots=True)
class KnownChain:
    """What the utility knows of a register's certified days."""

    register: bytes
    days: int
    first: date
    last: date
    mounted: bytes
    """The meter that counted when the last of them ended."""
    custody_begins: date | None
    """The first day of the last custody that a day has told of."""
    changes: tuple[MeterChange, ...]


def known_chains(connection: Connection, meter: bytes) -> list[KnownChain]:
    """Return what is known of a meter's registers; days of before version 5 are not counted."""
    rows = connection.execute(
        select(spans).where(spans.c.meter == meter).order_by(spans.c.register, spans.c.first)
    ).all()
    known = []
    for register, group in groupby(rows, key=lambda row: bytes(row.register)):
        all_days = (day.standing for row in group for day in unpack_days(row.days))
        days = [standing for standing in all_days if standing is not None]
        if not days:
            continue
        changes = tuple(
            MeterChange(one.day, register, event)
            for one in days
            if one.events != _NO_EVENTS
            for event in _decode_events(one.events)
        )
        begun = [one.day for one in changes if isinstance(one.event, FirstDayOfCustody)]
        known.append(
            KnownChain(
                register,
                len(days),
                days[0].day,
                days[-1].day,
                _meter_of(days[-1].ends)[0],
                begun[-1] if begun else None,
                tuple(one for one in changes if isinstance(one.event, _SHOWN)),
            )
        )
    return known


def _goes_on(ends: bytes, begins: bytes, is_fresh: bool) -> bool:
    """Tell whether a day goes on from another; a fresh one may have another register's point."""
    return ends == begins or (is_fresh and _meter_of(ends) == _meter_of(begins))


def _meter_of(standing: bytes) -> tuple[bytes, int]:
    match cbor.decode(standing):
        case [bytes(mounted), int(step), bytes()]:
            return mounted, step
    raise StoreError("the utility's chain of days is not what was written")


_NO_EVENTS: Final = cbor.encode([])


def _standing(known: KnownDay | None) -> Standing | None:
    return None if known is None else known.standing


def _standings(chain: Iterable[CertifiedDay]) -> Iterator[Standing]:
    """Yield how days that follow each other stand; what two of them share is encoded once."""
    shared, encoded = None, b""
    for day in chain:
        content = day.content
        begin, end = (content.meter, 1, content.start), (content.meter, 1, content.end)
        events = _NO_EVENTS
        if isinstance(content, DayContent):
            begin = content.mounted, content.step_wh, content.start
            end = content.mounted_at_end, content.step_at_end, content.end
            if content.events:
                events = cbor.encode([event.items() for event in content.events])
        begins = encoded if begin == shared else _encode_standing(*begin)
        shared, encoded = end, _encode_standing(*end)
        yield Standing(day.day, begins, encoded, events)


def _encode_standing(mounted: bytes, step: int, register: Point) -> bytes:
    return encode_row([mounted, step, register.encode()])


def _decode_events(encoded: bytes) -> list[MeterEvent]:
    match cbor.decode(encoded):
        case [*items]:
            return [decode_event(one) for one in items]
    raise StoreError("the utility's chain of days is not what was written")


def _chains(
    days: Iterable[CertifiedDay],
) -> Iterator[tuple[tuple[bytes, bytes], Sequence[CertifiedDay]]]:
    for key, chain in groupby(days, key=lambda day: (day.content.meter, day.content.register)):
        yield key, list(chain)
