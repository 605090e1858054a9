# SPDX-License-Identifier: Apache-2.0
"""What was told before: the same question, byte for byte, gets the same bytes, and counts once.

A recipient whose line broke asks again. Proving anew would cost the hub the work, and the resident
an answer. What was told lies sealed, tied to its applet and question; of each applet
the newest are kept, up to `MOST_BYTES`. What has been forgotten is a new question.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hub.vault.database import Component, Database
from hub.vault.sealing import Sealer, resealed

ANSWERS_COMPONENT: Final = Component(
    "applet_answers",
    (
        """
        CREATE TABLE told_answer (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            question BLOB NOT NULL,
            sealed BLOB NOT NULL,
            UNIQUE (applet, question)
        ) STRICT;
        """,
    ),
)
MOST_BYTES: Final = 2 << 20
"""Of one applet's answers."""
PURPOSE: Final = "answers that were told"
"""What their sealing key is for."""


def question_of(package: bytes, *parts: bytes | str | int) -> bytes:
    """Return the 32 bytes that stand for a question to an applet of this package."""
    digest = hashlib.sha256(b"meterlet question 1")
    for part in (package, *parts):
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(type(part).__name__.encode() + len(data).to_bytes(8, "big") + data)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class ToldAnswers:
    """What one applet was told, by question."""

    database: Database
    applet: bytes

    def find(self, question: bytes) -> bytes | None:
        """Return the outcome that was told; raise `SealBroken` where it is not that any more."""
        row = self.database.connection.execute(
            "SELECT sealed FROM told_answer WHERE applet = ? AND question = ?",
            (self.applet, question),
        ).fetchone()
        if row is None:
            return None
        return self.database.sealer(PURPOSE).open(row[0], self.applet, question)

    def keep(self, question: bytes, outcome: bytes) -> None:
        """Keep an outcome, and forget the oldest beyond `MOST_BYTES`."""
        sealed = self.database.sealer(PURPOSE).seal(outcome, self.applet, question)
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO told_answer (applet, question, sealed) VALUES (?, ?, ?)",
                (self.applet, question, sealed),
            )
            connection.execute(
                "DELETE FROM told_answer WHERE number IN (SELECT number FROM (SELECT number,"
                " sum(length(sealed)) OVER (ORDER BY number DESC) AS filled FROM told_answer"
                " WHERE applet = ?) WHERE filled > ?)",
                (self.applet, MOST_BYTES),
            )


def forget_answers(database: Database, applet: bytes) -> None:
    """Forget what an applet was told: it is gone."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM told_answer WHERE applet = ?", (applet,))


def reseal_answers(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal answers with a new vault key, within a transaction; yield how many rows are done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    rows = connection.execute("SELECT number, applet, question, sealed FROM told_answer").fetchall()
    for number, applet, question, sealed in rows:
        connection.execute(
            "UPDATE told_answer SET sealed = ? WHERE number = ?",
            (resealed(old, new, sealed, applet, question), number),
        )
        yield 1
