# SPDX-License-Identifier: Apache-2.0
"""A fleet's month, end to end: hubs are made, enrolled and certified, asked, and dial.

    make       hubs that are not there yet, in processes (`meterlet.fleet.making`)
    enrol      at the utility, which issues the certificate that each hub has asked for
    ask        a bill of each home that has none of the period
    dial       streets of hubs, in processes, against the utility's gateway, until nothing waits
    check      the ledger has one bill of each home, and each resident is shown one invoice

Each step can be cut off and begun again: what is done is found done. The gateway is a process of
its own, `meterlet utility gateway`, unless one runs elsewhere.

Errors: FleetError
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from applets.billing.messages import AID
from applets.billing.statement import LEAST_DAYS
from hub.device import Device
from hub.dialling.identity import install_certificate
from hub.inspection.views.documents import supplier_documents
from meterlet.fleet.errors import FleetError
from meterlet.fleet.faults import FaultRates
from meterlet.fleet.folder import RECIPIENT, FleetFolder
from meterlet.fleet.making import Making
from meterlet.fleet.memory import cpu_seconds
from meterlet.fleet.process import StreetPlan, StreetProcess
from meterlet.fleet.street import AT_ONCE, StreetReport
from protocols.metrology import Period
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.retail.utility import Utility

STANDSTILL_SECONDS: Final = 10.0
"""After so long without a bill it is said what hinders; then after twice that, and so on."""
LOOK_SECONDS: Final = 1.0
POLL_SECONDS: Final = 20
"""After how many seconds the gateway that is started here lets hubs come again; they keep their
connections for that long."""
MOST_KEPT: Final = 200
"""Homes beyond which they come again so late that they do not."""
LONG_POLL_SECONDS: Final = 90
SESSION_SECONDS: Final = 0.4
"""About how long a core works at one hub's session: the first ones are spread over that."""
START_SECONDS: Final = 60
STEPS: Final = ("make", "enrol", "ask", "dial", "check")

Say = Callable[[str, int, int], None]
"""Told of progress: which step, how much of it is done, and how much there is."""


