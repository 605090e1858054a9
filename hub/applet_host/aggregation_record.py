# SPDX-License-Identifier: Apache-2.0
"""What the hub keeps of rounds: how far each has come, and over whom sums were opened.

A round's announcement and contribution are kept while it may still go on. What was opened is kept
for good: against it every later sum of the same time is held. So is for which rounds' keys a pair's
secret was shown, in a dispute.

The rosters of the last rounds that the hub has contributed to are kept, so that later rounds may
name them (`protocols.aggregation.rosters`); only an operator that the applet answers fills them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from sqlite3 import Connection
from typing import Final

from hub.vault.database import Component, Database
from hub.vault.sealing import Sealer, resealed
from protocols.aggregation.rosters import Roster
from protocols.aggregation.rules import ReleasedSum

NAME_SIZE: Final = 16
MOST_ROSTERS: Final = 4
"""Kept for one applet: of its region, before and after a change."""

PURPOSE: Final = "aggregation round"
_LISTED: Final = b"listed"
"""A list of contributors says who has gaps, so it is sealed, too."""


def _seal_rounds(database: Database) -> None:
    """Seal the contributions of release 0.1: they are made of what the home has used."""
    connection, sealer = database.connection, database.sealer(PURPOSE)
    rows = connection.execute("SELECT digest, contribution FROM aggregation_round").fetchall()
    for digest, contribution in rows:
        connection.execute(
            "UPDATE aggregation_round SET contribution = ? WHERE digest = ?",
            (sealer.seal(contribution, digest), digest),
        )


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
        _seal_rounds,
        # Of sums opened before, it is not known who had all readings: nobody counts.
        """
        ALTER TABLE aggregation_release ADD COLUMN complete BLOB NOT NULL DEFAULT x'';
        """,
        """
        ALTER TABLE aggregation_round ADD COLUMN listed BLOB;
        CREATE TABLE aggregation_roster (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            applet BLOB NOT NULL,
            digest BLOB NOT NULL,
            members BLOB NOT NULL,
            UNIQUE (applet, digest)
        ) STRICT;
        CREATE TABLE aggregation_shown (
            nonce BLOB NOT NULL,
            round BLOB NOT NULL,
            PRIMARY KEY (nonce, round)
        ) STRICT;
        """,
    ),
)


def reseal_rounds(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal contributions with a new vault key, within a transaction; yield rows done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    rows = connection.execute(
        "SELECT digest, contribution, listed FROM aggregation_round"
    ).fetchall()
    for digest, sealed, listed in rows:
        connection.execute(
            "UPDATE aggregation_round SET contribution = ?, listed = ? WHERE digest = ?",
            (
                resealed(old, new, sealed, digest),
                None if listed is None else resealed(old, new, listed, _LISTED + digest),
                digest,
            ),
        )
        yield 1


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
    listed: bytes | None = None
    """Those contributors, as they came; None before, and where a hub of before has agreed."""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """The record in the hub's file."""

    database: Database

    def find(self, digest: bytes, applet: bytes) -> Participation | None:
        """Return an applet's round, None if it has not contributed to it or it is long over."""
        row = self.database.connection.execute(
            "SELECT announced, contribution, contributors, is_open, listed FROM aggregation_round"
            " WHERE digest = ? AND applet = ?",
            (digest, applet),
        ).fetchone()
        if row is None:
            return None
        announced, sealed, contributors, is_open, listed = row
        sealer = self.database.sealer(PURPOSE)
        contribution = sealer.open(sealed, digest)
        if listed is not None:
            listed = sealer.open(listed, _LISTED + digest)
        return Participation(
            digest, applet, announced, contribution, contributors, bool(is_open), listed
        )

    def add(self, participation: Participation, valid_until: int, roster: Roster) -> None:
        """Note a contribution, and keep the round's roster.

        A round in which there is one already raises `IntegrityError`.
        """
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO aggregation_round (digest, applet, announced, contribution,"
                " valid_until) VALUES (?, ?, ?, ?, ?)",
                (
                    participation.digest,
                    participation.applet,
                    participation.announced,
                    self.database.sealer(PURPOSE).seal(
                        participation.contribution, participation.digest
                    ),
                    valid_until,
                ),
            )
            _keep_roster(connection, participation.applet, roster)

    def roster(self, applet: bytes, digest: bytes) -> Roster | None:
        """Return the roster of this digest, if one of an applet's last rounds had it."""
        row = self.database.connection.execute(
            "SELECT members FROM aggregation_roster WHERE applet = ? AND digest = ?",
            (applet, digest),
        ).fetchone()
        return None if row is None else Roster.decode(row[0])

    def agree(self, digest: bytes, contributors: bytes, listed: bytes) -> None:
        """Note whose sum was agreed to, by digest and as it came; what is noted already stays."""
        sealed = self.database.sealer(PURPOSE).seal(listed, _LISTED + digest)
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE aggregation_round SET listed = CASE WHEN contributors IS NULL OR"
                " contributors = ? THEN ? ELSE listed END,"
                " contributors = coalesce(contributors, ?) WHERE digest = ?",
                (contributors, sealed, contributors, digest),
            )

    def show(self, nonce: bytes, digest: bytes) -> None:
        """Note that a pair's secret was shown in a round: it is of the keys of this nonce."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO aggregation_shown (nonce, round) VALUES (?, ?)",
                (nonce, digest),
            )

    def was_shown_elsewhere(self, nonce: bytes, digest: bytes) -> bool:
        """Return whether a secret of the keys of this nonce was shown in any other round."""
        return (
            self.database.connection.execute(
                "SELECT 1 FROM aggregation_shown WHERE nonce = ? AND round <> ?", (nonce, digest)
            ).fetchone()
            is not None
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

    def under_way(self, now: int) -> int | None:
        """Return until when rounds go on that the hub has contributed to; None if none does."""
        (until,) = self.database.connection.execute(
            "SELECT max(valid_until) FROM aggregation_round WHERE is_open = 0 AND valid_until > ?",
            (now,),
        ).fetchone()
        return None if until is None else int(until)

    def forget(self, now: int) -> None:
        """Forget announcements and contributions of rounds that are over."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM aggregation_round WHERE valid_until <= ?", (now,))


def _keep_roster(connection: Connection, applet: bytes, roster: Roster) -> None:
    """Keep a roster as the newest; the oldest gives way."""
    digest = roster.digest
    connection.execute(
        "DELETE FROM aggregation_roster WHERE applet = ? AND digest = ?", (applet, digest)
    )
    connection.execute(
        "INSERT INTO aggregation_roster (applet, digest, members) VALUES (?, ?, ?)",
        (applet, digest, roster.encode()),
    )
    connection.execute(
        "DELETE FROM aggregation_roster WHERE applet = ? AND number NOT IN (SELECT number FROM"
        " aggregation_roster WHERE applet = ? ORDER BY number DESC LIMIT ?)",
        (applet, applet, MOST_ROSTERS),
    )


def members_digest(released: ReleasedSum) -> bytes:
    """Return what stands in the log for a sum: its time, its households, and who of them counts."""
    # How many there are of the first says where the second begin.
    head = struct.pack(">qqI", released.begin, released.end, len(released.members))
    names = b"".join(sorted(released.members)) + b"".join(sorted(released.complete))
    return sha256(head + names).digest()


def _names(data: bytes) -> frozenset[bytes]:
    return frozenset(data[at : at + NAME_SIZE] for at in range(0, len(data), NAME_SIZE))
