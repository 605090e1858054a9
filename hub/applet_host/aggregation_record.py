# SPDX-License-Identifier: Apache-2.0
"""What the hub keeps of rounds: how far each has come, and over whom sums were opened.

A round's announcement and contribution are kept while it may still go on. What was opened is kept
for good: against it every later sum of the same time is held.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from hub.vault.database import Component, Database
from hub.vault.sealing import Sealer, resealed
from protocols.aggregation.rules import ReleasedSum

NAME_SIZE: Final = 16

PURPOSE: Final = "aggregation round"


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
    ),
)


def reseal_rounds(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal contributions with a new vault key, within a transaction; yield rows done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    rows = connection.execute("SELECT digest, contribution FROM aggregation_round").fetchall()
    for digest, sealed in rows:
        connection.execute(
            "UPDATE aggregation_round SET contribution = ? WHERE digest = ?",
            (resealed(old, new, sealed, digest), digest),
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
        announced, sealed, contributors, is_open = row
        contribution = self.database.sealer(PURPOSE).open(sealed, digest)
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
                    self.database.sealer(PURPOSE).seal(
                        participation.contribution, participation.digest
                    ),
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


def members_digest(released: ReleasedSum) -> bytes:
    """Return what stands in the log for a sum: its time, its households, and who of them counts."""
    # How many there are of the first says where the second begin.
    head = struct.pack(">qqI", released.begin, released.end, len(released.members))
    names = b"".join(sorted(released.members)) + b"".join(sorted(released.complete))
    return sha256(head + names).digest()


def _names(data: bytes) -> frozenset[bytes]:
    return frozenset(data[at : at + NAME_SIZE] for at in range(0, len(data), NAME_SIZE))
