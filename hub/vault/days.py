# SPDX-License-Identifier: Apache-2.0
"""The journal of certified days: encoded, in order, only ever added to.

The journal keeps bytes and the few facts it searches by. What a day says, and whether its
signature and its place in the chain are right, is for whoever decodes it.
"""

import sqlite3
from dataclasses import dataclass
from datetime import date
from typing import Final

from hub.vault.database import Component, Database
from hub.vault.vault import Channel, VaultError

__all__ = ["DAYS_COMPONENT", "DayJournal", "DayRefused"]

DAYS_COMPONENT: Final = Component(
    "days",
    (
        """
        CREATE TABLE certified_day (
            meter BLOB NOT NULL,
            register BLOB NOT NULL,
            day TEXT NOT NULL,
            counter INTEGER NOT NULL,
            encoded BLOB NOT NULL,
            PRIMARY KEY (meter, register, day),
            UNIQUE (meter, register, counter)
        ) STRICT;
        CREATE TRIGGER day_is_never_changed BEFORE UPDATE ON certified_day
        BEGIN SELECT RAISE(ABORT, 'certified days are append-only'); END;
        CREATE TRIGGER day_is_never_deleted BEFORE DELETE ON certified_day
        BEGIN SELECT RAISE(ABORT, 'certified days are append-only'); END;
        """,
    ),
)


class DayRefused(VaultError):
    """A day is in the journal already: the certifier signs each day once."""


@dataclass(frozen=True, slots=True)
class DayJournal:
    """The certified days of one register."""

    database: Database
    channel: Channel

    def append(self, day: date, counter: int, encoded: bytes) -> None:
        """Add a day; raise `DayRefused` if it, or its counter, is there already."""
        try:
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO certified_day VALUES (?, ?, ?, ?, ?)",
                    (*self._key, day.isoformat(), counter, encoded),
                )
        except sqlite3.IntegrityError:
            raise DayRefused(f"{day}: certified already (counter {counter})") from None

    def latest(self) -> bytes | None:
        """Return the encoded day with the highest counter, or None."""
        row = self.database.connection.execute(
            "SELECT encoded FROM certified_day WHERE meter = ? AND register = ?"
            " ORDER BY counter DESC LIMIT 1",
            self._key,
        ).fetchone()
        return None if row is None else bytes(row[0])

    def between(self, first: date, last: date) -> list[bytes]:
        """Return the encoded days of [first, last] that there are, in order."""
        rows = self.database.connection.execute(
            "SELECT encoded FROM certified_day WHERE meter = ? AND register = ?"
            " AND day BETWEEN ? AND ? ORDER BY counter",
            (*self._key, first.isoformat(), last.isoformat()),
        )
        return [bytes(encoded) for (encoded,) in rows]

    @property
    def _key(self) -> tuple[bytes, bytes]:
        return self.channel.meter, self.channel.register
