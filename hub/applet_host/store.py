# SPDX-License-Identifier: Apache-2.0
"""What applets keep at the hub, and their last lines: sealed, each in its own corner."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from hub.vault.database import Component, Database
from hub.vault.sealing import OVERHEAD, Sealer, resealed
from protocols.platform.errors import Refusal, Refused

STORE: Final = "applet store"
LINES: Final = "applet log"


def _seal_stores(database: Database) -> None:
    """Seal what applets of release 0.1 keep, and their lines."""
    connection, sealer = database.connection, database.sealer(STORE)
    for applet, key, value in connection.execute("SELECT * FROM applet_store_clear").fetchall():
        connection.execute(
            "INSERT INTO applet_store VALUES (?, ?, ?, ?)", _sealed(sealer, applet, key, value)
        )
    lines = database.sealer(LINES)
    for number, applet, text in connection.execute(
        "SELECT number, applet, text FROM applet_log_clear"
    ).fetchall():
        connection.execute(
            "INSERT INTO applet_log SELECT number, applet, time, ? FROM applet_log_clear"
            " WHERE number = ?",
            (lines.seal(text.encode(), applet), number),
        )
    connection.execute("DROP TABLE applet_store_clear")
    connection.execute("DROP TABLE applet_log_clear")


def _sealed(
    sealer: Sealer, applet: bytes, key: bytes, value: bytes
) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the row of a value: a raw applet could write what it sees into keys, too."""
    lookup = sealer.name_of(applet, key)
    return (
        applet,
        lookup,
        sealer.seal(key, b"key", applet, lookup),
        sealer.seal(value, b"value", applet, lookup),
    )


STORE_COMPONENT: Final = Component(
    "applet_store",
    (
        """
        CREATE TABLE applet_store (
            applet BLOB NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (applet, key)
        ) STRICT;
        CREATE TABLE applet_log (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            time INTEGER NOT NULL,
            text TEXT NOT NULL
        ) STRICT;
        """,
        """
        ALTER TABLE applet_store RENAME TO applet_store_clear;
        ALTER TABLE applet_log RENAME TO applet_log_clear;
        CREATE TABLE applet_store (
            applet BLOB NOT NULL,
            lookup BLOB NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (applet, lookup)
        ) STRICT;
        CREATE TABLE applet_log (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            time INTEGER NOT NULL,
            text BLOB NOT NULL
        ) STRICT;
        """,
        _seal_stores,
    ),
)
"""Since version 3 keys, values and lines are sealed; a key is found by a name made with the key of
the store."""


def reseal_stores(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal stores and lines with a new vault key, within a transaction; yield rows done."""
    connection, old, new = database.connection, database.sealer(STORE), Sealer.of(vault_key, STORE)
    rows = connection.execute("SELECT applet, lookup, key, value FROM applet_store").fetchall()
    for applet, lookup, key, value in rows:
        again = _sealed(
            new,
            applet,
            old.open(key, b"key", applet, lookup),
            old.open(value, b"value", applet, lookup),
        )
        connection.execute(
            "UPDATE applet_store SET lookup = ?, key = ?, value = ?"
            " WHERE applet = ? AND lookup = ?",
            (*again[1:], applet, lookup),
        )
        yield 1
    old, new = database.sealer(LINES), Sealer.of(vault_key, LINES)
    lines = connection.execute("SELECT number, applet, text FROM applet_log").fetchall()
    for number, applet, text in lines:
        connection.execute(
            "UPDATE applet_log SET text = ? WHERE number = ?",
            (resealed(old, new, text, applet), number),
        )
        yield 1


MOST_KEYS: Final = 4_096
"""In an applet's corner of the store: putting something looks at the length of all."""
LOG_LINES: Final = 1000
"""An applet's newest lines that are kept."""


@dataclass(frozen=True, slots=True)
class AppletStore:
    """An applet's corner of the store, sealed; inside the transaction of its APDU."""

    database: Database
    applet: bytes
    quota: int = 0
    """Bytes that its keys and values may fill together."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None; raise `SealBroken` where it is not what was put there."""
        lookup = self._sealer.name_of(self.applet, key)
        row = self.database.connection.execute(
            "SELECT value FROM applet_store WHERE applet = ? AND lookup = ?", (self.applet, lookup)
        ).fetchone()
        return None if row is None else self._sealer.open(row[0], b"value", self.applet, lookup)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value; raise `Refused` (TOO_MUCH) beyond the quota, or `MOST_KEYS`."""
        row = _sealed(self._sealer, self.applet, key, value)
        with self.database.transaction() as connection:
            others, keys = connection.execute(
                "SELECT coalesce(sum(length(key) + length(value) - ?), 0), count(*)"
                " FROM applet_store WHERE applet = ? AND lookup <> ?",
                (2 * OVERHEAD, *row[:2]),
            ).fetchone()
            if others + len(key) + len(value) > self.quota or keys >= MOST_KEYS:
                raise Refused(Refusal.TOO_MUCH)
            connection.execute("INSERT OR REPLACE INTO applet_store VALUES (?, ?, ?, ?)", row)

    def delete(self, key: bytes) -> None:
        """Remove the value, if there is one."""
        lookup = self._sealer.name_of(self.applet, key)
        with self.database.transaction() as connection:
            connection.execute(
                "DELETE FROM applet_store WHERE applet = ? AND lookup = ?", (self.applet, lookup)
            )

    def keys(self) -> list[bytes]:
        """Return the keys, in order."""
        rows = self.database.connection.execute(
            "SELECT key, lookup FROM applet_store WHERE applet = ?", (self.applet,)
        )
        return sorted(self._sealer.open(key, b"key", self.applet, lookup) for key, lookup in rows)

    @staticmethod
    def holders(database: Database, prefix: bytes) -> list[bytes]:
        """Return the applets that have a key with this prefix, in order."""
        rows = database.connection.execute(
            "SELECT DISTINCT applet FROM applet_store ORDER BY applet"
        ).fetchall()
        return [
            bytes(applet)
            for (applet,) in rows
            if any(key.startswith(prefix) for key in AppletStore(database, applet).keys())  # noqa: SIM118
        ]

    @property
    def _sealer(self) -> Sealer:
        return self.database.sealer(STORE)

    def clear(self) -> None:
        """Remove everything: the applet is gone."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM applet_store WHERE applet = ?", (self.applet,))
            connection.execute("DELETE FROM applet_log WHERE applet = ?", (self.applet,))


@dataclass(frozen=True, slots=True)
class HubLog:
    """An applet's last lines, for its developer and the resident."""

    database: Database
    applet: bytes
    time: Callable[[], int]

    def write(self, text: str) -> None:
        """Keep a line, and forget the oldest beyond `LOG_LINES`."""
        sealer = self.database.sealer(LINES)  # a raw applet's lines may hold what it sees
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO applet_log (applet, time, text) VALUES (?, ?, ?)",
                (self.applet, self.time(), sealer.seal(text.encode(), self.applet)),
            )
            connection.execute(
                "DELETE FROM applet_log WHERE applet = ? AND number <="
                " (SELECT max(number) FROM applet_log WHERE applet = ?) - ?",
                (self.applet, self.applet, LOG_LINES),
            )
