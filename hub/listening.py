# SPDX-License-Identifier: Apache-2.0
"""A hub that listens on a local network: its folder opened, its card behind a port.

When a key of the hub is replaced, all connections end, and the hub goes on with the new one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hub.device import Device
from hub.link import CallerMemory, serve
from hub.machine.machine import AppletMachine

KEY_CHECK_SECONDS: Final = 0.5


@dataclass(slots=True)
class Listener:
    """Where a hub listens: on the same port after a key was replaced, or after it broke."""

    open_device: Callable[[], Device]
    open_machine: Callable[[], AppletMachine]
    host: str
    port: int
    """0 for any that is free."""
    ready: Callable[[str, int], None]
    """Told the address once peers can connect, and again after a key was replaced."""
    complain: Callable[[str], None]
    """Told when the hub's own database stops a conversation."""
    _memory: CallerMemory = field(default_factory=CallerMemory)

    async def run(self, stop: asyncio.Event) -> None:
        """Answer peers until `stop` is set; raises as `hub.link.serve` and `Device.open` do."""
        machine = self.open_machine()
        while not stop.is_set():
            with self.open_device() as device:
                card = device.card(machine)
                async with until_replaced(device, stop) as until:
                    await serve(
                        card,
                        device.disclosure,
                        self.host,
                        self.port,
                        self._ready,
                        until,
                        tick=partial(device.tick, card),
                        complain=self.complain,
                        memory=self._memory,  # no new key forgives who was wrong
                    )

    def _ready(self, host: str, port: int) -> None:
        self.port = port
        self.ready(host, port)


@asynccontextmanager
async def until_replaced(device: Device, stop: asyncio.Event) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set when `stop` is, or when a key of the hub was replaced."""
    until = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set() and device.has_current_keys():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), KEY_CHECK_SECONDS)
        until.set()

    watcher = asyncio.create_task(watch())
    try:
        yield until
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
