# SPDX-License-Identifier: Apache-2.0
"""Wrong passphrases cost time: a delay that grows, kept on the disk so that no restart ends it.

    by source    the first 4 failures from an IPv4 address are free, then 1 s, 2 s, 4 s, ... up to
                 an hour; of IPv6 a /64 is one source (`hub.network_source`), the first 20 are
                 free, then up to five minutes: all of a home may be in it
    by name      the first 20 failures are free, then 1 s, 2 s, ... up to five minutes: less, since
                 a stranger can make a resident wait by it

An attempt counts as a failure before it is looked at, so that many at once gain nothing; a success
clears both. While a delay runs, attempts are turned away unread and counted.

No counter is pushed out by others. A name is counted in one of `NAME_SLOTS` places by its hash, so
that made-up names need no room of their own, and are treated as residents' names are. Sources are
counted until a day after their last failure; where `MOST_SOURCES` are, all further ones are counted
together.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from hub.errors import HubError
from hub.network_source import source_of
from hub.vault.database import Database


class TooManyAttempts(HubError):
    """Nothing was checked: it is too soon after the last failures."""

    http_status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many attempts; try again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class _Rule:
    free: int
    longest: int

    def delay(self, count: int) -> int:
        """Return how many seconds must pass after so many failures."""
        if count < self.free:
            return 0
        return min(self.longest, 1 << min(count - self.free, 20))


_ADDRESS: Final = _Rule(4, 3600)
_SHARED: Final = _Rule(20, 300)
"""Of what several may share: a name, a network, all the sources beyond `MOST_SOURCES`."""
FORGET_SECONDS: Final = 86_400
"""Failures are forgotten a day after the last one."""
NAME_SLOTS: Final = 1 << 14
MOST_SOURCES: Final = 4_096
_SOURCE: Final = "source "
_OTHERS: Final = "other sources"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Failures by source and by name."""

    database: Database

    def admit(self, address: str, name: str, now: int) -> None:
        """Count an attempt as a failure and return if it may be made.

        Raises `TooManyAttempts`, counted, if it is too soon.
        """
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM failure WHERE last < ?", (now - FORGET_SECONDS,))
            keys = self._keys(address, name)
            wait = max(self._wait(key, rule, now) for key, rule in keys)
            for key, _ in keys:
                if wait:
                    change = "UPDATE failure SET turned_away = turned_away + 1 WHERE who = ?"
                    connection.execute(change, (key,))
                else:
                    connection.execute(
                        "INSERT INTO failure VALUES (?, 1, 0, ?) ON CONFLICT (who)"
                        " DO UPDATE SET count = count + 1, last = excluded.last",
                        (key, now),
                    )
        if wait:
            raise TooManyAttempts(wait)

    def failures(self, address: str, name: str) -> tuple[int, int]:
        """Return how many attempts from there have failed, and how many were turned away."""
        (key, _), _ = self._keys(address, name)
        row = self.database.connection.execute(
            "SELECT count, turned_away FROM failure WHERE who = ?", (key,)
        ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def succeeded(self, address: str, name: str) -> None:
        """Forget the failures of one who has signed in."""
        with self.database.transaction() as connection:
            for key, _ in self._keys(address, name):
                connection.execute("DELETE FROM failure WHERE who = ?", (key,))

    def _wait(self, key: str, rule: _Rule, now: int) -> int:
        row = self.database.connection.execute(
            "SELECT count, last FROM failure WHERE who = ?", (key,)
        ).fetchone()
        if row is None:
            return 0
        count, last = int(row[0]), int(row[1])
        # A clock that was set back makes nobody wait longer than the rule says.
        return max(0, min(last, now) + rule.delay(count) - now)

    def _keys(self, address: str, name: str) -> tuple[tuple[str, _Rule], tuple[str, _Rule]]:
        """Return where a source and a name are counted, and by which rule."""
        source = source_of(address)
        slot = int.from_bytes(sha256(name.encode()).digest()[:4], "big") % NAME_SLOTS
        counted_as = (_SOURCE + source, _SHARED if "/" in source else _ADDRESS)
        if not self._has_room(counted_as[0]):
            counted_as = (_OTHERS, _SHARED)
        return counted_as, (f"name slot {slot}", _SHARED)

    def _has_room(self, key: str) -> bool:
        known, count = self.database.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM failure WHERE who = ?),"
            " (SELECT count(*) FROM failure WHERE who >= ? AND who < ?)",
            (key, _SOURCE, _SOURCE + "\x7f"),
        ).fetchone()
        return bool(known) or count < MOST_SOURCES
