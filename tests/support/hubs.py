# SPDX-License-Identifier: Apache-2.0
"""Hubs with the aggregation applet installed, reached over their secure channels."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from applets.aggregation.messages import CLA, Instruction, StepRequest, called_for
from applets.aggregation.statement import content_of, member_of
from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import ReadingFlag
from protocols.aggregation.collector import Collector
from protocols.aggregation.members import MeterCertificate, RosterMember
from protocols.aggregation.messages import Contributors
from protocols.aggregation.round import Round, RoundTerms
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from protocols.secure_channel.host import CardClient
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR,
    COLLECTOR_KEY,
    OPERATOR,
    REGION,
    public_of,
    terms,
)

ROOT = Path(__file__).resolve().parents[2]
VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
NOW = 1_743_500_000
DAYS = Period(date(2025, 3, 3), date(2025, 3, 4))


MONTH = Period(date(2025, 2, 1), date(2025, 2, 28))
SETTLEMENT = "settlement.toml"
KNOWN = Period(date(2025, 3, 2), date(2025, 3, 6))


def call_of(nonce: bytes) -> bytes:
    """Return the operator's call for the keys of a round."""
    return nonce + Ed25519PrivateKey.from_private_bytes(OPERATOR).sign(called_for(nonce))


def package(manifest: str = "manifest.toml") -> bytes:
    return build_package(ROOT / "applets" / "aggregation", VENDOR, [ROOT], manifest)


@dataclass
class Hub:
    """A home's hub with a card, an applet, and a channel to it."""

    device: Device
    card: Card
    enrolment: Enrolment
    channel: CardClient | None = field(default=None)
    asked: int = 0

    @property
    def meter(self) -> bytes:
        return self.enrolment.meter

    @property
    def certificate(self) -> MeterCertificate:
        return MeterCertificate(REGION, self.meter, self.enrolment.certifier).signed(AUTHORITY)

    def send(self, step: Instruction, *parts: bytes) -> tuple[StepRequest, ResponseApdu]:
        self.asked += 1
        if self.channel is None:
            self.channel = CardClient(self.card.connect().transmit)
            self.channel.select(self.enrolment.applet)
            self.channel.open_scp03(self.enrolment.keys, bytes(8))
        request = StepRequest(self.meter, self.asked.to_bytes(16, "big"), step, parts)
        command = CommandApdu(CLA, step, 0, 0, request.encode(), le=65_536, extended=True)
        return request, self.channel.send(command)

    def take(self, step: Instruction, *parts: bytes) -> bytes:
        request, response = self.send(step, *parts)
        assert response.sw == 0x9000, hex(response.sw)
        return content_of(request, response.data)

    def member(self, nonce: bytes) -> RosterMember:
        request, response = self.send(Instruction.TELL_KEYS, call_of(nonce))
        assert response.sw == 0x9000
        return member_of(self.certificate, request, response.data)

    def values(self, resolution: int, period: Period = DAYS) -> list[int]:
        step = resolution // self.device.description.slot_minutes
        uses = self.device.main.uses(period)
        return [sum(u.uses[at : at + step]) for u in uses for at in range(0, len(u.uses), step)]


def make_hub(
    folder: Path,
    number: int,
    machine: AppletMachine,
    cap: bytes,
    known: Period = KNOWN,
    slot_minutes: int = 15,
    gap: range = range(0),
) -> Hub:
    """Make a hub that knows a period; in `gap`, seconds of the epoch, its meter is dark."""
    description = Description(
        emulated_meter_id(number), (ACTIVE_ENERGY_IMPORT,), "Europe/London", slot_minutes
    )
    device = Device.create(folder, description, now=lambda: NOW)
    pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
    trust(device, AUTHORITY)
    house = SyntheticHousehold("Europe/London", seed=number)
    readings = [
        replace(one, flags=ReadingFlag.RESUMED) if one.time == gap.stop else one
        for one in house.readings(known.first, known.last)
        if one.time not in gap
    ]
    device.main.vault.append(device.main.channel, readings)
    device.main.certify()
    card = device.card(machine)
    installer = Installer(device, card)
    return Hub(device, card, installer.install(installer.read(cap), public_of(OPERATOR)))


def open_copy(template: Hub, folder: Path, machine: AppletMachine) -> Hub:
    """Return a hub that is like `template` was when it was closed."""
    shutil.copytree(template.device.folder, folder)
    device = Device.open(folder, now=lambda: NOW)
    return Hub(device, device.card(machine), template.enrolment)


@contextmanager
def copies(templates: Sequence[Hub], folder: Path, machine: AppletMachine) -> Iterator[list[Hub]]:
    """Open copies of closed hubs, and close them."""
    made = [open_copy(one, folder / one.device.folder.name, machine) for one in templates]
    yield made
    for hub in made:
        hub.device.close()


def make_templates(folder: Path, count: int, machine: AppletMachine) -> list[Hub]:
    """Return closed hubs to make copies of, which takes less than to install each anew."""
    cap = package()
    made = [make_hub(folder / str(number), number, machine, cap) for number in range(count)]
    for hub in made:
        hub.device.close()
    return made


def make_settled(folder: Path, count: int, machine: AppletMachine) -> list[Hub]:
    """Return closed hubs with a month of hours and the applet that settles groups."""
    cap, made = package(SETTLEMENT), []
    known = Period(date(2025, 1, 31), date(2025, 3, 3))
    for number in range(count):
        hub = make_hub(folder / str(number), number, machine, cap, known, 60)
        hub.device.close()
        made.append(hub)
    return made


def trust(device: Device, authority: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(authority).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (device.folder / "authorities" / "authority.pem").write_bytes(pem)


def about(resolution: int = 60, period: Period = DAYS, bits: int = 2048) -> RoundTerms:
    return terms(bits, resolution, period)


def announce(
    hubs: Sequence[Hub], nonce: bytes, what: RoundTerms | None = None, until: int = NOW + 86_400
) -> Round:
    members = tuple(hub.member(nonce) for hub in hubs)
    return Round.announce(what or about(), nonce, until, COLLECTOR_KEY, members, OPERATOR)


def run(announced: Round, hubs: Sequence[Hub]) -> tuple[Collector, Contributors]:
    """Return the round after all steps of these hubs."""
    collector = Collector(announced, COLLECTOR)
    for hub in hubs:
        collector.contribute(hub.take(Instruction.CONTRIBUTE, announced.encode()))
    contributors = collector.close()
    for hub in hubs:
        collector.agree(hub.take(Instruction.AGREE, contributors.encode()))
    signatures = b"".join(collector.agreements)
    for hub in hubs:
        collector.open(hub.take(Instruction.OPEN, contributors.encode(), signatures))
    return collector, contributors
