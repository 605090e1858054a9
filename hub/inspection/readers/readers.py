# SPDX-License-Identifier: Apache-2.0
"""The readers of a hub: who they are, and how they show it.

    mlr_<number>_<43 characters>                       a token; shown once
    mls_<number>_<until>_<made>_<43 characters>        a session, after name and password

A reader has the number of its first consent. The disclosure log says which readers there are, with
the SHA-256 of each one's token, and is sealed: who can write the hub's other files makes none and
brings none back. Of a password the Argon2id hash is in `inspection.db`, and its SHA-256 in the log;
a hash that the log does not name is none. A session is a MAC under a key of the hub's, for ten
minutes; another password, a revoked consent or a new vault key ends it at once.

Whatever is wrong with a login, the answer is the same, after the same work.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from hub.device import Device
from hub.disclosure import Consent, ConsentTerms
from hub.errors import HubError
from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import MOST_BITS, RESOLUTIONS
from hub.inspection.readers.terms import STATEMENT, ReaderScope
from hub.vault.database import Component, Database
from sml_codec import Obis

if TYPE_CHECKING:  # who makes none of passwords needs no library for them
    from hub.inspection.passphrases import Passphrases

READER_COMPONENT: Final = Component(
    "reader",
    (
        """
        CREATE TABLE reader_password (
            number INTEGER PRIMARY KEY,
            hash TEXT NOT NULL
        ) STRICT;
        """,
    ),
)
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}", re.ASCII)
LONGEST_PURPOSE: Final = 63
SECRET_SIZE: Final = 32
SESSION_SECONDS: Final = 600
_TOKEN: Final = re.compile(r"mlr_([1-9]\d{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)
_SESSION: Final = re.compile(
    r"mls_([1-9]\d{0,8})_([1-9]\d{0,11})_([1-9]\d{0,11})_([A-Za-z0-9_-]{43})", re.ASCII
)
_PURPOSE: Final = "reader session"


class LoginRefused(HubError):
    """A reader's token, session, name or password does not hold; which of them is not said."""

    http_status = 401

    def __init__(self) -> None:
        super().__init__("no login that holds")


