# SPDX-License-Identifier: Apache-2.0
"""A process with many hubs: each dials for itself, in one event loop.

    hub task    sleeps until its session is due or it is woken, waits for a place, holds the session
    session     `hub.dialling.steps`: the hub's own agent and card; the loop carries the POSTs
    card        opened when a script comes for it, closed when the session ends; one thread works

A hub that waits for its next session is a meter's id and a task. What it has of a session is on the
disk by then. Hubs share the process for the computer's sake, and in it the code of applet machine
and applets; nothing passes between them.
"""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from hub.callers import Callers
from hub.card.line import Line
from hub.card.open import Card
from hub.device import Device
from hub.dialling.errors import BrokenDown, DiallingError, SecurityFailed
from hub.dialling.events import Kind
from hub.dialling.pace import KEEP_SECONDS, POLICY, DialPace
from hub.dialling.recipient import find_recipient
from hub.dialling.sessions import CardEnd, CommandSessions
from hub.dialling.steps import Exchange, Session, SessionStep, Told, Wait, session_steps
from hub.errors import HubError
from hub.machine.machine import AppletMachine
from meterlet.fleet.faults import ConnectionFaults, FaultCounts, FaultRates
from meterlet.fleet.folder import RECIPIENT, FleetFolder
from meterlet.fleet.listening import AwaitedCalls, Listening
from meterlet.fleet.memory import memory_bytes, own_cpu_seconds
from meterlet.fleet.wire import AsyncConnection
from protocols.remote_admin.agent import AdminAgent, SessionEnd
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import ServerReply

AT_ONCE: Final = 4
"""Sessions that a process holds at the same time. Each needs its applet's memory, some 15 MB, and
the one thread that works gets no more done with more of them."""
WATCH_SECONDS: Final = 0.5
"""How often the memory is looked at."""
MOST_REASONS: Final = 20
"""Why sessions were given up, told apart."""
MOST_SILENCE_SECONDS: Final = 600.0

ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class StreetReport:
    """What the hubs of a process have done so far."""

    hubs: int = 0
    sessions: int = 0
    failed: int = 0
    """Sessions that were given up."""
    connections: int = 0
    posts: int = 0
    sent: int = 0
    """Bytes of HTTP."""
    received: int = 0
    working_posts: int = 0
    """Those of sessions in which there was something to do, or that failed."""
    most_posts_undisturbed: int = 0
    """Of the working ones, by one hub of whose connections none was cut and no POST came twice."""
    faults: FaultCounts = field(default_factory=FaultCounts)
    empty_bytes: int = 0
    """Memory of the process before the first session."""
    most_bytes: int = 0
    cpu_seconds: float = 0.0
    """Of the process since then, with the proofs that it had made in others."""
    listening: int = 0
    """Hubs that are at the broker."""
    woken: int = 0
    """Sessions that began since the hub was woken."""
    why: dict[str, int] = field(default_factory=dict)
    """Why sessions were given up, and how often."""


class _LazyCard:
    """A hub's card, opened at the first script that comes for it."""

    def __init__(self, folder: FleetFolder, number: int, machine: AppletMachine) -> None:
        self._folder, self._number, self._machine = folder, number, machine
        self.device: Device | None = None
        self._card: Card | None = None

    def connect(self, line: Line) -> CardEnd:
        """Begin a conversation that comes in over `line`."""
        if self._card is None:
            self.device = Device.open(self._folder.hub(self._number))
            self._card = self.device.card(self._machine)
        return self._card.connect(line)

    def close(self) -> None:
        """Close the hub's folder."""
        device, self.device, self._card = self.device, None, None
        if device is not None:
            device.close()


@dataclass(slots=True)
class _Hub:
    """What is kept of a hub between two sessions."""

    number: int
    meter: bytes
    wire: AsyncConnection
    pace: DialPace
    callers: Callers
    calls: AwaitedCalls | None
    """Where it is woken."""
    posts: int = 0
    """Those of sessions in which there was something to do."""


