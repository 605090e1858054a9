# SPDX-License-Identifier: Apache-2.0
"""Whoever has the hub's files and not its keys reads nothing that was made of readings.

A raw applet sees readings, and can write them wherever it may write: keys and values of its store,
its log, its outputs before they are released. Answers are kept for the resident, to the byte.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from sqlite3 import connect
from textwrap import dedent
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.applet_host.aggregation_record import Participation, RoundRecord
from hub.applet_host.store import STORE_COMPONENT, AppletStore, HubLog
from hub.components import COMPONENTS, RESEAL
from hub.device import Description, Device
from hub.disclosure import Disclosure, LogTampered
from hub.disclosure.witness import HeadWitness
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.machine.raw import OUTPUT_COMPONENT
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.vault.database import Component, Database
from hub.vault.sealing import SealBroken, check_value_of
from protocols.aggregation.rosters import Roster
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from protocols.secure_channel.host import CardClient

VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
HOUR = 3600
MANIFEST = """
    aid = "F04D544C0102"
    name = "talker"
    version = "0.1.0"
    vendor = "A vendor"
    recipient = "grid"
    purpose = "planning"
    confinement = "raw"
    expires = 2035-12-31
    resolution_minutes = 15
    [code]
    runtime = "python"
    package = "talker"
    [[outputs]]
    name = "peak"
    size = 64
    every_hours = 24
    [limits]
    fuel = 20_000_000_000
    memory_bytes = 67_108_864
    store_bytes = 65_536
    """
TALKER = """
    from applets.sdk import Applet, Command, Response

    class Talker(Applet):
        def process(self, command: Command) -> Response:
            return Response(b"")

        def update(self) -> None:
            now = self.platform.clock.now()
            use = self.platform.readings.read("1-0:1.8.0*255", now - 2 * 86400, now)
            said = ",".join(map(str, use.watt_hours)).encode()
            self.platform.store.put(b"VALUE", b"VALUE:" + said)
            self.platform.store.put(b"KEY:" + said[:48], b"")
            self.platform.log.write("LINE:" + said[:60].decode())
            self.platform.outputs.set("peak", (b"HELD:" + said)[:64].ljust(64))
    """
MARKS = b"VALUE:", b"KEY:", b"LINE:", b"HELD:"


@pytest.fixture
def device(tmp_path: Path, machine: AppletMachine) -> Iterator[Device]:
    """A hub whose raw applet has said all that it sees, and released one output of it."""
    time = [int(datetime(2025, 4, 1, 9, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())]
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: time[0]) as device:
        pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        house = SyntheticHousehold("Europe/Berlin")
        device.main.vault.append(
            device.main.channel, house.readings(date(2025, 3, 1), date(2025, 4, 1))
        )
        device.main.certify()
        card = device.card(machine)
        source = tmp_path / "talker"
        source.mkdir()
        (source / "__init__.py").write_text("")
        (source / "manifest.toml").write_text(dedent(MANIFEST))
        (source / "applet.py").write_text(dedent(TALKER))
        installer = Installer(device, card)
        package = installer.read(build_package(source, VENDOR, [tmp_path]))
        enrolment = installer.install(package, bytes(32))
        device.tick(card)
        time[0] += 24 * HOUR
        assert device.tick(card) == 1
        client = CardClient(card.connect().transmit)
        client.select(enrolment.applet)
        client.open_scp03(enrolment.keys, bytes(8))
        answer = client.send(CommandApdu(0x80, 0xCA, 0, 0, le=256))
        assert answer.data[8:13] == b"HELD:"
        yield device


def files(folder: Path) -> bytes:
    """All that lies in the folder's databases, their write-ahead logs included."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.db*")))


def test_nothing_that_a_raw_applet_writes_lies_in_clear(device: Device) -> None:
    content = files(device.folder)  # in which the applet's source is, too
    assert [mark for mark in MARKS if re.search(mark + rb"\d+,\d", content)] == []
    store = AppletStore(device.database, bytes.fromhex("F04D544C0102"))
    assert len(store.keys()) == 3  # and the applet finds it again
    assert (store.get(b"VALUE") or b"").startswith(b"VALUE:")


def test_a_value_does_not_open_in_another_place(device: Device) -> None:
    """Who moves rows shows an applet's value to another, or what is held as released."""
    applet = bytes.fromhex("F04D544C0102")
    connection = device.database.connection
    connection.execute(
        "UPDATE applet_store SET value = (SELECT max(value) FROM applet_store),"
        " key = (SELECT max(key) FROM applet_store)"
    )
    with pytest.raises(SealBroken):
        AppletStore(device.database, applet).keys()
    connection.execute("UPDATE applet_output SET released = held")
    board = device._runtimes[0]._running[applet].board
    assert board is not None
    with pytest.raises(SealBroken):
        board.answer(bytes.fromhex("80CA000000"))


