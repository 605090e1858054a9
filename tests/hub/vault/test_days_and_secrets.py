# SPDX-License-Identifier: Apache-2.0
import os
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from hub.vault.database import Database
from hub.vault.days import DAYS_COMPONENT, DayAlreadyJournalled, DayJournal, JournalledDay
from hub.vault.secret_file import SecretFileError, read_secret, write_secret
from hub.vault.vault import Channel, VaultTampered

CHANNEL = Channel(b"meter", bytes(6))


def test_a_day_is_journalled_once_and_for_ever(tmp_path: Path) -> None:
    with Database(tmp_path / "hub.db", [DAYS_COMPONENT]) as database:
        journal = DayJournal(database, CHANNEL, bytes(32), os.urandom)
        assert journal.latest() is None
        assert journal.span() is None
        days = [JournalledDay(date(2025, 3, n), bytes([n]), b"use %d" % n) for n in range(1, 4)]
        for number, day in enumerate(days, start=1):
            journal.append(day.day, number, day.certified, day.use)
        assert journal.latest() == days[2]
        assert journal.between(date(2025, 3, 2), date(2025, 4, 1)) == days[1:]
        assert journal.span() == (date(2025, 3, 1), date(2025, 3, 3), 3)
        with pytest.raises(DayAlreadyJournalled, match="2025-03-02"):
            journal.append(date(2025, 3, 2), 9, b"another", b"use")
        with pytest.raises(DayAlreadyJournalled, match="counter 3"):
            journal.append(date(2025, 3, 9), 3, b"another", b"use")
        for statement in ("DELETE FROM certified_day", "UPDATE certified_day SET counter = 9"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.connection.execute(statement)


def test_what_a_day_commits_to_is_sealed_to_its_day(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    with Database(path, [DAYS_COMPONENT]) as database:
        journal = DayJournal(database, CHANNEL, bytes(32), os.urandom)
        journal.append(date(2025, 3, 1), 1, b"certified", b"what nobody may see")
        journal.append(date(2025, 3, 2), 2, b"certified", b"nor this")
        database.connection.execute("DROP TRIGGER day_is_never_changed")
        database.connection.execute(
            "UPDATE certified_day SET (nonce, sealed) ="
            " (SELECT nonce, sealed FROM certified_day c WHERE c.counter = 1) WHERE counter = 2"
        )
        with pytest.raises(VaultTampered, match="2025-03-02"):
            journal.latest()
    assert b"what nobody may see" not in path.read_bytes()


def test_a_secret_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "vault.key"
    write_secret(path, bytes(32))
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secret(path, size=32) == bytes(32)
    with pytest.raises(SecretFileError, match="exists already"):
        write_secret(path, bytes(range(32)))
    assert read_secret(path) == bytes(32)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    write_secret(path, bytes(32))
    path.chmod(0o640)
    with pytest.raises(SecretFileError, match="mode 0640"):
        read_secret(path)
    path.chmod(0o600)
    with pytest.raises(SecretFileError, match="32 bytes, not 16"):
        read_secret(path, size=16)
    with pytest.raises(SecretFileError, match="No such file"):
        read_secret(tmp_path / "nothing")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_no_secret(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "vault.key")
    with pytest.raises(SecretFileError, match=r"vault\.key: not a regular file"):
        read_secret(tmp_path / "vault.key", size=32)
