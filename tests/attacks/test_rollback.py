# SPDX-License-Identifier: Apache-2.0
"""Who can write the hub's file, or put back an older one, turns nothing back unseen.

Entries deleted, added, renamed, a consent widened, an older file in its place: without the keys,
these are found when the hub is opened, or when the entry is read. The whole folder put back, with
the keys, is found by the next recipient (`test_put_back.py`).
"""

import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.applet_host.aggregation_record import RoundRecord, members_digest
from hub.device import Description, Device
from hub.disclosure import (
    ConsentTerms,
    LogTampered,
    ReleaseRefused,
    ReleaseRequest,
    StrangerCounts,
    number_of,
)
from hub.disclosure.records import terms_facts
from hub.meters.emulated import emulated_meter_id
from hub.restoring import restore
from hub.vault.database import DatabaseError
from protocols.aggregation.rules import ReleasedSum
from protocols.amounts import Metered, QuotientRule, SlotForm, Sum, Total
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support.log_of_01 import make_file, write_entry

MARCH, SLOTS, NOW = 1_740_787_200, 2976, 1_740_787_200 + 40 * 86_400
TERMS = ConsentTerms(
    b"\xf0bill", b"package", "supplier", "billing", "linear", 28, 480, 2, 64, date(2035, 12, 31)
)
DAY_AND_NIGHT = tuple(2 if slot // 48 % 2 else 3 for slot in range(SLOTS))
WITHOUT_ONE = tuple(w if slot != 777 else 5 - w for slot, w in enumerate(DAY_AND_NIGHT))


def ask(weights: tuple[int, ...]) -> ReleaseRequest:
    amount = Metered(0, Sum(SlotForm.of(dict(enumerate(weights)))))
    in_units = Total((amount,), (), 3, QuotientRule.HALF_UP)
    number = number_of(in_units, MARCH, 900, SLOTS)
    return ReleaseRequest(b"\xf0bill", b"package", "supplier", "billing", 31, (number,), b"d" * 32)


def open_hub(folder: Path) -> Device:
    return Device.open(folder, now=lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A hub with two consents, one of them revoked, and a release."""
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "UTC", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        device.disclosure.grant(TERMS)
        device.disclosure.grant(replace(TERMS, recipient="insurer"))
        device.disclosure.revoke(2)
        device.disclosure.permit(ask(DAY_AND_NIGHT))
        device.disclosure.record_message(b"\xf0bill", "supplier", "billing", b"127.46")
    return tmp_path / "hub"


def write(folder: Path, *statements: str) -> None:
    """Change the file, past the triggers that guard against faults of the hub's own."""
    with closing(sqlite3.connect(folder / "hub.db")) as connection:
        for trigger in ("entry_is_never_changed", "entry_is_never_deleted"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM disclosure_entry WHERE sequence = 5"],
        ["DELETE FROM disclosure_entry WHERE sequence > 3"],
        ["DELETE FROM disclosure_entry"],
        ["DELETE FROM disclosure_entry WHERE sequence = 3"],
        ["UPDATE disclosure_entry SET kind = 'note' WHERE kind = 'release'"],
        ["UPDATE disclosure_entry SET sequence = 9 WHERE sequence = 5"],
        ["UPDATE disclosure_entry SET sequence = -1 WHERE sequence = 2"],
        ["UPDATE disclosure_entry SET digest = zeroblob(32) WHERE sequence = 5"],
        ["INSERT INTO disclosure_entry SELECT 6, kind, body, digest FROM disclosure_entry"
         " WHERE sequence = 5"],
        ["UPDATE disclosure_head SET sealed = zeroblob(60)"],
        ["DELETE FROM disclosure_head"],
        ["DELETE FROM disclosure_entry WHERE sequence = 5", "DELETE FROM disclosure_head"],
        # Consents: a revocation taken back, and terms of another hub's making.
        ["UPDATE disclosure_entry SET body = zeroblob(90) WHERE kind = 'revocation'"],
        ["UPDATE disclosure_entry SET body = (SELECT body FROM disclosure_entry WHERE sequence = 1)"
         " WHERE sequence = 2"],
        ["INSERT INTO consent (applet, package, recipient, purpose, statement, least_days,"
         " least_minutes, answers, bits, until) VALUES (x'F062696C6C', x'7061636B616765',"
         " 'supplier', 'billing', 'linear', 1, 15, 1000, 64, '2035-12-31')"],
    ],
)  # fmt: skip
def test_a_changed_log_or_consent_is_found_at_opening(folder: Path, statements: list[str]) -> None:
    write(folder, *statements)
    with pytest.raises(LogTampered), open_hub(folder):
        pass


def test_an_entry_that_was_changed_is_found_when_it_is_read(folder: Path) -> None:
    """Of the newest entry but one, as of any: opening counts entries, reading opens them."""
    write(folder, "UPDATE disclosure_entry SET body = zeroblob(900) WHERE kind = 'release'")
    with open_hub(folder) as device, pytest.raises(LogTampered, match="entry 4 is not what"):
        device.disclosure.permit(ask(WITHOUT_ONE))


def test_entries_that_go_while_the_hub_runs_stop_it(folder: Path) -> None:
    with open_hub(folder) as device:
        write(folder, "DELETE FROM disclosure_entry WHERE sequence = 5")
        with pytest.raises(LogTampered, match="entry 5 is missing; 5 were written"):
            device.disclosure.revoke(1)


def test_the_guard_goes_on_where_it_was(folder: Path) -> None:
    with open_hub(folder) as device:
        with pytest.raises(ReleaseRefused, match="fineness"):
            device.disclosure.permit(ask(WITHOUT_ONE))
        assert [one.revoked for one in device.disclosure.consents()] == [None, NOW]
        assert device.disclosure.consent(1).terms == TERMS


def test_an_older_file_in_the_place_of_the_newer_one_is_found(folder: Path) -> None:
    shutil.copy(folder / "hub.db", folder.parent / "older.db")
    with open_hub(folder) as device:
        device.disclosure.revoke(1)
    shutil.copy(folder.parent / "older.db", folder / "hub.db")
    with pytest.raises(LogTampered, match="its log has 5 entries, .* knows of 6"):
        open_hub(folder)


def test_an_older_file_that_went_another_way_is_found(folder: Path) -> None:
    """It has been let grow on another computer, with the keys but not with the newest head."""
    shutil.copytree(folder, folder.parent / "elsewhere")
    with open_hub(folder) as device:
        device.disclosure.revoke(1)
    with open_hub(folder.parent / "elsewhere") as device:
        device.disclosure.grant(TERMS)
        device.disclosure.grant(replace(TERMS, answers=3))
    shutil.copy(folder.parent / "elsewhere" / "hub.db", folder / "hub.db")
    with pytest.raises(LogTampered, match="its log is another than the one"):
        open_hub(folder)


def test_a_log_in_clear_as_of_release_01_does_not_take_the_place_of_a_sealed_one(
    folder: Path,
) -> None:
    """Its chain has no key: anybody can write one, with the consents that suit him."""
    forged = folder.parent / "forged.db"
    make_file(forged)
    with closing(sqlite3.connect(forged)) as connection:
        wide = replace(TERMS, least_days=1, least_minutes=15, answers=1000)
        write_entry(connection, NOW, "consent", {"number": 1, **terms_facts(wide)})
        connection.commit()
    shutil.copy(forged, folder / "hub.db")
    with pytest.raises(LogTampered, match="a log of an older release is in the place"):
        open_hub(folder)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE consent SET least_minutes = 15, least_days = 1, answers = 1000",
        "UPDATE consent SET revoked = NULL",
        "DELETE FROM consent",
        "UPDATE consent SET recipient = 'insurer'",
    ],
)
def test_consents_of_release_01_are_held_against_its_log_once(tmp_path: Path, change: str) -> None:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "UTC", 15)
    Device.create(tmp_path / "hub", description).close()
    for name in ("hub.db", "keys/log.head"):
        (tmp_path / "hub" / name).unlink()
    make_file(tmp_path / "hub" / "hub.db")
    with closing(sqlite3.connect(tmp_path / "hub" / "hub.db")) as connection:
        write_entry(connection, NOW, "consent", {"number": 1, **terms_facts(TERMS)})
        write_entry(connection, NOW, "revocation", {"number": 1})
        connection.execute(
            "INSERT INTO consent (applet, package, recipient, purpose, statement, least_days,"
            " least_minutes, answers, bits, until, revoked)"
            " VALUES (?, ?, ?, ?, ?, 28, 480, 2, 64, '2035-12-31', ?)",
            (*TERMS.subject, NOW + 1),
        )
        connection.commit()
    shutil.copytree(tmp_path / "hub", tmp_path / "honest")
    with open_hub(tmp_path / "honest") as device:
        assert device.disclosure.consent(1).revoked == NOW
    with closing(sqlite3.connect(tmp_path / "hub" / "hub.db")) as connection:
        connection.execute(change)
        connection.commit()
    with pytest.raises(LogTampered, match="consent 1 is not what the disclosure log says"):
        open_hub(tmp_path / "hub")


