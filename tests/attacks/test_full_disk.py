# SPDX-License-Identifier: Apache-2.0
"""A disk that is full at any write of a release: what is not on record is told to nobody, ever.

The answer is kept back when the record cannot be written. But the applet has heard the value by
then. It must forget it, or it would answer the next, cheaper question with it, off the record.
"""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.vault.database import Component, Database, TransactionUndone
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from protocols.secure_channel.host import CardClient

VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
MARCH = Period.month(2025, 3)
PAGE = 4096
MANIFEST = """
    aid = "F04D544C0103"
    name = "patient"
    version = "0.1.0"
    vendor = "A vendor"
    recipient = "supplier"
    purpose = "billing"
    confinement = "statement"
    expires = 2035-12-31
    [code]
    runtime = "python"
    package = "patient"
    [[statements]]
    kind = "linear"
    registers = ["1-0:1.8.0*255"]
    minimum_days = 28
    at_most = 1
    within_days = 31
    value_bits = 64
    [limits]
    fuel = 20_000_000_000
    memory_bytes = 67_108_864
    store_bytes = 4_096
    """
PATIENT = """
    import struct

    from applets.sdk import Applet, Command, Response

    class Patient(Applet):
        learned = 0

        def process(self, command: Command) -> Response:
            if command.ins == 1:
                begin, end = (int.from_bytes(command.data[i : i + 8], "big") for i in (0, 8))
                slots = self.platform.calendar.slots("1-0:1.8.0*255", begin, end)
                amounts = struct.pack("<6q", 1, 0, 1, 0, len(slots.starts), 7)  # 7 times all use
                opened = self.platform.statements.open_amounts(
                    "1-0:1.8.0*255", begin, end, amounts, bytes(48)
                )
                [Patient.learned] = opened.values
                self.platform.store.put(b"learned", opened.values[0].to_bytes(8, "big"))
            kept = int.from_bytes(self.platform.store.get(b"learned") or b"", "big")
            return Response(max(Patient.learned, kept).to_bytes(8, "big"))
    """


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let no file grow beyond `size`, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(slots=True)
class Home:
    device: Device
    card: Card
    enrolment: Enrolment

    def client(self) -> CardClient:
        client = CardClient(self.card.connect().transmit)
        client.select(self.enrolment.applet)
        client.open_scp03(self.enrolment.keys, bytes(8))
        return client

    def ask(self, client: CardClient, ins: int) -> ResponseApdu:
        bounds = b"".join(end.to_bytes(8, "big") for end in MARCH.bounds("Europe/Berlin"))
        return client.send(CommandApdu(0x80, ins, 0, 0, bounds, le=256))

    def log_size(self) -> int:
        """How large the write-ahead log is."""
        return (self.device.folder / "hub.db-wal").stat().st_size


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: 1_743_500_000) as device:
        pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        readings = SyntheticHousehold("Europe/Berlin").readings(date(2025, 3, 1), date(2025, 4, 1))
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        card = device.card(machine)
        source = tmp_path / "patient"
        source.mkdir()
        (source / "__init__.py").write_text("")
        (source / "manifest.toml").write_text(dedent(MANIFEST))
        (source / "applet.py").write_text(dedent(PATIENT))
        installer = Installer(device, card)
        package = installer.read(build_package(source, VENDOR, [tmp_path]))
        enrolment = installer.install(package, bytes(32))
        device.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield Home(device, card, enrolment)


def test_whatever_write_of_a_release_fails_nothing_is_told_then_or_later(home: Home) -> None:
    truth = 7 * sum(wh for day in home.device.main.uses(MARCH) for wh in day.uses)
    failed, log = 0, home.device.disclosure.log
    for room in range(0, 64 * PAGE, PAGE // 2):
        client = home.client()  # its counters are on the disk before it is full
        with files_no_larger_than(home.log_size() + room):
            answer = home.ask(client, 1)
        told = list(log.entries("release"))
        if answer.sw == 0x9000:
            assert (int.from_bytes(answer.data, "big"), len(told)) == (truth, 1)
            break
        failed += 1
        assert (answer.data, told) == (b"", [])
        # With room on the disk again, in the same conversation and in a new one.
        for later in (client, home.client()):
            assert int.from_bytes(home.ask(later, 2).data, "big") == 0
        assert home.device.disclosure.check().length == log.verify()
        home.device.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        pytest.fail("no disk was large enough")
    assert failed > 5


PARTS = Component("part", ("CREATE TABLE part (x INTEGER, y BLOB) STRICT;",))


def test_after_a_commit_that_failed_the_file_is_written_as_before(tmp_path: Path) -> None:
    forgotten: list[int] = []
    with Database(tmp_path / "hub.db", [PARTS]) as database:
        size = (tmp_path / "hub.db-wal").stat().st_size
        with (
            files_no_larger_than(size + 100),
            pytest.raises(sqlite3.Error),
            database.transaction() as connection,
        ):
            database.when_undone(lambda: forgotten.append(1))
            connection.execute("INSERT INTO part VALUES (1, zeroblob(9000))")
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
