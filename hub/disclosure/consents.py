# SPDX-License-Identifier: Apache-2.0
"""What the resident has allowed: who may learn what, for which purpose, how finely, until when."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from hub.vault.database import Component, Database

__all__ = ["CONSENT_COMPONENT", "Consent", "Terms", "UnknownConsent"]

CONSENT_COMPONENT: Final = Component(
    "consent",
    (
        """
        CREATE TABLE consent (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            recipient TEXT NOT NULL,
            purpose TEXT NOT NULL,
            statement TEXT NOT NULL,
            least_days INTEGER NOT NULL,
            least_hours INTEGER NOT NULL,
            answers INTEGER NOT NULL,
            bits INTEGER NOT NULL,
            until TEXT NOT NULL,
            revoked INTEGER
        ) STRICT;
        """,
    ),
)


class UnknownConsent(Exception):
    """There is no consent of that number."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one consent allows."""

    applet: bytes
    """The AID of the applet's instance."""
    recipient: str
    purpose: str
    statement: str
    """The kind of statement: `linear`, a weighted sum of slots."""
    least_days: int
    """The shortest period one answer may be about, in local days."""
    least_hours: int
    """How many hours of slots, at least, must be mixed in anything that can be worked out."""
    answers: int
    """How many answers about the same period."""
    bits: int
    """The largest answer, in bits."""
    until: date
    """The last local day on which it holds."""

    def __post_init__(self) -> None:
        for name in ("least_days", "least_hours", "answers", "bits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    def covers(self, other: "Terms") -> bool:
        """Tell whether `other` asks for no more than this allows."""
        return (
            (self.applet, self.recipient, self.purpose, self.statement)
            == (other.applet, other.recipient, other.purpose, other.statement)
            and self.least_days <= other.least_days
            and self.least_hours <= other.least_hours
            and self.answers >= other.answers
            and self.bits >= other.bits
            and self.until >= other.until
        )


@dataclass(frozen=True, slots=True)
class Consent:
    """Terms the resident has agreed to."""

    number: int
    terms: Terms
    revoked: int | None
    """When it was revoked, in epoch seconds; None while it stands."""


@dataclass(frozen=True, slots=True)
class ConsentTable:
    """The consents in the hub's file."""

    database: Database

    def add(self, terms: Terms) -> Consent:
        """Store new terms."""
        with self.database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO consent (applet, recipient, purpose, statement, least_days,"
                " least_hours, answers, bits, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    terms.applet,
                    terms.recipient,
                    terms.purpose,
                    terms.statement,
                    terms.least_days,
                    terms.least_hours,
                    terms.answers,
                    terms.bits,
                    terms.until.isoformat(),
                ),
            )
        return Consent(int(cursor.lastrowid or 0), terms, None)

    def revoke(self, number: int, time: int) -> Consent:
        """Mark a consent as revoked at `time`; raise `UnknownConsent` if there is none."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE consent SET revoked = coalesce(revoked, ?) WHERE number = ?",
                (time, number),
            )
        if not changed.rowcount:
            raise UnknownConsent(f"there is no consent {number}")
        return next(consent for consent in self.all() if consent.number == number)

    def all(self) -> list[Consent]:
        """Return every consent there ever was, oldest first."""
        rows = self.database.connection.execute(
            "SELECT number, applet, recipient, purpose, statement, least_days, least_hours,"
            " answers, bits, until, revoked FROM consent ORDER BY number"
        )
        return [
            Consent(number, Terms(a, r, p, s, days, hours, n, bits, date.fromisoformat(u)), revoked)
            for number, a, r, p, s, days, hours, n, bits, u, revoked in rows
        ]
