# SPDX-License-Identifier: Apache-2.0
"""The consents, read from the disclosure log: there is no other place that says what is allowed.

    consent      number, terms, perhaps which it replaces   the resident has agreed
    narrowing    number, terms, which it replaces           narrower terms in the place of others
    carried      number, terms, which it replaces           the same or narrower terms, for a new
                                                            version (`hub.disclosure.carrying`)
    revocation   number                                     withdrawn

Entries are sealed and counted (`hub.disclosure.log`), so a consent can be neither widened nor
brought back in the hub's file. Release 0.1 kept a table besides; what it says is compared once,
when the hub is first opened with this release, and then emptied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Final

from hub.disclosure.consents import Consent, ConsentTerms, UnknownConsent
from hub.disclosure.log import DisclosureLog, LogEntry, LogTampered
from hub.vault.database import Component, Database

KINDS: Final = ("consent", "narrowing", "carried", "revocation")


def _compare_and_empty(database: Database) -> None:
    """Compare release 0.1's table with the log, and empty it; raise `LogTampered`."""
    rows = database.connection.execute(
        "SELECT number, applet, package, recipient, purpose, statement, least_days,"
        " least_minutes, answers, bits, until, least_group, within_days, replaces,"
        " revoked IS NOT NULL FROM consent ORDER BY number"
    ).fetchall()
    if not rows and not _has_log(database):
        return  # a new hub, whose log is yet to be made
    logged = [
        (
            each.number,
            *each.terms.subject,
            each.terms.least_days,
            each.terms.least_minutes,
            each.terms.answers,
            each.terms.bits,
            each.terms.until.isoformat(),
            each.terms.least_group,
            each.terms.within_days,
            each.replaces,
            each.revoked is not None,
        )
        for each in ConsentRecord(DisclosureLog(database)).all()
    ]
    if rows != logged:
        numbers = sorted({row[0] for row in set(rows) ^ set(logged)})
        raise LogTampered(
            f"consent {numbers[0]} is not what the disclosure log says; the hub's file was changed"
        )
    database.connection.execute("DELETE FROM consent")


def _has_log(database: Database) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE name = 'disclosure_head'"
    return database.connection.execute(query).fetchone() is not None


CONSENT_COMPONENT: Final = Component(
    "consent",
    (
        """
        CREATE TABLE consent (
            number INTEGER PRIMARY KEY,
            applet BLOB NOT NULL,
            package BLOB NOT NULL,
            recipient TEXT NOT NULL,
            purpose TEXT NOT NULL,
            statement TEXT NOT NULL,
            least_days INTEGER NOT NULL,
            least_minutes INTEGER NOT NULL,
            answers INTEGER NOT NULL,
            bits INTEGER NOT NULL,
            until TEXT NOT NULL,
            replaces INTEGER REFERENCES consent (number),
            revoked INTEGER
        ) STRICT;
        """,
        "ALTER TABLE consent ADD COLUMN least_group INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE consent ADD COLUMN within_days INTEGER NOT NULL DEFAULT 1",
        _compare_and_empty,
    ),
)
"""Its table has been empty since version 4; rows in it have no meaning, and `check` finds them."""


_NOTHING_READ: Final = (0, b"", dict[int, Consent]())


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """The consents that the log of a hub holds."""

    log: DisclosureLog
    _read: list[tuple[int, bytes, dict[int, Consent]]] = field(
        default_factory=lambda: [_NOTHING_READ], init=False, repr=False, compare=False
    )
    """How far the log was read, its digest there, and the consents up to there; replaced whole, so
    that no other thread sees a half."""

    def find(self, number: int) -> Consent:
        """Return the consent of that number; raise `UnknownConsent` if there is none."""
        consent = self._by_number().get(number)
        if consent is None:
            raise UnknownConsent(f"there is no consent {number}")
        return consent

    def next_number(self) -> int:
        """Return the number that the next consent gets."""
        return max(self._by_number(), default=0) + 1

    def all(self) -> list[Consent]:
        """Return every consent there ever was, oldest first; raise `LogTampered`."""
        return list(self._by_number().values())

    def check(self) -> None:
        """Return if all is said by the log alone; raise `LogTampered` otherwise."""
        query = "SELECT number FROM consent LIMIT 1"
        row = self.log.database.connection.execute(query).fetchone()
        if row is not None:
            raise LogTampered(f"consent {row[0]} was put into the hub's file beside its log")
        self._by_number()

    def _by_number(self) -> Mapping[int, Consent]:
        head, (sequence, digest, consents) = self.log.head(), self._read[0]
        if head.digest == digest:
            return consents
        if head.length < sequence or self.log.head_at(sequence).digest != digest:
            # What was read in a transaction that was undone is not in the log any more.
            sequence, consents = 0, {}
        entries = [entry for kind in KINDS for entry in self.log.since(sequence, kind)]
        consents = dict(consents)
        for entry in sorted(entries, key=lambda entry: entry.sequence):
            _apply(entry, consents)
        self._read[0] = head.length, head.digest, consents
        return consents


def _apply(entry: LogEntry, consents: dict[int, Consent]) -> None:
    try:
        number = entry.facts["number"]
        if entry.kind == "revocation":
            _revoke(consents, number, entry.time)
            return
        terms, replaces = terms_of(entry.facts), entry.facts.get("replaces")
        if replaces is not None:
            _revoke(consents, replaces, entry.time)
        if replaces is not None and entry.kind == "consent":
            # New terms take the place of all that stand, of which release 0.1 let there be several.
            for other in list(consents.values()):
                if other.terms.subject == terms.subject:
                    _revoke(consents, other.number, entry.time)
        consents[number] = Consent(number, terms, replaces)
    except (KeyError, TypeError, ValueError):
        raise LogTampered(
            f"disclosure log: entry {entry.sequence} is not what a hub writes of a consent"
        ) from None


def _revoke(consents: dict[int, Consent], number: int, time: int) -> None:
    if consents[number].revoked is None:
        consents[number] = replace(consents[number], revoked=time)


def terms_of(facts: Mapping[str, Any]) -> ConsentTerms:
    """Return the terms that an entry holds; what an older release did not ask for has its default.

    Raises `KeyError`, `TypeError` or `ValueError` where something else is missing or wrong.
    """
    names = [each.name for each in fields(ConsentTerms) if each.name in facts]
    terms = {name: facts[name] for name in names}
    return ConsentTerms(**{**terms, "until": date.fromisoformat(facts["until"])})
