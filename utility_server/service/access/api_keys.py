# SPDX-License-Identifier: Apache-2.0
"""Keys of systems: shown once, known afterwards by their hash alone.

    mlk_<16 hex digits>_<43 of base64url>       identification, and 32 random bytes

The secret has 256 random bits, so its plain SHA-256 cannot be turned back; a slow hash would only
cost each request.
"""

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from sqlalchemy import Engine, Row, insert, select

from utility_server.database import api_key_table as table
from utility_server.database import reading, writing
from utility_server.errors import AccessProblem
from utility_server.service.access.roles import Principal, Role, roles_text, stored_roles
from utility_server.service.access.systems import end_row, find_row, require_system

SECRET_SIZE: Final = 32
_IDENTIFICATION_SIZE: Final = 8
_FORM: Final = re.compile(r"mlk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODY: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is on record: without its secret."""

    identification: str
    name: str
    roles: frozenset[Role]
    created: int
    expires: int
    """From when on it counts no more; 0: never."""
    revoked: int
    """When it was revoked; 0: it was not."""

    def holds(self, now: int) -> bool:
        """Tell whether it counts at a time."""
        return not self.revoked and (not self.expires or now < self.expires)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys of one utility."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def create(
        self, name: str, roles: frozenset[Role], lasting_seconds: int = 0
    ) -> tuple[ApiKey, str]:
        """Return a new key and its text, which is kept nowhere: this is the only time to see it.

        `lasting_seconds` of 0 is for ever. Raises `AccessProblem` for a name that is none.
        """
        require_system("a key", name, roles)
        identification = self.randomness(_IDENTIFICATION_SIZE).hex()
        secret = self.randomness(SECRET_SIZE)
        now = self.now()
        key = ApiKey(
            identification, name, roles, now, now + lasting_seconds if lasting_seconds else 0, 0
        )
        with writing(self.engine, identification.encode()) as connection:
            connection.execute(
                insert(table).values(
                    identification=identification,
                    name=name,
                    digest=sha256(secret).digest(),
                    roles=roles_text(roles),
                    created=key.created,
                    expires=key.expires,
                    revoked=0,
                )
            )
        text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        return key, f"mlk_{identification}_{text}"

    def all(self) -> list[ApiKey]:
        """Return all keys, the oldest first."""
        query = select(table).order_by(table.c.created, table.c.identification)
        with reading(self.engine) as connection:
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, identification: str) -> ApiKey:
        """Let a key count no more, from the next request on; again changes nothing.

        Raises `AccessProblem` where there is none.
        """
        key, revoked = table.c.identification, table.c.revoked
        row = end_row(self.engine, key, identification, revoked, self.now())
        if row is None:
            raise AccessProblem("there is no key of that identification")
        return _key(row)

    def find(self, text: str) -> Principal | None:
        """Return whose key a text is, None where it is none that counts."""
        parts = _FORM.fullmatch(text)
        if parts is None:
            return None
        try:
            secret = base64.b64decode(parts[2] + "=", altchars=b"-_", validate=True)
        except ValueError:
            return None
        row = find_row(self.engine, table.c.identification, parts[1])
        known = _NOBODY if row is None else bytes(row.digest)
        # In constant time, and compared where there is no such key, too.
        is_right = hmac.compare_digest(sha256(secret).digest(), known)
        if row is None or not is_right:
            return None
        key = _key(row)
        return Principal("key", key.identification, key.roles) if key.holds(self.now()) else None


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        row.identification, row.name, stored_roles(row.roles), row.created, row.expires, row.revoked
    )
