# SPDX-License-Identifier: Apache-2.0
"""A home with installed applets that call each other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from textwrap import dedent
from typing import Final
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.applet_host.store import AppletStore
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

VENDOR: Final = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
APRIL: Final = int(datetime(2025, 4, 1, 9, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
NAMES: Final = ("ask", "bee", "cat", "dog", "elk")
AIDS: Final = {name: bytes.fromhex("F04D544C02") + name.encode() for name in NAMES}
REFUSED: Final = 0x6982
STEPS: Final = 5
"""The instruction whose data are steps, separated by spaces."""
MANIFEST: Final = """
    aid = "{aid}"
    name = "{name}"
    version = "0.1.0"
    vendor = "A vendor"
    recipient = "{recipient}"
    purpose = "planning"
    confinement = "statement"
    expires = 2035-12-31

    [code]
    runtime = "python"
    package = "{name}"

    [[statements]]
    kind = "linear"
    registers = ["1-0:1.8.0*255"]
    minimum_days = 28
    at_most = 2
    within_days = 31

    [limits]
    fuel = 5_000_000_000
    """
PASSING: Final = """
    import struct
    from hashlib import sha256

    from applets.sdk import Applet, AppletError, Command, Refused, Response

    REGISTER = "1-0:1.8.0*255"

    class Passing(Applet):
        served = 0
        nonce = bytes(16)
        times = 1

        def select(self) -> bytes:
            return bytes([self.open()]) if self.store.get(b"eager") else b""

        def process(self, command: Command) -> Response:
            self.nonce = sha256(command.data).digest()[:16]
            match command.ins:
                case 1:
                    return Response(self.pass_on(command.p1, command.data))
                case 2:
                    return Response(bytes([self.served]))
                case 3:
                    self.store.put(b"mine", b"1")
                    try:
                        self.pass_on(command.p1, command.data)
                    except Refused as refused:
                        return Response(refused.refusal.value.encode())
                case 4:
                    self.pass_on(command.p1, command.data)
                    raise AppletError(0x6A80)
                case 6:
                    try:
                        self.platform.peers.call(command.data, command.p1, b"")
                    except Refused as refused:
                        return Response(refused.refusal.value.encode())
                    return Response(b"answered")
                case 7:
                    return Response(self.pass_on(1, bytes(int(command.data)))[-20:])
                case _:
                    self.steps(command.data.decode())
            return Response()

        def steps(self, steps: str) -> None:
            transactions = self.platform.transactions
            for number, step in enumerate(steps.split()):
                match step:
                    case "put":
                        self.store.put(b"mine", bytes([number]))
                    case "raise":
                        try:
                            with transactions:
                                self.store.put(b"mine", b"never")
                                raise ValueError
                        except ValueError:
                            pass
                    case "with":
                        with transactions:
                            self.store.put(b"mine", bytes([number]))
                    case "ask":
                        self.platform.peers.call(bytes.fromhex("{next}"), 1, b"count")
                    case "open":
                        self.open()
                    case "eager":
                        self.store.put(b"eager", b"1")
                    case "crash":
                        1 // 0
                    case _ if step.startswith("times"):
                        self.times = int(step[5:])
                    case _ if step.startswith("day"):
                        self.open(int(step[3:]))
                    case _ if step.startswith("sw"):
                        raise AppletError(int(step[2:], 16))
                    case _:
                        getattr(transactions, step)()

        @property
        def store(self):
            return self.platform.store

        def open(self, shift: int | None = None) -> int:
            begin, end = {begin}, {end}
            if shift is not None:
                begin += shift * 86400
                end = begin + 28 * 86400
            slots = self.platform.calendar.slots(REGISTER, begin, end)
            amounts = struct.pack("<6q", 1, 0, 1, 0, len(slots.starts), self.times)
            opened = self.platform.statements.open_amounts(
                REGISTER, begin, end, amounts, bytes(32) + self.nonce
            )
            return opened.values[0]

        def pass_on(self, service: int, request: bytes) -> bytes:
            return self.platform.peers.call(bytes.fromhex("{next}"), service, request)

        def grants(self, client: bytes, service: int) -> bool:
            return client == bytes.fromhex("{friend}") and service in (1, 2)

        def serve(self, client: bytes, service: int, request: bytes) -> bytes:
            self.served += 1
            self.store.put(b"served", bytes([self.served]))
            match request:
                case b"crash":
                    1 // 0
                case b"loop":
                    while True:
                        pass
                case b"long":
                    return bytes(65_537)
                case b"text":
                    return "text"
                case b"open":
                    self.open()
                case b"longest":
                    return bytes(65_536)
                case b"begin":
                    self.platform.transactions.begin()
                    self.store.put(b"served", b"never")
                case b"pass" if "{next}":
                    return self.pass_on(1, b"pass")
                case b"pass a crash":
                    return self.pass_on(1, b"crash")
            return client + self.served.to_bytes(1, "big") + request[:100]
    """


@dataclass(slots=True)
class Home:
    device: Device
    card: Card
    folder: Path
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    asked: int = 0

    def install(
        self,
        name: str,
        *,
        following: str = "",
        friend: str = "",
        services: str = "[1, 2, 3]",
        recipient: str = "grid",
        clients: str | None = None,
        extra: str = "",
    ) -> None:
        """Install an applet that passes requests on to `following`; it serves `friend`."""
        self.build(
            name,
            following=following,
            friend=friend,
            services=services,
            recipient=recipient,
            clients=clients,
            extra=extra,
        )
        installer = Installer(self.device, self.card)
        package = installer.read(self.packages[name])
        self.enrolments[name] = installer.install(package, bytes(32))

    def build(
        self,
        name: str,
        *,
        following: str = "",
        friend: str = "",
        services: str = "[1, 2, 3]",
        recipient: str = "grid",
        clients: str | None = None,
        extra: str = "",
    ) -> bytes:
        """Make a package and keep it."""
        manifest = MANIFEST.format(aid=AIDS[name].hex().upper(), name=name, recipient=recipient)
        manifest += extra
        if following:
            aid = AIDS[following].hex().upper()
            manifest += f'\n    [[peers]]\n    aid = "{aid}"\n    services = {services}\n'
        if friend or clients:
            named = clients or AIDS[friend].hex().upper()
            for service in (1, 3):
                manifest += (
                    f'\n    [[shared]]\n    service = {service}\n    clients = ["{named}"]\n'
                )
        begin, end = Period.month(2025, 3).bounds("Europe/Berlin")
        source = PASSING
        for key, value in (
            ("next", AIDS[following].hex() if following else ""),
            ("friend", AIDS[friend].hex() if friend else ""),
            ("begin", str(begin)),
            ("end", str(end)),
        ):
            source = source.replace("{" + key + "}", value)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("")
        (folder / "manifest.toml").write_text(dedent(manifest))
        (folder / "applet.py").write_text(dedent(source))
        self.packages[name] = build_package(folder, VENDOR, [self.folder])
        return self.packages[name]

    def send(self, name: str, ins: int, data: bytes = b"", service: int = 1) -> ResponseApdu:
        if ins == STEPS:
            # Another question each time, as a recipient's nonce makes it.
            self.asked += 1
            data += b" " * self.asked
        enrolment = self.enrolments[name]
        client = CardClient(self.card.connect().transmit)
        client.select(enrolment.applet)
        client.open_scp03(enrolment.keys, bytes(8))
        return client.send(CommandApdu(0x80, ins, service, 0, data, le=65_536))

    def kept(self, name: str, key: bytes) -> bytes | None:
        return AppletStore(self.device.database, AIDS[name]).get(key)

    def served(self, name: str) -> int:
        """Return how often an applet remembers to have served."""
        return self.send(name, 2).data[0]


@contextmanager
def new_home(
    tmp_path: Path, machine: AppletMachine, now: Callable[[], int] = lambda: APRIL
) -> Iterator[Home]:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=now) as device:
        pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        readings = SyntheticHousehold("Europe/Berlin").readings(date(2025, 3, 1), date(2025, 4, 4))
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        yield Home(device, device.card(machine), tmp_path)
