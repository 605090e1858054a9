# SPDX-License-Identifier: Apache-2.0
"""A customer's certified days are one chain for each register, whichever bills they came with."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from hub.certifier import Certification, Certifier
from hub.readings import Reading
from protocols.canonical import cbor
from protocols.metrology import CertifiedDay, DayContent, Period
from tariffs import Register
from tests.support.two_registers import KEYS, series
from tests.support.version1 import certify_version_1
from utility_server.database import open_database, reading, span_table, writing
from utility_server.errors import VerificationFailed
from utility_server.retail.chains import extend_chains, known_chains
from utility_server.retail.ledger import Ledger

WEEK = Period(date(2013, 4, 1), date(2013, 4, 7))


def chain(register: Register = Register.IMPORT, other_from: int = 99) -> list[CertifiedDay]:
    """A week's days; those from the given place on are of other readings."""
    begin, end = WEEK.bounds("Europe/London")
    readings = [
        Reading(time, place * 100 + (7 if place > 48 * other_from else 0))
        for place, time in enumerate(range(begin, end + 1, 1800))
    ]
    certifier, done = (
        Certifier(series(b"SUN", "Europe/London", register), KEYS),
        list[Certification](),
    )
    for day in WEEK.days("Europe/London"):
        done.append(certifier.certify(day, readings, done[-1] if done else None))
    return [one.day for one in done]


DRAWN, FED_IN = chain(), chain(Register.EXPORT)
FORKED = chain(other_from=3)
"""As DRAWN for three days; then the hub was put back and certified something else."""
ALL_ROWS = select(span_table).order_by(span_table.c.register, span_table.c.first)


def of_two_versions(days: int) -> tuple[list[CertifiedDay], list[CertifiedDay]]:
    """A week of a hub that was updated after so many days, and how it answers about it since."""
    begin, end = WEEK.bounds("Europe/London")
    readings = [
        Reading(time, place * 100) for place, time in enumerate(range(begin, end + 1, 1800))
    ]
    certifier = Certifier(series(b"SUN", "Europe/London", Register.IMPORT), KEYS)
    old = Period(WEEK.first, date(2013, 4, days))
    done = certify_version_1(certifier, old, readings)
    for day in Period(date(2013, 4, days + 1), WEEK.last).days("Europe/London"):
        done.append(certifier.certify(day, readings, done[-1]))
    return [one.day for one in done], [certifier.restate(one).day for one in done]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "utility.db")
    yield engine
    engine.dispose()


def extend(engine: Engine, days: Sequence[CertifiedDay]) -> None:
    with writing(engine) as connection:
        extend_chains(connection, days)


def known(engine: Engine) -> int:
    with engine.connect() as connection:
        days = func.sum(span_table.c.last - span_table.c.first + 1)
        return int(connection.execute(select(days)).scalar_one() or 0)


def test_bills_in_any_order_and_again_make_one_chain_a_register(engine: Engine) -> None:
    for days in (DRAWN[2:4], FED_IN[:5], DRAWN[4:], DRAWN[:2], DRAWN, [*DRAWN, *FED_IN]):
        extend(engine, days)
    assert known(engine) == 14
    assert FORKED[:3] == DRAWN[:3]
    assert FORKED[3].digest != DRAWN[3].digest


@pytest.mark.parametrize(
    ("before", "shown", "what"),
    [
        (DRAWN, FORKED[2:5], "is not the one that was verified before"),
        (DRAWN[:4], FORKED[4:], "does not follow the day that was verified before it"),
        (FORKED[4:], DRAWN[:4], "is not the one that the day after it follows"),
        (DRAWN, [*FED_IN, *FORKED], "is not the one that was verified before"),
    ],
)
def test_a_second_version_of_days_is_refused_and_nothing_of_it_is_kept(
    engine: Engine, before: list[CertifiedDay], shown: list[CertifiedDay], what: str
) -> None:
    ledger = Ledger(engine)
    ledger.append(1, "bill", b"SUN", {}, b"first", before)
    with pytest.raises(VerificationFailed, match=f"chain: .*{what}") as refused:
        ledger.append(2, "bill", b"SUN", {}, b"second", shown)
    assert refused.value.check == "chain"
    assert [entry.time for entry in ledger.entries()] == [1]
    assert known(engine) == len(before)


