# SPDX-License-Identifier: Apache-2.0
"""Who asked the service for what: an append-only record, chained like the ledger.

    digest(n) = seal("meterlet audit 1", digest(n−1), body(n))
    body(n)   = deterministic CBOR [n, time, who, action, target, outcome, request]

What changes something is entered before it is done (`begun`) and after (its HTTP status), so that
no change is without an entry, whatever dies in between. What reads a customer's data is entered
before the data are sent. Values that were sent are in no entry.

The chain has no key. Whoever can write the database can cut off its end, or write all of it anew;
then the chain holds, and says something else. He cannot make it end in a digest that it had before.
So others note the last number and digest now and then (`head`), where he cannot write, and a check
is told them (`entries`).
"""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, Row, insert, select

from protocols.canonical.cbor import CborError
from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.stored import decode_row, encode_row
from utility_server.chain_head import ChainHead
from utility_server.database import audit_table as table
from utility_server.database import reading, writing
from utility_server.errors import LedgerTampered

_LABEL: Final = b"meterlet audit 1"
BEGUN: Final = "begun"
CUT_OFF: Final = "cut off"
"""Whoever asked was gone, or the process ended, before the outcome was known."""
REPEATED: Final = "repeated"
"""Before the status of an answer that was given again: nothing was done."""
LONGEST: Final = 256
LONGEST_TARGET: Final = 4_096
"""Enough for the meters of all names that one search may show."""
_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the record."""

    sequence: int
    """1 for the first."""
    time: int
    who: str
    """`key:...`, `certificate:...`, `staff:...` or `operator:...`."""
    action: str
    """The operation, as the interface's description calls it."""
    target: str
    """Of what: `meter=...`, empty where it is of nothing in particular."""
    outcome: str
    """`begun`; the HTTP status with which it ended, `cut off`, or `repeated` and a status."""
    request: str
    """Ties the lines of one request together, and to the service's log."""
    digest: bytes
    """Seals this entry and all before it."""


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The record of one utility."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)

    def append(self, who: str, action: str, target: str, outcome: str, request: str) -> AuditEntry:
        """Write an entry."""
        with writing(self.engine, _LABEL) as connection:  # one at a time: it is a chain
            last = connection.execute(
                select(table.c.sequence, table.c.digest).order_by(table.c.sequence.desc()).limit(1)
            ).one_or_none()
            sequence, previous = (0, GENESIS) if last is None else (last.sequence, last.digest)
            sequence, time = sequence + 1, self.now()
            who, action, target = who[:LONGEST], action[:LONGEST], target[:LONGEST_TARGET]
            body = encode_row([sequence, time, who, action, target, outcome, request])
            digest = seal(_LABEL, bytes(previous), body)
            connection.execute(
                insert(table).values(sequence=sequence, time=time, body=body, digest=digest)
            )
        return AuditEntry(sequence, time, who, action, target, outcome, request, digest)

    def page(self, after: int, limit: int) -> list[AuditEntry]:
        """Return entries in order, from after a number on; the chain is not checked."""
        query = select(table).where(table.c.sequence > after).order_by(table.c.sequence)
        with reading(self.engine) as connection:
            return [_entry(row) for row in connection.execute(query.limit(limit)).all()]

    def page_before(self, before: int | None, limit: int) -> list[AuditEntry]:
        """Return entries backwards, from before a number on, or from the last; not checked."""
        query = select(table).order_by(table.c.sequence.desc())
        if before is not None:
            query = query.where(table.c.sequence < before)
        with reading(self.engine) as connection:
            return [_entry(row) for row in connection.execute(query.limit(limit)).all()]

    def head(self) -> ChainHead:
        """Return the record's end, for others to keep; the chain is not checked."""
        last = self.page_before(None, 1)
        return ChainHead(last[0].sequence, last[0].digest) if last else ChainHead(0, GENESIS)

    def entries(self, known: ChainHead | None = None) -> Iterator[AuditEntry]:
        """Yield all entries, checking the chain; raise `LedgerTampered` where it breaks.

        Also where it has not gone through `known`, an end that it had before.
        """
        previous, expected = GENESIS, 1
        while batch := self._rows(expected - 1):
            for row in batch:
                if row.sequence != expected:
                    raise LedgerTampered(f"audit log: entry {expected} is missing")
                previous = seal(_LABEL, previous, bytes(row.body))
                if not hmac.compare_digest(previous, bytes(row.digest)):
                    raise LedgerTampered(f"audit log: entry {expected} is not what was written")
                if known is not None:
                    known.require("audit log", expected, previous)
                yield _entry(row)
                expected += 1
        if known is not None:
            known.require_reached("audit log", expected - 1)

    def _rows(self, after: int) -> list[Row[tuple[object, ...]]]:
        query = select(table).where(table.c.sequence > after).order_by(table.c.sequence)
        with reading(self.engine) as connection:
            return list(connection.execute(query.limit(_BATCH)).all())


def _entry(row: Row[tuple[object, ...]]) -> AuditEntry:
    try:
        match decode_row(bytes(row.body)):
            case [
                int(number), int(time), str(who), str(action), str(target), str(outcome),
                str(request),
            ] if number == row.sequence and time == row.time:  # fmt: skip
                return AuditEntry(
                    number, time, who, action, target, outcome, request, bytes(row.digest)
                )
    except CborError:
        pass
    raise LedgerTampered(f"audit log: entry {row.sequence} is none that this program writes")