class ReaderTermsError(InspectionError):
    """A reader cannot be allowed this."""

    def __init__(self, reason: str, field: str = "") -> None:
        """`field` is what of a form is in fault."""
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read, by a consent that was not revoked."""

    number: int
    consent: Consent
    """The one that stands; another than the first one, where it was made narrower."""
    token_digest: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called, and logs in as."""
        return self.terms.recipient

    @property
    def terms(self) -> ConsentTerms:
        """What it is allowed."""
        return self.consent.terms

    @property
    def scope(self) -> ReaderScope:
        """Registers and days."""
        return ReaderScope.of_statement(self.terms.statement)


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of one hub."""

    database: Database
    device: Device = field(repr=False)

    def terms(
        self, name: str, purpose: str, scope: ReaderScope, minutes: int, until: date
    ) -> ConsentTerms:
        """Return what the resident is asked to consent to.

        Raises `ReaderTermsError` for what cannot be allowed.
        """
        self._check(name, purpose, scope, minutes)
        return ConsentTerms(
            applet=b"",
            package=b"",
            recipient=name,
            purpose=purpose,
            statement=scope.statement,
            least_days=1,
            least_minutes=minutes,
            answers=1,
            bits=MOST_BITS,
            until=until,
        )

    def allow(self, terms: ConsentTerms) -> tuple[Reader, str]:
        """Record the resident's consent, and return the reader and its token's text.

        Nobody can show the token again. Raises `ReaderTermsError` where there is such a reader.
        """
        secret = _base64(self.device.randomness(SECRET_SIZE))
        disclosure = self.device.disclosure
        with self.device.database.transaction():
            self._require_new(terms.recipient)
            consent = disclosure.grant(terms)
            facts = {"number": consent.number, "name": terms.recipient, "digest": _digest(secret)}
            disclosure.log.append(self.device.now(), "reader", facts)
        return Reader(consent.number, consent, _digest(secret)), f"mlr_{consent.number}_{secret}"

    def _require_new(self, name: str) -> None:
        if any(one.name == name for one in self.all()):
            raise ReaderTermsError(f"there is a reader {name} already; revoke it first", "name")

    def _check(self, name: str, purpose: str, scope: ReaderScope, minutes: int) -> None:
        if not NAME.fullmatch(name):
            raise ReaderTermsError(
                f"{name!r} is no name: a letter, then letters, digits, '.', '_' or '-', all small",
                "name",
            )
        self._require_new(name)
        if not 1 <= len(purpose) <= LONGEST_PURPOSE or not purpose.isprintable():
            reason = f"a purpose has 1 to {LONGEST_PURPOSE} printable characters"
            raise ReaderTermsError(reason, "purpose")
        if minutes not in RESOLUTIONS:
            reason = f"{minutes} minutes: only {', '.join(map(str, RESOLUTIONS))}"
            raise ReaderTermsError(reason, "minutes")
        if not scope.registers:
            raise ReaderTermsError("a reader reads one register at least")
        known = self.device.every_register
        for code in scope.registers:
            if code not in known:
                raise ReaderTermsError(f"{Obis(code)}: the hub has no such register")
            # Who sees each minute sees each slot.
            if scope.is_live and minutes > known[code].slot_minutes:
                raise ReaderTermsError(
                    f"live values are finer than {minutes} minutes: allow"
                    f" {known[code].slot_minutes}, or no live values",
                    "live",
                )

    def all(self) -> list[Reader]:
        """Return the readers whose consents were not revoked, oldest first."""
        standing = {
            one.terms.subject: one
            for one in self.device.disclosure.consents()
            if one.revoked is None and one.terms.statement.startswith(STATEMENT)
        }
        made = [entry.facts for entry in self.device.disclosure.log.entries("reader")]
        found: dict[int, Reader] = {}
        for facts in made:
            subject = self.device.disclosure.consent(facts["number"]).terms.subject
            if subject in standing:
                consent = standing[subject]
                # Allowed again after it was revoked: the new consent is a reader of its own.
                found = {n: one for n, one in found.items() if one.consent != consent}
                found[facts["number"]] = Reader(facts["number"], consent, facts["digest"])
        return list(found.values())

    def find(self, name: str) -> Reader:
        """Return the reader of that name; raise `InspectionError` if there is none."""
        reader = next((one for one in self.all() if one.name == name), None)
        if reader is None:
            raise InspectionError(f"there is no reader {name}")
        return reader

    def numbered(self, number: int) -> Reader:
        """Return the reader of that number; raise `LoginRefused` where it was revoked."""
        if (reader := self._numbered(number)) is None:
            raise LoginRefused
        return reader

    def revoke(self, name: str) -> Reader:
        """Withdraw what a reader was allowed; its next request is refused."""
        reader = self.find(name)
        self.device.disclosure.revoke(reader.consent.number)
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM reader_password WHERE number = ?", (reader.number,))
        return reader

    def set_password(self, name: str, password: str, passphrases: "Passphrases") -> Reader:
        """Give a reader a password, or another one; raise `WeakPassphrase`, `InspectionError`.

        The sessions that began with the old one end.
        """
        reader, hashed = self.find(name), passphrases.hash(password)
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO reader_password VALUES (?, ?)", (reader.number, hashed)
            )
            facts = {
                "number": reader.number,
                "name": name,
                "digest": sha256(hashed.encode()).digest(),
            }
            self.device.disclosure.log.append(self.device.now(), "reader password", facts)
        return reader

    def has_password(self, reader: Reader) -> bool:
        """Tell whether a reader can log in with a password."""
        return self._password(reader) is not None

    def by_token(self, text: str) -> Reader:
        """Return the reader that a token or a session is of; raise `LoginRefused`."""
        if match := _SESSION.fullmatch(text):
            return self._by_session(int(match[1]), int(match[2]), int(match[3]), match[4])
        match = _TOKEN.fullmatch(text)
        number, secret = (int(match[1]), match[2]) if match else (0, "")
        reader = self._numbered(number)
        known = bytes(SECRET_SIZE) if reader is None else reader.token_digest
        if not hmac.compare_digest(known, _digest(secret)) or reader is None:
            raise LoginRefused
        return reader

    def by_password(self, name: str, password: str, passphrases: "Passphrases") -> Reader:
        """Return the reader of that name and password; raise `LoginRefused`."""
        reader = next((one for one in self.all() if one.name == name), None)
        # Looked for also where there is no reader: finding it goes through the log.
        stored = self._password_of(0 if reader is None else reader.number)
        if not passphrases.holds(None if stored is None else stored[0], password) or reader is None:
            raise LoginRefused
        return reader

    def begin_session(self, reader: Reader) -> tuple[str, int]:
        """Return a session's text, and when it ends."""
        stored = self._password(reader)
        if stored is None:
            raise LoginRefused
        until = self.device.now() + SESSION_SECONDS
        session = _session(reader.number, until, stored[1])
        return f"{session}_{self._mac(session)}", until

    def _by_session(self, number: int, until: int, made: int, mac: str) -> Reader:
        reader, now = self._numbered(number), self.device.now()
        stored = self._password_of(0 if reader is None else reader.number)
        expected = self._mac(_session(number, until, made))
        # Also refused: one that would hold for longer, since the clock was set back.
        if (
            not hmac.compare_digest(expected, mac)
            or reader is None
            or stored is None
            or stored[1] != made
            or not now < until <= now + SESSION_SECONDS
        ):
            raise LoginRefused
        return reader

    def _mac(self, session: str) -> str:
        return _base64(hmac.digest(self.device.sealing_key(_PURPOSE), session.encode(), "sha256"))

    def _numbered(self, number: int) -> Reader | None:
        return next((one for one in self.all() if one.number == number), None)

    def _password(self, reader: Reader) -> tuple[str, int] | None:
        """Return the hash of a reader's password and the entry that names it; None: it has none."""
        return self._password_of(reader.number)

    def _password_of(self, number: int) -> tuple[str, int] | None:
        """Return the same by number, after as much work where nobody has it."""
        row = self.database.connection.execute(
            "SELECT hash FROM reader_password WHERE number = ?", (number,)
        ).fetchone()
        named = [
            entry
            for entry in self.device.disclosure.log.entries("reader password")
            if entry.facts["number"] == number
        ]
        hashed = "" if row is None else row[0]
        digest = sha256(hashed.encode()).digest()
        expected = named[-1].facts["digest"] if named else bytes(len(digest))
        if not hmac.compare_digest(digest, expected) or row is None or not named:
            return None
        return hashed, named[-1].sequence


def _session(number: int, until: int, made: int) -> str:
    return f"mls_{number}_{until}_{made}"


def _base64(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def _digest(secret: str) -> bytes:
    return sha256(b"meterlet reader 1 " + secret.encode()).digest()