def as_before_version_8(path: Path, days: Sequence[CertifiedDay]) -> None:
    """Keep days as version 7 did: a row of each, and one of how it stands."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE certified_span")
        connection.execute(
            "CREATE TABLE certified_chain (meter BLOB, register BLOB, counter BIGINT,"
            " previous BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (meter, register, counter))"
        )
        connection.execute(
            "CREATE TABLE day_standing (meter BLOB, register BLOB, counter BIGINT,"
            " day VARCHAR NOT NULL, begins BLOB NOT NULL, ends BLOB NOT NULL, events BLOB NOT NULL,"
            " PRIMARY KEY (meter, register, counter))"
        )
        for day in days:
            content = day.content
            assert isinstance(content, DayContent)
            key = content.meter, content.register, content.counter
            connection.execute(
                "INSERT INTO certified_chain VALUES (?, ?, ?, ?, ?)",
                (*key, content.previous, day.link),
            )
            begins = cbor.encode([content.mounted, content.step_wh, content.start.encode()])
            ends = cbor.encode([content.mounted_at_end, content.step_at_end, content.end.encode()])
            connection.execute(
                "INSERT INTO day_standing VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key, day.day.isoformat(), begins, ends, cbor.encode([])),
            )
        connection.execute("UPDATE schema_version SET version = 7")
    connection.close()


@pytest.mark.sqlite_file
def test_the_days_of_a_database_of_version_7_are_packed_and_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "utility.db"
    open_database(path).dispose()
    as_before_version_8(path, [*DRAWN[:3], *DRAWN[4:], *FED_IN])  # one is not known
    engine = open_database(path)
    assert known(engine) == 13
    with reading(engine) as current:
        assert [one.days for one in known_chains(current, b"SUN")] == [6, 7]
        rows = current.execute(ALL_ROWS).all()
    assert [(row.first, row.last) for row in rows] == [(1, 3), (5, 7), (1, 7)]
    with pytest.raises(VerificationFailed, match="is not the one that was verified before"):
        extend(engine, FORKED)
    with pytest.raises(VerificationFailed, match="is not the one that the day after it"):
        extend(engine, FORKED[3:4])
    extend(engine, DRAWN)
    extend(engine, FED_IN)
    fresh = open_database(tmp_path / "fresh.db")
    for part in (DRAWN[:3], DRAWN[4:], FED_IN, DRAWN):
        extend(fresh, part)
    with reading(engine) as current, reading(fresh) as other:
        assert current.execute(ALL_ROWS).all() == other.execute(ALL_ROWS).all()
    engine.dispose()
    fresh.dispose()
    with sqlite3.connect(path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert not tables & {"certified_chain", "day_standing"}


def test_the_registers_are_chains_of_their_own(engine: Engine) -> None:
    extend(engine, DRAWN)
    extend(engine, FED_IN)
    assert known(engine) == 14


@pytest.mark.sqlite_file
def test_a_database_of_version_2_gets_its_chains(tmp_path: Path) -> None:
    path = tmp_path / "utility.db"
    engine = open_database(path)
    Ledger(engine).append(1, "bill", b"SUN", {}, b"first")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE certified_span")
        connection.execute("UPDATE schema_version SET version = 2")
    connection.close()
    for _ in range(2):
        engine = open_database(path)
        extend(engine, DRAWN)
        assert known(engine) == 7
        assert [entry.time for entry in Ledger(engine).entries()] == [1]
        engine.dispose()


@pytest.mark.sqlite_file
def test_a_database_of_version_4_goes_on_and_holds_new_days_together(tmp_path: Path) -> None:
    path = tmp_path / "utility.db"
    engine = open_database(path)
    extend(engine, DRAWN[:3])
    engine.dispose()
    as_before_version_8(path, DRAWN[:3])
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE day_standing")
        connection.execute("UPDATE schema_version SET version = 4")
    connection.close()
    engine = open_database(path)
    extend(engine, DRAWN[3:])
    with reading(engine) as current:
        assert known_chains(current, b"SUN")[0].days == 4
    extend(engine, DRAWN)  # those of before are known, and how they stand is learned now
    with reading(engine) as current:
        [chain_of_drawn] = known_chains(current, b"SUN")
    assert (chain_of_drawn.days, chain_of_drawn.mounted) == (7, b"SUN")
    assert (chain_of_drawn.first, chain_of_drawn.last) == (WEEK.first, WEEK.last)
    engine.dispose()


def test_days_that_are_stated_again_are_the_ones_that_were_verified_before(engine: Engine) -> None:
    stored, stated = of_two_versions(4)
    assert [day.version for day in stored] == [1] * 4 + [2] * 3
    extend(engine, stored[:3])
    for first, last in ((0, 3), (2, 4), (3, 7), (0, 7)):
        extend(engine, stated[first:last])
    assert known(engine) == 7
    extend(engine, stored)
    _, other = of_two_versions(2)  # put back to an earlier day, and updated then
    with pytest.raises(VerificationFailed, match="2013-04-03: the day is not the one"):
        extend(engine, other)
