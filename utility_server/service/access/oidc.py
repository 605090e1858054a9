# SPDX-License-Identifier: Apache-2.0
"""Staff by OpenID Connect: access tokens at the interface, signing in at the console.

A token counts if a key of the provider has signed it with an algorithm of `ALGORITHMS` (none of
them shares a secret, so a public key is never taken for one), it is of this issuer and for this
audience, its time has begun and not ended, and it has a subject. What it says of roles is
translated by `service.toml`.

Signing in is the authorization code flow with PKCE (S256), state and nonce. The state is used once,
by the browser that began, within ten minutes; the nonce ties the ID token to it.

Errors: AccessProblem
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import BoundedSemaphore, Lock
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization
from sqlalchemy import Engine, delete, insert, select

from utility_server.database import sign_in_table, writing
from utility_server.errors import AccessProblem
from utility_server.service.access.asking import ask_json
from utility_server.service.access.roles import Principal
from utility_server.service.access.settings import OidcSettings, require_safe_address

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA")
_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
LEEWAY_SECONDS: Final = 30
"""By so much clocks may differ."""
KEYS_SECONDS: Final = 3600
"""Keys of the provider are asked for again after that time,"""
MOST_KEYS_SECONDS: Final = 86_400
"""and count so long while it is not reached,"""
LEAST_KEYS_SECONDS: Final = 30
"""or where a token names an unknown one, but not more often: nobody can make us flood it."""
PATIENCE_SECONDS: Final = 10.0
"""All of an answer of the provider has to be here within that time."""
MOST_CODES: Final = 4
"""So many codes are shown to the provider at a time."""
LARGEST_TOKEN: Final = 1 << 14
SIGN_IN_SECONDS: Final = 600
MOST_SIGN_INS: Final = 10_000
_RANDOM_SIZE: Final = 32
_SIGN_INS: Final = b"sign-ins at the provider"
_BUSY: Final = "the identity provider is being asked; try again"
_DISCOVERY: Final = "/.well-known/openid-configuration"


class Provider:
    """The identity provider, over the network; what it says is kept for a while.

    One thread at a time asks for its addresses and keys, within `PATIENCE_SECONDS` in all. Nobody
    waits for that thread: what is known counts meanwhile, or nothing does.
    """

    def __init__(self, settings: OidcSettings, now: Callable[[], int]) -> None:
        self.settings, self.now = settings, now
        self._lock = Lock()
        """Of the members below; never held while somebody is asked."""
        self._turn = Lock()
        """Whose turn it is to ask; nobody waits for it."""
        self._codes = BoundedSemaphore(MOST_CODES)
        self._addresses: dict[str, str] = {}
        self._keys: KeySet | None = None
        self._fetched = self._asked = 0
        self._trouble = ""

    def address(self, name: str) -> str:
        """Return one of the provider's addresses, as `token_endpoint`."""
        addresses = self._known_addresses()
        if not addresses:
            if not self._turn.acquire(blocking=False):
                raise AccessProblem(_BUSY)
            try:
                addresses = self._discovered()
            finally:
                self._turn.release()
        if name not in addresses:
            raise AccessProblem(f"the identity provider has no {name}")
        return addresses[name]

    def keys(self, *, is_again: bool = False) -> KeySet:
        """Return its keys; `is_again` asks for them anew, unless that was done just now.

        While the provider is not reached, those that are known count for a day. It is not tried at
        every token: nobody waits for it all the time.
        """
        with self._lock:
            now = self.now()
            is_old = not 0 <= now - self._fetched < KEYS_SECONDS
            was_tried = 0 <= now - self._asked < LEAST_KEYS_SECONDS
            is_due = (self._keys is None or is_old or is_again) and not was_tried
        is_asking = is_due and self._turn.acquire(blocking=False)
        if is_asking:
            try:
                self._fetch(now)
            finally:
                self._turn.release()
        with self._lock:
            if self._keys is None or not 0 <= now - self._fetched < MOST_KEYS_SECONDS:
                usual = _BUSY if is_due else "the identity provider's keys are too old"
                raise AccessProblem(self._trouble or usual)
            return self._keys

    def _fetch(self, now: int) -> None:
        """Ask for the keys; note what came of it."""
        with self._lock:
            self._asked, self._trouble = now, ""
        try:
            addresses = self._known_addresses() or self._discovered()
            keys = _key_set(self._get(addresses["jwks_uri"]))
        except AccessProblem as error:
            with self._lock:
                self._trouble = str(error)
            return
        with self._lock:
            self._keys, self._fetched = keys, now

    def _known_addresses(self) -> dict[str, str]:
        with self._lock:
            return self._addresses

    def tokens_for(self, code: str, verifier: str, redirect: str) -> Mapping[str, Any]:
        """Return what the provider gives for a code, unchecked."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "client_id": self.settings.client_id,
            "code_verifier": verifier,
        }
        auth = None
        if self.settings.client_secret:
            auth = httpx2.BasicAuth(self.settings.client_id, self.settings.client_secret)
        address = self.address("token_endpoint")
        # Anybody can come with a code that he has made up: some at a time, and nobody waits.
        if not self._codes.acquire(blocking=False):
            raise AccessProblem(_BUSY)
        try:
            return self._ask("POST", address, data=form, auth=auth)
        finally:
            self._codes.release()

    def _discovered(self) -> dict[str, str]:
        """Ask for the addresses; whoever calls this has the turn."""
        issuer = self.settings.issuer
        said = self._get(issuer.rstrip("/") + _DISCOVERY)
        if said.get("issuer") != issuer:
            raise AccessProblem("the identity provider calls itself otherwise than service.toml")
        addresses = {}
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if isinstance(address := said.get(name), str):
                require_safe_address(address, f"the identity provider's {name}")
                addresses[name] = address
        if "jwks_uri" not in addresses:
            raise AccessProblem("the identity provider has no jwks_uri")
        with self._lock:
            self._addresses = addresses
        return addresses

    def _get(self, address: str) -> Mapping[str, Any]:
        return self._ask("GET", address)

    def _ask(self, method: str, address: str, **more: Any) -> Mapping[str, Any]:
        """Return the JSON object that an address answers with 200."""
        authorities = self.settings.ca_file
        status, said = ask_json(method, address, PATIENCE_SECONDS, authorities, **more)
        if status != 200:
            raise AccessProblem(f"the identity provider refuses, with status {status}")
        return said


def _key_set(said: Mapping[str, Any]) -> KeySet:
    """Return the keys that may sign; a secret among them is left out."""
    keys = said.get("keys")
    if not isinstance(keys, list):
        raise AccessProblem("the identity provider has no keys")
    usable = [
        one
        for one in keys
        if isinstance(one, dict)
        and one.get("kty") in _KEY_TYPES
        and one.get("use", "sig") == "sig"
        and "d" not in one
    ]
    try:
        return KeySet.import_key_set(KeySetSerialization(keys=usable))
    except (JoseError, ValueError, TypeError, KeyError):
        raise AccessProblem("the identity provider's keys are not to be read") from None


@dataclass(frozen=True, slots=True)
class StaffTokens:
    """Checks access tokens of staff."""

    provider: Provider

    def find(self, token: str) -> Principal | None:
        """Return whose token it is, None where it does not count.

        Raises `AccessProblem` where that cannot be known: the provider is not reached.
        """
        settings = self.provider.settings
        claims = checked_claims(self.provider, token, settings.audience)
        if claims is None:
            return None
        return Principal("staff", _subject(claims), settings.roles_of(claims))


def checked_claims(provider: Provider, token: str, audience: str) -> Mapping[str, Any] | None:
    """Return what a token says, None unless it counts for this audience."""
    if len(token) > LARGEST_TOKEN or not token.isascii():
        return None
    registry = jwt.JWTClaimsRegistry(
        now=provider.now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": provider.settings.issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        sub={"essential": True},
    )
    decoded = _decoded(provider.keys(), token)
    if decoded is None:  # perhaps by a key that is new
        decoded = _decoded(provider.keys(is_again=True), token)
    if decoded is None:
        return None
    try:
        registry.validate(decoded.claims)
    except (JoseError, ValueError, TypeError, OverflowError):
        return None
    return decoded.claims


def _decoded(keys: KeySet, token: str) -> jwt.Token | None:
    try:
        # The algorithm is of this list, and has to be one of the key's own kind: neither `none`
        # nor a MAC under a public key passes.
        return jwt.decode(token, keys, algorithms=ALGORITHMS)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _subject(claims: Mapping[str, Any]) -> str:
    subject = str(claims["sub"])
    return "".join(one if one.isprintable() else "?" for one in subject)[:128]


@dataclass(frozen=True, slots=True)
class StaffSignIn:
    """The way of a browser to the identity provider and back."""

    provider: Provider
    engine: Engine
    randomness: Callable[[int], bytes] = field(repr=False)

    def begin(self, redirect: str, target: str) -> tuple[str, str]:
        """Return where to send the browser, and the cookie that it shows when it comes back."""
        settings, now = self.provider.settings, self.provider.now()
        state, browser, nonce, verifier = (
            base64.urlsafe_b64encode(self.randomness(_RANDOM_SIZE)).rstrip(b"=").decode()
            for _ in range(4)
        )
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=")
        address = self.provider.address("authorization_endpoint")
        with writing(self.engine, _SIGN_INS) as connection:
            table = sign_in_table
            connection.execute(delete(table).where(table.c.began <= now - SIGN_IN_SECONDS))
            oldest = select(table.c.state).order_by(table.c.began.desc()).offset(MOST_SIGN_INS)
            for extra in connection.execute(oldest).scalars().all():
                connection.execute(delete(table).where(table.c.state == extra))
            connection.execute(
                insert(table).values(
                    state=_hash(state),
                    browser=_hash(browser),
                    nonce=nonce,
                    verifier=verifier,
                    target=target,
                    began=now,
                )
            )
        query = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in address else "?"
        return f"{address}{joint}{urlencode(query)}", browser

    def finish(self, state: str, code: str, browser: str, redirect: str) -> tuple[Principal, str]:
        """Return who has signed in, and where he wanted to go.

        Raises `AccessProblem` for a state that is unknown, used, old or another browser's, and for
        an ID token that does not count or has another nonce.
        """
        table = sign_in_table
        where = table.c.state == _hash(state)
        with writing(self.engine, _SIGN_INS) as connection:
            row = connection.execute(select(table).where(where)).one_or_none()
            connection.execute(delete(table).where(where))  # used once, whatever comes of it
        now = self.provider.now()
        if row is None or now - row.began >= SIGN_IN_SECONDS:
            raise AccessProblem("that sign-in was not begun here, or is too old; sign in again")
        if not hmac.compare_digest(_hash(browser), bytes(row.browser)):
            raise AccessProblem("that sign-in was begun in another browser; sign in again")
        settings = self.provider.settings
        said = self.provider.tokens_for(code, row.verifier, redirect)
        token = said.get("id_token")
        claims = None
        if isinstance(token, str):
            claims = checked_claims(self.provider, token, settings.client_id)
        if claims is None:
            raise AccessProblem("what the identity provider says of you does not count")
        audience = claims.get("aud")
        is_shared = isinstance(audience, list) and len(audience) > 1
        if is_shared and claims.get("azp") != settings.client_id:
            raise AccessProblem("what the identity provider says of you is for another")
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), row.nonce.encode()):
            raise AccessProblem("what the identity provider says of you is of another sign-in")
        roles = settings.roles_of(claims)
        if not roles:
            raise AccessProblem("you have no role at this utility")
        return Principal("staff", _subject(claims), roles), row.target


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()
