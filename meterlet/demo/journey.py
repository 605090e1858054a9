# SPDX-License-Identifier: Apache-2.0
"""The way of a reading, from the meter to the resident's check, in a folder of its own.

    meter --SML--> hub (vault, certifier) <--TCP, SCP03--> utility (verify, ledger, invoice)
                                     └--> resident (recompute, what left the house)

The hub answers from a process of its own; everything else happens here, through the same
functions that the other commands use.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.device import Description, Device
from hub.disclosure.wording import consent_in_words
from hub.inspection.api.json_bills import invoice_json
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.views.bill import Verdict, check_invoices
from hub.inspection.views.releases import releases_view
from hub.installer import Installer, build_package, consent_terms
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id, telegrams
from hub.meters.replay import ReplayError
from hub.meters.sml_intake import SmlIntake
from hub.readings import ReadingFlag, Readout
from hub.text import local_day, utc_text
from meterlet.key_files import public_pem
from meterlet.resources import APPLETS, SOURCES
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tariffs import Bill, Register, Tariff, billed_registers
from tariffs.energy import SeriesCharge
from utility_server.errors import HeadEndError, HubRefused
from utility_server.head_end import Address
from utility_server.retail.billing import BilledPeriod
from utility_server.retail.claims import BILL, ask
from utility_server.retail.utility import Utility

APPLET: Final = bytes.fromhex("F04D544C010101")
START_SECONDS: Final = 60
LIAR: Final = "from meterlet.demo.dishonest_hub import serve; serve()"


@dataclass(frozen=True, slots=True)
class Household:
    """Whose readings the demonstration is about."""

    readouts: Callable[[], Iterator[Readout]]
    zone: str
    slot_minutes: int
    period: Period
    source: str
    """Said of the readings wherever they show."""
    registers: tuple[bytes, ...] = (ACTIVE_ENERGY_IMPORT,)
    """What its meter counts, by OBIS code."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    facts: dict[str, Any]
    inspection: dict[str, Any]


