# SPDX-License-Identifier: Apache-2.0
"""Many hubs with one applet, and their recipient, which speaks to their cards as they dial.

Each hub is a folder of its own, copied from one that was made and given channel keys of its own. A
hub is opened for as long as it dials, so that a process holds one at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from shutil import copytree

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.line import Line
from hub.card.packages.cap_file import CapFile
from hub.device import Description, Device
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.offers import let_manage, managed_by
from protocols.enrolment import Enrolment
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from protocols.secure_channel.conversation import converse
from tests.support.sharing import AIDS, APRIL, VENDOR, Home
from utility_server.fleet.card_state import PackageVersion
from utility_server.fleet.conversations import BroughtPackage
from utility_server.fleet.errands import FleetErrands
from utility_server.fleet.plans import Kind, RolloutFacts, Waves
from utility_server.fleet.rollouts import Rollouts
from utility_server.retail.utility import Utility

CAT = AIDS["cat"]
EVERYONE = Waves(None, ())
Transmit = Callable[[bytes], bytes]


@dataclass
class Clock:
    """Hours that go by when a test says so."""

    now: int = APRIL

    def __call__(self) -> int:
        return self.now


def brought(content: bytes) -> BroughtPackage:
    """Return a package as it is rolled out."""
    cap = CapFile.decode(content)
    major, minor = cap.file.version
    target = PackageVersion((major, minor), sha256(cap.file.bundle).digest())
    return BroughtPackage(cap.file.aid, target, cap.block, cap.sha256)


@dataclass
class Fleet:
    """Hubs by meter, and the utility that manages an applet on them."""

    folder: Path
    machine: AppletMachine
    utility: Utility
    home: Home
    """Where versions of the applet are made; it is closed, and no hub of the fleet."""
    clock: Clock
    hubs: dict[bytes, Path] = field(default_factory=dict)
    enrolments: dict[bytes, Enrolment] = field(default_factory=dict)

    @property
    def rollouts(self) -> Rollouts:
        return Rollouts(self.utility.engine, self.clock, self.utility.randomness)

    @property
    def meters(self) -> list[bytes]:
        return sorted(self.hubs)

    def errands(self) -> FleetErrands:
        """Return what is due, as a gateway that was just started would."""
        return FleetErrands(self.rollouts, self.utility.customers, self.utility.randomness)

    @contextmanager
    def opened(self, meter: bytes) -> Iterator[Installer]:
        """Open a hub, for its resident."""
        with Device.open(self.hubs[meter], now=self.clock) as device:
            yield Installer(device, device.card(self.machine))

    def dial(
        self, meter: bytes, errands: FleetErrands | None = None,
        carrying: Callable[[Transmit], Transmit] = lambda transmit: transmit,
    ) -> int:  # fmt: skip
        """Let a hub dial until nothing is due for it; return how many errands there were.

        `carrying` may spoil what goes over the wire. A connection that breaks ends the session:
        what is under way there is dropped, and the card forgets the conversation.
        """
        errands = errands or self.errands()
        errands.refresh()
        count = 0
        if not errands.is_waiting(meter):
            return count
        with self.opened(meter) as installer:
            while (errand := errands.next(meter)) is not None:
                count += 1
                connection = installer.card.connect(Line.DIALLED)
                try:
                    converse(errand, carrying(connection.transmit))
                finally:
                    connection.close()
        return count

    def dial_all(self) -> None:
        """Let all hubs dial, one after the other, until nothing is due for any."""
        while True:
            due = self.rollouts.due_meters()
            if not due:
                return
            errands = self.errands()
            for meter in sorted(due):
                self.dial(meter, errands)

    def plan(self, content: bytes, waves: Waves = EVERYONE) -> RolloutFacts:
        """Plan a roll-out of a version to all hubs."""
        return self.rollouts.plan(
            Kind.VERSION, "cat.cap", CAT, self.meters, waves, brought(content)
        )

    def in_place(self, meter: bytes) -> tuple[str, bytes]:
        """Return which version runs on a hub, and the SHA-256 of what it runs from."""
        with self.opened(meter) as installer:
            applet = installer.card.find(CAT)
            assert applet is not None
            package = installer.card.find(applet.package)
            content = installer.card.bundle(applet.package)
            assert package is not None
            assert content is not None
            # It can be run: its signature holds, and the consents are for just this.
            digest = installer.bundle(CAT).digest
            standing = [
                one.terms.package
                for one in installer.device.disclosure.consents()
                if one.revoked is None and one.terms.applet == CAT
            ]
            assert standing == [digest]
            return ".".join(map(str, package.version)), sha256(content).digest()


def fill(fleet: Fleet, *meters: bytes) -> None:
    """Leave no room for another version in the applet's domain on these hubs."""
    _set_quota(fleet, meters, 1)


