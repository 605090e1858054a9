# SPDX-License-Identifier: Apache-2.0
"""Why a question stands where it does: what its hub last refused, or why it was not reached.

Whoever talks to the hub keeps it here, in whatever process: a gateway, a deliverer, a command. Who
shows how far a question is reads it here. It is of the state that the question was in; once that
has changed, it is not shown any more. What comes from a hub is bounded, and nothing but print.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, delete, insert, select

from utility_server.database import question_failure_table as table
from utility_server.database import question_table, reading, writing
from utility_server.errors import HubRefused, UtilityError, kind_of

MOST_WHY: Final = 400
"""Characters of a reason that are kept."""
REFUSED_BY_HUB: Final = "hub-"
"""What begins the kind of a hub's refusal; its status word follows, in small letters."""
WAITING: Final = ("asked", "answered", "entered")
"""The states of a question that is open, or whose invoice is not delivered."""
_AT_ONCE: Final = 500
"""Nonces in one query."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question does not go on."""

    kind: str
    """In a word: `hub-6985` for a hub's refusal with that status word, else the error's kind."""
    why: str
    """The same in a sentence."""
    time: int
    """When that was, in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Why the questions of one utility do not go on."""

    engine: Engine
    now: Callable[[], int]

    def note(self, nonce: bytes, state: str, error: UtilityError) -> bool:
        """Keep what went wrong with a question that is in `state`; return whether that is news."""
        kind, why = kind_of_failure(error), printed(str(error))
        with writing(self.engine, nonce) as connection:
            before = connection.execute(select(table).where(table.c.nonce == nonce)).one_or_none()
            connection.execute(delete(table).where(table.c.nonce == nonce))
            connection.execute(
                insert(table).values(nonce=nonce, state=state, kind=kind, why=why, time=self.now())
            )
        return before is None or (before.state, before.kind, before.why) != (state, kind, why)

    def of(self, nonces: Iterable[bytes]) -> dict[bytes, Failure]:
        """Return why questions do not go on, by nonce: of those where something went wrong."""
        wanted, found = list(dict.fromkeys(nonces)), dict[bytes, Failure]()
        query = select(table).join(
            question_table,
            (question_table.c.nonce == table.c.nonce) & (question_table.c.state == table.c.state),
        )
        with reading(self.engine) as connection:
            for first in range(0, len(wanted), _AT_ONCE):
                some = table.c.nonce.in_(wanted[first : first + _AT_ONCE])
                for row in connection.execute(query.where(some)):
                    found[bytes(row.nonce)] = Failure(row.kind, row.why, row.time)
        return found

    def waiting(self) -> list[tuple[bytes, Failure | None]]:
        """Return, by meter, why each question waits that is open or not delivered, as far as known.

        The questions themselves are not read: of many homes that is quick.
        """
        query = (
            select(question_table.c.meter, table.c.kind, table.c.why, table.c.time)
            .outerjoin(
                table,
                (question_table.c.nonce == table.c.nonce)
                & (question_table.c.state == table.c.state),
            )
            .where(question_table.c.state.in_(WAITING))
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [
            (bytes(row.meter), None if row.kind is None else Failure(row.kind, row.why, row.time))
            for row in rows
        ]


def kind_of_failure(error: UtilityError) -> str:
    """Return in a word what went wrong: a hub's refusal with its status word, else its kind."""
    if isinstance(error, HubRefused):
        return f"{REFUSED_BY_HUB}{error.status_word:04x}"
    return kind_of(error)


def printed(text: str) -> str:
    """Return a reason as it may be kept and shown: of bounded length, and nothing but print."""
    # A hub has a part in some reasons: no control characters, no line ends, no end of it.
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)[
        :MOST_WHY
    ]
