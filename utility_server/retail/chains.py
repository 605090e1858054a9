# SPDX-License-Identifier: Apache-2.0
"""The certified days that bills were verified with: of each register one chain, across all bills.

Each day names the digest of the day before, and counts one up. Within a bill that is checked with
the days themselves (`protocols.metrology.verify_days`). Here the days of one bill are held against
those of all others of the same meter and register: whoever puts a hub back to an older state and
has it certify other readings has two days of one number, and is found when the second is shown.
A day of version 1 that is stated again in version 2 is the same day, under the digest it had.

A corrected day is the same day, too, as its next revision. It names the digests of those before it,
so that the newest one that is known has to be among them, and no older one is taken any more.

Errors: VerificationFailed, under the name `chain`; `certifier` where a day is of a key whose time
was over (`utility_server.retail.certifier_keys`)
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sqlalchemy import Connection, insert, select

from protocols.metrology import CertifiedDay
from utility_server.database import chain_table as table
from utility_server.database import revision_table as revisions
from utility_server.errors import VerificationFailed
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
        _keep_revisions(connection, meter, register, chain)


def _keep_revisions(
    connection: Connection, meter: bytes, register: bytes, chain: Sequence[CertifiedDay]
) -> None:
    """Keep the revisions of corrected days; raise `VerificationFailed` for one that is outdated."""
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


def _chains(
    days: Iterable[CertifiedDay],
) -> Iterator[tuple[tuple[bytes, bytes], Sequence[CertifiedDay]]]:
    for key, chain in groupby(days, key=lambda day: (day.content.meter, day.content.register)):
        yield key, list(chain)


def _broken(day: CertifiedDay, what: str) -> VerificationFailed:
    return VerificationFailed("chain", f"{day.day}: the day {what}")
