# SPDX-License-Identifier: Apache-2.0
"""What PostgreSQL alone has to show: processes at once, servers that go away, what is not ours."""

import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Final

import psycopg
import pytest
from sqlalchemy import URL, Engine, text

from tests.support import crowd
from tests.support.mdms import aggregate
from tests.support.postgresql import (
    as_files,
    kill_server,
    new_schema,
    new_server,
    remove_server,
    usual_server,
)
from tests.support.soak import IS_SOAKING
from utility_server.copying import back_up, move_database
from utility_server.database import open_database, reading, writing
from utility_server.errors import StoreBusy, StoreError, StoreUnreachable
from utility_server.grid.mdms.errors import BudgetSpent
from utility_server.grid.mdms.load_curves import load_curve
from utility_server.grid.mdms.publishing import Mechanism, Publisher
from utility_server.grid.mdms.store import AggregateStore
from utility_server.locations import URL_FILE, database_url
from utility_server.retail.ledger import LEDGER, Ledger
from utility_server.retail.utility import Utility

ENTRIES: Final = 500 if IS_SOAKING else 15
RACES: Final = 1_000 if IS_SOAKING else 16
RHO: Final = 10**6


@pytest.fixture(params=["only once"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """These say by themselves which database they mean."""
    return str(request.param)


@pytest.fixture
def schema() -> URL:
    return new_schema()


@pytest.fixture
def engine(schema: URL) -> Iterator[Engine]:
    engine = open_database(schema, patience=0.3)
    yield engine
    engine.dispose()


def test_eight_processes_open_an_empty_database_at_once() -> None:
    for _ in range(3):
        assert crowd.at_once(crowd.open_new, [(new_schema(),)] * 8) == [[]] * 8


def test_eight_writers_make_one_chain_without_an_error(schema: URL) -> None:
    calls = [(schema, writer, ENTRIES) for writer in range(8)]
    assert crowd.at_once(crowd.append, calls) == [ENTRIES] * 8
    engine = open_database(schema)
    entries = list(Ledger(engine).entries())
    engine.dispose()
    assert [one.sequence for one in entries] == list(range(1, 8 * ENTRIES + 1))
    assert {one.meter for one in entries} == {b"meter %d" % writer for writer in range(8)}


def publish_some(
    ready: Callable[[], object], place: URL, keys: Path, first: int, races: int
) -> int:
    """Try to publish so many times, each another question; return how often that went."""
    store = AggregateStore.open(place, keys, os.urandom)
    curve = load_curve(store, "North")
    ready()
    published = 0
    for number in range(first, first + races):
        try:
            Publisher(store).publish(curve, RHO + number, Mechanism.GAUSSIAN)
            published += 1
        except BudgetSpent:
            pass
    store.close()
    return published


def test_budget_races_never_spend_more_than_was_granted(schema: URL, tmp_path: Path) -> None:
    store = AggregateStore.create(schema, tmp_path / "keys", os.urandom)
    store.add(aggregate(date(2025, 5, 1), 1, bits=13))
    publisher, each = Publisher(store), RACES // 4
    publisher.grant("North", RACES // 2 * RHO)
    calls = [(schema, tmp_path / "keys", place * each, each) for place in range(4)]
    came = crowd.at_once(publish_some, calls)
    assert all(isinstance(one, int) for one in came), came
    published = sum(came)
    budget = publisher.budget("North")
    assert 0 < published < RACES
    assert published == publisher.releases("North")
    assert budget.nano_rho - 2 * RHO < budget.spent <= budget.nano_rho
    store.close()


def test_a_lock_that_is_held_is_said_in_one_line_and_nothing_is_written(
    schema: URL, engine: Engine
) -> None:
    other = open_database(schema)
    with writing(other):
        with pytest.raises(StoreBusy, match="is busy; another meterlet process"), writing(engine):
            pytest.fail("the block has run without the lock")
        with pytest.raises(StoreBusy), writing(engine, b"meter"):
            pytest.fail("the block has run without the lock")
        with reading(engine):  # to look needs no lock
            pass
    with writing(other, b"one"):
        with writing(engine, b"another"):
            pass
        for scopes in ((b"one",), (b"another", b"one"), ()):
            with pytest.raises(StoreBusy), writing(engine, *scopes):
                pytest.fail("the block has run without the lock")
    other.dispose()


def test_who_reads_sees_one_moment_and_cannot_write(schema: URL, engine: Engine) -> None:
    ledger = Ledger(engine)
    ledger.append(0, "bill", b"m", {}, b"1")
    with reading(engine) as connection:
        count = text("SELECT count(*) FROM ledger_entry")
        assert connection.execute(count).scalar_one() == 1
        other = open_database(schema)
        Ledger(other).append(0, "bill", b"m", {}, b"2")
        other.dispose()
        assert connection.execute(count).scalar_one() == 1
    with pytest.raises(StoreError, match="read-only"), reading(engine) as connection:
        connection.execute(text("DELETE FROM ledger_entry"))
    with writing(engine, LEDGER), reading(engine) as connection:
        assert connection.execute(count).scalar_one() == 2


def test_a_server_that_goes_away_is_named_and_comes_back() -> None:
    server = new_server()
    try:
        engine = open_database(new_schema(server))
        Ledger(engine).append(0, "bill", b"m", {}, b"1")
        kill_server(server)
        with pytest.raises(StoreUnreachable, match=r"not reached.*is the server running\?$"):
            Ledger(engine).append(0, "bill", b"m", {}, b"2")
        with pytest.raises(StoreUnreachable):
            Ledger(engine).bills(b"m")
        server.start()
        Ledger(engine).append(0, "bill", b"m", {}, b"2")
        assert len(list(Ledger(engine).entries())) == 2
        with pytest.raises(StoreUnreachable), writing(engine):
            kill_server(server)
            raise_from = engine.connect()
            raise_from.close()
        engine.dispose()
    finally:
        remove_server(server)


def test_another_s_tables_and_newer_ones_are_left_alone(schema: URL) -> None:
    engine = open_database(schema)
    with writing(engine) as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(StoreError, match="has version 99"):
        open_database(schema)
    with pytest.raises(StoreError, match="holds something already"):
        open_database(schema, must_be_new=True)
    foreign = new_schema()
    name = foreign.query["options"]
    with psycopg.connect(
        host=str(usual_server().folder), user="meterlet", dbname="postgres", options=str(name)
    ) as connection:
        connection.execute("CREATE TABLE theirs (x int)")
    with pytest.raises(StoreError, match="not a utility's database"):
        open_database(foreign)


@pytest.mark.parametrize(
    "url", ["", "mysql://x@y/z", "postgresql://", "sqlite:///x", "postgresql://s3cret@h", "::"]
)
def test_other_urls_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        database_url(url)
    assert "s3cret" not in str(refused.value)
    assert "postgresql://USER@HOST" in str(refused.value)


def test_a_password_is_in_no_message() -> None:
    url = URL.create("postgresql", "me", "s3cret", "127.0.0.1", 1, "nowhere")
    with pytest.raises(StoreUnreachable) as refused:
        open_database(url)
    assert "s3cret" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)


def test_a_utility_moves_to_postgresql_with_all_it_has_and_is_backed_up_from_there(
    tmp_path: Path, schema: URL
) -> None:
    folder = tmp_path / "utility"
    with as_files(), Utility.create(folder, now=lambda: 7) as before:
        for number in range(3):
            before.ledger.append(number, "bill", b"m", {"fee": number}, b"%d" % number)
        entries = list(before.ledger.entries())
        move_database(folder, schema)
        with pytest.raises(StoreError, match="the tables are in PostgreSQL now"):
            before.ledger.append(9, "bill", b"m", {}, b"lost?")
    assert (folder / URL_FILE).stat().st_mode & 0o777 == 0o600
    assert (folder / "utility.db.moved").exists()
    with Utility.open(folder) as moved:
        assert moved.engine.dialect.name == "postgresql"
        assert list(moved.ledger.entries()) == entries
        moved.ledger.append(9, "bill", b"m", {}, b"more")
        entries = list(moved.ledger.entries())
    with pytest.raises(StoreError, match="there is no utility.db to be moved"):
        move_database(folder, new_schema())
    copy = tmp_path / "copy"
    with as_files():
        back_up(folder, copy)
        with Utility.open(copy) as backup:
            assert backup.engine.dialect.name == "sqlite"
            assert list(backup.ledger.entries()) == entries
            assert backup.keys.public == moved.keys.public
    assert copy.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StoreError, match="within the utility's own folder"):
        back_up(folder, folder / "backup")


def test_a_move_that_fails_changes_nothing(tmp_path: Path, schema: URL) -> None:
    open_database(schema).dispose()  # it holds something
    folder = tmp_path / "utility"
    with as_files(), Utility.create(folder) as utility:
        utility.ledger.append(0, "bill", b"m", {}, b"")
        with pytest.raises(StoreError, match="holds something already"):
            move_database(folder, schema)
        utility.ledger.append(1, "bill", b"m", {}, b"")
    assert not (folder / URL_FILE).exists()
