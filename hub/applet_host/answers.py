# SPDX-License-Identifier: Apache-2.0
"""What was told before: the same question, byte for byte, gets the same bytes, and counts once.

A recipient whose line broke asks again. Proving anew would cost the hub the work, and the resident
an answer. What was told lies sealed (AES-256-GCM), tied to its applet and question; of each applet
the newest are kept, up to `MOST_BYTES`. What has been forgotten is a new question.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.vault.database import Component, Database
from hub.vault.vault import NONCE_SIZE, VaultTampered

ANSWERS_COMPONENT: Final = Component(
    "applet_answers",
    (
        """
        CREATE TABLE told_answer (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            question BLOB NOT NULL,
            nonce BLOB NOT NULL,
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
    key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def find(self, question: bytes) -> bytes | None:
        """Return the outcome that was told; raise `VaultTampered` where it is not that any more."""
        row = self.database.connection.execute(
            "SELECT nonce, sealed FROM told_answer WHERE applet = ? AND question = ?",
            (self.applet, question),
        ).fetchone()
        if row is None:
            return None
        try:
            return AESGCM(self.key).decrypt(row[0], row[1], self.applet + question)
        except (InvalidTag, ValueError):
            raise VaultTampered("an answer that was told is not what was stored") from None

    def keep(self, question: bytes, outcome: bytes) -> None:
        """Keep an outcome, and forget the oldest beyond `MOST_BYTES`."""
        nonce = self.randomness(NONCE_SIZE)
        sealed = AESGCM(self.key).encrypt(nonce, outcome, self.applet + question)
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO told_answer (applet, question, nonce, sealed)"
                " VALUES (?, ?, ?, ?)",
                (self.applet, question, nonce, sealed),
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