def test_a_consent_undone_with_its_transaction_is_none(folder: Path) -> None:
    """What was read of the log meanwhile does not outlive it."""
    with open_hub(folder) as device:
        with pytest.raises(ZeroDivisionError), device.database.transaction():
            device.disclosure.grant(replace(TERMS, recipient="insurer"))
            assert len(device.disclosure.consents()) == 3
            raise ZeroDivisionError
        device.disclosure.record_connection("127.0.0.1", 1, 1)
        assert len(device.disclosure.consents()) == 2
        assert device.disclosure.grant(replace(TERMS, answers=3)).number == 3


@pytest.fixture
def snapshot(folder: Path) -> Path:
    """The hub's database as it was, before more was said."""
    copy = folder.parent / "snapshot.db"
    with open_hub(folder) as device, closing(sqlite3.connect(copy)) as target:
        device.database.connection.backup(target)
    return copy


def test_a_restored_snapshot_takes_nothing_back(folder: Path, snapshot: Path) -> None:
    with open_hub(folder) as device:
        device.disclosure.revoke(1)
        device.disclosure.record_message(b"\xf0bill", "supplier", "billing", b"newer")
        length = device.disclosure.log.length()
        restore(device, snapshot, 1.0)
    with open_hub(folder) as device:
        assert device.disclosure.log.verify() == length
        assert [one.revoked for one in device.disclosure.consents()] == [NOW, NOW]
        *_, message = device.disclosure.log.entries("message")
        assert device.disclosure.log.content(message) == b"newer"
        with pytest.raises(ReleaseRefused, match="revoked"):
            device.disclosure.permit(ask(DAY_AND_NIGHT))


