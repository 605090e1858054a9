# SPDX-License-Identifier: Apache-2.0
"""A new key for the vault: every sealed row is opened with the old key and sealed with the new one.

All of it is one transaction, and the check value of the key changes in it. Whoever is cut off at
any moment has either the old rows with the old key, or the new ones with the new key
(`hub.vault.key_file`).

    vault.key.next written | rows sealed again, check value changed | commit | rename | checkpoint

Each part of the hub that seals something brings a `Resealing`. A row that is not what was stored
ends the rotation, and everything stays as it was.

Errors: VaultTampered, SecretFileError, DatabaseError
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.vault.database import Database
from hub.vault.days import (
    resealed_fact,
    resealed_inheritance,
    resealed_revision,
    resealed_use,
)
from hub.vault.key_file import next_key_file, put_in_force
from hub.vault.sealing import check_value_of
from hub.vault.secret_file import write_secret
from hub.vault.vault import NONCE_SIZE, Channel, resealed_correction, resealed_reading

BATCH: Final = 500
"""Rows that are read at a time, and after how many progress is reported."""

Randomness: TypeAlias = Callable[[int], bytes]
Progress: TypeAlias = Callable[[int, int], None]
"""Hears how many rows are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The old key, the new one, and where nonces come from."""

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)
    randomness: Randomness = field(repr=False)

    @property
    def opener(self) -> AESGCM:
        """What opens the old rows."""
        return AESGCM(self.old)

    @property
    def sealer(self) -> AESGCM:
        """What seals the new ones."""
        return AESGCM(self.new)


@dataclass(frozen=True, slots=True)
class Resealing:
    """How one part of the hub seals its rows again."""

    count: Callable[[sqlite3.Connection], int]
    """How many rows there are to be sealed."""
    run: Callable[[Database, KeyChange], Iterator[int]]
    """Seals them, and yields how many more are done."""


def rotate_vault_key(
    database: Database,
    path: Path,
    old: bytes,
    new: bytes,
    randomness: Randomness,
    parts: Sequence[Resealing],
    progress: Progress = lambda done, total: None,
) -> None:
    """Seal everything with a new key; it is in force once this commits.

    `path` is the old key's file. Nothing more may be sealed in the transaction after this. The
    caller calls `finish_rotation` after the outermost transaction, which may be its own. If that is
    cut off, opening the hub does it.
    """
    successor = next_key_file(path)
    with database.transaction() as connection:
        # Under the write lock: no other process is between writing this file and its commit.
        with suppress(FileNotFoundError):
            successor.unlink()
        change = KeyChange(old, new, randomness)
        write_secret(successor, change.new)
        try:
            total, done = sum(part.count(connection) for part in parts), 0
            progress(done, total)
            for part in parts:
                for more in part.run(database, change):
                    done += more
                    progress(done, total)
            new_check_value = check_value_of(change.new)
            connection.execute("UPDATE vault_key SET check_value = ?", (new_check_value,))
        except BaseException:
            with suppress(FileNotFoundError):
                successor.unlink()
            raise


def finish_rotation(database: Database, path: Path) -> None:
    """Put the new key's file in place, and have the old rows overwritten in the write-ahead log."""
    put_in_force(path)
    with suppress(sqlite3.OperationalError):  # who reads just now keeps it; the next one does it
        database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def changeable(connection: sqlite3.Connection, trigger: str) -> Iterator[None]:
    """Let rows be changed that `trigger` guards; it is back when the block ends.

    Dropping and making it again are part of the transaction, so that no crash leaves it out.
    """
    (definition,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?", (trigger,)
    ).fetchone()
    connection.execute(f"DROP TRIGGER {trigger}")
    yield
    connection.execute(definition)


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[list[Any]]:
    """Yield the rows of a query in batches; `query` takes a rowid to begin after, and a number."""
    start = -1
    while rows := connection.execute(query, (start, BATCH)).fetchall():
        yield rows
        start = rows[-1][0]


Resealed: TypeAlias = Callable[[AESGCM, AESGCM, bytes, Channel, Any], bytes]
"""Seals a row anew: both keys, a nonce, the row's channel and its other columns."""


def _by_channel(table: str, rows: str, trigger: str, resealed: Resealed) -> Resealing:
    """Return the resealing of a table that has `trigger` and the columns `nonce` and `sealed`.

    The query `rows` is one for `_rows`: rowid, meter, register, then what `resealed` is given.
    """

    def run(database: Database, change: KeyChange) -> Iterator[int]:
        connection, opener, sealer = database.connection, change.opener, change.sealer
        with changeable(connection, trigger):
            for batch in _rows(connection, rows):
                changed = []
                for at, meter, register, *row in batch:
                    nonce = change.randomness(NONCE_SIZE)
                    sealed = resealed(opener, sealer, nonce, Channel(meter, register), tuple(row))
                    changed.append((nonce, sealed, at))
                connection.executemany(
                    f"UPDATE {table} SET nonce = ?, sealed = ? WHERE rowid = ?",  # noqa: S608 - ours
                    changed,
                )
                yield len(batch)

    return Resealing(_counting(table), run)


def by_derived_key(reseal: Callable[[Database, bytes], Iterator[int]], *tables: str) -> Resealing:
    """Return the resealing of tables whose sealers are made from the vault's key."""
    return Resealing(_counting(*tables), lambda database, change: reseal(database, change.new))


def _counting(*tables: str) -> Callable[[sqlite3.Connection], int]:
    def count(connection: sqlite3.Connection) -> int:
        query = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)  # noqa: S608 - constant text
        (number,) = connection.execute(f"SELECT {query}").fetchone()
        return int(number)

    return count


READINGS: Final = _by_channel(
    "reading",
    "SELECT reading.rowid, meter, register, sequence, time, nonce, sealed FROM reading"
    " JOIN channel ON channel.id = reading.channel WHERE reading.rowid > ?"
    " ORDER BY reading.rowid LIMIT ?",
    "reading_is_never_changed",
    resealed_reading,
)
DAYS: Final = _by_channel(
    "certified_day",
    "SELECT rowid, meter, register, day, nonce, sealed FROM certified_day"
    " WHERE rowid > ? ORDER BY rowid LIMIT ?",
    "day_is_never_changed",
    resealed_use,
)
FACTS: Final = _by_channel(
    "meter_fact",
    "SELECT rowid, meter, register, time, place, nonce, sealed FROM meter_fact"
    " WHERE rowid > ? ORDER BY rowid LIMIT ?",
    "fact_is_never_changed",
    resealed_fact,
)
CORRECTIONS: Final = _by_channel(
    "correction",
    "SELECT rowid, meter, register, number, time, reason, first, last, nonce, sealed"
    " FROM correction WHERE rowid > ? ORDER BY rowid LIMIT ?",
    "correction_is_never_changed",
    resealed_correction,
)
CORRECTED_DAYS: Final = _by_channel(
    "corrected_day",
    "SELECT rowid, meter, register, day, revision, nonce, sealed FROM corrected_day"
    " WHERE rowid > ? ORDER BY rowid LIMIT ?",
    "corrected_day_is_never_changed",
    resealed_revision,
)
INHERITED: Final = _by_channel(
    "inherited_chain",
    "SELECT rowid, meter, register, nonce, sealed FROM inherited_chain"
    " WHERE rowid > ? ORDER BY rowid LIMIT ?",
    "inherited_is_never_changed",
    resealed_inheritance,
)
