# SPDX-License-Identifier: Apache-2.0
"""What the hub keeps of rounds: how far each has come, and over whom sums were opened.

A round's announcement and contribution are kept while it may still go on. What was opened is kept
for good: against it every later sum of the same time is held.
"""

from dataclasses import dataclass
from typing import Final

from hub.vault.database import Component, Database
from protocols.aggregation.rules import ReleasedSum

NAME_SIZE: Final = 16

AGGREGATION_COMPONENT: Final = Component(
    "aggregation",
    (
        """
        CREATE TABLE aggregation_round (
            digest BLOB PRIMARY KEY,
            applet BLOB NOT NULL,
            announced BLOB NOT NULL,
            contribution BLOB NOT NULL,
            contributors BLOB,
            is_open INTEGER NOT NULL DEFAULT 0,
            valid_until INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE aggregation_release (
            number INTEGER PRIMARY KEY,
            begin INTEGER NOT NULL,
            end INTEGER NOT NULL,
            members BLOB NOT NULL
        ) STRICT;
        CREATE INDEX aggregation_release_time ON aggregation_release (begin, end);
        CREATE TRIGGER aggregation_release_is_never_changed BEFORE UPDATE ON aggregation_release
        BEGIN SELECT RAISE(ABORT, 'released sums are append-only'); END;
        CREATE TRIGGER aggregation_release_is_never_deleted BEFORE DELETE ON aggregation_release
        BEGIN SELECT RAISE(ABORT, 'released sums are append-only'); END;
        """,
        # Of sums opened before, it is not known who had all readings: nobody counts.
        """
        ALTER TABLE aggregation_release ADD COLUMN complete BLOB NOT NULL DEFAULT x'';
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class Participation:
    """How far the hub has come in a round."""

    digest: bytes
    applet: bytes
    announced: bytes
    contribution: bytes
    """As it was sent."""
    contributors: bytes | None
    """The digest of those whose sum was agreed to; never another one."""
    is_open: bool


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """The record in the hub's file."""

    database: Database

    def find(self, digest: bytes, applet: bytes) -> Participation | None:
        """Return an applet's round, None if it has not contributed to it or it is long over."""
        row = self.database.connection.execute(
            "SELECT announced, contribution, contributors, is_open FROM aggregation_round"
            " WHERE digest = ? AND applet = ?",
            (digest, applet),
        ).fetchone()
        if row is None:
            return None
        announced, contribution, contributors, is_open = row
        return Participation(digest, applet, announced, contribution, contributors, bool(is_open))

    def add(self, participation: Participation, valid_until: int) -> None:
        """Note a contribution; a round in which there is one already raises `IntegrityError`."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO aggregation_round (digest, applet, announced, contribution,"
                " valid_until) VALUES (?, ?, ?, ?, ?)",
                (
                    participation.digest,
                    participation.applet,
                    participation.announced,
                    participation.contribution,
                    valid_until,
                ),
            )

    def agree(self, digest: bytes, contributors: bytes) -> None:
        """Note whose sum was agreed to; what is noted already stays."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE aggregation_round SET contributors = coalesce(contributors, ?)"
                " WHERE digest = ?",
                (contributors, digest),
            )

    def release(self, digest: bytes, released: ReleasedSum) -> None:
        """Note that a sum was opened."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE aggregation_round SET is_open = 1 WHERE digest = ?", (digest,)
            )
            connection.execute(
                "INSERT INTO aggregation_release (begin, end, members, complete)"
                " VALUES (?, ?, ?, ?)",
                (
                    released.begin,
                    released.end,
                    b"".join(sorted(released.members)),
                    b"".join(sorted(released.complete)),
                ),
            )

    def releases(self, begin: int, end: int) -> list[ReleasedSum]:
        """Return the opened sums that have time in common with [begin, end)."""
        rows = self.database.connection.execute(
            "SELECT begin, end, members, complete FROM aggregation_release"
            " WHERE begin < ? AND end > ?",
            (end, begin),
        )
        return [
            ReleasedSum(first, last, _names(members), _names(complete))
            for first, last, members, complete in rows
        ]

    def forget(self, now: int) -> None:
        """Forget announcements and contributions of rounds that are over."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM aggregation_round WHERE valid_until <= ?", (now,))


def _names(data: bytes) -> frozenset[bytes]:
    return frozenset(data[at : at + NAME_SIZE] for at in range(0, len(data), NAME_SIZE))
