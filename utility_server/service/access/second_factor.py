# SPDX-License-Identifier: Apache-2.0
"""Operators' second factor: a code of the moment (TOTP, RFC 6238), or a recovery code.

    code      HOTP(secret, seconds since 1970 / 30), 6 digits of HMAC-SHA-1 (RFC 4226, 5.3)
    secret    20 random bytes, sealed with AES-256-GCM under the storage key, bound to the operator
    recovery  10 codes of 80 random bits, each good once; the database has their SHA-256 alone

A code counts from one step before its time to one step after it, since clocks differ, and once:
the step of the last one is kept, and no code of that step or an earlier one counts again. It is
asked for beside the password, so that whoever has neither learns nothing of the other; the
throttle of passwords counts for both (`operators`).

A recovery code has enough random bits that its plain hash cannot be turned back.
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Final
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from utility_server.database import operator_factor_table as table
from utility_server.database import (
    operator_recovery_table,
    reading,
    writing,
)
from utility_server.errors import StoreError

SECRET_SIZE: Final = 20
"""As RFC 4226, 4 (R6) recommends, and authenticator apps take it."""
STEP_SECONDS: Final = 30
DIGITS: Final = 6
DRIFT_STEPS: Final = 1
RECOVERY_CODES: Final = 10
LONGEST_CODE: Final = 64
_RECOVERY_SIZE: Final = 10
_NONCE_SIZE: Final = 12
_LABEL: Final = b"meterlet second factor 1 "
_RECOVERY_LABEL: Final = b"meterlet recovery code 1 "


def hotp(secret: bytes, counter: int, digits: int = DIGITS) -> str:
    """Return the code of a counter (RFC 4226, 5.3)."""
    mac = hmac.new(secret, counter.to_bytes(8, "big"), sha1).digest()
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def step_of(now: int) -> int:
    """Return the time step of a moment (RFC 6238, 4.2)."""
    return now // STEP_SECONDS


@dataclass(frozen=True, slots=True)
class NewFactor:
    """What an operator is shown once."""

    name: str
    secret: str = field(repr=False)
    """In base32, to be typed into an app."""
    recovery: tuple[str, ...] = field(repr=False)

    @property
    def uri(self) -> str:
        """The same for an app, with all that it has to know."""
        who = quote(f"Meterlet:{self.name}", safe=":")
        return (
            f"otpauth://totp/{who}?secret={self.secret}&issuer=Meterlet"
            f"&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
        )


@dataclass(frozen=True, slots=True)
class ShownCode:
    """What somebody has shown beside his password."""

    is_needed: bool
    """Whether he has a second factor."""
    step: int | None = None
    """The time step whose code it is; None: of none that counts now."""
    recovery: bytes = b""
    """The hash of the recovery code that it is."""


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """The second factors of one utility's operators."""

    engine: Engine
    storage_key: bytes = field(repr=False)
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def create(self, connection: Connection, name: str) -> NewFactor:
        """Give an operator a new secret and new recovery codes, in the place of any before."""
        self.remove(connection, name)
        secret = self.randomness(SECRET_SIZE)
        nonce = self.randomness(_NONCE_SIZE)
        sealed = nonce + AESGCM(self.storage_key).encrypt(nonce, secret, _LABEL + name.encode())
        # No code of before counts: it may be one of a secret that was the same.
        values = {"sealed": sealed, "step": step_of(self.now()) - DRIFT_STEPS - 1}
        connection.execute(insert(table).values(name=name, **values))
        recovery = tuple(
            base64.b32encode(self.randomness(_RECOVERY_SIZE)).decode()
            for _ in range(RECOVERY_CODES)
        )
        rows = [{"name": name, "digest": _digest(name, code)} for code in recovery]
        connection.execute(insert(operator_recovery_table), rows)
        shown = tuple("-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in recovery)
        return NewFactor(name, base64.b32encode(secret).decode(), shown)

    @staticmethod
    def remove(connection: Connection, name: str) -> bool:
        """Take an operator's second factor away; return whether there was one."""
        recovery = operator_recovery_table
        connection.execute(delete(recovery).where(recovery.c.name == name))
        return connection.execute(delete(table).where(table.c.name == name)).rowcount > 0

    def left(self) -> dict[str, int]:
        """Return, by operator with a second factor, how many recovery codes are left."""
        recovery = operator_recovery_table
        count = select(recovery.c.name, func.count()).group_by(recovery.c.name)
        with reading(self.engine) as connection:
            names = connection.execute(select(table.c.name)).scalars().all()
            counts = {row[0]: int(row[1]) for row in connection.execute(count).all()}
        return {name: counts.get(name, 0) for name in names}

    def look(self, name: str, code: str) -> "ShownCode":
        """Return what a code is, without using it up; the same work for every name.

        Raises `StoreError` where the secret was sealed with another key.
        """
        plain = "".join(code[:LONGEST_CODE].split()).replace("-", "").upper()
        digest, recovery = _digest(name, plain), operator_recovery_table
        where = recovery.c.name == name, recovery.c.digest == digest
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.name == name)).one_or_none()
            is_recovery = connection.execute(select(recovery.c.name).where(*where)).first()
        if row is None:
            return ShownCode(is_needed=False)
        if is_recovery is not None:
            return ShownCode(is_needed=True, recovery=digest)
        now = step_of(self.now())
        steps = range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1)
        right = _matching(self._opened(name, bytes(row.sealed)), steps, plain)
        return ShownCode(is_needed=True, step=max(right, default=None))

    def use(self, name: str, shown: "ShownCode") -> bool:
        """Use up a code; return whether it counted. Of many at once with the same, one does."""
        recovery = operator_recovery_table
        if shown.recovery:
            where = recovery.c.name == name, recovery.c.digest == shown.recovery
            with writing(self.engine, name.encode()) as connection:
                return connection.execute(delete(recovery).where(*where)).rowcount > 0
        if shown.step is None:
            return False
        # Once, and none of an earlier step, whoever else is just using it (RFC 6238, 5.2).
        used = update(table).where(table.c.name == name, table.c.step < shown.step)
        with writing(self.engine, name.encode()) as connection:
            return connection.execute(used.values(step=shown.step)).rowcount > 0

    def _opened(self, name: str, sealed: bytes) -> bytes:
        try:
            return AESGCM(self.storage_key).decrypt(
                sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _LABEL + name.encode()
            )
        except (InvalidTag, ValueError):
            raise StoreError("a second factor was sealed with another key, or changed") from None


def _matching(secret: bytes, steps: Sequence[int], code: str) -> list[int]:
    """Return the steps whose code it is; each is compared, in constant time."""
    return [
        step
        for step in steps
        if step >= 0 and hmac.compare_digest(hotp(secret, step).encode(), code.encode())
    ]


def _digest(name: str, code: str) -> bytes:
    return sha256(_RECOVERY_LABEL + name.encode() + b"\0" + code.encode()).digest()
