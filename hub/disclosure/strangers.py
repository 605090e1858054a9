# SPDX-License-Identifier: Apache-2.0
"""Connections of strangers, counted by the day, and the sources that recipients come from.

Whoever connects without a key is in no entry of the disclosure log: entries stay for ever, and
anybody could have them made by the million. Here a day has one row, and `KEPT_DAYS` are kept.

A recipient that has authenticated leaves the source it came from (`hub.network_source`). When the
hub's places are scarce, that source comes before strangers. `MOST_SOURCES` are kept, the newest;
only whoever holds a key can add one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hub.vault.database import Component, Database

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
            source TEXT PRIMARY KEY,
            last INTEGER NOT NULL
        ) STRICT;
        """,
    ),
)


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
        """Return the sources from which recipients have authenticated, the latest last."""
        rows = self.database.connection.execute("SELECT source FROM known_source ORDER BY last")
        return [source for (source,) in rows]

    def remember_source(self, source: str) -> None:
        """Keep the source of a recipient that has authenticated."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO known_source VALUES (?, ?)"
                " ON CONFLICT (source) DO UPDATE SET last = excluded.last",
                (source, self.now()),
            )
            connection.execute(
                "DELETE FROM known_source WHERE source NOT IN"
                " (SELECT source FROM known_source ORDER BY last DESC, rowid DESC LIMIT ?)",
                (MOST_SOURCES,),
            )
