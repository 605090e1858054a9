# SPDX-License-Identifier: Apache-2.0
"""What was set aside of what came through the door: sealed like readings, until somebody decides.

A row is one telegram that could not be taken as it was (`hub.meters.odd`), numbered in the order in
which it came. It goes when the resident drops it, or when it has become a reading. At most `MOST`
are kept at a time, and what comes beyond them is only counted: a cable in a neighbour's meter does
not fill the disk. Beside them lies where the meter's count of seconds and the hub's clock stood
when a telegram was last stamped, so that a step of the clock is seen after a restart, too.

Errors: SealBroken, UnknownOddTelegram
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hub.errors import HubError
from hub.meters.clocks import ClockAnchor
from hub.meters.odd import OddTelegram
from hub.vault.database import Component, Database
from hub.vault.sealing import SealBroken, Sealer

PURPOSE: Final = "quarantine"
MOST: Final = 100_000
"""Telegrams that are kept at a time."""

QUARANTINE_COMPONENT: Final = Component(
    "quarantine",
    (
        """
        CREATE TABLE odd_telegram (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            name BLOB NOT NULL UNIQUE,
            sealed BLOB NOT NULL
        ) STRICT;
        CREATE TABLE odd_beyond (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            number INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE meter_clock (
            meter BLOB PRIMARY KEY,
            count INTEGER NOT NULL,
            time INTEGER NOT NULL
        ) STRICT;
        CREATE TRIGGER odd_telegram_is_never_changed BEFORE UPDATE ON odd_telegram
        BEGIN SELECT RAISE(ABORT, 'what was set aside is never changed'); END;
        """,
    ),
)


class UnknownOddTelegram(HubError):
    """Nothing that is set aside has this number."""

    exit_code, http_status = 2, 404


@dataclass(frozen=True, slots=True)
class SetAside:
    """A telegram that was set aside, and its number."""

    number: int
    telegram: OddTelegram


def reseal_quarantine(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal what was set aside with a new vault key, within a transaction; yield rows done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    for number, sealed in connection.execute("SELECT number, sealed FROM odd_telegram").fetchall():
        plain = old.open(sealed, _place(number))
        name = new.name_of(OddTelegram.decode(plain).essence())
        connection.execute(
            "INSERT OR REPLACE INTO odd_telegram VALUES (?, ?, ?)",
            (number, name, new.seal(plain, _place(number))),
        )
        yield 1


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What is set aside in a hub's database."""

    database: Database

    def add(self, telegrams: Sequence[OddTelegram]) -> list[OddTelegram]:
        """Keep telegrams; return those that are not there already, whether there was room or not.

        The same telegram again is kept once: the same meter, moment and registers.
        """
        if not telegrams:
            return []
        sealer, new = self.database.sealer(PURPOSE), list[OddTelegram]()
        with self.database.transaction() as connection:
            room, beyond = MOST - self.count(), 0
            (last,) = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'odd_telegram'"
            ).fetchone()
            for one in telegrams:
                name, number = sealer.name_of(one.essence()), last + 1
                if connection.execute(_KNOWN, (name,)).fetchone() is not None:
                    continue
                new.append(one)
                if room <= 0:
                    beyond += 1
                    continue
                sealed = sealer.seal(one.encode(), _place(number))
                connection.execute(
                    "INSERT INTO odd_telegram VALUES (?, ?, ?)", (number, name, sealed)
                )
                room, last = room - 1, number
            if beyond:
                connection.execute(
                    "INSERT INTO odd_beyond VALUES (1, ?)"
                    " ON CONFLICT (only) DO UPDATE SET number = number + excluded.number",
                    (beyond,),
                )
        return new

    def all(self) -> list[SetAside]:
        """Return what is set aside, in the order in which it came; raise `SealBroken`."""
        rows = self.database.connection.execute(
            "SELECT number, sealed FROM odd_telegram ORDER BY number"
        )
        return [self._opened(number, sealed) for number, sealed in rows]

    def find(self, numbers: Sequence[int]) -> list[SetAside]:
        """Return those of these numbers; raise `UnknownOddTelegram` where there is none."""
        known = {one.number: one for one in self.all()}
        for number in numbers:
            if number not in known:
                raise UnknownOddTelegram(
                    f"nothing that is set aside has the number {number};"
                    " `meterlet hub readings quarantine list` shows them"
                )
        return [known[number] for number in sorted(set(numbers))]

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget telegrams: they were dropped, or have become readings."""
        with self.database.transaction() as connection:
            connection.executemany(
                "DELETE FROM odd_telegram WHERE number = ?", [(number,) for number in numbers]
            )

    def forget(self, telegrams: Sequence[OddTelegram]) -> None:
        """Forget telegrams that have become readings, known by what they say."""
        if telegrams:
            sealer = self.database.sealer(PURPOSE)
            names = [(sealer.name_of(one.essence()),) for one in telegrams]
            with self.database.transaction() as connection:
                connection.executemany("DELETE FROM odd_telegram WHERE name = ?", names)

    def count(self) -> int:
        """Return how many are set aside."""
        (number,) = self.database.connection.execute("SELECT count(*) FROM odd_telegram").fetchone()
        return int(number)

    def beyond(self) -> int:
        """Return how many came when there was no more room."""
        row = self.database.connection.execute("SELECT number FROM odd_beyond").fetchone()
        return 0 if row is None else int(row[0])

    def clock(self, meter: bytes) -> ClockAnchor | None:
        """Return where a meter's count and the hub's clock stood when both were last compared."""
        row = self.database.connection.execute(
            "SELECT count, time FROM meter_clock WHERE meter = ?", (meter,)
        ).fetchone()
        return None if row is None else ClockAnchor(*row)

    def keep_clock(self, meter: bytes, anchor: ClockAnchor | None) -> None:
        """Keep where both stand now; None: they are compared anew."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM meter_clock WHERE meter = ?", (meter,))
            if anchor is not None:
                row = (meter, anchor.count, anchor.time)
                connection.execute("INSERT INTO meter_clock VALUES (?, ?, ?)", row)

    def _opened(self, number: int, sealed: bytes) -> SetAside:
        plain = self.database.sealer(PURPOSE).open(sealed, _place(number))
        try:
            return SetAside(number, OddTelegram.decode(plain))
        except ValueError as error:
            raise SealBroken(f"{PURPOSE}: row {number}: {error}") from None


_KNOWN: Final = "SELECT 1 FROM odd_telegram WHERE name = ?"


def _place(number: int) -> bytes:
    return number.to_bytes(8, "big")
