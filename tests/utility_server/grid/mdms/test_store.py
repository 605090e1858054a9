# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.mdms import aggregate, new_store, opened
from tests.support.postgresql import change
from utility_server.errors import StoreError
from utility_server.grid.mdms.group_value import GroupValue, GroupValueSpan
from utility_server.grid.mdms.sealing import WrappingKey
from utility_server.grid.mdms.store import AggregateStore

MAY = aggregate(date(2025, 5, 1), 31)
JUNE = aggregate(date(2025, 6, 1), 30, seed=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AggregateStore]:
    store = new_store(tmp_path)
    store.add(MAY)
    yield store
    store.close()


def alter(store: AggregateStore, statement: str) -> None:
    assert change(store.engine, statement) == 1


def all_of(store: AggregateStore) -> list[object]:
    return list(store.between("North", 30, 0, 1 << 40))


def test_the_store_gives_back_what_was_added(store: AggregateStore, tmp_path: Path) -> None:
    store.add(JUNE)
    assert store.spans() == [MAY.span, JUNE.span]
    again = opened(tmp_path)
    assert all_of(again) == [MAY, JUNE]
    assert list(again.between("North", 30, JUNE.span.begin, JUNE.span.begin + 1)) == [JUNE]
    assert list(again.between("South", 30, 0, 1 << 40)) == []
    again.close()


NORTH = GroupValueSpan("North", MAY.span.begin, MAY.span.end, bytes(32))
WORTH = GroupValue(NORTH, "spot", 3, "EUR", -(1 << 70), 60, 2, (b"meter",), bytes(range(32)))


def test_a_worth_comes_back_and_the_newer_takes_the_place_of_the_older(
    store: AggregateStore, tmp_path: Path
) -> None:
    assert store.find_group_value(NORTH) is None
    for one in (WORTH, replace(WORTH, value=7, homes=65)):
        store.put_group_value(one)
        assert store.find_group_value(NORTH) == one
    assert store.find_group_value(replace(NORTH, index=bytes(31) + b"1")) is None
    assert store.find_group_value(replace(NORTH, region="South")) is None
    store.rotate()
    store.put_group_value(WORTH)
    again = opened(tmp_path)
    assert again.find_group_value(NORTH) == WORTH
    assert all_of(again) == [MAY]
    again.close()


def test_a_worth_that_is_moved_to_another_period_does_not_open(
    store: AggregateStore, tmp_path: Path
) -> None:
    store.put_group_value(WORTH)
    alter(store, "UPDATE worth SET begin = begin - 86400")
    with pytest.raises(StoreError):
        store.find_group_value(replace(NORTH, begin=NORTH.begin - 86_400))


def test_what_is_no_worth_is_refused() -> None:
    assert GroupValue.decode(NORTH, WORTH.encode()) == WORTH
    with pytest.raises(StoreError, match="not a worth"):
        GroupValue.decode(NORTH, MAY.encode())
    with pytest.raises(StoreError, match="no homes"):
        replace(WORTH, homes=0)
    with pytest.raises(StoreError, match="of a period"):
        replace(NORTH, end=NORTH.begin)


@pytest.mark.sqlite_file
def test_a_store_of_version_1_is_brought_up_to_date(store: AggregateStore, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "mdms.db") as connection:
        connection.execute("DROP TABLE worth")
        connection.execute("UPDATE schema_version SET version = 1")
    connection.close()
    for _ in range(2):
        newer = opened(tmp_path)
        assert all_of(newer) == [MAY]
        newer.put_group_value(WORTH)
        assert newer.find_group_value(NORTH) == WORTH
        newer.close()


def test_days_of_a_clock_change_are_kept_whole(store: AggregateStore) -> None:
    march = aggregate(date(2025, 3, 30), 1, minutes=15)
    assert len(march.sums_wh) == 92
    store.add(march)
    assert next(store.between("North", 15, 0, 1 << 40)) == march
    days = aggregate(date(2025, 3, 29), 3, minutes=1440, sums=[1, 2, 3])
    assert [end - begin for begin, end in zip(days.bounds, days.bounds[1:], strict=False)] == [
        86_400,
        82_800,
        86_400,
    ]


def test_a_sum_of_a_time_that_is_stored_is_refused(store: AggregateStore) -> None:
    for overlapping in (MAY, aggregate(date(2025, 5, 31), 2), aggregate(date(2025, 4, 1), 90)):
        with pytest.raises(StoreError, match="stored already"):
            store.add(overlapping)
    store.add(aggregate(date(2025, 5, 31), 2, region="South"))


