# SPDX-License-Identifier: Apache-2.0
"""Wrong passphrases cost time: a delay that grows, kept on the disk so that no restart ends it.

    by address   the first 4 failures are free, then 1 s, 2 s, 4 s, ... up to an hour
    by name      the first 20 failures are free, then 1 s, 2 s, ... up to five minutes: less, since
                 a stranger can make a resident wait by it

While a delay runs, attempts are turned away unread and counted. A success clears both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hub.errors import HubError
from hub.vault.database import Database


class TooManyAttempts(HubError):
    """Nothing was checked: it is too soon after the last failures."""

    http_status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts; try again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class _Rule:
    prefix: str
    free: int
    longest: int

    def delay(self, count: int) -> int:
        """Return how many seconds must pass after so many failures."""
        if count < self.free:
            return 0
        return min(self.longest, 1 << min(count - self.free, 20))


RULES: Final = (_Rule("address ", 4, 3600), _Rule("name ", 20, 300))
FORGET_SECONDS: Final = 86_400
"""Failures are forgotten a day after the last one."""
MOST_KEYS: Final = 1_000
"""So many names and addresses are remembered; the oldest give way."""
LONGEST_KEY: Final = 100


@dataclass(frozen=True, slots=True)
class Throttle:
    """Failures by address and by name."""

    database: Database

    def require(self, address: str, name: str, now: int) -> None:
        """Return if an attempt may be made; raise `TooManyAttempts`, counted, if it is too soon."""
        wait = 0
        for key, rule in _keys(address, name):
            count, last = self._find(key)
            wait = max(wait, last + rule.delay(count) - now)
        if wait > 0:
            with self.database.transaction() as connection:
                for key, _ in _keys(address, name):
                    connection.execute(
                        "UPDATE failure SET turned_away = turned_away + 1 WHERE who = ?", (key,)
                    )
            raise TooManyAttempts(wait)

    def failed(self, address: str, name: str, now: int) -> tuple[int, int]:
        """Count a failure; return how many there were from that address, tried and turned away."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM failure WHERE last < ?", (now - FORGET_SECONDS,))
            for key, _ in _keys(address, name):
                connection.execute(
                    "INSERT INTO failure VALUES (?, 1, 0, ?) ON CONFLICT (who)"
                    " DO UPDATE SET count = count + 1, last = excluded.last",
                    (key, now),
                )
            connection.execute(
                "DELETE FROM failure WHERE who IN"
                " (SELECT who FROM failure ORDER BY last DESC LIMIT -1 OFFSET ?)",
                (MOST_KEYS,),
            )
            row = connection.execute(
                "SELECT count, turned_away FROM failure WHERE who = ?",
                (next(_keys(address, name))[0],),
            ).fetchone()
        return row[0], row[1]

    def succeeded(self, address: str, name: str) -> None:
        """Forget the failures of one who has signed in."""
        with self.database.transaction() as connection:
            for key, _ in _keys(address, name):
                connection.execute("DELETE FROM failure WHERE who = ?", (key,))

    def _find(self, key: str) -> tuple[int, int]:
        row = self.database.connection.execute(
            "SELECT count, last FROM failure WHERE who = ?", (key,)
        ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])


def _keys(address: str, name: str) -> Iterator[tuple[str, _Rule]]:
    for rule, who in zip(RULES, (address, name), strict=True):
        yield (rule.prefix + who)[:LONGEST_KEY], rule
