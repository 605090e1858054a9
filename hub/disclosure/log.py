# SPDX-License-Identifier: Apache-2.0
"""The disclosure log: every consent, release, refusal and message, sealed, in a hash chain.

    body(n)   = salt(n) ‖ deterministic CBOR [n, time, kind, facts]
    sealed(n) = body(n), sealed under the vault's key, bound to n and kind
    leaf(n)   = SHA-256(body(n))
    digest(n) = seal("meterlet disclosure 2", digest(n−1), leaf(n))    as in protocols.log_head
    head      = [n, digest(n), {kind: how many}] of the last entry, sealed likewise

An entry is authenticated when it is read: its seal says which number and kind it has. The head
says how many there are of each kind, and the digest that stands for all. So a log is whole where
each entry opens, there are just so many of each kind without a gap, and the last digest is the
head's. `check` looks at all but the first, and opens no entry. Whoever has the file and not the key
can delete none, add none, change none.

The leaves are shown to recipients (`protocols.log_head`). The salt, 32 bytes made from the entry
with the key, lets nobody find what is in an entry by trying.

Where a custody ends (`hub.custody`), its entries go, and so does the key. Of each its leaf and its
digest stay: the chain goes on from there with an entry that says so, and a recipient sees a log
that has grown. A head that was kept is followed by no other log.
The bytes of a message lie beside its entry, sealed; the entry holds their SHA-256.

Errors: LogTampered
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from hub.errors import HubError
from hub.vault.database import Component, Database
from hub.vault.sealing import SealBroken, Sealer, resealed
from protocols.canonical.cbor import CborError
from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.stored import decode_row, encode_row
from protocols.log_head import EMPTY, MOST_LEAVES, LogHead, link

PURPOSE: Final = "disclosure log"
_ENTRY: Final = b"entry"
_CONTENT: Final = b"content"
_HEAD: Final = b"head"
_SALT_SIZE: Final = 32
_LABEL_1: Final = b"meterlet disclosure 1"
"""Of the chain over entries in clear, as release 0.1 wrote them."""


class LogTampered(HubError):
    """An entry of the disclosure log is not what was written."""

    exit_code, http_status = 3, 500


def _seal_entries(database: Database) -> None:
    """Seal a log of release 0.1, once its chain has been checked; then chain it anew."""
    connection, sealer = database.connection, database.sealer(PURPOSE)
    previous = digest = GENESIS
    kinds: dict[str, int] = {}
    rows = connection.execute("SELECT * FROM disclosure_entry ORDER BY sequence").fetchall()
    for expected, (sequence, kind, body, stored) in enumerate(rows, start=1):
        previous = seal(_LABEL_1, previous, body)
        entry = _decode(body)
        if (sequence, entry.kind) != (expected, kind) or previous != stored:
            raise LogTampered(f"disclosure log: entry {expected} is not what was written")
        salted = _salt(sealer, body) + body
        sealed = sealer.seal(salted, _ENTRY, _number(sequence), kind.encode())
        digest = link(digest, sha256(salted).digest())
        kinds[kind] = kinds.get(kind, 0) + 1
        connection.execute(
            "UPDATE disclosure_entry SET body = ?, digest = ? WHERE sequence = ?",
            (sealed, digest, sequence),
        )
    for at, content in connection.execute("SELECT * FROM disclosure_bytes").fetchall():
        name = sealer.name_of(_CONTENT, at)
        connection.execute(
            "UPDATE disclosure_bytes SET digest = ?, content = ? WHERE digest = ?",
            (name, sealer.seal(content, _CONTENT, name), at),
        )
    connection.execute(
        "INSERT INTO disclosure_head VALUES (1, ?)",
        (sealer.seal(encode_row([len(rows), digest, kinds]), _HEAD),),
    )


LOG_COMPONENT: Final = Component(
    "disclosure",
    (
        """
        CREATE TABLE disclosure_entry (
            sequence INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            body BLOB NOT NULL,
            digest BLOB NOT NULL
        ) STRICT;
        CREATE INDEX disclosure_kind ON disclosure_entry (kind, sequence);
        CREATE TABLE disclosure_bytes (
            digest BLOB PRIMARY KEY,
            content BLOB NOT NULL
        ) STRICT;
        CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON disclosure_entry
        BEGIN SELECT RAISE(ABORT, 'the disclosure log is append-only'); END;
        CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON disclosure_entry
        BEGIN SELECT RAISE(ABORT, 'the disclosure log is append-only'); END;
        """,
        """
        CREATE TABLE disclosure_head (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            sealed BLOB NOT NULL
        ) STRICT;
        DROP TRIGGER entry_is_never_changed;
        """,
        _seal_entries,
        """
        CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON disclosure_entry
        BEGIN SELECT RAISE(ABORT, 'the disclosure log is append-only'); END;
        """,
        """
        CREATE TABLE former_entry (
            sequence INTEGER PRIMARY KEY,
            leaf BLOB NOT NULL,
            digest BLOB NOT NULL
        ) STRICT;
        CREATE TRIGGER former_entry_is_never_changed BEFORE UPDATE ON former_entry
        BEGIN SELECT RAISE(ABORT, 'the disclosure log is append-only'); END;
        CREATE TRIGGER former_entry_is_never_deleted BEFORE DELETE ON former_entry
        BEGIN SELECT RAISE(ABORT, 'the disclosure log is append-only'); END;
        """,
    ),
)
SEALED_SINCE: Final = 4
"""Since this version nothing of it lies in clear but numbers and kinds of entries; version 5 has
the leaves of former custodies."""


def reseal_log(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal the log with a new vault key, within a transaction; yield how many rows are done.

    Leaves, digests and so the head that recipients know stay as they are.
    """
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    query = "SELECT sql FROM sqlite_schema WHERE name = 'entry_is_never_changed'"
    (trigger,) = connection.execute(query).fetchone()
    connection.execute("DROP TRIGGER entry_is_never_changed")
    for (sequence,) in connection.execute("SELECT sequence FROM disclosure_entry").fetchall():
        kind, sealed = connection.execute(
            "SELECT kind, body FROM disclosure_entry WHERE sequence = ?", (sequence,)
        ).fetchone()
        again = resealed(old, new, sealed, _ENTRY, _number(sequence), kind.encode())
        connection.execute(
            "UPDATE disclosure_entry SET body = ? WHERE sequence = ?", (again, sequence)
        )
        yield 1
    connection.execute(trigger)
    for (name,) in connection.execute("SELECT digest FROM disclosure_bytes").fetchall():
        (sealed,) = connection.execute(
            "SELECT content FROM disclosure_bytes WHERE digest = ?", (name,)
        ).fetchone()
        content = old.open(sealed, _CONTENT, name)
        renamed = new.name_of(_CONTENT, sha256(content).digest())
        connection.execute(
            "UPDATE disclosure_bytes SET digest = ?, content = ? WHERE digest = ?",
            (renamed, new.seal(content, _CONTENT, renamed), name),
        )
        yield 1
    (head,) = connection.execute("SELECT sealed FROM disclosure_head").fetchone()
    connection.execute("UPDATE disclosure_head SET sealed = ?", (resealed(old, new, head, _HEAD),))


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log."""

    sequence: int
    time: int
    kind: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DisclosureLog:
    """The log in the hub's file."""

    database: Database

    def append(
        self, time: int, kind: str, facts: Mapping[str, Any], content: bytes | None = None
    ) -> LogEntry:
        """Write an entry; with `content`, keep these bytes and their digest under "content".

        Raises `LogTampered` where the log does not end as it was left.
        """
        if content is not None:
            facts = {**facts, "content": sha256(content).digest(), "size": len(content)}
        sealer = self._sealer
        with self.database.transaction() as connection:
            head, kinds = self._sealed_head()
            self._require_end(head)
            sequence = head.length + 1
            body = encode_row([sequence, time, kind, facts])
            salted = _salt(sealer, body) + body
            sealed = sealer.seal(salted, _ENTRY, _number(sequence), kind.encode())
            digest = link(head.digest, sha256(salted).digest())
            kinds[kind] = kinds.get(kind, 0) + 1
            connection.execute(
                "INSERT INTO disclosure_entry VALUES (?, ?, ?, ?)", (sequence, kind, sealed, digest)
            )
            if content is not None:
                name = sealer.name_of(_CONTENT, facts["content"])
                connection.execute(
                    "INSERT OR IGNORE INTO disclosure_bytes VALUES (?, ?)",
                    (name, sealer.seal(content, _CONTENT, name)),
                )
            connection.execute(
                "UPDATE disclosure_head SET sealed = ?",
                (sealer.seal(encode_row([sequence, digest, kinds]), _HEAD),),
            )
        return LogEntry(sequence, time, kind, facts)

    def entries(self, kind: str | None = None) -> Iterator[LogEntry]:
        """Yield the entries, of one kind or all, oldest first; each is opened, the chain is not
        checked.

        Raises `LogTampered` at one that is not what was written.
        """
        query = "SELECT sequence, kind, body FROM disclosure_entry"
        if kind is None:
            rows = self.database.connection.execute(f"{query} ORDER BY sequence")
        else:
            rows = self.database.connection.execute(
                f"{query} WHERE kind = ? ORDER BY sequence", (kind,)
            )
        for row in rows:
            yield _decode(self._open(*row)[_SALT_SIZE:])

    def names(self, kind: str) -> list[tuple[int, bytes]]:
        """Return number and digest of each entry of a kind, oldest first; none of them is read."""
        rows = self.database.connection.execute(
            "SELECT sequence, digest FROM disclosure_entry WHERE kind = ? ORDER BY sequence",
            (kind,),
        )
        return [(sequence, bytes(digest)) for sequence, digest in rows]

    def entry(self, sequence: int) -> LogEntry:
        """Return the entry of that number; raise `LogTampered` if it cannot be read."""
        row = self.database.connection.execute(
            "SELECT sequence, kind, body FROM disclosure_entry WHERE sequence = ?", (sequence,)
        ).fetchone()
        if row is None:
            raise LogTampered(f"disclosure log: entry {sequence} is missing")
        return _decode(self._open(*row)[_SALT_SIZE:])

    def length(self) -> int:
        """Return how many entries there are: the sequence number of the last one."""
        (last,) = self.database.connection.execute(
            "SELECT max(coalesce((SELECT max(sequence) FROM disclosure_entry), 0),"
            " coalesce((SELECT max(sequence) FROM former_entry), 0))"
        ).fetchone()
        return int(last)

    def last(self, kind: str) -> int:
        """Return the number of the last entry of a kind; 0 where there is none."""
        (last,) = self.database.connection.execute(
            "SELECT coalesce(max(sequence), 0) FROM disclosure_entry WHERE kind = ?", (kind,)
        ).fetchone()
        return int(last)

    def count(self, kind: str) -> int:
        """Return how many entries of a kind there are, without reading them."""
        (number,) = self.database.connection.execute(
            "SELECT count(*) FROM disclosure_entry WHERE kind = ?", (kind,)
        ).fetchone()
        return int(number)

    def since(self, sequence: int, kind: str) -> list[LogEntry]:
        """Return the entries of one kind after that number."""
        rows = self.database.connection.execute(
            "SELECT sequence, kind, body FROM disclosure_entry"
            " WHERE kind = ? AND sequence > ? ORDER BY sequence",
            (kind, sequence),
        )
        return [_decode(self._open(*row)[_SALT_SIZE:]) for row in rows]

    def content(self, entry: LogEntry) -> bytes:
        """Return the bytes kept with an entry; raise `LogTampered` if they are not those."""
        name = self._sealer.name_of(_CONTENT, entry.facts["content"])
        row = self.database.connection.execute(
            "SELECT content FROM disclosure_bytes WHERE digest = ?", (name,)
        ).fetchone()
        lost = LogTampered(f"disclosure log: the bytes of entry {entry.sequence} are not there")
        if row is None:
            raise lost
        try:
            content = self._sealer.open(row[0], _CONTENT, name)
        except SealBroken:
            raise lost from None
        if sha256(content).digest() != entry.facts["content"]:
            raise lost
        return content

    def head(self) -> LogHead:
        """Return the sealed length and digest; raise `LogTampered` where the seal is broken."""
        return self._sealed_head()[0]

    def head_at(self, length: int) -> LogHead:
        """Return what the head was when the log had that length, which it has reached."""
        if length == 0:
            return LogHead(0, GENESIS)
        (digest,) = self.database.connection.execute(
            "SELECT digest FROM disclosure_entry WHERE sequence = ?1"
            " UNION ALL SELECT digest FROM former_entry WHERE sequence = ?1",
            (length,),
        ).fetchone()
        return LogHead(length, digest)

    def leaves(self, after: int, most: int = MOST_LEAVES) -> list[bytes]:
        """Return the leaves of the entries after a number, `most` at most."""
        connection = self.database.connection
        former = connection.execute(
            "SELECT leaf FROM former_entry WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, most),
        ).fetchall()
        rows = connection.execute(
            "SELECT sequence, kind, body FROM disclosure_entry WHERE sequence > ?"
            " ORDER BY sequence LIMIT ?",
            (after, most - len(former)),
        )
        return [leaf for (leaf,) in former] + [sha256(self._open(*row)).digest() for row in rows]

    def former(self) -> int:
        """Return how many entries are of former custodies: none of them can be read any more."""
        (last,) = self.database.connection.execute(
            "SELECT coalesce(max(sequence), 0) FROM former_entry"
        ).fetchone()
        return int(last)

    def begin_after(self, leaves: Sequence[bytes]) -> None:
        """Let an empty log go on after entries of a former custody, of which these leaves stay.

        The first entry that is appended follows them.
        """
        head, rows = EMPTY, []
        for leaf in leaves:
            head = head.followed_by([leaf])
            rows.append((head.length, leaf, head.digest))
        with self.database.transaction() as connection:
            if self.head() != EMPTY:
                raise LogTampered("disclosure log: only an empty log goes on after a former one")
            connection.executemany("INSERT INTO former_entry VALUES (?, ?, ?)", rows)
            connection.execute(
                "UPDATE disclosure_head SET sealed = ?",
                (self._sealer.seal(encode_row([head.length, head.digest, {}]), _HEAD),),
            )

    def check(self) -> LogHead:
        """Return the head of a log in which no entry is missing, added or of another kind.

        Looks at numbers and kinds, not into the entries: those are checked when they are read.
        Raises `LogTampered`.
        """
        with self.database.reading() as connection:  # another process may add to it just now
            head, kinds = self._sealed_head()
            self._require_end(head)
            stored = connection.execute(
                "SELECT kind, count(*), min(sequence) FROM disclosure_entry GROUP BY kind"
            ).fetchall()
            former = self.former()
        # With the end right, the first number the one that is due and as many as there should be,
        # there is no gap.
        if {kind: number for kind, number, _ in stored} != kinds or any(
            first <= former for _, _, first in stored
        ):
            raise LogTampered("disclosure log: entries are missing, added or of another kind")
        return head

    def verify(self) -> int:
        """Check the whole chain; return how many entries; raise `LogTampered` where it breaks."""
        with self.database.reading() as connection:
            previous, expected = GENESIS, 0
            for sequence, leaf, digest in connection.execute(
                "SELECT sequence, leaf, digest FROM former_entry ORDER BY sequence"
            ):
                expected += 1
                previous = link(previous, leaf)
                if sequence != expected or not hmac.compare_digest(previous, digest):
                    raise _changed(expected)
            rows = connection.execute(
                "SELECT sequence, kind, body, digest FROM disclosure_entry ORDER BY sequence"
            )
            for sequence, kind, body, digest in rows:
                expected += 1
                if sequence != expected:
                    raise LogTampered(f"disclosure log: entry {expected} is missing")
                previous = link(previous, sha256(self._open(sequence, kind, body)).digest())
                if not hmac.compare_digest(previous, digest):
                    raise _changed(expected)
            head = self.head()
        if head != LogHead(expected, previous):
            raise LogTampered(f"disclosure log: entry {max(head.length, expected)} is missing")
        return expected

    @property
    def _sealer(self) -> Sealer:
        return self.database.sealer(PURPOSE)

    def _sealed_head(self) -> tuple[LogHead, dict[str, int]]:
        row = self.database.connection.execute("SELECT sealed FROM disclosure_head").fetchone()
        try:
            length, digest, kinds = decode_row(self._sealer.open(row[0], _HEAD))
        except (SealBroken, TypeError):  # there is no row
            raise LogTampered("disclosure log: its sealed head is not what was written") from None
        return LogHead(length, digest), kinds

    def _require_end(self, head: LogHead) -> None:
        """Return if the last entry is the head's; raise `LogTampered` otherwise."""
        last = self.database.connection.execute(
            "SELECT sequence, digest FROM (SELECT sequence, digest FROM disclosure_entry UNION ALL"
            " SELECT sequence, digest FROM former_entry) ORDER BY sequence DESC LIMIT 1"
        ).fetchone() or (0, GENESIS)
        if last[0] < head.length:
            raise LogTampered(
                f"disclosure log: entry {last[0] + 1} is missing; {head.length} were written"
            )
        if last[0] > head.length or not hmac.compare_digest(last[1], head.digest):
            raise _changed(last[0])

    def _open(self, sequence: int, kind: str, sealed: bytes) -> bytes:
        """Return an entry's salt and encoding."""
        try:
            return self._sealer.open(sealed, _ENTRY, _number(sequence), kind.encode())
        except SealBroken:
            raise _changed(sequence) from None


def _salt(sealer: Sealer, body: bytes) -> bytes:
    return sealer.name_of(_ENTRY, body)


def _number(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big", signed=True)


def _changed(sequence: int) -> LogTampered:
    return LogTampered(f"disclosure log: entry {sequence} is not what was written")


def _decode(body: bytes) -> LogEntry:
    try:
        match decode_row(body):
            case [int(sequence), int(time), str(kind), dict(facts)]:
                return LogEntry(sequence, time, kind, facts)
    except CborError:
        pass
    raise LogTampered("disclosure log: an entry cannot be read; it is not what was written")
