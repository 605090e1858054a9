# SPDX-License-Identifier: Apache-2.0
"""Many hubs with one applet, and their recipient, which speaks to their cards as they dial.

Each hub is a folder of its own, copied from one that was made and given channel keys of its own. A
hub is opened for as long as it dials, so that a process holds one at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from shutil import copytree

from hub.card.line import Line
from hub.card.packages.cap_file import CapFile
from hub.device import Device
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from hub.offers import let_manage
from protocols.enrolment import Enrolment
from protocols.secure_channel.conversation import converse
from tests.support.sharing import AIDS, APRIL, Home, new_home
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

    def add(self, prototype: Path, enrolment: Enrolment, number: int) -> bytes:
        """Add a hub."""
        meter = b"meter" + number.to_bytes(3, "big")
        path = self.folder / f"hub-{number}"
        copytree(prototype, path)
        with Device.open(path, now=self.clock) as device:
            made = Installer(device, device.card(self.machine)).rotate_channel(enrolment.applet)
        self.hubs[meter] = path
        self.enrolments[meter] = replace(made, meter=meter)
        self.utility.customers.enrol(self.enrolments[meter].encode())
        return meter

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


@contextmanager
def new_fleet(folder: Path, machine: AppletMachine, hubs: int) -> Iterator[Fleet]:
    """Make a fleet of so many hubs, whose residents let the recipient bring versions."""
    clock = Clock()
    with new_home(folder, machine, now=clock) as home:
        home.install("cat")
        let_manage(Installer(home.device, home.card), CAT, is_allowed=True)
        enrolment = home.enrolments["cat"]
    with Utility.create(folder / "utility", now=clock) as utility:
        fleet = Fleet(folder, machine, utility, home, clock)
        for number in range(hubs):
            fleet.add(folder / "hub", enrolment, number)
        yield fleet
