# SPDX-License-Identifier: Apache-2.0
"""A home with more than a year of hours, its billing applet, and its supplier, in one process."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.billing.messages import BillQuestion
from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from meterlet.key_files import public_pem
from protocols.enrolment import Enrolment
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tariffs import Bill, Tariff, compute_bill
from tariffs.memory import BillMemory
from tests.support.command import ROOT
from utility_server.errors import HubRefused
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.billing import BilledPeriod
from utility_server.retail.claims import BILL, ask, question_of, verify
from utility_server.retail.utility import Utility

ZONE: Final = "Europe/Berlin"
KNOWN: Final = Period.parse("2025-01-01..2026-01-31")
SLOT_SECONDS: Final = 3600
VENDOR: Final = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
NOW: Final = int(datetime(2026, 2, 5, tzinfo=UTC).timestamp())


class NotTold(Exception):
    """The hub refused: what the supplier reads, and what the resident does."""

    def __init__(self, refused: HubRefused, why: str) -> None:
        super().__init__(f"{refused}; {why}")
        self.refused, self.why = refused, why


class CardHeadEnd(HeadEnd):
    """Asks a card in this process, and is otherwise as any other."""

    card: Card

    @contextmanager
    def _connection(self, address: Address) -> Iterator[Callable[[bytes], bytes]]:
        yield self.card.connect().transmit


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

    def deliver(self, billed: BilledPeriod) -> None:
        """Hand the invoice over, for the resident."""
        self.utility.deliver(billed, self._head_end(), Address("card", 1))

    def _head_end(self) -> CardHeadEnd:
        head_end = CardHeadEnd(self.utility.randomness, sleep=lambda _: time.sleep(0.05))
        head_end.patience_seconds = 10_000  # it sleeps less than it counts
        head_end.card = self.card
        return head_end

    def ask(self, question: BillQuestion) -> bytes:
        """Return the hub's answer; raise `NotTold` where it refuses."""
        try:
            return ask(self.utility, BILL, question, self._head_end(), Address("card", 1))
        except HubRefused as refused:
            entries = list(self.device.disclosure.log.entries("refusal"))
            raise NotTold(refused, str(entries[-1].facts["why"]) if entries else "") from None

    def plain(
        self, tariff: Tariff, period: Period, memory: BillMemory | None = None, paid: int = 0,
        *, is_last: bool = False,
    ) -> Bill:  # fmt: skip
        """Work out the same bill in the open."""
        uses = self.device.main.uses(period)
        begin, end = period.bounds(ZONE)
        starts = list(range(begin, end, SLOT_SECONDS))
        drawn = [wh for day in uses for wh in day.uses]
        return compute_bill(
            tariff, starts, SLOT_SECONDS, drawn, begin=begin, end=end, memory=memory, paid=paid,
            is_last=is_last,
        )  # fmt: skip


def make_year_home(
    folder: Path, machine: AppletMachine, known: Period = KNOWN, manifest: str = "manifest.toml",
    applets: Sequence[str] = ("billing",),
) -> Enrolment:  # fmt: skip
    """Make hub and utility in a folder, to be copied and opened; asked nothing yet.

    Returns the enrolment of the last of the applets.
    """
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), ZONE, 60)
    with (
        Utility.create(folder / "utility", now=lambda: NOW) as utility,
        Device.create(folder / "hub", description, now=lambda: NOW) as device,
    ):
        pem = public_pem(VENDOR.public_key())
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        house = SyntheticHousehold(ZONE, seed=3)
        hours = (one for one in house.readings(known.first, known.last) if one.time % 3600 == 0)
        device.main.vault.append(device.main.channel, list(hours))
        device.main.certify()
        installer = Installer(device, device.card(machine))
        supplier = utility.keys.public.public_bytes_raw()
        for applet in applets:
            package = build_package(ROOT / "applets" / applet, VENDOR, [ROOT], manifest)
            enrolment = installer.install(installer.read(package), supplier)
            utility.customers.enrol(enrolment.encode())
    return enrolment


@contextmanager
def opened(folder: Path, machine: AppletMachine, enrolment: Enrolment) -> Iterator[YearHome]:
    """Open a copy of what was made."""
    with (
        Utility.open(folder / "utility", now=lambda: NOW) as utility,
        Device.open(folder / "hub", now=lambda: NOW) as device,
    ):
        yield YearHome(device, device.card(machine), enrolment, utility)
