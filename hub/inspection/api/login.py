# SPDX-License-Identifier: Apache-2.0
"""A reader's login: a token, a session, or name and password.

    Authorization: Bearer mlr_...       a token
    Authorization: Bearer mls_...       a session, which `POST /v1/login` begins
    Authorization: Basic ...            name and password (RFC 7617)

A password is looked at only where nobody on a network can read it: over TLS, or on loopback. Who
guesses passwords waits as at the pages' door, who guesses tokens as programs of the resident's do.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, Protocol

from msgspec import Meta, ValidationError, json
from starlette.requests import Request

from hub.inspection.api.json_views import JsonView, Moment
from hub.inspection.api.operations import ApiRefused
from hub.inspection.passphrases import Passphrases
from hub.inspection.readers.readers import LoginRefused, Reader, Readers

JSON_TYPE: Final = "application/json"
LONGEST_LOGIN: Final = 2_048
"""Of what names a reader in a header, in characters."""
LOGIN_BYTES: Final = 4_096
CHALLENGES: Final = 'Bearer, Basic realm="meterlet", charset="UTF-8"'


class Attempts(Protocol):
    """Counts wrong passwords, and makes who guesses wait."""

    def admit(self, address: str, name: str, now: int) -> None:
        """Count an attempt as a failure and return if it may be made; raise status 429."""

    def succeeded(self, address: str, name: str) -> None:
        """Forget the failures of one who has logged in."""


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """What takes passwords."""

    attempts: Attempts
    passphrases: Passphrases
    is_secure: bool
    """Whether TLS is spoken; said by who serves, never by a header."""

    def admits(self, address: str) -> bool:
        """Tell whether a password from there was read by nobody on a network."""
        try:
            return self.is_secure or ip_address(address).is_loopback
        except ValueError:
            return False


class SessionJson(JsonView, frozen=True):
    """A session: a bearer token that ends by itself."""

    token: str
    token_type: str
    until: Moment


class LoginJson(JsonView, frozen=True):
    """A reader's name and password."""

    name: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=1024)]


@dataclass(frozen=True, slots=True)
class Login:
    """Finds out which reader asks."""

    passwords: PasswordCheck | None
    too_many: Callable[[str, int], int]
    """Counts a wrong token from an address; returns the seconds that it has to wait."""

    def reader(self, request: Request, readers: Readers, address: str, now: int) -> Reader:
        """Return the reader that a request's header names; raise what is to be answered."""
        given = request.headers.getlist("authorization")
        if len(given) > 1:
            raise ApiRefused(400, "there is more than one Authorization field")
        scheme, _, text = "".join(given).partition(" ")
        if not text:
            raise ApiRefused(401, "a reader's login is needed")
        if len(text) > LONGEST_LOGIN:
            raise ApiRefused(400, "the Authorization field is too long")
        if scheme.lower() == "basic":
            return self.by_password(readers, *_basic(text), address, now)
        try:
            if scheme.lower() != "bearer":
                raise LoginRefused
            return readers.by_token(text)
        except LoginRefused:
            # A right token never waits: whoever guesses next to its holder locks nobody out.
            if wait := self.too_many(address, now):
                reason, waiting = "too many wrong tokens", {"Retry-After": str(wait)}
                raise ApiRefused(429, reason, waiting) from None
            raise

    def by_password(
        self, readers: Readers, name: str, password: str, address: str, now: int
    ) -> Reader:
        """Return the reader of that name and password."""
        if self.passwords is None or not self.passwords.admits(address):
            raise ApiRefused(403, "passwords are taken over TLS or on loopback only")
        # Apart from the names of residents, who sign in to the pages.
        counted = f"reader {name}"
        self.passwords.attempts.admit(address, counted, now)
        reader = readers.by_password(name, password, self.passwords.passphrases)
        self.passwords.attempts.succeeded(address, counted)
        return reader


def _basic(text: str) -> tuple[str, str]:
    """Return name and password of Basic credentials; raise `ApiRefused`."""
    try:
        name, colon, password = b64decode(text, validate=True).decode().partition(":")
    except (Base64Error, ValueError):
        raise ApiRefused(400, "the Basic credentials cannot be read") from None
    if not colon or b64encode(f"{name}:{password}".encode()).decode() != text:
        raise ApiRefused(400, "the Basic credentials cannot be read")
    return name, password


def decode_login(body: bytes, content_type: str) -> LoginJson:
    """Return the name and password in a request's body; raise `ApiRefused`."""
    if content_type.partition(";")[0].strip().lower() != JSON_TYPE:
        raise ApiRefused(415, "a login is JSON (application/json)")
    try:
        return json.decode(body, type=LoginJson, strict=True)
    except (ValidationError, ValueError):
        reason = 'a login is {"name": "...", "password": "..."}'
        raise ApiRefused(400, reason) from None


def session_json(token: str, until: int) -> SessionJson:
    """Return a session as JSON has it."""
    return SessionJson.of(None, token=token, token_type="Bearer", until=until)  # noqa: S106
