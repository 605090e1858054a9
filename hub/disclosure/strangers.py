# SPDX-License-Identifier: Apache-2.0
"""Connections of strangers, counted by the day, and the sources that recipients come from.

Whoever connects without a key is in no entry of the disclosure log: entries stay for ever, and
anybody could have them made by the million. Here a day has one row, and `KEPT_DAYS` are kept.

A recipient that has authenticated leaves the source it came from (`hub.network_source`), sealed as
the log's entries of connections are. When the hub's places are scarce, that source comes before
strangers. `MOST_SOURCES` are kept, the newest; only whoever holds a key can add one.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hub.vault.database import Component, Database
from hub.vault.sealing import SealBroken, Sealer

PURPOSE: Final = "known sources"
KEPT_DAYS: Final = 400
MOST_SOURCES: Final = 64
DAY_SECONDS: Final = 86_400

STRANGERS_COMPONENT: Final = Component(
    "strangers",
    (
        """
        CREATE TABLE stranger_day (
            day INTEGER PRIMARY KEY,
            connections INTEGER NOT NULL,
            turned_away INTEGER NOT NULL,
            wrong INTEGER NOT NULL,
            received INTEGER NOT NULL,
            sent INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE known_source (
            name BLOB PRIMARY KEY,
            sealed BLOB NOT NULL,
            last INTEGER NOT NULL
        ) STRICT;
        """,
    ),
)


def reseal_sources(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal sources with a new vault key, within a transaction; yield how many rows are done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    for name, sealed in connection.execute("SELECT name, sealed FROM known_source").fetchall():
        source = old.open(sealed, name)
        renamed = new.name_of(source)
        connection.execute(
            "UPDATE known_source SET name = ?, sealed = ? WHERE name = ?",
            (renamed, new.seal(source, renamed), name),
        )
        yield 1


@dataclass(slots=True)
class StrangerCounts:
    """What strangers did over some time; bytes are those on the wire."""

    connections: int = 0
    """Connections over which nobody showed a key."""
    turned_away: int = 0
    """Connections that were not taken, or given up for others."""
    wrong: int = 0
    """Wrong authentications, and commands that an applet refused to whoever has no key."""
    received: int = 0
    sent: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing."""
        return not (self.connections or self.turned_away or self.wrong)


@dataclass(frozen=True, slots=True)
class StrangerRecord:
    """The counts and known sources in the hub's file."""

    database: Database
    now: Callable[[], int]

    def add(self, counts: StrangerCounts) -> None:
        """Add to what is counted for today."""
        today = self.now() // DAY_SECONDS
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO stranger_day VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (day) DO UPDATE SET"
                " connections = connections + excluded.connections,"
                " turned_away = turned_away + excluded.turned_away,"
                " wrong = wrong + excluded.wrong,"
                " received = received + excluded.received, sent = sent + excluded.sent",
                (today, counts.connections, counts.turned_away, counts.wrong, counts.received,
                 counts.sent),
            )  # fmt: skip
            connection.execute(
                "DELETE FROM stranger_day WHERE day NOT IN"
                " (SELECT day FROM stranger_day ORDER BY day DESC LIMIT ?)",
                (KEPT_DAYS,),
            )

    def total(self) -> StrangerCounts:
        """Return what is counted for all the days that are kept."""
        row = self.database.connection.execute(
            "SELECT coalesce(sum(connections), 0), coalesce(sum(turned_away), 0),"
            " coalesce(sum(wrong), 0), coalesce(sum(received), 0), coalesce(sum(sent), 0)"
            " FROM stranger_day"
        ).fetchone()
        return StrangerCounts(*row)

    def known_sources(self) -> list[str]:
        """Return the sources from which recipients have authenticated, the latest last.

        A row that is not what was written stands for none: no recipient is kept out by it.
        """
        sealer, sources = self.database.sealer(PURPOSE), []
        rows = self.database.connection.execute(
            "SELECT name, sealed FROM known_source ORDER BY last"
        )
        for name, sealed in rows:
            with suppress(SealBroken):
                sources.append(sealer.open(sealed, name).decode())
        return sources

    def remember_source(self, source: str) -> None:
        """Keep the source of a recipient that has authenticated."""
        sealer = self.database.sealer(PURPOSE)
        name = sealer.name_of(source.encode())
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO known_source VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET last = excluded.last",
                (name, sealer.seal(source.encode(), name), self.now()),
            )
            connection.execute(
                "DELETE FROM known_source WHERE name NOT IN"
                " (SELECT name FROM known_source ORDER BY last DESC, rowid DESC LIMIT ?)",
                (MOST_SOURCES,),
            )
