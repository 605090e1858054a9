# SPDX-License-Identifier: Apache-2.0
"""Wakes hubs over MQTT when something has come to wait for them.

    question asked, invoice entered, roll-out due  -->  81 00 on meterlet/wake/<meter>

A wake-up only shortens the time until a hub's next poll: whatever is lost here, the hub comes all
the same. So nothing is kept of it, a broker that is away is told once, and wakes that have waited
for it longer than a poll are dropped. One gateway at a broker wakes hubs; a second one takes its
connection over, and they take turns.

Needs the optional dependency `aiomqtt`.
"""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from protocols.remote_admin.wake import TOPICS, WAKE, BrokerAddress, wake_topic

if TYPE_CHECKING:
    from aiomqtt import Client

LOOK_SECONDS: Final = 1.0
LOOK_SHARE: Final = 20
"""Looking takes at most one part in so many of the time."""
OVERLAP_SECONDS: Final = 60
"""Looked at twice, since clocks of several processes differ; nobody is woken twice for it."""
AGAIN_SECONDS: Final = 30
"""Less than the overlap."""
AT_START_SECONDS: Final = 86_400
"""What has waited for less when the gateway starts wakes its hub, too."""
PER_SECOND: Final = 50
"""So many hubs are woken a second, so that not all of a bill run come at once."""
WAIT_SECONDS: Final = 900.0
"""A wake-up that could not be sent for so long is dropped: its hub has polled."""
CONNECT_SECONDS: Final = 10.0
KEEP_ALIVE: Final = 60
LARGEST_PACKET: Final = 1024
FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 60.0
STEADY_SECONDS: Final = 60.0
TAKEN_OVER: Final = 4
"""After so many short connections in turn it is told why, and no more how each of them ends."""
_QUIET: Final = logging.getLogger("meterlet.wake")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class Runs(Protocol):
    """Goes on beside a gateway."""

    async def run(self) -> None:
        """Go on until cancelled."""


class WaitingQuestions(Protocol):
    """Knows which questions have come to wait for their hubs."""

    def for_hubs(self, since: int) -> Sequence[tuple[bytes, bytes, Hashable]]:
        """Return meter, nonce and state of each, since then."""
        ...


@dataclass(frozen=True, slots=True)
class _Told:
    """When something that waits was told first, and whether it was told again."""

    first: int
    is_twice: bool = False


@dataclass(slots=True)
class NewlyWaiting:
    """The meters that something has come to wait for since it was looked last.

    A question or an invoice that still waits after `AGAIN_SECONDS` is told once more: the first
    call may have been lost, or the hub may have come to a gateway that did not know of it yet. What
    waits on, as for a hub that has refused, is not told again.
    """

    questions: WaitingQuestions
    due_meters: Callable[[], frozenset[bytes]]
    """What roll-outs, settlements and profiles have to do."""
    expect: Callable[[Iterable[bytes]], object]
    """Told of them before they are woken."""
    now: Callable[[], int]
    who_may_dial: Callable[[Collection[bytes]], Collection[bytes]]
    """Which of some meters' hubs have a certificate that counts."""
    _since: int = -1
    _told: "dict[tuple[bytes, Hashable], _Told]" = field(default_factory=dict)
    _due: frozenset[bytes] = frozenset()

    def look(self) -> list[bytes]:
        """Return them, each once; it may wait for a database."""
        now = self.now()
        since = now - AT_START_SECONDS if self._since < 0 else self._since - OVERLAP_SECONDS
        found = self.questions.for_hubs(since)
        meters: dict[bytes, None] = {}
        told: dict[tuple[bytes, Hashable], _Told] = {}
        for meter, nonce, state in found:
            known = self._told.get((nonce, state))
            if known is None:
                known, meters[meter] = _Told(now), None
            elif not known.is_twice and now - known.first >= AGAIN_SECONDS:
                known, meters[meter] = _Told(known.first, is_twice=True), None
            told[nonce, state] = known
        due = self.due_meters()
        meters |= dict.fromkeys(sorted(due - self._due))
        # What is older than the overlap is not looked at again, so this stays small.
        self._told = told
        self._since, self._due = now, due
        self.expect(meters)
        if not meters:
            return []
        # Whoever holds only withdrawn keys may be at the broker still: nothing is said to him.
        allowed = self.who_may_dial(meters)
        return [meter for meter in meters if meter in allowed]


