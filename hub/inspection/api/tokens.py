# SPDX-License-Identifier: Apache-2.0
"""Tokens by which programs of the resident's read along: one a client, for named scopes.

    mlt_<number>_<43 characters>      32 random bytes in base64url; shown once

Of the secret only the SHA-256 is kept: it is random, so nothing slower is needed. Making and
revoking a token is in the disclosure log, and so is the first use on each day. A token holds as the
log says, which is sealed: who can write this file makes none, widens none, brings none back.
"""

import enum
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from hub.device import Device
from hub.errors import HubError
from hub.inspection.errors import InspectionError
from hub.vault.database import Component, Database

TOKEN_COMPONENT: Final = Component(
    "api_token",
    (
        """
        CREATE TABLE api_token (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            digest BLOB NOT NULL,
            scopes TEXT NOT NULL,
            created INTEGER NOT NULL,
            revoked INTEGER,
            last_day INTEGER
        ) STRICT;
        """,
    ),
)
SECRET_SIZE: Final = 32
DAY: Final = 86_400
LONGEST_NAME: Final = 64
_FORM: Final = re.compile(r"mlt_([1-9]\d{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(enum.StrEnum):
    """What a token lets a client read."""

    DEVICE = "device"
    READINGS = "readings"
    RELEASES = "releases"
    BILLS = "bills"


class TokenRefused(HubError):
    """A token is not one, or it was revoked; which of them is not said."""

    http_status = 401


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret."""

    number: int
    name: str
    scopes: frozenset[Scope]
    created: int
    revoked: int | None
    last_day: int | None
    """The last day it was used on, counted from 1970-01-01 in UTC."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one hub."""

    database: Database
    device: Device = field(repr=False)

    def create(self, name: str, scopes: Collection[Scope]) -> tuple[Token, str]:
        """Return a new token and its text, which nobody can show again.

        Raises `InspectionError` for a name that is empty, too long or not printable, or no scopes.
        """
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise InspectionError(f"a token's name has 1 to {LONGEST_NAME} printable characters")
        if not scopes:
            raise InspectionError("a token is for one scope at least")
        secret = urlsafe_b64encode(self.device.randomness(SECRET_SIZE)).rstrip(b"=").decode()
        now, ordered = self.device.now(), sorted(set(scopes))
        with self.database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO api_token (name, digest, scopes, created) VALUES (?, ?, ?, ?)",
                (name, _digest(secret), " ".join(ordered), now),
            )
            number = int(cursor.lastrowid or 0)
            facts = {
                "number": number,
                "name": name,
                "scopes": [str(scope) for scope in ordered],
                "digest": _digest(secret),
            }
            self.device.disclosure.log.append(now, "token", facts)
        token = Token(number, name, frozenset(ordered), now, None, None)
        return token, f"mlt_{number}_{secret}"

    def revoke(self, number: int) -> Token:
        """Withdraw a token; raise `InspectionError` where there is none of that number."""
        now = self.device.now()
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE api_token SET revoked = coalesce(revoked, ?) WHERE number = ?",
                (now, number),
            )
            token = next((token for token in self.all() if token.number == number), None)
            if token is None:
                raise InspectionError(f"there is no token {number}")
            self.device.disclosure.log.append(now, "token revoked", {"number": number})
        return token

    def all(self) -> list[Token]:
        """Return every token there ever was, oldest first."""
        rows = self.database.connection.execute(
            "SELECT number, name, scopes, created, revoked, last_day FROM api_token ORDER BY number"
        )
        return [
            Token(number, name, frozenset(map(Scope, scopes.split())), created, revoked, last_day)
            for number, name, scopes, created, revoked, last_day in rows
        ]

    def authenticate(self, text: str) -> Token:
        """Return the token of that text; raise `TokenRefused` for any other text.

        The first use on a day goes into the log.
        """
        match = _FORM.fullmatch(text)
        number, secret = (int(match[1]), match[2]) if match else (0, "")
        row = self.database.connection.execute(
            "SELECT digest FROM api_token WHERE number = ? AND revoked IS NULL", (number,)
        ).fetchone()
        known = bytes(SECRET_SIZE) if row is None else row[0]
        if not hmac.compare_digest(known, _digest(secret)) or row is None:
            raise TokenRefused("not a token that holds")
        [token] = [token for token in self.all() if token.number == number]
        if not self._is_on_record(token, known):
            raise TokenRefused("not a token that holds")
        self._note_use(token)
        return token

    def _is_on_record(self, token: Token, digest: bytes) -> bool:
        """Tell whether the log says that this token was made, so, and not revoked since."""
        log = self.device.disclosure.log
        made = [line for line in log.entries("token") if line.facts["number"] == token.number]
        if not made:
            return False
        facts = made[-1].facts
        # Release 0.1 did not log the digest.
        same = facts["name"] == token.name and hmac.compare_digest(
            facts.get("digest", digest), digest
        )
        revoked = log.since(made[-1].sequence, "token revoked")
        return (
            same
            and frozenset(map(Scope, facts["scopes"])) == token.scopes
            and all(line.facts["number"] != token.number for line in revoked)
        )

    def _note_use(self, token: Token) -> None:
        now = self.device.now()
        if token.last_day == now // DAY:
            return
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE api_token SET last_day = ? WHERE number = ?", (now // DAY, token.number)
            )
            facts = {"number": token.number, "name": token.name}
            self.device.disclosure.log.append(now, "token used", facts)


def _digest(secret: str) -> bytes:
    return sha256(b"meterlet token 1 " + secret.encode()).digest()
