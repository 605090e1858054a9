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

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from sqlalchemy import Connection, insert, select, update

from protocols.canonical import cbor
from protocols.metrology import (
    CertifiedDay,
    DayContent,
    FirstDayOfCustody,
    MeterEvent,
    MeterExchange,
)
from protocols.metrology.events import decode_event
from utility_server.database import chain_table as table
from utility_server.database import revision_table as revisions
from utility_server.database import standing_table as standings
from utility_server.errors import StoreError, VerificationFailed
from utility_server.retail.certifier_keys import require_keys_of_their_time
from utility_server.retail.corrected_bills import earlier_of, require_revision


def extend_chains(connection: Connection, days: Iterable[CertifiedDay]) -> None:
    """Keep verified days; raise `VerificationFailed` where they do not fit those that are known.

    Each register's days are in order, without a gap.
    """
    for (meter, register), chain in _chains(days):
        require_keys_of_their_time(connection, chain)
        first, last = chain[0].content.counter, chain[-1].content.counter
        rows = connection.execute(
            select(table.c.counter, table.c.previous, table.c.digest)
            .where(table.c.meter == meter, table.c.register == register)
            .where(table.c.counter.between(first - 1, last + 1))
        )
        known = {counter: (bytes(previous), bytes(digest)) for counter, previous, digest in rows}
        digests = {day.content.counter: day.link for day in chain}
        for day in chain:
            there = known.get(day.content.counter)
            if there is not None and there[1] != digests[day.content.counter]:
                raise _broken(day, "is not the one that was verified before")
        before, after = known.get(first - 1), known.get(last + 1)
        if before is not None and before[1] != chain[0].content.previous:
            raise _broken(chain[0], "does not follow the day that was verified before it")
        if after is not None and after[0] != chain[-1].link:
            raise _broken(chain[-1], "is not the one that the day after it follows")
        new = [
            {
                "meter": meter,
                "register": register,
                "counter": day.content.counter,
                "previous": day.content.previous,
                "digest": day.link,
            }
            for day in chain
            if day.content.counter not in known
        ]
        if new:
            connection.execute(insert(table), new)
        fresh = _keep_revisions(connection, chain)
        _extend_standings(connection, chain, fresh)


def _keep_revisions(connection: Connection, chain: Sequence[CertifiedDay]) -> set[int]:
    """Keep the revisions of corrected days; return the counters of days with a new one.

    Raises `VerificationFailed` for a revision that is outdated.
    """
    meter, register, fresh = chain[0].content.meter, chain[0].content.register, set[int]()
    first, last = chain[0].content.counter, chain[-1].content.counter
    rows = connection.execute(
        select(revisions.c.counter, revisions.c.revision, revisions.c.digest)
        .where(revisions.c.meter == meter, revisions.c.register == register)
        .where(revisions.c.counter.between(first, last))
        .order_by(revisions.c.revision)
    )
    known: dict[int, dict[int, bytes]] = {}
    for counter, revision, digest in rows:
        known.setdefault(counter, {})[revision] = bytes(digest)
    for day in chain:
        there = known.get(day.content.counter, {})
        if there:
            newest = max(there)
            require_revision(day.link, newest, there[newest], day)
        if not day.revision:
            continue
        if day.revision not in there:
            fresh.add(day.content.counter)
        shown = {**dict(enumerate(earlier_of(day))), day.revision: day.digest}
        new = [
            {
                "meter": meter,
                "register": register,
                "counter": day.content.counter,
                "revision": revision,
                "digest": digest,
            }
            for revision, digest in shown.items()
            if revision not in there
        ]
        if new:
            connection.execute(insert(revisions), new)
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
        select(standings)
        .where(standings.c.meter == meter)
        .order_by(standings.c.register, standings.c.counter)
    ).all()
    known = []
    for register, group in groupby(rows, key=lambda row: bytes(row.register)):
        days = list(group)
        changes = tuple(
            MeterChange(date.fromisoformat(row.day), register, event)
            for row in days
            for event in _decode_events(bytes(row.events))
        )
        begun = [one.day for one in changes if isinstance(one.event, FirstDayOfCustody)]
        known.append(
            KnownChain(
                register,
                len(days),
                date.fromisoformat(days[0].day),
                date.fromisoformat(days[-1].day),
                _meter_of(bytes(days[-1].ends))[0],
                begun[-1] if begun else None,
                tuple(one for one in changes if isinstance(one.event, _SHOWN)),
            )
        )
    return known


def _extend_standings(
    connection: Connection, chain: Sequence[CertifiedDay], fresh: Collection[int]
) -> None:
    """Keep how days begin and end; raise `VerificationFailed` where one goes on from no other.

    Days with a new revision are `fresh`: what a register showed at midnight may be known better by
    it. The day beside it, of another bill, then has a revision that was not shown yet.
    """
    meter, register = chain[0].content.meter, chain[0].content.register
    first, last = chain[0].content.counter, chain[-1].content.counter
    rows = connection.execute(
        select(standings.c.counter, standings.c.begins, standings.c.ends)
        .where(standings.c.meter == meter, standings.c.register == register)
        .where(standings.c.counter.between(first - 1, last + 1))
    )
    known = {counter: (bytes(begins), bytes(ends)) for counter, begins, ends in rows}
    before, after = known.get(first - 1), known.get(last + 1)
    if before is not None and not _goes_on(before[1], _begins(chain[0]), first in fresh):
        raise _broken(chain[0], "does not begin with the meter and register of the day before it")
    if after is not None and not _goes_on(_ends(chain[-1]), after[0], last in fresh):
        raise _broken(chain[-1], "does not end with the meter and register of the day after it")
    new = [
        {
            "meter": meter,
            "register": register,
            "counter": day.content.counter,
            "day": day.day.isoformat(),
            "begins": _begins(day),
            "ends": _ends(day),
            "events": cbor.encode([event.items() for event in _events(day)]),
        }
        for day in chain
        if day.content.counter not in known
    ]
    if new:
        connection.execute(insert(standings), new)
    for day in chain:
        counter = day.content.counter
        if counter in known and counter in fresh:
            this = standings.c.meter == meter, standings.c.register == register
            connection.execute(
                update(standings)
                .where(*this, standings.c.counter == counter)
                .values(begins=_begins(day), ends=_ends(day))
            )


def _goes_on(ends: bytes, begins: bytes, is_fresh: bool) -> bool:
    """Tell whether a day goes on from another; a fresh one may have another register's point."""
    return ends == begins or (is_fresh and _meter_of(ends) == _meter_of(begins))


def _meter_of(standing: bytes) -> tuple[bytes, int]:
    match cbor.decode(standing):
        case [bytes(mounted), int(step), bytes()]:
            return mounted, step
    raise StoreError("the utility's chain of days is not what was written")


def _begins(day: CertifiedDay) -> bytes:
    content, mounted, step = day.content, day.content.meter, 1
    if isinstance(content, DayContent):
        mounted, step = content.mounted, content.step_wh
    return cbor.encode([mounted, step, content.start.encode()])


def _ends(day: CertifiedDay) -> bytes:
    content, mounted, step = day.content, day.content.meter, 1
    if isinstance(content, DayContent):
        mounted, step = content.mounted_at_end, content.step_at_end
    return cbor.encode([mounted, step, content.end.encode()])


def _events(day: CertifiedDay) -> tuple[MeterEvent, ...]:
    return day.content.events if isinstance(day.content, DayContent) else ()


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


def _broken(day: CertifiedDay, what: str) -> VerificationFailed:
    return VerificationFailed("chain", f"{day.day}: the day {what}")
