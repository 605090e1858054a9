# SPDX-License-Identifier: Apache-2.0
import os
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import cbor2
import pytest
from sqlalchemy import Engine

from protocols.canonical.hash_chain import seal
from protocols.metrology import Period
from tariffs.source import load_toml
from tests.support.enrolment import GOOD
from tests.support.locks import held
from tests.support.postgresql import change
from utility_server.database import open_database, reading, writing
from utility_server.errors import (
    AlreadyBilled,
    CannotVerify,
    EnrolmentRefused,
    LedgerTampered,
    StoreBusy,
    StoreError,
    UnknownCustomer,
)
from utility_server.keys import UtilityKeys
from utility_server.retail.customers import Customers
from utility_server.retail.ledger import Ledger
from utility_server.retail.utility import Utility

TARIFF = Path(__file__).resolve().parents[3] / "meterlet" / "demo" / "tariff.toml"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "utility.db")
    yield engine
    engine.dispose()


def filled(engine: Engine) -> Ledger:
    ledger = Ledger(engine)
    for n in range(4):
        ledger.append(1000 + n, "bill", b"meter", {"fee": n}, f"evidence {n}".encode())
    return ledger


def tear_up(engine: Engine, statement: str) -> None:
    change(engine, statement)


def test_the_ledger_gives_back_what_was_written(engine: Engine) -> None:
    entries = list(filled(engine).entries())
    assert [(e.sequence, e.time, e.content["fee"]) for e in entries] == [
        (1, 1000, 0),
        (2, 1001, 1),
        (3, 1002, 2),
        (4, 1003, 3),
    ]
    assert Ledger(engine).evidence(entries[2]) == b"evidence 2"


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM ledger_entry WHERE sequence = 2", "entry 2 is missing"),
        ("DELETE FROM ledger_entry WHERE sequence = 1", "entry 1 is missing"),
        (
            "UPDATE ledger_entry SET body = body || x'00' WHERE sequence = 3",
            "not readable|entry 3 is not",
        ),
        ("UPDATE ledger_entry SET body = zeroblob(9) WHERE sequence = 3", "entry 3 is not"),
        ("UPDATE ledger_entry SET digest = zeroblob(32) WHERE sequence = 3", "entry 3 is not"),
        (
            "UPDATE ledger_entry SET (body, digest) ="
            "(SELECT body, digest FROM ledger_entry e WHERE e.sequence = 2) WHERE sequence = 4",
            "entry 4 is not",
        ),
    ],
)
def test_an_entry_cannot_be_changed_dropped_or_moved(
    engine: Engine, statement: str, place: str
) -> None:
    ledger = filled(engine)
    tear_up(engine, statement)
    with pytest.raises(LedgerTampered, match=place):
        list(ledger.entries())


def test_evidence_cannot_be_exchanged(engine: Engine) -> None:
    ledger = filled(engine)
    entries = list(ledger.entries())
    tear_up(engine, "UPDATE evidence SET content = x'00'")
    with pytest.raises(LedgerTampered, match="evidence of entry 1"):
        ledger.evidence(entries[0])


def test_customers_are_sealed_and_found_again(engine: Engine) -> None:
    customers = Customers(engine, bytes(32), os.urandom)
    customers.enrol(GOOD.encode())
    customers.enrol(GOOD.encode())
    assert customers.find(GOOD.meter, GOOD.applet) == GOOD
    assert customers.meters() == [GOOD.meter]
    content = Path(str(engine.url.database)).read_bytes()
    assert b"e" * 16 not in content
    assert (b"e" * 16).hex().encode() not in content
    with pytest.raises(UnknownCustomer, match="0102"):
        customers.find(b"\1\2", GOOD.applet)
    with pytest.raises(StoreError, match="sealed with another key"):
        Customers(engine, bytes(range(32)), os.urandom).find(GOOD.meter, GOOD.applet)


def test_a_certifier_is_never_replaced_silently(engine: Engine) -> None:
    customers = Customers(engine, bytes(32), os.urandom)
    customers.enrol(GOOD.encode())
    with pytest.raises(EnrolmentRefused, match="other keys"):
        customers.enrol(replace(GOOD, certifier=bytes(32)).encode())
    with pytest.raises(EnrolmentRefused, match="not JSON"):
        customers.enrol(b"\xff")


