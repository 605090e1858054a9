# SPDX-License-Identifier: Apache-2.0
"""What keys and certificates of systems have in common: a name, roles, and an end for good."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Column, Engine, Row, select, update

from utility_server.database import reading, writing
from utility_server.errors import AccessProblem
from utility_server.service.access.roles import Role, require_roles

LONGEST_NAME: Final = 64


def require_system(what: str, name: str, roles: Collection[Role]) -> None:
    """Raise `AccessProblem` for a name that is none, and for no roles; `what` is named."""
    if not (name.strip() and len(name) <= LONGEST_NAME and name.isprintable()):
        raise AccessProblem(f"{what}'s name has 1 to {LONGEST_NAME} characters that are shown")
    require_roles(roles)


def find_row(engine: Engine, key: Column[Any], value: str) -> Row[Any] | None:
    """Return the row of a key, None where there is none."""
    with reading(engine) as connection:
        return connection.execute(select(key.table).where(key == value)).one_or_none()


def end_row(
    engine: Engine, key: Column[Any], value: str, ended: Column[Any], now: int
) -> Row[Any] | None:
    """Write into `ended` that a row counts no more, and return it; None where there is none.

    Again changes nothing: the first time stays. It holds from the next request on.
    """
    where = key == value
    with writing(engine, value.encode()) as connection:
        connection.execute(
            update(key.table).where(where, ended == 0).values({ended: now})  # once, and for good
        )
        return connection.execute(select(key.table).where(where)).one_or_none()