def make_room(fleet: Fleet, *meters: bytes) -> None:
    """Let there be room again."""
    _set_quota(fleet, meters, None)


def _set_quota(fleet: Fleet, meters: Iterable[bytes], quota: int | None) -> None:
    for meter in meters:
        with fleet.opened(meter) as installer:
            card, domain = installer.card, managed_by(installer, CAT)
            with card.database.transaction():
                card.registry.update(replace(domain, code_quota=quota))


class Broken(Exception):
    """The wire broke."""


def breaking(at: int, *, after: bool) -> Callable[[Transmit], Transmit]:
    """Return what breaks the wire at one APDU, before the card has it or after."""

    def carrying(transmit: Transmit) -> Transmit:
        count = 0

        def carry(raw: bytes) -> bytes:
            nonlocal count
            count += 1
            if count == at and not after:
                raise Broken
            answer = transmit(raw)
            if count == at:
                raise Broken
            return answer

        return carry

    return carrying


@dataclass(frozen=True, slots=True)
class Hubs:
    """Hubs of a fleet, without a utility that manages them."""

    folder: Path
    machine: AppletMachine
    home: Home
    clock: Clock
    hubs: dict[bytes, Path]
    enrolments: dict[bytes, Enrolment]

    @contextmanager
    def managed(self, folder: Path) -> Iterator[Fleet]:
        """Make a utility in a new folder, and enrol all hubs there."""
        with Utility.create(folder, now=self.clock) as utility:
            fleet = Fleet(
                self.folder, self.machine, utility, self.home, self.clock, self.hubs,
                self.enrolments,
            )  # fmt: skip
            for enrolment in self.enrolments.values():
                utility.customers.enrol(enrolment.encode())
            yield fleet
            for meter in self.hubs:  # the channels' keys may have been replaced
                self.enrolments[meter] = utility.customers.find(meter, CAT)


def new_hubs(folder: Path, machine: AppletMachine, number: int) -> Hubs:
    """Make so many hubs, whose residents let the recipient bring versions of its applet.

    Each is copied from one that was made, and given channel keys of its own.
    """
    clock = Clock()
    meter = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(folder / "hub", meter, now=clock) as device:
        pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        home = Home(device, device.card(machine), folder)
        home.install("cat")
        let_manage(Installer(home.device, home.card), CAT, is_allowed=True)
    made = Hubs(folder, machine, home, clock, {}, {})
    for count in range(number):
        meter_id = b"meter" + count.to_bytes(3, "big")
        path = made.hubs[meter_id] = folder / f"hub-{count}"
        copytree(folder / "hub", path)
        with Device.open(path, now=clock) as device:
            rotated = Installer(device, device.card(machine)).rotate_channel(CAT)
        made.enrolments[meter_id] = replace(rotated, meter=meter_id)
    return made


@contextmanager
def new_fleet(folder: Path, machine: AppletMachine, hubs: int) -> Iterator[Fleet]:
    """Make a fleet of so many hubs."""
    with new_hubs(folder, machine, hubs).managed(folder / "utility") as fleet:
        yield fleet
