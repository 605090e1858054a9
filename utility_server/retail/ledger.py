# SPDX-License-Identifier: Apache-2.0
"""The utility's ledger: what was verified and billed, each entry sealed by the one after it.

    digest(n) = seal("meterlet ledger 1", digest(n−1), body(n))         as in protocols.canonical
    body(n)   = deterministic CBOR [n, time, kind, meter, content]

An entry that is changed, dropped or moved breaks the chain from there on; whoever keeps the last
digest can tell that none was cut off the end. What an entry rests on (a hub's whole answer) is
kept beside it as evidence under its own digest, so that anyone can verify it again.
"""

import hmac
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, Row, Select, select
from sqlalchemy.exc import DBAPIError

from protocols.canonical.cbor import CborError
from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.stored import decode_row, encode_row
from protocols.metrology import CertifiedDay, FirstDayOfCustody
from utility_server.chain_head import ChainHead
from utility_server.database import evidence_table, ledger_table, reading, writing
from utility_server.errors import LedgerTampered
from utility_server.retail.carried_states import Chain, Succession, extend_states, read_chains
from utility_server.retail.chains import KnownDays, known_chains
from utility_server.transactions import busy, is_busy
from utility_server.writes import Writes

_LABEL: Final = b"meterlet ledger 1"
_AT_A_TIME: Final = 500
LEDGER: Final = b"ledger"
"""The lock of whoever appends: one chain, one at a time."""