def _nobody(_step: str, _done: int, _all: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRun:
    """What is to be done with a fleet."""

    folder: FleetFolder
    utility: Utility
    homes: int
    period: Period
    signed_tariff: bytes
    processes: int = 2
    rates: FaultRates = field(default_factory=FaultRates)
    gateway: str | None = None
    """Where one runs; None: it is started here."""
    patience_seconds: float = 3600.0
    """How long the hubs may take to be billed, after which the fleet ends."""
    at_once: int = AT_ONCE
    say: Say = field(default=_nobody, repr=False)
    warn: Callable[[str], object] = field(default=lambda _line: None, repr=False)
    """Told, now and then, what hinders hubs that get no further."""

    def run(self) -> "FleetResult":
        """Do all of it; return what came of it.

        Raises `FleetError`, also for fewer days than residents consent to, and what the utility
        refuses.
        """
        days = len(list(self.period.days(self.folder.settings.zone)))
        if days < LEAST_DAYS:
            raise FleetError(f"{days} days: the hubs tell of {LEAST_DAYS} or more at once")
        numbers = range(1, self.homes + 1)
        taken = dict[str, float]()
        with _timed(taken, "make"):
            made = self.make(numbers)
        with _timed(taken, "enrol"):
            self.enrol(numbers)
        with _timed(taken, "ask"):
            asked = self.ask(numbers)
        with _timed(taken, "dial"):
            dialled = self.dial(numbers)
        with _timed(taken, "check"):
            billed = self.check(numbers)
        return FleetResult(self.homes, made, asked, billed, dialled, taken)

    def make(self, numbers: Sequence[int]) -> int:
        """Make the hubs, and let in the readings of the period; return how many were not there."""
        there = len(self.folder.made(numbers))
        making = Making(self.folder, self.period)
        for done, _ in enumerate(making.run(numbers, self.processes), 1):
            self.say("make", done, len(numbers))
        return len(numbers) - there

    def enrol(self, numbers: Sequence[int]) -> int:
        """Enrol the hubs, and have them certified; return how many were not yet."""
        new = [number for number in numbers if self.folder.request(number).exists()]
        authority = self._authority
        for done, number in enumerate(new, 1):
            enrolment, request = self.folder.enrolment(number), self.folder.request(number)
            if enrolment.exists():
                self.utility.customers.enrol(enrolment.read_bytes())
                enrolment.unlink()  # its keys are nowhere else in the clear
            bundle = authority.bundle(authority.certify(request.read_bytes()))
            meter, now = self.folder.home(number).meter, self.utility.now()
            install_certificate(self.folder.hub(number), RECIPIENT, bundle, meter, now)
            request.unlink()
            self.say("enrol", done, len(new))
        return len(new)

    def ask(self, numbers: Sequence[int]) -> int:
        """Ask for the bills that are not there yet; return how many that are."""
        asked = 0
        for done, number in enumerate(numbers, 1):
            meter = self.folder.home(number).meter
            if not self._bills(number):
                self.utility.question(meter, self.period, self.signed_tariff)
                asked += 1
            self.say("ask", done, len(numbers))
        return asked

    def dial(self, numbers: Sequence[int]) -> "Dialled":
        """Let the hubs dial until nothing waits for any of them, or the patience is over."""
        meters = {self.folder.home(number).meter for number in numbers}
        report = Dialled()
        if not self._waiting(meters):
            return report
        with ExitStack() as stack:
            url, process = self.gateway, None
            if url is None:
                poll = POLL_SECONDS if self.homes <= MOST_KEPT else LONG_POLL_SECONDS
                url, process = stack.enter_context(gateway(self.utility.folder, poll))
            cpu = None if process is None else cpu_seconds(process)
            streets = [StreetProcess.start(plan) for plan in self._plans(numbers, url)]
            for street in streets:
                stack.callback(street.kill)
            began = time.monotonic()
            standstill = _Standstill(began)
            while waiting := self._waiting(meters):
                self.say("dial", len(meters) - waiting, len(meters))
                for street in streets:
                    street.look()
                if standstill.is_due(waiting, time.monotonic()):
                    self.warn(self._hindrance(waiting, [street.report for street in streets]))
                if time.monotonic() - began > self.patience_seconds:
                    break
                time.sleep(LOOK_SECONDS)
            self.say("dial", len(meters) - waiting, len(meters))
            report.seconds = time.monotonic() - began
            report.waiting = waiting
            report.streets = [street.stop() for street in streets]
            if cpu is not None and process is not None:
                used = cpu_seconds(process)
                report.gateway_cpu = None if used is None else used - cpu
        return report

    def _hindrance(self, waiting: int, streets: Sequence[StreetReport]) -> str:
        """Return in one line for how many something waits, and why their sessions failed."""
        why = sum((Counter(street.why) for street in streets), Counter[str]())
        homes = "1 home waits" if waiting == 1 else f"{waiting:,} homes wait"
        if why:
            [(reason, count)] = why.most_common(1)
            return f"{homes} still; {count:,} sessions failed, most often: {reason}"
        return (
            f"{homes} still: meterlet utility status --utility {self.utility.folder} says for what;"
            " open questions of other periods count, too"
        )

    def check(self, numbers: Sequence[int]) -> "Billed":
        """Count bills in the ledger and invoices at home; whoever has not one of each is named."""
        billed = Billed()
        for done, number in enumerate(numbers, 1):
            bills = self._bills(number)
            with Device.open(self.folder.hub(number)) as device:
                shown = [one.number for one in supplier_documents(device, AID).invoices]
            once = len(bills) == 1 and shown.count(bills[0]) == 1
            billed.once += once
            billed.bills += len(bills)
            if not once:
                billed.others.append(number)
            self.say("check", done, len(numbers))
        return billed

    def _bills(self, number: int) -> list[int]:
        """Return the numbers of a home's bills of the period."""
        begin, end = self.period.bounds(self.folder.settings.zone)
        entries = self.utility.ledger.bills(self.folder.home(number).meter)
        return [
            entry.sequence
            for entry in entries
            if (entry.content["begin"], entry.content["end"]) == (begin, end)
        ]

    def _waiting(self, meters: set[bytes]) -> int:
        """Return for how many of some meters a question is open, or an invoice waits."""
        states = self.utility.questions.states()
        return sum(bool(states.get(meter, frozenset())) for meter in meters)

    def _plans(self, numbers: Sequence[int], url: str) -> Iterator[StreetPlan]:
        count = min(self.processes, len(numbers))
        for place in range(count):
            own = numbers[place::count]
            spread = SESSION_SECONDS * len(own)
            yield StreetPlan(self.folder, own, url, self.rates, spread, self.at_once)

    @property
    def _authority(self) -> CertificateAuthority:
        own = self.utility
        return CertificateAuthority(own.folder, own.engine, own.customers, own.now, own.randomness)


@dataclass(slots=True)
class _Standstill:
    """Since when nothing has changed, and when that is said the next time: less and less often."""

    since: float
    waiting: int = -1
    patience: float = STANDSTILL_SECONDS

    def is_due(self, waiting: int, now: float) -> bool:
        if waiting != self.waiting:
            self.since, self.waiting, self.patience = now, waiting, STANDSTILL_SECONDS
        if now - self.since < self.patience:
            return False
        self.patience *= 2
        return True


@dataclass(slots=True)
class Dialled:
    """What the hubs did at the gateway."""

    seconds: float = 0.0
    waiting: int = 0
    """For how many something still waits."""
    streets: list[StreetReport] = field(default_factory=list)
    gateway_cpu: float | None = None
    """Seconds of the gateway's process, verification included, where it was started here."""

    def total(self, name: str) -> int:
        """Return the sum of a number over all streets."""
        return sum(int(getattr(street, name)) for street in self.streets)


@dataclass(slots=True)
class Billed:
    """What ledger and residents have of the period."""

    once: int = 0
    """Homes with one bill in the ledger, whose resident is shown its invoice, once."""
    bills: int = 0
    """Bills in the ledger."""
    others: list[int] = field(default_factory=list)
    """The homes that are not billed just once."""


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What came of a run."""

    homes: int
    made: int
    asked: int
    billed: Billed
    dialled: Dialled
    seconds: dict[str, float]

    @property
    def facts(self) -> dict[str, Any]:
        """Return it as the JSON output shows it; bytes and shares are of the hubs' processes."""
        dialled, streets = self.dialled, self.dialled.streets
        working, most = dialled.total("working_posts"), dialled.total("most_bytes")
        empty = dialled.total("empty_bytes")
        asked = max(1, self.asked)
        posts = dialled.total("posts")
        cpu = sum(street.cpu_seconds for street in streets)
        why = sum((Counter(street.why) for street in streets), Counter[str]())
        return {
            "homes": self.homes,
            "made": self.made,
            "asked": self.asked,
            "billed_once": self.billed.once,
            "bills": self.billed.bills,
            "not_billed_once": self.billed.others[:100],
            "waiting": dialled.waiting,
            "sessions": dialled.total("sessions"),
            "sessions_failed": dialled.total("failed"),
            "why": dict(why.most_common(5)),
            "connections": dialled.total("connections"),
            "connections_dropped": sum(street.faults.dropped for street in streets),
            "posts": posts,
            "posts_delayed": sum(street.faults.delayed for street in streets),
            "posts_repeated": sum(street.faults.repeated for street in streets),
            "posts_a_bill": round(working / asked, 2),
            "most_posts_a_bill_undisturbed": max(
                (street.most_posts_undisturbed for street in streets), default=0
            ),
            "bytes_sent": dialled.total("sent"),
            "bytes_received": dialled.total("received"),
            "processes": len(streets),
            "memory_bytes": most,
            "memory_bytes_a_hub": most // self.homes,
            "memory_bytes_empty": empty,
            "cpu_seconds": round(cpu, 2),
            "cpu_ms_a_bill": round(1000 * cpu / asked, 1),
            "gateway_cpu_seconds": dialled.gateway_cpu,
            "gateway_cpu_ms_a_bill": None
            if dialled.gateway_cpu is None
            else round(1000 * dialled.gateway_cpu / asked, 1),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


@contextmanager
def gateway(utility: Path, poll: int = POLL_SECONDS) -> Iterator[tuple[str, int]]:
    """Run `meterlet utility gateway` for a utility's folder; yield its address and process id.

    Hubs are to come again after `poll` seconds.
    """
    command = [
        sys.executable, "-m", "meterlet", "utility", "gateway", "--utility", str(utility),
        "--port", "0", "--poll", str(poll), "--json",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            address = _address(process)
            # Nobody reads its log here, and it must not wait for a reader.
            reading = threading.Thread(target=_read_away, args=(process.stdout,), daemon=True)
            reading.start()
            yield address, process.pid
        finally:
            process.terminate()
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return f"https://localhost:{json.loads(line)['port']}"
    raise FleetError(f"the gateway ended with {process.wait()} before it listened")


def _read_away(output: IO[str]) -> None:
    for _ in output:
        pass


@contextmanager
def _timed(taken: dict[str, float], step: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    taken[step] = time.monotonic() - began
