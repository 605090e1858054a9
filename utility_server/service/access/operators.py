# SPDX-License-Identifier: Apache-2.0
"""Operators who sign in with a password: for a utility on one machine, without identity provider.

Of a password only its Argon2id hash is kept. One is checked at a time, so that a crowd of guesses
fills neither memory nor cores, and an unknown name takes as long as a known one. Failures cost time
by source and by name: after the first few, 1 s, 2 s, 4 s, ..., kept in the database. A browser in
which the name has signed in before is counted by itself: strangers cannot make it wait.

Who has a second factor (`second_factor`) signs in with both, and a wrong one of the two is answered
and counted like the other. Where the utility demands one, nobody signs in without.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from utility_server.database import operator_table as table
from utility_server.database import reading, writing
from utility_server.database import sign_in_failure_table as failures
from utility_server.errors import AccessProblem, TooManySignIns
from utility_server.service.access.roles import (
    Principal,
    Role,
    require_roles,
    roles_text,
    stored_roles,
)
from utility_server.service.access.second_factor import NewFactor, SecondFactors

SHORTEST, LONGEST = 10, 256
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")
FREE_FAILURES: Final = 5
LONGEST_WAIT_SECONDS: Final = 300
FORGET_SECONDS: Final = 86_400
NAME_SLOTS: Final = 4_096
"""Names are counted by their hash in so many places: made-up ones need no room of their own."""
MOST_SOURCES: Final = 4_096
_EPOCH_SIZE: Final = 8
_SIGN_INS: Final = b"sign-ins"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may sign in."""

    name: str
    roles: frozenset[Role]
    epoch: str
    """Changes with the password: sessions of before end."""

    @property
    def principal(self) -> Principal:
        """Who he is to the service."""
        return Principal("operator", self.name, self.roles)