@dataclass(slots=True)
class Journey:
    """One household's month, end to end."""

    folder: Path
    household: Household
    tariff: Tariff
    open_machine: Callable[[], AppletMachine]
    tamper: str | None = None
    say: Callable[[str], None] = lambda line: None
    timings: dict[str, float] = field(default_factory=dict)

    def run(self) -> Result:
        """Go the whole way; raise what refuses on it."""
        meter = emulated_meter_id(1)
        vendor = Ed25519PrivateKey.generate()
        with self._station("machine"):
            machine = self.open_machine()
        with (
            self._station("set-up"),
            Utility.create(self.folder / "utility") as utility,
            self._new_hub(meter, vendor) as device,
        ):
            self._install(device, utility, machine, vendor)
        with Device.open(self.folder / "hub") as device:
            with self._station("meter"):
                stored, wire = self._read(device, meter)
            self.say(
                f"meter: {stored:,} readings in {wire:,} bytes of SML, {self.household.source}"
            )
            with self._station("certifier"):
                days = device.certify()
            both = ", energy drawn and energy fed in" if device.feed_in else ""
            self.say(f"certifier: {days} days signed, with a commitment to each slot{both}")
        with Utility.open(self.folder / "utility") as utility:
            billed, traffic = self._bill(utility, meter)
        self.say(
            f"utility: {billed.verified.total:f} {billed.verified.currency}"
            f" for {billed.verified.slots:,} slots verified; invoice {billed.invoice.number} sent"
        )
        with Device.open(self.folder / "hub") as device, self._station("inspection"):
            checked = check_invoices(device, APPLET)[-1]
            inspection = {
                **invoice_json(checked, device.zone).as_json(),
                **disclosed_json(releases_view(device), device.zone).as_json(),
            }
        facts = {
            "household": self.household.source,
            "readings": stored,
            "days": days,
            "first_day": local_day(billed.verified.begin, device.zone),
            "last_day": local_day(billed.verified.end - 1, device.zone),
            "slots": billed.verified.slots,
            "missing_slots": [utc_text(start) for start in billed.verified.missing],
            "estimated_slots": billed.verified.estimated,
            "tariff": self.tariff.name,
            "fee": {
                "rounded": f"{billed.verified.total:f}",
                "currency": billed.verified.currency,
            },
            "fee_recomputed": None if checked.bill is None else money(checked.bill),
            "verdict": checked.verdict.value,
            "verified": checked.verdict is Verdict.MATCHES,
            "items": inspection["items"],
            "released": inspection["released"],
            "known": inspection["known"],
            "bytes_left_house": inspection["bytes_left_house"],
            "bytes_entered_house": traffic,
            "raw_readings_left_house": inspection["raw_readings_left_house"],
            "timings": {name: round(seconds, 4) for name, seconds in self.timings.items()},
        }
        return Result(facts, inspection)

    @contextmanager
    def _station(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - begin

    def _new_hub(self, meter: bytes, vendor: Ed25519PrivateKey) -> Device:
        home = self.household
        description = Description(meter, home.registers, home.zone, home.slot_minutes)
        device = Device.create(self.folder / "hub", description)
        pem = public_pem(vendor.public_key())
        (device.folder / "vendors" / "meterlet.pem").write_bytes(pem)
        return device

    def _install(
        self, device: Device, utility: Utility, machine: AppletMachine, vendor: Ed25519PrivateKey
    ) -> None:
        installer = Installer(device, device.card(machine))
        manifest = "dynamic.toml" if has_series(self.tariff) else "manifest.toml"
        built = build_package(APPLETS / "billing", vendor, [SOURCES], manifest)
        package = installer.read(built)
        if has_series(self.tariff):
            self.say("resident: prices that change from slot to slot take this consent:")
            self.say(f"  {consent_in_words(consent_terms(package.bundle)[0])}")
        supplier = utility.keys.public.public_bytes_raw()
        utility.customers.enrol(installer.install(package, supplier).encode())

    def _read(self, device: Device, meter: bytes) -> tuple[int, int]:
        door = SmlIntake(meter, device.description.registers, device.now)
        readouts, wire = [], 0
        for telegram in telegrams(meter, self.household.readouts()):
            wire += len(telegram)
            readouts += door.feed(telegram)
        readouts += door.close()
        if all(readout.flags & ReadingFlag.RESUMED for readout in readouts[1:]):
            period = f"{self.household.period.first} to {self.household.period.last}"
            raise ReplayError(f"{self.household.source}: no value from {period}: nothing to bill")
        return device.store(readouts), wire

    def _bill(self, utility: Utility, meter: bytes) -> tuple[BilledPeriod, int]:
        head_end = utility.head_end()
        question = utility.question(meter, self.household.period, utility.sign(self.tariff))
        hub = self._serve()
        with hub, _stopped(hub):
            with self._station("start of the hub's process"):
                address = self._address(hub)
            if self.tamper == "replay":
                # The hub answers this one honestly, and the next one with what it said here.
                ask(utility, BILL, question, head_end, address)
                utility.questions.withdraw(question)
                question = utility.question(meter, self.household.period, question.document)
            with self._station("channel, applet and proof"):
                try:
                    answer = utility.answer_of(question, head_end, address)
                except HubRefused:
                    self._say_why()
                    raise
            with self._station("verification and ledger"):
                billed = utility.verify(question, answer)
            with self._station("delivery"):
                utility.deliver(billed, head_end, address)
        return billed, head_end.traffic.sent

    def _say_why(self) -> None:
        """Say what the resident is told: the utility is told a status word only."""
        with Device.open(self.folder / "hub") as device:
            for entry in device.disclosure.log.entries("refusal"):
                self.say(
                    f"resident: not told to the {entry.facts['recipient']}: {entry.facts['why']}"
                )

    def _serve(self) -> subprocess.Popen[str]:
        if self.tamper is None:
            program = ["-m", "meterlet", "hub", "serve"]
        else:
            program = ["-c", LIAR, self.tamper]
        command = [sys.executable, *program, "--hub", str(self.folder / "hub")]
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
        )

    def _address(self, hub: subprocess.Popen[str]) -> Address:
        assert hub.stdout is not None
        lines = ""
        for line in hub.stdout:
            lines += line
            if line == "}\n":
                where = json.loads(lines)
                return Address(where["host"], where["port"])
        raise HeadEndError(f"the hub's process ended with {hub.wait()} before it listened")


@contextmanager
def _stopped(hub: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        hub.terminate()
        hub.wait(START_SECONDS)


def has_series(tariff: Tariff) -> bool:
    """Tell whether a tariff has prices that change from slot to slot."""
    return any(
        isinstance(charge, SeriesCharge)
        for version in tariff.versions
        for charge in version.metered
    )


def credits_feed_in(tariff: Tariff) -> bool:
    """Tell whether a bill under a tariff depends on what was fed in."""
    return Register.EXPORT in billed_registers(tariff, tariff.begin, tariff.end)


def money(bill: Bill) -> dict[str, Any]:
    """Return an amount as the JSON outputs show it: exact integer, its scale, rounded text."""
    return {
        "exact": bill.total_exact,
        "exact_decimals": bill.exact_decimals,
        "rounded": bill.total,
        "currency": bill.currency,
    }