def test_a_snapshot_of_another_hub_or_history_is_not_restored(
    folder: Path, snapshot: Path, tmp_path: Path
) -> None:
    description = Description(emulated_meter_id(2), (ACTIVE_ENERGY_IMPORT,), "UTC", 15)
    Device.create(tmp_path / "other", description).close()
    forked = tmp_path / "forked.db"
    shutil.copytree(folder, tmp_path / "fork")
    with open_hub(tmp_path / "fork") as device, closing(sqlite3.connect(forked)) as target:
        device.disclosure.grant(replace(TERMS, answers=3))
        device.database.connection.backup(target)
    with open_hub(folder) as device:
        device.disclosure.revoke(1)
        for wrong, why in ((tmp_path / "other" / "hub.db", DatabaseError), (forked, LogTampered)):
            with pytest.raises(why):
                restore(device, wrong, 1.0)
    with open_hub(folder) as device:
        assert device.disclosure.consent(1).revoked == NOW


def test_counters_stay_at_their_stricter_value(folder: Path, snapshot: Path) -> None:
    counters = "SELECT sequence, failures FROM card_key_set ORDER BY domain, version, base"
    tries = "SELECT value FROM card_property WHERE name = 'global PIN tries'"
    for path in (folder / "hub.db", snapshot):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "INSERT INTO card_entry (aid, kind, life_cycle, privileges, domain, package,"
                " module, version, implicit) VALUES (x'A000000001', 1, 1, 0, x'A000000001', x'',"
                " x'', x'', x'')"
            )
            connection.execute("INSERT INTO card_key_set VALUES (x'A000000001', 1, 1, 7, 9, 1)")
            connection.execute("INSERT INTO card_property VALUES ('global PIN tries', x'02')")
            connection.commit()
    with open_hub(folder) as device:
        device.database.connection.execute("UPDATE card_key_set SET sequence = 20, failures = 3")
        device.database.connection.execute("UPDATE card_property SET value = x'01'")
        restore(device, snapshot, 1.0)
        assert device.database.connection.execute(counters).fetchall() == [(20, 9)]
        assert device.database.connection.execute(tries).fetchall() == [(b"\x01",)]


