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
import socket
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
from urllib.parse import urlsplit

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
from protocols.remote_admin.wake import BrokerAddress
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.retail.failures import Failure
from utility_server.retail.utility import Utility

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
PROBE_SECONDS: Final = 2.0
"""How long it is tried whether anything listens where the gateway is."""
TELL_SECONDS: Final = 5.0
"""How often it is told what is waited for."""
REFUSALS: Final = frozenset({"hub-6982", "hub-6983", "hub-6985", "hub-6a83", "hub-6a84"})
"""What a hub says by its consents and rules, and of days that it has not: it stays so here."""
STEPS: Final = ("make", "enrol", "ask", "dial", "check")

Say = Callable[[str, int, int], None]
"""Told of progress: which step, how much of it is done, and how much there is."""


Tell = Callable[[str], object]
"""Told in a sentence what is waited for."""


def _nobody(*_: object) -> None:
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
    broker: BrokerAddress | None = None
    """Where hubs are woken; a gateway that is started here wakes them there."""
    patience_seconds: float = 3600.0
    """How long the hubs may take to be billed, after which the fleet ends."""
    at_once: int = AT_ONCE
    say: Say = field(default=_nobody, repr=False)
    tell: Tell = field(default=_nobody, repr=False)

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
        """Let the hubs dial until nothing waits for any of them, or the patience is over.

        It ends, too, when all that waits was refused by its hub's consents and rules meanwhile:
        nothing changes these here.
        """
        meters = {self.folder.home(number).meter for number in numbers}
        report = Dialled()
        if not self._waiting(meters):
            return report
        with ExitStack() as stack:
            url, process = self.gateway, None
            if url is None:
                poll = POLL_SECONDS if self.homes <= MOST_KEPT else LONG_POLL_SECONDS
                url, process = stack.enter_context(gateway(self.utility.folder, poll, self.broker))
            cpu = None if process is None else cpu_seconds(process)
            streets = [StreetProcess.start(plan) for plan in self._plans(numbers, url)]
            for street in streets:
                stack.callback(street.kill)
            began, since = time.monotonic(), self.utility.now()
            told = began
            while waiting := self._waiting(meters):
                self.say("dial", len(meters) - waiting, len(meters))
                reports = [street.look() for street in streets]
                if (now := time.monotonic()) - told >= TELL_SECONDS:
                    told, known = now, self._known(meters)
                    report.refused = _all_refused(known, since)
                    self.tell(waits_for(waiting, known, reports, url))
                    if report.refused:
                        break
                if now - began > self.patience_seconds:
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
                billed.is_doubled |= len(bills) > 0
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

    def _known(self, meters: set[bytes]) -> list[Failure | None]:
        """Return why each question of some meters waits that does, as far as that is known."""
        return [why for meter, why in self.utility.failures.waiting() if meter in meters]

    def _plans(self, numbers: Sequence[int], url: str) -> Iterator[StreetPlan]:
        count = min(self.processes, len(numbers))
        for place in range(count):
            own = numbers[place::count]
            spread = SESSION_SECONDS * len(own)
            yield StreetPlan(self.folder, own, url, self.rates, spread, self.at_once, self.broker)

    @property
    def _authority(self) -> CertificateAuthority:
        own = self.utility
        return CertificateAuthority(own.folder, own.engine, own.customers, own.now, own.randomness)


@dataclass(slots=True)
class Dialled:
    """What the hubs did at the gateway."""

    seconds: float = 0.0
    waiting: int = 0
    """For how many something still waits."""
    streets: list[StreetReport] = field(default_factory=list)
    refused: list[Failure] = field(default_factory=list)
    """What their hubs said, where nothing else waits any more."""
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
    is_doubled: bool = False
    """Whether any has more than one bill, or a bill and not its invoice."""


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
            "refused": dict(Counter(one.kind for one in dialled.refused)),
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
            "listening": dialled.total("listening"),
            "woken": dialled.total("woken"),
            "cpu_seconds": round(cpu, 2),
            "cpu_ms_a_bill": round(1000 * cpu / asked, 1),
            "gateway_cpu_seconds": dialled.gateway_cpu,
            "gateway_cpu_ms_a_bill": None
            if dialled.gateway_cpu is None
            else round(1000 * dialled.gateway_cpu / asked, 1),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


def _all_refused(known: Sequence[Failure | None], since: int) -> list[Failure]:
    """Return why all that waits does so, if its hubs have refused it since a moment; else nothing.

    A refusal from before may be of a hub that has not been asked again yet.
    """
    refused = [
        why for why in known if why is not None and why.kind in REFUSALS and why.time >= since
    ]
    return refused if len(refused) == len(known) else []


def waits_for(
    waiting: int, known: Sequence[Failure | None], reports: Sequence[StreetReport], url: str
) -> str:
    """Say what is waited for: how many homes, what was refused, and why sessions end."""
    parts = [f"waiting for {waiting:,} homes"]
    # Without what explains it, which comes once at the end.
    refused = Counter(why.why.partition(" (")[0] for why in known if why is not None)
    for why, count in refused.most_common(2):
        parts.append(f"{count:,} of them: {why}")
    sessions, failed = (
        sum(getattr(one, name) for one in reports) for name in ("sessions", "failed")
    )
    if sessions == failed and (away := _away(url)):
        parts.append(away)
    whys = sum((Counter(one.why) for one in reports), Counter[str]())
    for why, _ in whys.most_common(1):
        parts.append(f"{failed:,} of {sessions:,} sessions failed, most with: {why}")
    return "; ".join(parts)


def _away(url: str) -> str:
    """Return that nothing listens at a gateway's address, if it is so."""
    try:
        where = urlsplit(url)
        with socket.create_connection((where.hostname or "", where.port or 443), PROBE_SECONDS):
            return ""
    except (OSError, ValueError) as error:
        return f"nothing listens at {url} ({getattr(error, 'strerror', None) or 'no answer'})"


@contextmanager
def gateway(
    utility: Path, poll: int = POLL_SECONDS, broker: BrokerAddress | None = None
) -> Iterator[tuple[str, int]]:
    """Run `meterlet utility gateway` for a utility's folder; yield its address and process id.

    Hubs are to come again after `poll` seconds. It ends with this process, however that one does.
    """
    command = [
        sys.executable, "-m", "utility_server.with_parent",
        "meterlet", "utility", "gateway", "--utility", str(utility), "--port", "0",
        "--poll", str(poll), "--json",
    ]  # fmt: skip
    if broker is not None:
        command += ["--wake", str(broker)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
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
