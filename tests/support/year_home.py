# SPDX-License-Identifier: Apache-2.0
"""A home with more than a year of hours, its billing applet, and its supplier, in one process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.billing.messages import BillQuestion
from applets.common.questions import CLA, Instruction
from hub.applet_host.jobs import SW_BUSY
from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from meterlet.key_files import public_pem
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from protocols.secure_channel.host import CardClient
from tariffs import Bill, Tariff, compute_bill
from tariffs.memory import BillMemory
from tests.support.command import ROOT
from utility_server.retail.claims import BILL, question_of, verify
from utility_server.retail.utility import BilledPeriod, Utility

ZONE: Final = "Europe/Berlin"
KNOWN: Final = Period.parse("2025-01-01..2026-01-31")
SLOT_SECONDS: Final = 3600
VENDOR: Final = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
PATIENCE_SECONDS: Final = 60


class NotTold(Exception):
    """The hub refused: `sw` is the status word, `why` what the resident reads."""

    def __init__(self, sw: int, why: str) -> None:
        super().__init__(f"{sw:04X} {why}")
        self.sw, self.why = sw, why


@dataclass(slots=True)
class YearHome:
    """A home, and the supplier that asks it."""

    device: Device
    card: Card
    enrolment: Enrolment
    utility: Utility
    seconds: float = 0.0
    """How long the last bill's verification took."""

    @property
    def meter(self) -> bytes:
        return self.enrolment.meter

    def bill(self, tariff: Tariff, period: Period, paid: int = 0) -> BilledPeriod:
        """Ask for a bill and enter it; raise `NotTold` where the hub refuses."""
        question = self.utility.question(self.meter, period, self.utility.sign(tariff), paid)
        answer = self.ask(question)
        begun = time.perf_counter()
        billed = self.utility.verify(question, answer)
        self.seconds = time.perf_counter() - begun
        return billed

    def told(self, tariff: Tariff, period: Period) -> Decimal:
        """Return what the hub says, verified; whatever is billed already, and not entered."""
        bounds, document = period.bounds(ZONE), self.utility.sign(tariff)
        question = question_of(self.utility, BILL, self.meter, bounds, document)
        return verify(self.utility, BILL, question, self.ask(question)).result.total

    def ask(self, question: BillQuestion) -> bytes:
        """Return the hub's answer; raise `NotTold` where it refuses."""
        command = CommandApdu(
            CLA, Instruction.ASK, 0, 0, question.encode(), le=65_536, extended=True
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            client = CardClient(self.card.connect().transmit)
            client.select(self.enrolment.applet)
            client.open_scp03(self.enrolment.keys, bytes(8))
            response = client.send(command)
            if response.sw != SW_BUSY or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if response.sw == 0x9000:
            return response.data
        entries = list(self.device.disclosure.log.entries("refusal"))
        raise NotTold(response.sw, str(entries[-1].facts["why"]) if entries else "")

    def plain(
        self, tariff: Tariff, period: Period, memory: BillMemory | None = None, paid: int = 0
    ) -> Bill:
        """Work out the same bill in the open."""
        uses = self.device.main.uses(period)
        begin, end = period.bounds(ZONE)
        starts = list(range(begin, end, SLOT_SECONDS))
        drawn = [wh for day in uses for wh in day.uses]
        return compute_bill(
            tariff, starts, SLOT_SECONDS, drawn, begin=begin, end=end, memory=memory, paid=paid
        )


@contextmanager
def year_home(
    folder: Path, machine: AppletMachine, manifest: str = "manifest.toml", known: Period = KNOWN
) -> Iterator[YearHome]:
    """Yield a home of which a period is certified, asked nothing yet."""
    now = int(datetime(2026, 2, 5, tzinfo=UTC).timestamp())
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), ZONE, 60)
    with (
        Utility.create(folder / "utility", now=lambda: now) as utility,
        Device.create(folder / "hub", description, now=lambda: now) as device,
    ):
        pem = public_pem(VENDOR.public_key())
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        house = SyntheticHousehold(ZONE, seed=3)
        hours = (one for one in house.readings(known.first, known.last) if one.time % 3600 == 0)
        device.main.vault.append(device.main.channel, list(hours))
        device.main.certify()
        card = device.card(machine)
        installer, supplier = Installer(device, card), utility.keys.public.public_bytes_raw()
        package = build_package(ROOT / "applets" / "billing", VENDOR, [ROOT], manifest)
        enrolment = installer.install(installer.read(package), supplier)
        utility.customers.enrol(enrolment.encode())
        yield YearHome(device, card, enrolment, utility)
