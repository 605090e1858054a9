# SPDX-License-Identifier: Apache-2.0
"""Homes of `meterlet fleet` whose billing applet is managed over TLS, by a gateway's process."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from shutil import copytree

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from applets.billing.messages import AID
from hub.card.packages.cap_file import CapFile
from hub.device import Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.offers import let_manage, managed_by
from meterlet.fleet.faults import FaultRates
from meterlet.fleet.folder import FleetFolder, FleetSettings
from meterlet.fleet.memory import cpu_seconds
from meterlet.fleet.process import StreetPlan, StreetProcess
from meterlet.fleet.run import FleetRun, gateway
from meterlet.fleet.street import StreetReport
from protocols.metrology import Period
from tests.support.command import ROOT
from utility_server.fleet.card_state import PackageVersion
from utility_server.fleet.conversations import BroughtPackage
from utility_server.fleet.plans import HubState, Kind, RolloutFacts, Waves
from utility_server.fleet.rollouts import Rollouts
from utility_server.retail.utility import Utility

MARCH = Period.month(2025, 3)
POLL_SECONDS = 5
PROCESSES = 2


@dataclass
class Dialling:
    """What the hubs and the gateway took while they dialled."""

    seconds: float = 0.0
    gateway_cpu: float = 0.0
    streets: list[StreetReport] = field(default_factory=list)

    def total(self, name: str) -> int:
        return sum(int(getattr(street, name)) for street in self.streets)

    @property
    def dropped(self) -> int:
        return sum(street.faults.dropped for street in self.streets)


@dataclass
class DialledFleet:
    """Homes that are made and enrolled, and the utility."""

    folder: FleetFolder
    utility: Utility
    homes: int
    vendor: Ed25519PrivateKey
    machine: AppletMachine

    @property
    def rollouts(self) -> Rollouts:
        return Rollouts(self.utility.engine, self.utility.now, self.utility.randomness)

    def meter(self, number: int) -> bytes:
        return self.folder.home(number).meter

    @contextmanager
    def opened(self, number: int) -> Iterator[Installer]:
        """Open a hub, for its resident."""
        with Device.open(self.folder.hub(number)) as device:
            yield Installer(device, device.card(self.machine))

    def fill(self, numbers: Iterable[int]) -> None:
        """Leave no room for another version on these hubs."""
        for number in numbers:
            with self.opened(number) as installer:
                card, domain = installer.card, managed_by(installer, AID)
                with card.database.transaction():
                    card.registry.update(replace(domain, code_quota=1))

    def plan(self, version: str, waves: Waves) -> RolloutFacts:
        """Plan a roll-out of a new version of the billing applet to all homes."""
        cap = CapFile.decode(build_billing(self.folder.path, version, self.vendor))
        target = PackageVersion(
            (cap.file.version[0], cap.file.version[1]), sha256(cap.file.bundle).digest()
        )
        package = BroughtPackage(cap.file.aid, target, cap.block, cap.sha256)
        meters = [self.meter(number) for number in range(1, self.homes + 1)]
        return self.rollouts.plan(Kind.VERSION, "billing", AID, meters, waves, package)

    def dial(self, rates: FaultRates, is_over: Callable[[], bool], patience: float) -> Dialling:
        """Let all homes dial until something is so, and end the sessions of the moment."""
        dialling = Dialling()
        with gateway(self.utility.folder, POLL_SECONDS) as (url, process):
            cpu = cpu_seconds(process) or 0.0
            numbers = range(1, self.homes + 1)
            streets = [
                StreetProcess.start(
                    StreetPlan(self.folder, numbers[place::PROCESSES], url, rates, 5.0, 8)
                )
                for place in range(PROCESSES)
            ]
            began = time.monotonic()
            try:
                while not is_over():
                    for street in streets:
                        street.look()
                    assert time.monotonic() - began < patience, "the hubs were not done in time"
                    time.sleep(0.5)
                dialling.seconds = time.monotonic() - began
                dialling.streets = [street.stop() for street in streets]
            finally:
                for street in streets:
                    street.kill()
            dialling.gateway_cpu = (cpu_seconds(process) or 0.0) - cpu
        return dialling

    def states(self, number: int) -> Counter[HubState]:
        return Counter(hub.state for hub in self.rollouts.hubs(number))

    def in_place(self) -> Counter[tuple[str, bytes]]:
        """Return how many homes run what, by their own disks."""
        found: Counter[tuple[str, bytes]] = Counter()
        for number in range(1, self.homes + 1):
            with self.opened(number) as installer:
                applet = installer.card.find(AID)
                assert applet is not None
                content = installer.card.bundle(applet.package)
                assert content is not None
                bundle = installer.bundle(AID)  # it can be run
                packages = {
                    one.terms.package
                    for one in installer.device.disclosure.consents()
                    if one.revoked is None and one.terms.applet == AID
                }
                assert packages == {bundle.digest}
                found[bundle.manifest.version, sha256(content).digest()] += 1
        return found


def build_billing(folder: Path, version: str, vendor: Ed25519PrivateKey) -> bytes:
    """Return the package of a version of the billing applet."""
    place = folder / f"billing-{version}" / "applets" / "billing"
    if not place.exists():
        copytree(ROOT / "applets" / "billing", place)
    manifest = place / "manifest.toml"
    text = (ROOT / "applets" / "billing" / "manifest.toml").read_text()
    manifest.write_text(text.replace('version = "0.5.0"', f'version = "{version}"'))
    return build_package(place, vendor, [place.parent, ROOT])


@contextmanager
def dialled_fleet(path: Path, machine: AppletMachine, homes: int) -> Iterator[DialledFleet]:
    """Make so many homes, whose residents let the utility bring versions."""
    vendor = Ed25519PrivateKey.generate()
    with Utility.create(path / "utility") as utility:
        street = path / "street"
        (street / "homes").mkdir(parents=True)
        settings = FleetSettings(
            18, "Europe/Berlin", 60, utility.keys.public.public_bytes_raw().hex()
        )
        (street / "billing.cap").write_bytes(build_billing(street, "0.5.0", vendor))
        (street / "vendor.pem").write_bytes(
            vendor.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        (street / "fleet.json").write_text(settings.encode())
        folder = FleetFolder.open(street, settings)
        run = FleetRun(
            folder=folder, utility=utility, homes=homes, period=MARCH, signed_tariff=b"",
            processes=PROCESSES,
        )  # fmt: skip
        numbers = range(1, homes + 1)
        run.make(numbers)
        run.enrol(numbers)
        fleet = DialledFleet(folder, utility, homes, vendor, machine)
        for number in numbers:
            with fleet.opened(number) as installer:
                let_manage(installer, AID, is_allowed=True)
        yield fleet