@dataclass(slots=True)
class Street:
    """The hubs of one process."""

    folder: FleetFolder
    numbers: Sequence[int]
    url: str
    machine: AppletMachine
    rates: FaultRates
    spread_seconds: float
    """Within which the first sessions begin."""
    at_once: int = AT_ONCE
    listening: Listening | None = None
    """Where the hubs are woken."""
    report: StreetReport = field(default_factory=StreetReport)
    _places: asyncio.Semaphore = field(init=False)
    _worker: ThreadPoolExecutor = field(init=False)
    _began_cpu: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Let the hubs dial until `stop` is set."""
        self.report.hubs = len(self.numbers)
        self.report.empty_bytes = memory_bytes()
        self._began_cpu = own_cpu_seconds()
        self._places = asyncio.Semaphore(self.at_once)
        with ThreadPoolExecutor(1, "card") as self._worker, ExitStack() as stack:
            if self.listening is not None:
                stack.enter_context(self.listening.ending())
            hubs = [self._hub(number) for number in self.numbers]
            tasks = [asyncio.create_task(self._live(hub)) for hub in hubs]
            tasks.append(asyncio.create_task(self._watch()))
            ended = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (ended, *tasks):
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*(hub.wire.close() for hub in hubs))
                self._look()
        for result in results:
            if isinstance(result, Exception):  # a hub's task never ends by itself
                raise result

    def _hub(self, number: int) -> _Hub:
        settings = self.folder.settings
        dice = random.Random(f"meterlet faults {settings.seed} {number}")  # noqa: S311 - no secret
        recipient = find_recipient(self.folder.hub(number), RECIPIENT, self.url)
        rates, counts = self.rates, self.report.faults
        wire = AsyncConnection(
            recipient,
            lambda: ConnectionFaults(rates, dice, counts),
            POLICY.inactivity_seconds or MOST_SILENCE_SECONDS,
        )
        meter = self.folder.home(number).meter
        calls = None
        if self.listening is not None:
            calls = AwaitedCalls(asyncio.get_running_loop())
            self.listening.start(meter, recipient, calls)
        return _Hub(number, meter, wire, DialPace(uniform=dice.random), Callers(), calls)

    async def _live(self, hub: _Hub) -> None:
        await asyncio.sleep(hub.pace.uniform() * self.spread_seconds)
        while True:
            async with self._places:
                if hub.calls is not None and hub.calls.take():
                    self.report.woken += 1
                seconds = await self._session(hub)
            if seconds > KEEP_SECONDS:
                await hub.wire.close()
            if hub.calls is None:
                await asyncio.sleep(seconds)
            else:
                await hub.calls.wait_until_called(seconds)

    async def _session(self, hub: _Hub) -> float:
        """Hold one session; return after how many seconds the next one is due."""
        wire, lazy = hub.wire, _LazyCard(self.folder, hub.number, self.machine)
        before = wire.counted()
        card = CommandSessions(lazy)
        agent = AdminAgent(hub.meter.hex(), f"/gp/{hub.meter.hex()}?step=0", POLICY)
        told = Counter[Kind]()
        is_security = False
        try:
            try:
                session = session_steps(agent, card, lambda: self._delay(hub))
                end = await self._carry(session, wire, told)
            except SecurityFailed as error:
                end, is_security = SessionEnd(why=str(error)), True
            except (HubError, sqlite3.Error) as error:
                end = SessionEnd(why=f"the hub: {error}")
            used = wire.counted() - before
            host = wire.recipient.address.host
            if card.has_authenticated and lazy.device is not None:
                hub.callers.authenticated(host)
                record = lazy.device.disclosure.record_connection
                await self._work(lambda: record(host, used["received"], used["sent"]))
        finally:
            # Shielded: what is open in the thread must not be left open by a cancelled task.
            await asyncio.shield(self._work(lazy.close))
        if end.why:
            await wire.close()
        self._count(hub, used, end, has_worked=told[Kind.SCRIPT] > 0)
        return hub.pace.after(end, is_security=is_security)

    async def _carry(
        self, session: Session, wire: AsyncConnection, told: "Counter[Kind]"
    ) -> SessionEnd:
        step: SessionStep | SessionEnd = await self._work(lambda: _advance(session, None, told))
        try:
            while not isinstance(step, SessionEnd):
                reply: ServerReply | DiallingError | ProtocolViolated | None = None
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Exchange):
                    if step.is_new_connection:
                        await wire.close()
                    try:
                        reply = await wire.exchange(step.post)
                    except (BrokenDown, SecurityFailed, ProtocolViolated) as error:
                        reply = error
                step = await self._work(partial(_advance, session, reply, told))
        finally:
            await asyncio.shield(self._work(session.close))
        return step

    def _count(self, hub: _Hub, used: "Counter[str]", end: SessionEnd, *, has_worked: bool) -> None:
        report = self.report
        report.sessions += 1
        report.posts += used["posts"]
        report.sent += used["sent"]
        report.received += used["received"]
        report.connections += used["connections"]
        if end.why:
            report.failed += 1
            if end.why in report.why or len(report.why) < MOST_REASONS:
                report.why[end.why] = report.why.get(end.why, 0) + 1
        if has_worked or end.why:
            hub.posts += used["posts"]
            report.working_posts += used["posts"]
        if hub.posts and not hub.wire.is_disturbed:
            report.most_posts_undisturbed = max(report.most_posts_undisturbed, hub.posts)

    def _delay(self, hub: _Hub) -> float:
        now = int(asyncio.get_running_loop().time())
        return hub.callers.went_wrong(hub.wire.recipient.address.host, now)

    async def _work(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(WATCH_SECONDS)

    def _look(self) -> None:
        self.report.most_bytes = max(self.report.most_bytes, memory_bytes())
        self.report.cpu_seconds = own_cpu_seconds() - self._began_cpu
        if self.listening is not None:
            self.report.listening = self.listening.up


def _advance(
    session: Session,
    reply: ServerReply | DiallingError | ProtocolViolated | None,
    told: "Counter[Kind]",
) -> SessionStep | SessionEnd:
    """Return the next step that is not only news, or how the session ended."""
    try:
        while True:
            step = session.throw(reply) if isinstance(reply, Exception) else session.send(reply)
            if not isinstance(step, Told):
                return step
            told[step.kind] += 1
            reply = None
    except StopIteration as ended:
        end: SessionEnd = ended.value
        return end
