# SPDX-License-Identifier: Apache-2.0
"""The disclosure log: every consent, release, refusal and message, in a hash chain.

    digest(n) = seal("meterlet disclosure 1", digest(n−1), body(n))    as in protocols.canonical
    body(n)   = deterministic CBOR [n, time, kind, facts]

The bytes of a message lie beside its entry, which holds their SHA-256.
"""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from hub.errors import HubError
from hub.vault.database import Component, Database
from protocols.canonical.cbor import CborError
from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.stored import decode_row, encode_row

_LABEL: Final = b"meterlet disclosure 1"

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
    ),
)


class LogTampered(HubError):
    """An entry of the disclosure log is not what was written."""

    exit_code, http_status = 3, 500


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
        """Write an entry; with `content`, keep these bytes and their digest under "content"."""
        if content is not None:
            facts = {**facts, "content": sha256(content).digest(), "size": len(content)}
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT sequence, digest FROM disclosure_entry ORDER BY sequence DESC LIMIT 1"
            ).fetchone()
            sequence, previous = (0, GENESIS) if row is None else row
            sequence += 1
            body = encode_row([sequence, time, kind, facts])
            digest = seal(_LABEL, previous, body)
            connection.execute(
                "INSERT INTO disclosure_entry VALUES (?, ?, ?, ?)", (sequence, kind, body, digest)
            )
            if content is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO disclosure_bytes VALUES (?, ?)",
                    (facts["content"], content),
                )
        return LogEntry(sequence, time, kind, facts)

    def entries(self, kind: str | None = None) -> Iterator[LogEntry]:
        """Yield the entries, of one kind or all, oldest first; the chain is not checked.

        Raises `LogTampered` at one that cannot be read.
        """
        rows = self.database.connection.execute(
            "SELECT body FROM disclosure_entry WHERE ? IN (kind, '') ORDER BY sequence",
            (kind or "",),
        )
        for (body,) in rows:
            yield _read(body)

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
            "SELECT body FROM disclosure_entry WHERE sequence = ?", (sequence,)
        ).fetchone()
        if row is None:
            raise LogTampered(f"disclosure log: entry {sequence} is missing")
        return _read(row[0])

    def length(self) -> int:
        """Return how many entries there are: the sequence number of the last one."""
        (last,) = self.database.connection.execute(
            "SELECT coalesce(max(sequence), 0) FROM disclosure_entry"
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
            "SELECT body FROM disclosure_entry WHERE kind = ? AND sequence > ? ORDER BY sequence",
            (kind, sequence),
        )
        return [_read(body) for (body,) in rows]

    def content(self, entry: LogEntry) -> bytes:
        """Return the bytes kept with an entry; raise `LogTampered` if they are not those."""
        row = self.database.connection.execute(
            "SELECT content FROM disclosure_bytes WHERE digest = ?", (entry.facts["content"],)
        ).fetchone()
        if row is None or sha256(row[0]).digest() != entry.facts["content"]:
            raise LogTampered(f"disclosure log: the bytes of entry {entry.sequence} are not there")
        return bytes(row[0])

    def verify(self) -> int:
        """Check the whole chain; return how many entries; raise `LogTampered` where it breaks."""
        previous, expected = GENESIS, 0
        rows = self.database.connection.execute(
            "SELECT sequence, body, digest FROM disclosure_entry ORDER BY sequence"
        )
        for sequence, body, digest in rows:
            expected += 1
            if sequence != expected:
                raise LogTampered(f"disclosure log: entry {expected} is missing")
            previous = seal(_LABEL, previous, body)
            if not hmac.compare_digest(previous, digest):
                raise LogTampered(f"disclosure log: entry {expected} is not what was written")
        return expected


def _read(body: bytes) -> LogEntry:
    try:
        match decode_row(body):
            case [int(sequence), int(time), str(kind), dict(facts)]:
                return LogEntry(sequence, time, kind, facts)
    except CborError:
        pass
    raise LogTampered("disclosure log: an entry cannot be read; it is not what was written")