def test_what_strangers_did_and_where_recipients_come_from_outlive_a_restore(
    folder: Path, snapshot: Path
) -> None:
    with open_hub(folder) as device:
        strangers = device.disclosure.strangers
        strangers.add(StrangerCounts(connections=5, turned_away=1, wrong=4, received=30, sent=20))
        strangers.remember_source("192.0.2.7")
        with closing(sqlite3.connect(snapshot)) as target:
            device.database.connection.backup(target)
        strangers.add(StrangerCounts(connections=2, turned_away=1, wrong=1, received=10, sent=10))
        strangers.remember_source("192.0.2.8")
        restore(device, snapshot, 1.0)
    with open_hub(folder) as device:
        strangers = device.disclosure.strangers
        assert strangers.total() == StrangerCounts(7, 2, 5, 40, 30)
        assert sorted(strangers.known_sources()) == ["192.0.2.7", "192.0.2.8"]


def test_a_sum_that_was_opened_stays_so_and_the_log_says_who_counted(
    folder: Path, snapshot: Path
) -> None:
    """Who is counted in a sum can be changed in the file as little as who is in it."""
    names = frozenset(bytes((index,)) * 16 for index in range(6))
    opened = ReleasedSum(MARCH, MARCH + 86_400, names, frozenset(sorted(names)[:5]))
    for changed in (
        replace(opened, complete=names),
        replace(opened, complete=frozenset()),
        replace(opened, members=opened.complete, complete=names - opened.complete),
        replace(opened, begin=opened.begin + 1),
    ):
        assert members_digest(changed) != members_digest(opened)
    with open_hub(folder) as device:
        RoundRecord(device.database).release(bytes(32), opened)
        restore(device, snapshot, 1.0)
    with open_hub(folder) as device:
        assert RoundRecord(device.database).releases(MARCH, MARCH + 1) == [opened]


def test_a_hub_at_work_is_never_taken_for_one_that_was_put_back(folder: Path) -> None:
    """Another process opens it, and walks the log, while the first one adds to it."""
    over = threading.Event()

    def work() -> None:
        with open_hub(folder) as device:
            while not over.is_set():
                device.disclosure.record_connection("127.0.0.1", 1, 1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(40):
            with open_hub(folder) as device:
                assert device.disclosure.log.verify() >= 5
    finally:
        over.set()
        worker.join()
    with open_hub(folder) as device:
        assert device.disclosure.check_log().length == device.disclosure.log.verify() > 5
