# SPDX-License-Identifier: Apache-2.0
"""Whoever guesses passphrases or tokens tries to have the counter of it forgotten."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from hub.inspection.api.rate_limit import MOST_KEYS, RateLimit
from hub.inspection.web.access.residents import RESIDENTS_COMPONENT
from hub.inspection.web.access.throttle import (
    MOST_SOURCES,
    NAME_SLOTS,
    Throttle,
    TooManyAttempts,
)
from hub.vault.database import Database

HOUR = 3600


@pytest.fixture
def throttle(tmp_path: Path) -> Iterator[Throttle]:
    with Database(tmp_path / "residents.db", [RESIDENTS_COMPONENT]) as database:
        yield Throttle(database)


def rows(throttle: Throttle) -> int:
    return int(throttle.database.connection.execute("SELECT count(*) FROM failure").fetchone()[0])


def guesses_in(throttle: Throttle, hours: int, between: int) -> int:
    """Return how many guesses at alice's passphrase are let through.

    Each comes from a /64 of its own. While she is to wait, so many other names are guessed at from
    other networks, to push her out of the table.
    """
    fresh, now, guesses = count(1), 0, 0
    with throttle.database.transaction():  # one sync for all
        while now < hours * HOUR:
            try:
                throttle.admit(f"2001:db8:{next(fresh):x}::1", "alice", now)
                guesses += 1
            except TooManyAttempts as error:
                for _ in range(between):
                    number = next(fresh)
                    try:
                        throttle.admit(f"2001:db8:{number:x}::1", f"nobody{number}", now)
                    except TooManyAttempts:
                        break
                now += max(1, error.seconds // 20) if between else error.seconds
    return guesses


def test_a_names_counter_is_not_pushed_out_by_others(throttle: Throttle) -> None:
    alone = guesses_in(throttle, 6, 0)
    throttle.database.connection.execute("DELETE FROM failure")
    assert guesses_in(throttle, 6, 40) <= alone <= 6 * 26
    assert rows(throttle) <= MOST_SOURCES + NAME_SLOTS + 1


def test_a_sources_counter_is_not_pushed_out_by_others(throttle: Throttle) -> None:
    with throttle.database.transaction():
        for number in range(5):
            throttle.admit("192.0.2.1", f"name{number}", number * 60)
        for number in range(MOST_SOURCES + 100):
            try:
                throttle.admit(f"10.1.{number >> 8}.{number & 255}", f"other{number}", 300)
            except TooManyAttempts:
                assert number > MOST_SOURCES  # the rest are counted together
    assert throttle.failures("192.0.2.1", "alice") == (5, 0)
    assert throttle.failures("10.1.0.0", "alice") == (1, 0)
    assert rows(throttle) <= MOST_SOURCES + NAME_SLOTS + 1
    with pytest.raises(TooManyAttempts) as told:
        throttle.admit("198.51.100.7", "somebody", 300)
    assert told.value.seconds <= 300  # who comes from elsewhere waits no longer than for a name


def test_who_has_a_whole_prefix_is_one_source(throttle: Throttle) -> None:
    with pytest.raises(TooManyAttempts):
        for number in range(100):
            throttle.admit(f"2001:db8::{number:x}", f"name{number}", 0)
    assert throttle.failures("2001:db8::ffff", "alice") == (20, 1)


def test_counters_outlive_a_restart(tmp_path: Path) -> None:
    for number in range(20):
        with Database(tmp_path / "residents.db", [RESIDENTS_COMPONENT]) as database:
            Throttle(database).admit(f"10.0.0.{number}", "alice", 0)
    with (
        Database(tmp_path / "residents.db", [RESIDENTS_COMPONENT]) as database,
        pytest.raises(TooManyAttempts),
    ):
        Throttle(database).admit("10.0.1.1", "alice", 0)


def test_many_guesses_at_once_are_one(throttle: Throttle) -> None:
    for number in range(25):  # from then on a guess is let through every so many seconds
        throttle.admit(f"10.0.0.{number}", "alice", number * 300)

    def guess(number: int) -> bool:
        try:
            throttle.admit(f"10.0.1.{number}", "alice", 25 * 300)
        except TooManyAttempts:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(guess, range(32))) == 1


def test_made_up_names_are_treated_as_residents_are(throttle: Throttle) -> None:
    """Else whoever guesses long enough would see which names there are."""
    waits = []
    for name in ("alice", "nobody"):
        now = 0
        for number in range(24):
            try:
                throttle.admit(f"10.0.0.{number}", name, now)
            except TooManyAttempts as error:
                waits.append((name, number, error.seconds))
                now += error.seconds
    assert [wait[1:] for wait in waits if wait[0] == "alice"] == [
        wait[1:] for wait in waits if wait[0] == "nobody"
    ]


def test_whoever_guesses_tokens_is_not_pushed_out_either() -> None:
    limit = RateLimit(3, 6)
    assert [limit.take("guesser", 0) for _ in range(4)] == [0, 0, 0, 10]
    for number in range(2 * MOST_KEYS):
        limit.take(f"other {number}", 0)
    assert limit.take("guesser", 0) == 10
    assert len(limit._buckets) == MOST_KEYS + 1
    assert limit.take("newcomer", 60) == 0  # what others did is forgotten by then
    assert len(limit._buckets) < MOST_KEYS
