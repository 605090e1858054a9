# SPDX-License-Identifier: Apache-2.0
import sqlite3
from pathlib import Path

import pytest

from hub.vault.database import (
    Component,
    Database,
    DatabaseBusy,
    DatabaseError,
    NotAHubDatabase,
    SchemaTooNew,
)
from tests.support.locks import held

ONE = Component("part", ("CREATE TABLE a (x INTEGER) STRICT;",))
TWO = Component(
    "part", (*ONE.migrations, "ALTER TABLE a ADD COLUMN y TEXT; CREATE INDEX i ON a (y);")
)


def rows(database: Database) -> list[int]:
    return [x for (x,) in database.connection.execute("SELECT x FROM a ORDER BY x")]


def test_tables_are_brought_up_to_date_and_keep_what_they_hold(tmp_path: Path) -> None:
    with Database(tmp_path / "hub.db", [ONE]) as database, database.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (7)")
    with Database(tmp_path / "hub.db", [TWO]) as database:
        assert database.connection.execute("SELECT x, y FROM a").fetchall() == [(7, None)]


def test_a_file_of_a_newer_release_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    Database(path, [TWO]).close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match=r"hub\.db: .* part have version 2, .* knows 1"):
        Database(path, [ONE])
    assert path.read_bytes() == before


def test_a_file_that_is_something_else_is_left_as_it_was(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text.db", tmp_path / "foreign.db"
    text.write_bytes(b"not a database at all, but a text that is long enough" * 20)
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    for path in (text, foreign):
        before = path.read_bytes()
        with pytest.raises(NotAHubDatabase, match=path.name):
            Database(path, [ONE])
        assert path.read_bytes() == before


def test_what_raises_is_undone_and_the_rest_of_the_transaction_stays(tmp_path: Path) -> None:
    with Database(tmp_path / "hub.db", [ONE]) as database:
        with database.transaction() as connection:
            connection.execute("INSERT INTO a VALUES (1)")
            with pytest.raises(KeyError), database.transaction():
                connection.execute("INSERT INTO a VALUES (2)")
                raise KeyError
            with database.transaction():
                connection.execute("INSERT INTO a VALUES (3)")
        assert rows(database) == [1, 3]
        with pytest.raises(KeyError), database.transaction():
            connection.execute("INSERT INTO a VALUES (4)")
            raise KeyError
        assert rows(database) == [1, 3]


def test_a_file_can_be_looked_at_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    Database(path, [ONE]).close()
    with Database(path, [ONE]) as writer, writer.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (7)")
        with Database(path, [ONE]) as reader:
            assert rows(reader) == []


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "hub.db").mkdir()
    (tmp_path / "hub.db" / "something").touch()
    with pytest.raises(DatabaseError, match=r"hub\.db: unable to open database file"):
        Database(tmp_path / "hub.db", [ONE])


def test_a_writer_waits_for_another_process_that_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    with Database(path, [ONE]) as database, held(path, seconds=2):
        with database.transaction() as connection:
            connection.execute("INSERT INTO a VALUES (7)")
        assert rows(database) == [7]


def test_a_holder_that_never_lets_go_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    line = f"the database {path} is busy; another meterlet process holds it"
    with Database(path, [ONE], patience=0.2) as database, held(path):
        with pytest.raises(DatabaseBusy) as caught, database.transaction():
            pytest.fail("the block has run without the lock")
        assert str(caught.value) == line
        with pytest.raises(DatabaseBusy) as caught:  # to be migrated, which takes the lock, too
            Database(path, [TWO], patience=0.2)
        assert str(caught.value) == line
        with pytest.raises(DatabaseBusy), database.named_errors(), database.transaction():
            pass
    with Database(path, [TWO]) as database, database.transaction():
        assert rows(database) == []
