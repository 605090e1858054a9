# SPDX-License-Identifier: Apache-2.0
"""How the hubs of a process are woken: each listens at the broker in a thread of its own.

The connection, its limits and how often a hub may be called are the hub's own
(`hub.dialling.wake_line`, `hub.dialling.wake_calls`); only the wait for a call is the event loop's.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final

from hub.dialling.events import Fact, Kind
from hub.dialling.recipient import Recipient
from hub.dialling.wake_calls import WakeCalls
from hub.dialling.wake_line import WakeLine
from protocols.remote_admin.wake import BrokerAddress

MOST_IN_A_PROCESS: Final = 250
"""Each connection has three descriptors, and the client library waits for the first 1,024 alone."""


class AwaitedCalls(WakeCalls):
    """The calls to one hub, for which an event loop waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let `wait_until_called` be used in that loop alone."""
        super().__init__()
        self._loop, self._event = loop, asyncio.Event()

    def call(self) -> bool:
        """Ask the hub to dial at once, from any thread; return whether it will for this call."""
        will = super().call()
        if will:
            with suppress(RuntimeError):  # the street has ended
                self._loop.call_soon_threadsafe(self._event.set)
        return will

    def take(self) -> bool:
        """Return whether the hub was called; from here on a call is another one."""
        self._event.clear()
        return super().take()

    async def wait_until_called(self, seconds: float) -> None:
        """Wait for a call, so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


@dataclass(slots=True)
class Listening:
    """The hubs of a street at one broker."""

    broker: BrokerAddress
    up: int = 0
    """So many are there now."""
    odd: int = 0
    """So many connections ended, or brought what was no wake-up."""
    _stop: Event = field(default_factory=Event)
    _is_up: set[bytes] = field(default_factory=set)

    def start(self, meter: bytes, recipient: Recipient, calls: WakeCalls) -> None:
        """Let a hub listen from now on."""

        def tell(kind: Kind, _facts: dict[str, Fact]) -> None:
            if kind is Kind.WAKE_UP:
                self._is_up.add(meter)
            else:
                self.odd += 1
                if kind is Kind.WAKE_DOWN:
                    self._is_up.discard(meter)
            self.up = len(self._is_up)

        line = WakeLine(self.broker, recipient.broker_context, meter, calls, tell)
        # What waits for a broker must not keep the street from ending.
        Thread(target=line.run, args=(self._stop,), name="wake-ups", daemon=True).start()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let all of them end with the block."""
        try:
            yield
        finally:
            self._stop.set()
