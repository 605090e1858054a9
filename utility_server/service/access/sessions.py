# SPDX-License-Identifier: Apache-2.0
"""Browsers that have signed in at the console, and what their forms carry.

A cookie is 32 random bytes; the database has its SHA-256 alone. A session ends when idle, when old,
when its operator's password or roles change, and when signed out. Signing in always begins a new
one: a cookie that somebody else has planted is never taken over.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from sqlalchemy import ColumnElement, Engine, delete, insert, select, update

from utility_server.database import console_session_table as table
from utility_server.database import reading, writing
from utility_server.service.access.operators import Operators
from utility_server.service.access.roles import Principal, roles_text, stored_roles

IDLE_SECONDS: Final = 30 * 60
LIFE_SECONDS: Final = 10 * 3600
NOTED_SECONDS: Final = 60
"""That a session was seen is written so often at most."""
TOKEN_SIZE: Final = 32
_FORM: Final = b"meterlet console form 1"
_SESSIONS: Final = b"console sessions"


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A browser that has signed in."""

    principal: Principal
    form_token: str = field(repr=False)
    """What each of its forms carries."""

    def accepts(self, token: str) -> bool:
        """Tell whether a form came from this session's own pages."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())


@dataclass(frozen=True, slots=True)
class ConsoleSessions:
    """The sessions of one utility's console."""

    engine: Engine
    operators: Operators
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def begin(self, principal: Principal, epoch: str = "") -> str:
        """Return the cookie of a new session."""
        token, now = self.randomness(TOKEN_SIZE).hex(), self.now()
        with writing(self.engine, _SESSIONS) as connection:
            connection.execute(delete(table).where(_is_over(now)))
            connection.execute(
                insert(table).values(
                    digest=_digest(token),
                    kind=principal.kind,
                    name=principal.name,
                    roles=roles_text(principal.roles),
                    epoch=epoch,
                    began=now,
                    seen=now,
                )
            )
        return token

    def find(self, token: str | None, *, is_poll: bool = False) -> ConsoleSession | None:
        """Return the session of a cookie; None where it has ended.

        It counts as seen now, unless a page asks by itself while its operator is away.
        """
        if not token:
            return None
        now, where = self.now(), table.c.digest == _digest(token)
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(where, ~_is_over(now))).one_or_none()
        if row is None:
            return None
        if row.kind == "operator":
            operator = self.operators.find(row.name)
            if operator is None or operator.epoch != row.epoch:
                return None  # removed, or with another password since
            principal = operator.principal
        else:
            principal = Principal(row.kind, row.name, stored_roles(row.roles))
        if not is_poll and now - row.seen >= NOTED_SECONDS:
            with writing(self.engine, _SESSIONS) as connection:
                connection.execute(update(table).where(where).values(seen=now))
        return ConsoleSession(principal, _form_token(token))

    def end(self, token: str | None) -> None:
        """End a session, if it is one."""
        if token:
            with writing(self.engine, _SESSIONS) as connection:
                connection.execute(delete(table).where(table.c.digest == _digest(token)))


def _is_over(now: int) -> ColumnElement[bool]:
    return (table.c.seen <= now - IDLE_SECONDS) | (table.c.began <= now - LIFE_SECONDS)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _form_token(token: str) -> str:
    return hmac.new(token.encode(), _FORM, sha256).hexdigest()