@pytest.mark.sqlite_file
def test_a_foreign_or_newer_database_is_left_as_it_was(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    text = tmp_path / "text.db"
    text.write_bytes(b"no database" * 100)
    newer = tmp_path / "newer.db"
    engine = open_database(newer)
    engine.dispose()
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    for path, why in (
        (foreign, "not a utility"),
        (text, "not a database"),
        (newer, "has version 99"),
    ):
        before = path.read_bytes()
        with pytest.raises(StoreError, match=why):
            open_database(path)
        assert path.read_bytes() == before


def test_what_is_billed_in_part_is_not_billed_again(tmp_path: Path) -> None:
    march = Period(date(2025, 3, 1), date(2025, 3, 31))
    with Utility.create(tmp_path / "utility", now=lambda: 0) as utility:
        utility.customers.enrol(GOOD.encode())
        signed = utility.sign(load_toml(TARIFF.read_text()))
        begin, end = march.bounds(GOOD.zone)
        utility.ledger.append(0, "bill", GOOD.meter, {"begin": begin, "end": end}, b"")
        utility.ledger.append(0, "refused", GOOD.meter, {"begin": 0, "end": end}, b"")
        assert utility.question(GOOD.meter, march, signed).about.begin == begin
        overlapping = Period(date(2025, 3, 31), date(2025, 4, 30))
        with pytest.raises(AlreadyBilled, match="invoice 1 bills a part") as refused:
            utility.question(GOOD.meter, overlapping, signed)
        assert "2025-03-01 to 2025-03-31: ask for just these days" in str(refused.value)
        utility.question(GOOD.meter, Period(date(2025, 4, 1), date(2025, 4, 30)), signed)


def test_nothing_is_asked_under_a_tariff_of_another_year(tmp_path: Path) -> None:
    with Utility.create(tmp_path / "utility", now=lambda: 0) as utility:
        utility.customers.enrol(GOOD.encode())
        signed = utility.sign(load_toml(TARIFF.read_text()))
        with pytest.raises(CannotVerify, match="not within the validity of demo-day-night"):
            utility.question(GOOD.meter, Period.month(1999, 12), signed)


@pytest.mark.parametrize(
    ("zone", "days", "elsewhere"),
    [
        ("Europe/Berlin", "1999-12-01 to 1999-12-31", ""),
        (
            "Europe/London",
            "1999-11-30 23:00 to 1999-12-31 23:00",
            "; the hub's days, 1999-12-01 to 1999-12-31, are of Europe/Berlin: ask under a tariff"
            " of that zone",
        ),
    ],
)
def test_days_beyond_the_tariff_are_local_and_another_zone_is_named(
    tmp_path: Path, zone: str, days: str, elsewhere: str
) -> None:
    tariff = load_toml(TARIFF.read_text().replace("Europe/Berlin", zone))
    with Utility.create(tmp_path / "utility", now=lambda: 0) as utility:
        utility.customers.enrol(GOOD.encode())
        with pytest.raises(CannotVerify) as refused:
            utility.question(GOOD.meter, Period.month(1999, 12), utility.sign(tariff))
    assert str(refused.value) == (
        f"the tariff: {days} is not within the validity of demo-day-night,"
        f" 2000-01-01 to 2099-12-31 in {zone}{elsewhere}"
    )


def test_keys_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    keys = UtilityKeys.create(tmp_path / "keys", os.urandom)
    assert UtilityKeys.load(tmp_path / "keys").storage == keys.storage
    with pytest.raises(StoreError, match="File exists"):
        UtilityKeys.create(tmp_path / "keys", os.urandom)
    assert keys.storage.hex() not in repr(keys)
    assert repr(keys.storage) not in repr(keys)
    (tmp_path / "keys" / "storage.key").chmod(0o644)
    with pytest.raises(StoreError, match="mode 0644"):
        UtilityKeys.load(tmp_path / "keys")


@pytest.mark.sqlite_file
def test_a_damaged_database_is_one_kind_of_error_and_never_another(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "utility.db")
    Customers(engine, bytes(32), os.urandom).enrol(GOOD.encode())
    filled(engine)
    engine.dispose()
    whole, dice = (tmp_path / "utility.db").read_bytes(), random.Random(1)
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(dice.choice([1, 5])):
            page = 4096 * dice.randrange(len(whole) // 4096)
            damaged[page : page + 4096] = dice.choice([bytes(4096), dice.randbytes(4096)])
        (tmp_path / "utility.db").write_bytes(damaged)
        try:
            engine = open_database(tmp_path / "utility.db")
        except StoreError:
            outcomes.add("not opened")
            continue
        customers = Customers(engine, bytes(32), os.urandom)
        for work in (
            lambda customers=customers: customers.find(GOOD.meter, GOOD.applet),
            lambda customers=customers: customers.enrol(GOOD.encode()),
            lambda engine=engine: [*map(Ledger(engine).evidence, Ledger(engine).entries())],
        ):
            try:
                work()
                outcomes.add("fine")
            except (StoreError, UnknownCustomer, EnrolmentRefused) as error:
                outcomes.add(type(error).__name__)
        engine.dispose()
    assert {"fine", "not opened", "StoreError"} <= outcomes


@pytest.mark.parametrize("body", [b"\xff", cbor2.dumps([3]), cbor2.dumps([3, 0, "x", b"", {}])])
def test_an_entry_that_was_never_written_is_refused_even_where_the_chain_holds(
    engine: Engine, body: bytes
) -> None:
    ledger = filled(engine)
    entries = list(ledger.entries())
    digest = seal(b"meterlet ledger 1", entries[1].digest, body)
    tear_up(
        engine,
        f"UPDATE ledger_entry SET body = x'{body.hex()}', digest = x'{digest.hex()}'"
        " WHERE sequence = 3",
    )
    with pytest.raises(LedgerTampered, match="entry 3 is none that this program writes"):
        list(ledger.entries())


@pytest.mark.parametrize("name", ["a?mode=ro", "100%", "#x"])
@pytest.mark.sqlite_file
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    open_database(tmp_path / name / "utility.db").dispose()
    assert (tmp_path / name / "utility.db").stat().st_size


def test_a_meter_has_an_enrolment_for_each_of_its_applets(engine: Engine) -> None:
    customers = Customers(engine, bytes(32), os.urandom)
    other = replace(GOOD, applet=GOOD.applet[:-1] + b"\x77")
    for enrolment in (GOOD, other, GOOD):
        customers.enrol(enrolment.encode())
    assert customers.find(GOOD.meter, other.applet) == other
    assert customers.find(GOOD.meter, GOOD.applet) == GOOD
    assert customers.meters() == [GOOD.meter]
    with pytest.raises(UnknownCustomer, match="not enrolled with applet F0"):
        customers.find(GOOD.meter, b"\xf0none")
    with pytest.raises(EnrolmentRefused, match="other keys"):
        customers.enrol(replace(other, certifier=bytes(32)).encode())


@pytest.mark.sqlite_file
def test_a_database_of_version_8_gets_the_tables_that_came_since(tmp_path: Path) -> None:
    path = tmp_path / "utility.db"
    engine = open_database(path)
    filled(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        for table in ("client_certificate", "operator_factor", "question_failure", "hub_delivery"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE schema_version SET version = 8")
    connection.close()
    engine = open_database(path)
    with reading(engine) as current:
        for table in ("client_certificate", "operator_factor", "question_failure", "hub_delivery"):
            assert current.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0
    assert len(list(Ledger(engine).entries())) == 4
    engine.dispose()


@pytest.mark.sqlite_file
def test_a_database_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "utility.db"
    engine = open_database(path)
    Customers(engine, bytes(32), os.urandom).enrol(GOOD.encode())
    filled(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE certified_span")
        connection.execute("DROP INDEX ix_ledger_entry_meter")
        connection.execute("ALTER TABLE ledger_entry DROP COLUMN meter")
        connection.execute("CREATE TABLE customer (meter BLOB PRIMARY KEY, sealed BLOB NOT NULL)")
        connection.execute("INSERT INTO customer SELECT meter, sealed FROM enrolment")
        connection.execute("DROP TABLE enrolment")
        connection.execute("UPDATE schema_version SET version = 1")
    connection.close()
    for _ in range(2):
        engine = open_database(path)
        assert Customers(engine, bytes(32), os.urandom).find(GOOD.meter, GOOD.applet) == GOOD
        ledger = Ledger(engine)
        assert ledger.bills(b"meter") == list(ledger.entries())
        assert len(ledger.bills(b"meter")) == 4
        engine.dispose()


def test_a_writer_waits_for_another_process_that_lets_go(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "utility.db")
    with held(tmp_path / "utility.db", seconds=2):
        filled(engine)
    assert len(list(Ledger(engine).entries())) == 4
    engine.dispose()


@pytest.mark.sqlite_file
def test_a_holder_that_never_lets_go_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "utility.db"
    engine = open_database(path, patience=0.2)
    filled(engine)
    with held(path):
        with pytest.raises(StoreBusy) as caught, writing(engine):
            pytest.fail("the block has run without the lock")
        line = f"the database {path} is busy; another meterlet process holds it"
        assert str(caught.value) == line
        open_database(path, patience=0.2).dispose()  # to look needs no lock
        assert len(list(Ledger(engine).entries())) == 4
    with held(path, mode="EXCLUSIVE"):
        with pytest.raises(StoreBusy) as caught:
            list(Ledger(engine).entries())
        assert str(caught.value) == line
        with pytest.raises(StoreBusy):
            Ledger(engine).bills(b"meter")
        with pytest.raises(StoreBusy):
            open_database(path, patience=0.2)
    with writing(engine), reading(engine):
        pass
    engine.dispose()