Content = Mapping[str, int | str | bytes]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger."""

    sequence: int
    """1 for the first."""
    time: int
    """Epoch seconds at which it was written."""
    kind: str
    meter: bytes
    content: Content
    digest: bytes
    """Seals this entry and all before it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The entries of one database, in order."""

    engine: Engine

    def append(
        self,
        time: int,
        kind: str,
        meter: bytes,
        content: Content,
        evidence: bytes,
        days: Sequence[CertifiedDay] = (),
        memory: Succession | None = None,
    ) -> LedgerEntry:
        """Write an entry and its evidence in one transaction; return the entry.

        `content` gets the evidence's SHA-256 under "evidence". `days` are those that the entry
        rests on, `memory` is from which carried state a bill goes on to which one; raises
        `VerificationFailed`, having written nothing, where they do not fit those of earlier
        entries.
        """
        with writing(self.engine) as connection:
            before = [] if memory is None else [(memory.before.meter, memory.before.account)]
            appending = Appending.begin(connection, days, before)
            entry = appending.append(time, kind, meter, content, evidence, days, memory)
            appending.write(connection)
        return entry

    def entry(self, sequence: int) -> LedgerEntry:
        """Return the entry of that number; the chain is not checked."""
        query = select(ledger_table).where(ledger_table.c.sequence == sequence)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise LedgerTampered(f"ledger: entry {sequence} is missing")
        return _entry(row.sequence, row.body, row.digest)

    def last(self) -> LedgerEntry | None:
        """Return the newest entry, None in an empty ledger; the chain is not checked."""
        query = select(ledger_table).order_by(ledger_table.c.sequence.desc()).limit(1)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _entry(row.sequence, row.body, row.digest)

    def require_noted(self, noted: ChainHead) -> None:
        """Raise `LedgerTampered` unless the ledger goes through an end that it had before.

        The chain itself is not checked: that its digests are of its entries is another check.
        """
        if noted.entries:
            last = self.last()
            noted.require_reached("ledger", 0 if last is None else last.sequence)
            noted.require("ledger", noted.entries, self.entry(noted.entries).digest)

    def before(
        self, sequence: int | None, limit: int, meter: bytes | None = None
    ) -> list[LedgerEntry]:
        """Return entries backwards, of one meter or all, from before a number on, or from the end.

        The chain is not checked.
        """
        query = select(ledger_table).order_by(ledger_table.c.sequence.desc())
        if sequence is not None:
            query = query.where(ledger_table.c.sequence < sequence)
        if meter is not None:
            query = query.where(ledger_table.c.meter == meter)
        with reading(self.engine) as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [_entry(row.sequence, bytes(row.body), bytes(row.digest)) for row in rows]

    def after(self, sequence: int, limit: int, meter: bytes | None = None) -> list[LedgerEntry]:
        """Return entries in order, of one meter or all, from after a number on.

        The chain is not checked.
        """
        query = select(ledger_table).where(ledger_table.c.sequence > sequence)
        if meter is not None:
            query = query.where(ledger_table.c.meter == meter)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(ledger_table.c.sequence).limit(limit)).all()
        return [_entry(row.sequence, bytes(row.body), bytes(row.digest)) for row in rows]

    @staticmethod
    def sealed(previous: bytes, entry: LedgerEntry) -> bytes:
        """Return the digest that an entry has behind one of the digest `previous`."""
        body = encode_row([entry.sequence, entry.time, entry.kind, entry.meter, entry.content])
        return seal(_LABEL, previous, body)

    def entries(self) -> Generator[LedgerEntry, None, None]:
        """Yield all entries, checking the chain; raise `LedgerTampered` where it breaks."""
        previous = GENESIS
        query = select(ledger_table).order_by(ledger_table.c.sequence)
        for expected, row in enumerate(self._rows(query), start=1):
            if row.sequence != expected:
                raise LedgerTampered(f"ledger: entry {expected} is missing")
            previous = seal(_LABEL, previous, row.body)
            if not hmac.compare_digest(previous, row.digest):
                raise LedgerTampered(f"ledger: entry {expected} is not what was written")
            yield _entry(expected, row.body, previous)

    def _rows(self, query: Select[tuple[int, bytes, bytes, bytes]]) -> Iterator[Row[Any]]:
        """Yield rows of one moment, some at a time: a ledger may be larger than the memory."""
        with self.engine.connect() as connection:
            try:
                with connection.execute(query.execution_options(yield_per=_AT_A_TIME)) as rows:
                    yield from rows
            except DBAPIError as error:
                if is_busy(error.orig):
                    raise busy(self.engine) from error
                raise LedgerTampered(f"ledger: not readable: {error.orig}") from None
            except TypeError:
                raise LedgerTampered("ledger: not readable: text among its bytes") from None

    def bills(self, meter: bytes) -> list[LedgerEntry]:
        """Return the bills of one meter, oldest first; the chain between them is not checked."""
        return self.of_kind("bill", meter)

    def of_kind(self, kind: str, meter: bytes) -> list[LedgerEntry]:
        """Return a meter's entries of one kind, oldest first; the chain is not checked."""
        return [entry for entry in self.of_meters([meter])[meter] if entry.kind == kind]

    def of_meters(self, meters: Iterable[bytes]) -> dict[bytes, list[LedgerEntry]]:
        """Return several meters' entries, oldest first; the chain is not checked."""
        found: dict[bytes, list[LedgerEntry]] = {meter: [] for meter in meters}
        query = (
            select(ledger_table)
            .where(ledger_table.c.meter.in_(list(found)))
            .order_by(ledger_table.c.sequence)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        for row in rows:
            entry = _entry(row.sequence, row.body, row.digest)
            if entry.meter == row.meter:
                found[entry.meter].append(entry)
        return found

    def numbered(self, numbers: Iterable[int]) -> dict[int, LedgerEntry]:
        """Return the entries of these numbers that there are; the chain is not checked."""
        query = select(ledger_table).where(ledger_table.c.sequence.in_(list(numbers)))
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return {
            row.sequence: _entry(row.sequence, bytes(row.body), bytes(row.digest)) for row in rows
        }

    def custodies(self, meter: bytes) -> list[date]:
        """Return the days with which custodies of a meter begin, as far as days have told."""
        with reading(self.engine) as connection:
            return sorted(
                {
                    change.day
                    for known in known_chains(connection, meter)
                    for change in known.changes
                    if isinstance(change.event, FirstDayOfCustody)
                }
            )

    def evidence(self, entry: LedgerEntry) -> bytes:
        """Return what an entry rests on; raise `LedgerTampered` if it is gone or changed."""
        digest = entry.content["evidence"]
        with reading(self.engine) as connection:
            content = connection.execute(
                select(evidence_table.c.content).where(evidence_table.c.digest == digest)
            ).scalar_one_or_none()
        if content is None or sha256(content).digest() != digest:
            raise LedgerTampered(f"ledger: the evidence of entry {entry.sequence} is not there")
        return bytes(content)


@dataclass(slots=True)
class Appending:
    """Appends to the ledger within a transaction; nothing is in the database before `write`.

    What the entries go on from is read at once for all of them. So those of one `Appending` have
    days of a meter, or a step from one carried state to the next, once at most.
    """

    sequence: int
    """The number of the last entry."""
    digest: bytes
    known_days: KnownDays
    chains: Mapping[tuple[bytes, bytes], Chain]
    """The carried states, by meter and account."""
    writes: Writes = field(default_factory=Writes)

    @classmethod
    def begin(
        cls,
        connection: Connection,
        days: Iterable[CertifiedDay] = (),
        accounts: Iterable[tuple[bytes, bytes]] = (),
    ) -> Self:
        """Read what entries go on from that rest on these days, and what these accounts carry.

        Accounts are by meter.

        `connection` is a transaction that has the ledger's lock, and those of the meters.
        """
        last = connection.execute(
            select(ledger_table.c.sequence, ledger_table.c.digest)
            .order_by(ledger_table.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        return cls(
            0 if last is None else last.sequence,
            GENESIS if last is None else bytes(last.digest),
            KnownDays.beside(connection, days),
            read_chains(connection, accounts),
        )

    def append(
        self,
        time: int,
        kind: str,
        meter: bytes,
        content: Content,
        evidence: bytes,
        days: Iterable[CertifiedDay] = (),
        memory: Succession | None = None,
    ) -> LedgerEntry:
        """Do as `Ledger.append`, and raise like it; what `write` writes is as it was then."""
        evidence_digest = sha256(evidence).digest()
        content = {**content, "evidence": evidence_digest}
        sequence = self.sequence + 1
        with self.writes.all_or_nothing():
            self.known_days.extend(days, self.writes)
            if memory is not None:
                chain = self.chains[memory.before.meter, memory.before.account]
                extend_states(chain, memory, sequence, self.writes)
            body = encode_row([sequence, time, kind, meter, content])
            digest = seal(_LABEL, self.digest, body)
            self.writes.keep(evidence_table, digest=evidence_digest, kind=kind, content=evidence)
            self.writes.add(ledger_table, sequence=sequence, meter=meter, body=body, digest=digest)
        self.sequence, self.digest = sequence, digest
        return LedgerEntry(sequence, time, kind, meter, content, digest)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back what the block has appended and had written, if it raises."""
        head = self.sequence, self.digest
        try:
            with self.writes.all_or_nothing():
                yield
        except BaseException:
            self.sequence, self.digest = head
            raise

    def write(self, connection: Connection) -> None:
        """Write the entries, and what goes with them. An error has to undo the transaction."""
        self.writes.write(connection)


def _entry(sequence: int, body: bytes, digest: bytes) -> LedgerEntry:
    try:
        match decode_row(body):
            case [int(number), int(time), str(kind), bytes(meter), dict(content)] if (
                number == sequence and isinstance(content.get("evidence"), bytes)
            ):
                return LedgerEntry(sequence, time, kind, meter, content, digest)
    except CborError:
        pass
    raise LedgerTampered(f"ledger: entry {sequence} is none that this program writes")