@dataclass(slots=True)
class Operators:
    """The operators of one utility; safe to use from several threads."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)
    factors: SecondFactors
    needs_factor: bool = False
    """Whether an operator without a second factor may not sign in."""
    _hasher: PasswordHasher = field(
        default_factory=lambda: PasswordHasher(
            time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, type=Type.ID
        ),
        repr=False,
    )
    _nobody: str = field(default="", repr=False)
    _turn: Lock = field(default_factory=Lock, repr=False)

    def add(self, name: str, password: str, roles: frozenset[Role]) -> Operator:
        """Add an operator.

        Raises `AccessProblem` for a name or a password that is none, no error repeats it; and for
        a name that somebody has.
        """
        if not NAME.fullmatch(name):
            raise AccessProblem(
                f"{name[:40]!r} is no operator's name: a small letter, then small letters, digits,"
                " '.', '_' or '-'"
            )
        values = self._values(password, roles)
        with writing(self.engine, name.encode()) as connection:
            if connection.execute(select(table.c.name).where(table.c.name == name)).first():
                raise AccessProblem(
                    f"there is an operator {name} already; for another password or other roles:"
                    f" `meterlet utility operator change {name}`"
                )
            connection.execute(insert(table).values(name=name, **values))
        return Operator(name, roles, values["epoch"])

    def change(
        self, name: str, password: str | None = None, roles: frozenset[Role] | None = None
    ) -> Operator:
        """Give an operator another password, or other roles, or both; his sessions end.

        Who has guessed at his password until now makes him wait no longer. Raises `AccessProblem`
        as `add` does, and where there is no such operator.
        """
        values = self._values(password, roles)
        with writing(self.engine, name.encode(), _SIGN_INS) as connection:
            where = table.c.name == name
            if not NAME.fullmatch(name) or not (
                connection.execute(update(table).where(where).values(**values)).rowcount
            ):
                raise AccessProblem("there is no operator of that name")
            connection.execute(delete(failures).where(failures.c.source == _slot(name)))
            row = connection.execute(select(table).where(where)).one()
        return Operator(row.name, stored_roles(row.roles), row.epoch)

    def _values(self, password: str | None, roles: frozenset[Role] | None) -> dict[str, str]:
        values = {"epoch": self.randomness(_EPOCH_SIZE).hex()}
        if roles is not None:
            require_roles(roles)
            values["roles"] = roles_text(roles)
        if password is not None:
            normal = _normal(password)
            if not SHORTEST <= len(normal) <= LONGEST or len(set(normal)) < 4:
                raise AccessProblem(
                    f"a password has {SHORTEST} to {LONGEST} characters, four different ones at"
                    " least"
                )
            values["password"] = self._hasher.hash(normal)
        return values

    def remove(self, name: str) -> None:
        """Remove an operator, whose sessions end; raise `AccessProblem` where there is none."""
        with writing(self.engine, name.encode()) as connection:
            if not NAME.fullmatch(name) or not (
                connection.execute(delete(table).where(table.c.name == name)).rowcount
            ):
                raise AccessProblem("there is no operator of that name")
            self.factors.remove(connection, name)

    def add_factor(self, name: str) -> NewFactor:
        """Give an operator a new second factor, which ends his sessions; it is shown this once.

        Raises `AccessProblem` where there is no operator of that name.
        """
        with writing(self.engine, name.encode()) as connection:
            self._end_sessions(connection, name)
            return self.factors.create(connection, name)

    def remove_factor(self, name: str) -> None:
        """Take an operator's second factor away, which ends his sessions.

        Raises `AccessProblem` where there is no such operator, or he has none.
        """
        with writing(self.engine, name.encode()) as connection:
            self._end_sessions(connection, name)
            if not self.factors.remove(connection, name):
                raise AccessProblem("this operator has no second factor")

    def _end_sessions(self, connection: Connection, name: str) -> None:
        epoch = self.randomness(_EPOCH_SIZE).hex()
        known = update(table).where(table.c.name == name).values(epoch=epoch)
        if not connection.execute(known).rowcount:
            raise AccessProblem("there is no operator of that name")

    def all(self) -> list[Operator]:
        """Return the operators by name."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(table).order_by(table.c.name)).all()
        return [Operator(row.name, stored_roles(row.roles), row.epoch) for row in rows]

    def find(self, name: str) -> Operator | None:
        """Return the operator of that name, or None."""
        if not NAME.fullmatch(name):  # not every text can be asked for: PostgreSQL has no NUL
            return None
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.name == name)).one_or_none()
        return None if row is None else Operator(row.name, stored_roles(row.roles), row.epoch)

    def sign_in(
        self, name: str, password: str, source: str, code: str = "", *, browser: str = ""
    ) -> Operator | None:
        """Return the operator if the password is his, else None, after as much work.

        The same where he has a second factor and `code` is none of his at this moment, or has none
        and needs one.

        `browser` is the nonce of one in which he has signed in before (`KnownBrowsers`): it is
        counted alone, and others' failures do not bind it. Counted as a failure before it is looked
        at, so that many at once gain nothing. Raises `TooManySignIns`, unread, where it is too soon
        after the last failures.
        """
        keys = self._count(name, source, browser)
        hashed = None
        asked = name if NAME.fullmatch(name) else ""
        if asked:
            with reading(self.engine) as connection:
                hashed = connection.execute(
                    select(table.c.password).where(table.c.name == name)
                ).scalar_one_or_none()
        # Before the password, and for every name: how long it takes tells nothing of the password.
        shown = self.factors.look(asked, code)
        with self._turn:
            if not self._nobody:
                self._nobody = self._hasher.hash(self.randomness(32))
            try:
                self._hasher.verify(hashed or self._nobody, _normal(password))
            except (VerificationError, InvalidHashError):
                return None
        if hashed is None or (self.needs_factor and not shown.is_needed):
            return None
        # Used up only beside the right password: nobody else can spend an operator's codes.
        if shown.is_needed and not self.factors.use(name, shown):
            return None
        with writing(self.engine, _SIGN_INS) as connection:
            connection.execute(delete(failures).where(failures.c.source.in_(keys)))
        return self.find(name)

    def _count(self, name: str, source: str, browser: str = "") -> list[str]:
        now = self.now()
        with writing(self.engine, _SIGN_INS) as connection:
            connection.execute(delete(failures).where(failures.c.last < now - FORGET_SECONDS))
            if browser:
                keys = [f"browser {browser}"]
            else:
                keys = [_counted_as(connection, f"from {_plain(source)}"), _slot(name)]
            rows = {
                row.source: row
                for row in connection.execute(select(failures).where(failures.c.source.in_(keys)))
            }
            waits = [_wait(row.tries, row.last, now) for row in rows.values()]
            if waits and max(waits) > 0:
                raise TooManySignIns(max(waits))
            for key in keys:
                if key in rows:
                    counted = update(failures).where(failures.c.source == key)
                    connection.execute(counted.values(tries=rows[key].tries + 1, last=now))
                else:
                    connection.execute(insert(failures).values(source=key, tries=1, last=now))
        return keys


def _slot(name: str) -> str:
    """Return under what guesses at a name are counted."""
    slot = int.from_bytes(sha256(name.encode("utf-8", "replace")).digest()[:4], "big") % NAME_SLOTS
    return f"name slot {slot}"


def _plain(source: str) -> str:
    """Return a source as it can be stored: a proxy may say anything."""
    return "".join(one for one in source[:64] if one.isascii() and one.isprintable())


def _counted_as(connection: Connection, source: str) -> str:
    """Return under what a source is counted: where too many are, all further ones together."""
    known = connection.execute(select(failures.c.tries).where(failures.c.source == source)).first()
    if known is not None:
        return source
    total = connection.execute(select(func.count()).select_from(failures)).scalar_one()
    return source if total < MOST_SOURCES + NAME_SLOTS else "from elsewhere"


def _wait(count: int, last: int, now: int) -> int:
    if count < FREE_FAILURES:
        return 0
    delay = min(LONGEST_WAIT_SECONDS, 1 << min(count - FREE_FAILURES, 20))
    # A clock that was set back makes nobody wait longer than that.
    return min(last, now) + delay - now


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password[: 4 * LONGEST])
