# SPDX-License-Identifier: Apache-2.0
"""What applets' numbers have handed on: openings of states, sealed, of each account a chain.

A recipient goes on from the last state of an account, or asks for the last number again: from the
state before, about the very same period. Then the states after that one are void. A state that was
gone on from otherwise is used up; one that this hub has not made is nobody's. The openings leave
this module for a proof and for the resident alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hub.applet_host.prover import decode_openings, encode_openings
from hub.disclosure import ReleaseRefused
from hub.disclosure.memory import Remembered, decode_remembered, encode_remembered
from hub.vault.database import Component, Database
from hub.vault.sealing import Sealer, resealed
from protocols.canonical.stored import decode_row, encode_row
from protocols.carried import CarriedState
from protocols.platform.errors import Refusal, Refused
from protocols.proofs.carrying import Openings

MEMORY_COMPONENT: Final = Component(
    "applet_memory",
    (
        """
        CREATE TABLE carried_state (
            applet BLOB NOT NULL,
            account BLOB NOT NULL,
            number INTEGER NOT NULL,
            digest BLOB NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (applet, account, number)
        ) STRICT;
        """,
    ),
)
MOST_STATES: Final = 26
"""Of an account, the newest that are kept: two years of months can be asked for again."""
MOST_ACCOUNTS: Final = 16
"""Of an applet: contracts that its recipient has begun; the one begun first is forgotten."""
PURPOSE: Final = "carried states"
"""What their sealing key is for."""


@dataclass(frozen=True, slots=True)
class KeptState:
    """A state, what opens it, and what the guard knows of it."""

    state: CarriedState
    openings: Openings = field(repr=False)
    remembered: Remembered = field(repr=False)

    def encode(self) -> bytes:
        """Return it for the database."""
        remembered = encode_remembered(self.remembered)
        return encode_row([self.state.encode(), encode_openings(self.openings), remembered])

    @classmethod
    def decode(cls, data: bytes) -> "KeptState":
        """Return what `encode` wrote."""
        state, openings, remembered = decode_row(data)
        return cls(
            CarriedState.decode(state),
            decode_openings(openings),
            decode_remembered(remembered),
        )


@dataclass(frozen=True, slots=True)
class AppletMemory:
    """The states of one applet's accounts."""

    database: Database
    applet: bytes

    def find(self, state: CarriedState) -> KeptState:
        """Return what is kept of a state; raise `Refused` (NOT_FOUND) where it is none of ours."""
        if state.number == 0:
            return KeptState(state, {}, {})
        kept = self._at(state.account, state.number)
        if kept is None or kept.state != state:
            raise Refused(Refusal.NOT_FOUND, "no number of this applet has left that state")
        return kept

    def require_next(self, state: CarriedState, end: int) -> None:
        """Return if numbers up to `end` may go on from a state; raise `ReleaseRefused` if not.

        They may from the last one of the account; from an earlier one just as those that did.
        """
        after = self._at(state.account, state.number + 1)
        if after is not None and after.state.end != end:
            raise ReleaseRefused(
                "memory",
                f"number {state.number + 1} of the account has gone on from that state already,"
                " about another period",
            )

    def keep(self, kept: KeptState) -> None:
        """Keep a state; those of the account after it are void, unless it is there already."""
        state = kept.state
        there = self._at(state.account, state.number)
        if there is not None and there.state == state:
            return
        sealed = self._sealer.seal(kept.encode(), self.applet, state.account, state.digest)
        with self.database.transaction() as connection:
            connection.execute(
                "DELETE FROM carried_state WHERE applet = ? AND account = ?"
                " AND (number >= ? OR number <= ?)",
                (self.applet, state.account, state.number, state.number - MOST_STATES),
            )
            connection.execute(
                "INSERT INTO carried_state VALUES (?, ?, ?, ?, ?)",
                (self.applet, state.account, state.number, state.digest, sealed),
            )
            connection.execute(
                "DELETE FROM carried_state WHERE applet = ? AND account NOT IN (SELECT account"
                " FROM carried_state WHERE applet = ? GROUP BY account ORDER BY max(rowid) DESC"
                " LIMIT ?)",
                (self.applet, self.applet, MOST_ACCOUNTS),
            )

    def states(self) -> list[KeptState]:
        """Return all states that are kept, by account and number: for the resident."""
        rows = self.database.connection.execute(
            "SELECT account, digest, sealed FROM carried_state WHERE applet = ?"
            " ORDER BY account, number",
            (self.applet,),
        ).fetchall()
        return [self._opened(*row) for row in rows]

    def _at(self, account: bytes, number: int) -> KeptState | None:
        row = self.database.connection.execute(
            "SELECT account, digest, sealed FROM carried_state"
            " WHERE applet = ? AND account = ? AND number = ?",
            (self.applet, account, number),
        ).fetchone()
        return None if row is None else self._opened(*row)

    def _opened(self, account: bytes, digest: bytes, sealed: bytes) -> KeptState:
        return KeptState.decode(self._sealer.open(sealed, self.applet, account, digest))

    @property
    def _sealer(self) -> Sealer:
        return self.database.sealer(PURPOSE)


def forget_memory(database: Database, applet: bytes) -> None:
    """Forget what an applet's numbers have handed on: it is gone."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM carried_state WHERE applet = ?", (applet,))


def reseal_memory(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal states with a new vault key, within a transaction; yield how many rows are done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    rows = connection.execute(
        "SELECT rowid, applet, account, digest, sealed FROM carried_state"
    ).fetchall()
    for row, applet, account, digest, sealed in rows:
        connection.execute(
            "UPDATE carried_state SET sealed = ? WHERE rowid = ?",
            (resealed(old, new, sealed, applet, account, digest), row),
        )
        yield 1
