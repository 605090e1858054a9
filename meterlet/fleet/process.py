# SPDX-License-Identifier: Apache-2.0
"""Streets in processes of their own, and what each reports.

The parent and a street share a pipe: the street sends its report about once a second, and ends when
the parent says so, or is gone.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, Self

from hub.machine.machine import AppletMachine
from meterlet.fleet.errors import FleetError
from meterlet.fleet.faults import FaultRates
from meterlet.fleet.folder import FleetFolder
from meterlet.fleet.listening import Listening
from meterlet.fleet.street import Street, StreetReport
from protocols.remote_admin.wake import BrokerAddress

REPORT_SECONDS: Final = 1.0
STOP_SECONDS: Final = 60.0
"""How long a street may take to end the sessions of the moment."""


@dataclass(frozen=True, slots=True)
class StreetPlan:
    """What a street's process has to know."""

    folder: FleetFolder
    numbers: Sequence[int]
    url: str
    rates: FaultRates
    spread_seconds: float
    at_once: int
    broker: BrokerAddress | None = None
    """Where the hubs are woken."""


@dataclass(slots=True)
class StreetProcess:
    """A street that runs in a process of its own; stop it when done."""

    process: BaseProcess
    pipe: "Connection[None, StreetReport]"
    report: StreetReport = field(default_factory=StreetReport)

    @classmethod
    def start(cls, plan: StreetPlan) -> Self:
        """Start it."""
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(plan, theirs), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def look(self) -> StreetReport:
        """Return its latest report; raise `FleetError` where it has ended by itself."""
        self._receive()
        if not self.process.is_alive():
            self._receive()
            raise FleetError(f"a process of hubs ended with {self.process.exitcode}")
        return self.report

    def stop(self) -> StreetReport:
        """End it; return its last report."""
        with suppress(OSError):  # it is gone
            self.pipe.send(None)
        while self.process.is_alive() and self.pipe.poll(STOP_SECONDS):
            if not self._receive():
                break
        self.process.join(STOP_SECONDS)
        self.kill()
        return self.report

    def kill(self) -> None:
        """End it at once, if it is there."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()

    def _receive(self) -> bool:
        try:
            while self.pipe.poll():
                self.report = self.pipe.recv()
        except (EOFError, OSError):
            return False
        return True


def _run(plan: StreetPlan, pipe: "Connection[StreetReport, None]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and says so
    asyncio.run(_live(plan, pipe))


async def _live(plan: StreetPlan, pipe: "Connection[StreetReport, None]") -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    street = Street(
        plan.folder, plan.numbers, plan.url, AppletMachine.open(), plan.rates,
        plan.spread_seconds, plan.at_once,
        None if plan.broker is None else Listening(plan.broker),
    )  # fmt: skip
    loop.add_reader(pipe.fileno(), stop.set)  # the parent has said so, or is gone
    reporting = asyncio.create_task(_report(street, pipe))
    try:
        await street.run(stop)
    finally:
        reporting.cancel()
        loop.remove_reader(pipe.fileno())
        _send(street.report, pipe)


async def _report(street: Street, pipe: "Connection[StreetReport, None]") -> None:
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        _send(street.report, pipe)


def _send(report: StreetReport, pipe: "Connection[StreetReport, None]") -> None:
    with suppress(OSError):  # nobody is left to report to, which ends the street
        pipe.send(report)