def test_a_contribution_is_sealed(device: Device) -> None:
    """It is made of the load, and whoever has the operator's key opens it."""
    record = RoundRecord(device.database)
    made = Participation(b"d" * 32, b"a", b"announced", b"CONTRIBUTION", None, False)
    record.add(made, 2_000_000_000, Roster((b"member",)))
    record.agree(b"d" * 32, b"digest", b"WHO HAS GAPS")
    at_rest = files(device.folder)
    assert b"CONTRIBUTION" not in at_rest
    assert b"WHO HAS GAPS" not in at_rest
    agreed = replace(made, contributors=b"digest", listed=b"WHO HAS GAPS")
    assert record.find(b"d" * 32, b"a") == agreed
    device.database.connection.execute("UPDATE aggregation_round SET listed = contribution")
    with pytest.raises(SealBroken):
        record.find(b"d" * 32, b"a")


def test_where_recipients_come_from_is_sealed(device: Device) -> None:
    """As the log's entries of connections are; a row that was changed stands for no source."""
    strangers = device.disclosure.strangers
    for source in ("192.0.2.7", "192.0.2.8", "192.0.2.7"):
        strangers.remember_source(source)
    assert b"192.0.2." not in files(device.folder)
    assert sorted(strangers.known_sources()) == ["192.0.2.7", "192.0.2.8"]
    device.database.connection.execute(
        "UPDATE known_source SET sealed = (SELECT max(sealed) FROM known_source)"
    )
    assert len(strangers.known_sources()) == 1


def test_a_new_vault_key_opens_all_of_it_and_the_old_one_nothing(device: Device) -> None:
    """The head that recipients know is the same, and so is what the guard counts."""
    new, applet = bytes(range(32)), bytes.fromhex("F04D544C0102")
    made = Participation(b"d" * 32, b"a", b"announced", b"CONTRIBUTION", None, False)
    RoundRecord(device.database).add(made, 2_000_000_000, Roster((b"member",)))
    RoundRecord(device.database).agree(b"d" * 32, b"digest", b"WHO HAS GAPS")
    device.disclosure.strangers.remember_source("192.0.2.7")
    log = device.disclosure.log
    head, entries, consents = log.head(), list(log.entries()), device.disclosure.consents()
    messages = [log.content(entry) for entry in log.entries("message")]
    value = AppletStore(device.database, applet).get(b"VALUE")
    with device.database.transaction() as connection:
        done = sum(more for reseal in RESEAL for more in reseal(device.database, new))
        connection.execute("UPDATE vault_key SET check_value = ?", (check_value_of(new),))
    assert done == len(entries) + len(messages) + 1 + 3 + 2 + 1 + 1
    with pytest.raises(LogTampered):
        device.disclosure.check_log()
    with Database(device.folder / "hub.db", COMPONENTS, key=new) as database:
        disclosure = Disclosure(database, device.now)
        witness = HeadWitness(device.folder / "keys" / "log.head", disclosure.log)
        witness.check(disclosure.check_log)
        assert (disclosure.log.head(), disclosure.log.verify()) == (head, head.length)
        assert list(disclosure.log.entries()) == entries
        assert disclosure.consents() == consents
        assert [
            disclosure.log.content(one) for one in disclosure.log.entries("message")
        ] == messages
        assert disclosure.strangers.known_sources() == ["192.0.2.7"]
        assert AppletStore(database, applet).get(b"VALUE") == value
        agreed = replace(made, contributors=b"digest", listed=b"WHO HAS GAPS")
        assert RoundRecord(database).find(b"d" * 32, b"a") == agreed
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.connection.execute("UPDATE disclosure_entry SET kind = ''")


def test_what_release_01_kept_in_clear_is_overwritten(tmp_path: Path) -> None:
    path, applet = tmp_path / "hub.db", b"\xf0talk"
    older = [
        Component(part.name, part.migrations[:1]) for part in (STORE_COMPONENT, OUTPUT_COMPONENT)
    ]
    Database(path, older).close()
    with closing(connect(path)) as connection:
        connection.execute(
            "INSERT INTO applet_store VALUES (?, ?, ?)", (applet, b"KEY:1", b"VALUE:1")
        )
        connection.execute("INSERT INTO applet_log VALUES (7, ?, 5, 'LINE:1')", (applet,))
        connection.execute(
            "INSERT INTO applet_output VALUES (?, 'peak', ?, 5, 4, ?)",
            (applet, b"HELD:1", b"HELD:0"),
        )
        connection.commit()
    assert all(mark in files(tmp_path) for mark in MARKS)
    Database(path, [STORE_COMPONENT, OUTPUT_COMPONENT], key=bytes(32)).close()
    assert [mark for mark in MARKS if mark in files(tmp_path)] == []
    with Database(path, [STORE_COMPONENT, OUTPUT_COMPONENT], key=bytes(32)) as database:
        assert AppletStore(database, applet).get(b"KEY:1") == b"VALUE:1"
        assert AppletStore.holders(database, b"KEY:") == [applet]
        HubLog(database, applet, lambda: 6).write("more")
        rows = database.connection.execute("SELECT number, time FROM applet_log").fetchall()
        assert rows == [(7, 5), (8, 6)]
    with pytest.raises(RuntimeError, match="without the key"):
        AppletStore(Database(path, []), applet).keys()