def test_nothing_of_a_sum_is_readable_in_the_database(
    store: AggregateStore, tmp_path: Path
) -> None:
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("mdms.db*"))
    for wh in MAY.sums_wh[:200]:
        assert wh.to_bytes(8, "big") not in content
        assert wh.to_bytes(8, "little") not in content
    for size in (2, 3, 4):
        packed = b"".join(wh.to_bytes(size, "big") for wh in MAY.sums_wh)
        assert not any(packed[at : at + 8] in content for at in range(0, len(packed), 8))
    assert MAY.encode()[:40] not in content


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE aggregate SET sealed = zeroblob(400)",
        "UPDATE aggregate SET sealed = CAST(sealed || x'00' AS BLOB)",
        "UPDATE aggregate SET region = 'North', begin = begin - 1",
        "UPDATE aggregate SET end = end + 86400",
        "UPDATE aggregate SET key = 2",
        "UPDATE aggregate SET sealed = 'text'",
    ],
)
def test_a_row_that_is_changed_or_moved_does_not_open(
    store: AggregateStore, tmp_path: Path, statement: str
) -> None:
    alter(store, statement)
    with pytest.raises(StoreError, match="North 30"):
        all_of(store)


def test_a_row_of_another_region_or_resolution_does_not_open_here(
    store: AggregateStore, tmp_path: Path
) -> None:
    alter(store, "UPDATE aggregate SET region = 'South'")
    with pytest.raises(StoreError):
        list(store.between("South", 30, 0, 1 << 40))
    alter(store, "UPDATE aggregate SET region = 'North', resolution = 15")
    with pytest.raises(StoreError):
        list(store.between("North", 15, 0, 1 << 40))


def test_rotation_seals_everything_anew_and_forgets_the_old_keys(
    store: AggregateStore, tmp_path: Path
) -> None:
    store.add(JUNE)
    (old,) = WrappingKey.names(tmp_path / "keys")
    before = (tmp_path / "mdms.db").read_bytes()
    done = store.rotate()
    assert (done.rows, done.data_key, done.retired) == (2, 2, 1)
    assert WrappingKey.names(tmp_path / "keys") == [done.wrapping]
    assert done.wrapping != old
    assert all_of(store) == [MAY, JUNE]
    again = opened(tmp_path)
    assert all_of(again) == [MAY, JUNE]
    again.close()
    # A copy from before is lost with its key.
    (tmp_path / "old.db").write_bytes(before)
    with pytest.raises(StoreError, match=old.hex()):
        AggregateStore.open(tmp_path / "old.db", tmp_path / "keys", bytes)


def test_a_rotation_that_fails_changes_nothing(store: AggregateStore, tmp_path: Path) -> None:
    store.add(JUNE)
    names = WrappingKey.names(tmp_path / "keys")
    alter(store, f"UPDATE aggregate SET sealed = zeroblob(64) WHERE begin = {JUNE.span.begin}")
    with pytest.raises(StoreError):
        store.rotate()
    assert WrappingKey.names(tmp_path / "keys") == names
    assert list(store.between("North", 30, MAY.span.begin, MAY.span.end)) == [MAY]


def test_a_rotation_by_another_process_is_noticed_before_a_row_is_lost(
    store: AggregateStore, tmp_path: Path
) -> None:
    other = opened(tmp_path)
    other.rotate()
    with pytest.raises(StoreError, match="open the store again"):
        store.add(JUNE)
    with pytest.raises(StoreError, match="open the store again"):
        store.rotate()
    assert len(WrappingKey.names(tmp_path / "keys")) == 1
    assert all_of(other) == [MAY]
    other.close()


def test_wrapping_keys_are_not_taken_from_files_that_others_may_read(
    store: AggregateStore, tmp_path: Path
) -> None:
    (path,) = (tmp_path / "keys").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(StoreError, match="0600"):
        opened(tmp_path)


def test_a_short_wrapping_key_is_refused(tmp_path: Path) -> None:
    weak = WrappingKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    path = weak.path(tmp_path)
    path.write_bytes(
        weak.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    with pytest.raises(StoreError, match="3072 bits"):
        WrappingKey.load(tmp_path, weak.name)


def test_a_utilitys_database_is_not_taken_for_an_mdms(tmp_path: Path) -> None:
    from utility_server.database import open_database
    from utility_server.grid.mdms.store import MDMS

    open_database(tmp_path / "utility.db").dispose()
    with pytest.raises(StoreError, match="not an MDMS's database"):
        open_database(tmp_path / "utility.db", MDMS)


@pytest.mark.parametrize("region", ["", " x", "a" * 65, "a\nb", "ö", "'; --"])
def test_a_region_is_named_plainly(region: str) -> None:
    with pytest.raises(StoreError, match="region"):
        aggregate(date(2025, 5, 1), 1, region=region)
