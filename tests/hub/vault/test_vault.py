# SPDX-License-Identifier: Apache-2.0
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.readings import Reading, ReadingFlag
from hub.vault.database import Database
from hub.vault.vault import VAULT_COMPONENT, Channel, ReadingRefused, Vault, VaultTampered

CHANNEL = Channel(b"\x0a\x01MTL\x00\x00\x00\x01", bytes.fromhex("0100010800ff"))
KEY = bytes(range(32))


def open_vault(path: Path, key: bytes = KEY) -> Vault:
    return Vault(Database(path, [VAULT_COMPONENT]), key, os.urandom)


def some_readings(number: int = 10) -> list[Reading]:
    return [Reading(1_000_000 + 900 * n, 70_000 + 137 * n) for n in range(number)]


def tear_up(path: Path, statement: str) -> None:
    """Do to the file what an attacker with the disk in hand can do."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER reading_is_never_changed")
        connection.execute("DROP TRIGGER reading_is_never_deleted")
        connection.execute(statement)
    connection.close()


def test_readings_come_back_as_they_went_in(tmp_path: Path) -> None:
    readings = [*some_readings(), Reading(1_100_000, 80_000, ReadingFlag.RESUMED)]
    with open_vault(tmp_path / "hub.db").database as database:
        assert Vault(database, KEY, os.urandom).append(CHANNEL, readings) == 11
    vault = open_vault(tmp_path / "hub.db")
    assert list(vault.between(CHANNEL, 0, 1 << 40)) == readings
    assert vault.latest(CHANNEL) == readings[-1]
    assert vault.count(CHANNEL) == 11
    assert vault.channels() == [CHANNEL]
    vault.database.close()


def test_a_range_brings_its_neighbours_along(tmp_path: Path) -> None:
    with open_vault(tmp_path / "hub.db").database as database:
        vault = Vault(database, KEY, os.urandom)
        readings = some_readings()
        vault.append(CHANNEL, readings)
        begin, end = readings[3].time + 1, readings[5].time + 1
        assert list(vault.between(CHANNEL, begin, end)) == readings[3:7]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["sealed", "nonce"]), st.integers(0, 27), st.integers(0, 7))
def test_a_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, column: str, byte: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("vault") / "hub.db"
    vault = open_vault(path)
    vault.append(CHANNEL, some_readings())
    vault.database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER reading_is_never_changed")
        (value,) = connection.execute(f"SELECT {column} FROM reading WHERE sequence = 4").fetchone()
        flipped = bytearray(value)
        flipped[byte % len(flipped)] ^= 1 << bit
        connection.execute(f"UPDATE reading SET {column} = ? WHERE sequence = 4", (bytes(flipped),))
    connection.close()
    with open_vault(path).database as database, pytest.raises(VaultTampered, match="reading 4"):
        list(Vault(database, KEY, os.urandom).between(CHANNEL, 0, 1 << 40))


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM reading WHERE sequence = 4", "reading 4 .* is missing"),
        ("UPDATE reading SET sequence = 40 WHERE sequence = 4", "reading 4 .* is missing"),
        ("UPDATE reading SET time = time + 1 WHERE sequence = 4", "reading 4 .* not what was"),
        (
            "UPDATE reading SET (nonce, sealed) = (SELECT nonce, sealed FROM reading r"
            + " WHERE r.sequence = 5) WHERE sequence = 4",
            "reading 4 .* not what was",
        ),
        ("UPDATE channel SET meter = x'0a'", "reading 1 .* not what was"),
    ],
)
def test_rows_cannot_be_dropped_moved_or_swapped(
    tmp_path: Path, statement: str, place: str
) -> None:
    path = tmp_path / "hub.db"
    vault = open_vault(path)
    vault.append(CHANNEL, some_readings())
    vault.database.close()
    tear_up(path, statement)
    with open_vault(path).database as database:
        vault = Vault(database, KEY, os.urandom)
        (channel,) = vault.channels()
        with pytest.raises(VaultTampered, match=place):
            list(vault.between(channel, 0, 1 << 40))


@pytest.mark.parametrize("statement", ["DELETE FROM reading", "UPDATE reading SET time = 0"])
def test_history_is_only_ever_added_to(tmp_path: Path, statement: str) -> None:
    with open_vault(tmp_path / "hub.db").database as database:
        Vault(database, KEY, os.urandom).append(CHANNEL, some_readings())
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.connection.execute(statement)


@pytest.mark.parametrize(
    ("late", "why"),
    [
        (Reading(1_000_900, 99_999), "not later"),
        (Reading(1_008_101, 71_232), "fell from 71233 to 71232"),
    ],
)
def test_a_batch_with_one_bad_reading_leaves_nothing_behind(
    tmp_path: Path, late: Reading, why: str
) -> None:
    with open_vault(tmp_path / "hub.db").database as database:
        vault = Vault(database, KEY, os.urandom)
        with pytest.raises(ReadingRefused, match=why):
            vault.append(CHANNEL, [*some_readings(), late])
        assert vault.channels() == []
        vault.append(CHANNEL, some_readings())
        with pytest.raises(ReadingRefused):
            vault.append(CHANNEL, some_readings())
        assert vault.count(CHANNEL) == 10


def test_another_key_does_not_open_the_vault(tmp_path: Path) -> None:
    open_vault(tmp_path / "hub.db").database.close()
    with (
        Database(tmp_path / "hub.db", [VAULT_COMPONENT]) as database,
        pytest.raises(VaultTampered, match="another key"),
    ):
        Vault(database, bytes(32), os.urandom)


def test_the_file_shows_no_reading_and_the_repr_no_key(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    vault = open_vault(path)
    vault.append(CHANNEL, [Reading(1_000_000, 0x1122334455667788)])
    assert KEY.hex() not in repr(vault)
    assert repr(KEY) not in repr(vault)
    vault.database.close()
    assert bytes.fromhex("1122334455667788") not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (Reading(1_000_900, 2**63), "no register counts that far"),
        (Reading(1_000_900, 70_000 + 900_000_001), "leapt from 70000 to 900070001 Wh in 900 s"),
    ],
)
def test_what_no_register_does_is_refused_before_it_can_spoil_a_day(
    tmp_path: Path, reading: Reading, why: str
) -> None:
    vault = open_vault(tmp_path / "hub.db")
    vault.append(CHANNEL, [Reading(1_000_000, 70_000)])
    with pytest.raises(ReadingRefused, match=why):
        vault.append(CHANNEL, [reading])
    assert vault.count(CHANNEL) == 1
    vault.append(CHANNEL, [Reading(1_000_900, 70_000 + 900_000_000)])
