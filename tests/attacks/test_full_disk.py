# SPDX-License-Identifier: Apache-2.0
"""A disk that is full at any write of a release: what is not on record is told to nobody, ever.

The answer is kept back when the record cannot be written. But the applet has heard the value by
then. It must forget it, or it would answer the next, cheaper question with it, off the record.
"""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub.machine.machine import AppletMachine
from hub.vault.database import Component, Database, TransactionUndone
from tests.support.patient import MARCH, PatientHome, patient_home
from tests.support.soak import IS_SOAKING

PAGE = 4096


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let no file grow beyond `size`, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[PatientHome]:
    with patient_home(tmp_path, machine) as home:
        yield home


@pytest.mark.more_in_soak
def test_whatever_write_of_a_release_fails_nothing_is_told_then_or_later(home: PatientHome) -> None:
    truth = sum(wh for day in home.device.main.uses(MARCH) for wh in day.uses)
    failed, log = 0, home.device.disclosure.log
    for room in range(0, 64 * PAGE, PAGE // 2 if IS_SOAKING else PAGE):
        client = home.client()  # its counters are on the disk before it is full
        with files_no_larger_than(home.log_size() + room):
            answer = home.ask(client, 1)
        releases = list(log.entries("release"))
        if answer.sw == 0x9000:
            assert (int.from_bytes(answer.data, "big"), len(releases)) == (truth, 1)
            break
        failed += 1
        assert (answer.data, releases) == (b"", [])
        # With room on the disk again, in the same conversation and in a new one.
        for later in (client, home.client()):
            assert int.from_bytes(home.ask(later, 2).data, "big") == 0
        assert home.device.disclosure.check_log().length == log.verify()
        home.device.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        pytest.fail("no disk was large enough")
    assert failed > 5


PARTS = Component("part", ("CREATE TABLE part (x INTEGER, y BLOB) STRICT;",))


def test_after_a_commit_that_failed_the_file_is_written_as_before(tmp_path: Path) -> None:
    forgotten: list[int] = []
    with Database(tmp_path / "hub.db", [PARTS]) as database:
        with (
            files_no_larger_than(40 * PAGE),
            pytest.raises(sqlite3.Error),
            database.transaction() as connection,
        ):
            database.when_undone(lambda: forgotten.append(1))
            connection.execute("INSERT INTO part VALUES (1, zeroblob(900000))")
        assert not database.connection.in_transaction
        with database.transaction() as connection:
            connection.execute("INSERT INTO part VALUES (2, x'00')")
        assert database.connection.execute("SELECT x FROM part").fetchall() == [(2,)]
    assert forgotten == [1]  # once, and not again by the transaction that went well


def test_what_sqlite_has_undone_itself_is_not_gone_on_with(tmp_path: Path) -> None:
    """Statements after that would be committed one by one, each by itself."""
    forgotten: list[int] = []
    with Database(tmp_path / "hub.db", [PARTS]) as database:
        with pytest.raises(TransactionUndone), database.transaction() as connection:
            database.when_undone(lambda: forgotten.append(1))
            connection.execute("INSERT INTO part VALUES (1, x'00')")
            connection.execute("ROLLBACK")  # what SQLITE_FULL and SQLITE_IOERR do
            with database.transaction():
                pytest.fail("a savepoint of nothing")
        with pytest.raises(TransactionUndone), database.transaction() as connection:
            connection.execute("ROLLBACK")
        with database.transaction() as connection:
            connection.execute("INSERT INTO part VALUES (2, x'00')")
        assert database.connection.execute("SELECT x FROM part").fetchall() == [(2,)]
    assert forgotten == [1]
