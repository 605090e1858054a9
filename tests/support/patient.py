# SPDX-License-Identifier: Apache-2.0
"""A hub with an applet that keeps what it hears, to see what it knows afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import dedent

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from protocols.secure_channel.host import CardClient

VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
MARCH = Period.month(2025, 3)
NOW = 1_743_500_000
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
                amounts = struct.pack("<6q", 1, 0, 1, 0, len(slots.starts), 1)  # all use
                opened = self.platform.statements.open_amounts(
                    "1-0:1.8.0*255", begin, end, amounts, bytes(48)
                )
                [Patient.learned] = opened.values
                self.platform.store.put(b"learned", opened.values[0].to_bytes(8, "big"))
            kept = int.from_bytes(self.platform.store.get(b"learned") or b"", "big")
            return Response(max(Patient.learned, kept).to_bytes(8, "big"))
    """


@dataclass(slots=True)
class PatientHome:
    device: Device
    card: Card
    enrolment: Enrolment

    def client(self) -> CardClient:
        client = CardClient(self.card.connect().transmit)
        client.select(self.enrolment.applet)
        client.open_scp03(self.enrolment.keys, bytes(8))
        return client

    def question(self, ins: int) -> CommandApdu:
        bounds = b"".join(end.to_bytes(8, "big") for end in MARCH.bounds("Europe/Berlin"))
        return CommandApdu(0x80, ins, 0, 0, bounds, le=256)

    def ask(self, client: CardClient, ins: int) -> ResponseApdu:
        return client.send(self.question(ins))

    def log_size(self) -> int:
        """How large the write-ahead log is."""
        return (self.device.folder / "hub.db-wal").stat().st_size


@contextmanager
def patient_home(tmp_path: Path, machine: AppletMachine) -> Iterator[PatientHome]:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
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
        yield PatientHome(device, card, enrolment)