@dataclass(slots=True)
class Waker:
    """Publishes wake-ups at one broker; `run` it beside the gateway."""

    broker: BrokerAddress
    context: Callable[[], ssl.SSLContext] = field(repr=False)
    look: Callable[[], Iterable[bytes]]
    """Returns meters to wake; called in a thread, about once a second."""
    tell: Callable[[str], object]
    """Told once when the broker is away, and when it is there again."""
    per_second: int = PER_SECOND
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    uniform: Callable[[], float] = field(default=random.random, repr=False)
    woken: int = 0
    """How many wake-ups the broker has taken."""
    _pending: dict[bytes, float] = field(default_factory=dict)
    """By meter: since when."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._keep_looking())
            both.create_task(self._keep_publishing())

    async def _keep_looking(self) -> None:
        is_fine = True
        while True:
            began = self.monotonic()
            try:
                found = await asyncio.to_thread(self.look)
                is_fine = True
            except Exception as error:  # noqa: BLE001 - a database that is away for a while
                found = ()
                if is_fine:
                    self.tell(f"wake-ups: cannot look what waits: {type(error).__name__}")
                is_fine = False
            for meter in found:
                self._pending.setdefault(meter, self.monotonic())
            if self._pending:
                self._news.set()
            took = self.monotonic() - began
            await asyncio.sleep(max(LOOK_SECONDS, LOOK_SHARE * took))

    async def _keep_publishing(self) -> None:
        from aiomqtt import MqttError

        failures, is_away, short = 0, False, 0
        while True:
            began = self.monotonic()
            is_there = False
            try:
                async with self._client() as client:
                    is_there = True
                    if is_away and short < TAKEN_OVER:
                        self.tell(f"wake-ups: {self.broker}: it is there again")
                    is_away = False
                    await self._publish(client)
            except (MqttError, OSError, ValueError) as error:
                if not is_away and short < TAKEN_OVER:
                    self.tell(f"wake-ups: {self.broker}: {_reason(error)}; hubs poll")
                is_away = True
            is_steady = self.monotonic() - began >= STEADY_SECONDS
            short = short + 1 if is_there and not is_steady else 0 if is_steady else short
            if short == TAKEN_OVER:
                self.tell(
                    f"wake-ups: {self.broker}: the connection keeps ending: does another gateway"
                    " wake hubs there, too? One is enough"
                )
            failures = 1 if self.monotonic() - began >= STEADY_SECONDS else failures + 1
            seconds = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
            await asyncio.sleep(seconds * (0.5 + self.uniform() / 2))

    async def _publish(self, client: "Client") -> None:
        """Publish what is pending, until the connection ends."""
        # The client library does not tell of a connection that ends as soon as it is made. Where
        # the broker answers once more, the end will be told; nothing is subscribed to.
        await client.unsubscribe(TOPICS, timeout=CONNECT_SECONDS)
        watch = asyncio.create_task(_until_gone(client))
        try:
            while True:
                news = asyncio.create_task(self._news.wait())
                try:
                    await asyncio.wait({watch, news}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    news.cancel()
                if watch.done():
                    watch.result()
                    return
                self._news.clear()
                await self._publish_pending(client)
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await watch

    async def _publish_pending(self, client: "Client") -> None:
        for meter, since in list(self._pending.items()):
            if self.monotonic() - since < WAIT_SECONDS:
                # Taken by the broker, and kept nowhere (not retained).
                await client.publish(wake_topic(meter), WAKE, qos=1, timeout=CONNECT_SECONDS)
                self.woken += 1
                await asyncio.sleep(1 / self.per_second)
            self._pending.pop(meter, None)

    def _client(self) -> "Client":
        return broker_client(self.broker, self.context())


def broker_client(broker: BrokerAddress, context: ssl.SSLContext) -> "Client":
    """Return a client that is not connected yet; it subscribes to nothing."""
    from aiomqtt import Client, ProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = None
    if not broker.is_old:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = LARGEST_PACKET
    return Client(
        broker.host,
        broker.port,
        logger=_QUIET,
        protocol=ProtocolVersion.V311 if broker.is_old else ProtocolVersion.V5,
        timeout=CONNECT_SECONDS,
        keepalive=KEEP_ALIVE,
        max_queued_incoming_messages=1,  # nothing is subscribed to
        properties=properties,
        tls_context=context,
    )


@asynccontextmanager
async def waking(*runners: Runs | None) -> AsyncIterator[None]:
    """Run a waker, and what keeps its broker's list, if there are any, while the block lasts."""
    async with AsyncExitStack() as stack:
        for runner in runners:
            if runner is not None:
                await stack.enter_async_context(_running(runner))
        yield


@asynccontextmanager
async def _running(runner: Runs) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def broker_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """Return TLS 1.3 to the broker, certificates on both sides, by the utility's own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(authority)
    context.load_cert_chain(certificate, key)
    return context


async def _until_gone(client: "Client") -> None:
    async for _ in client.messages:
        pass


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
