# SPDX-License-Identifier: Apache-2.0
"""A hub's port over TCP, and whoever calls there: all hung up when the test is over."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hub import link
from hub.card.open import Card
from hub.disclosure import Disclosure
from tests.support.waiting import PATIENCE

Talk = Callable[[int], Awaitable[None]]

_met: list[asyncio.StreamWriter] = []


def serve(
    card: Card,
    disclosure: Disclosure,
    talk: Talk,
    complain: Callable[[str], None] = print,
    memory: link.CallerMemory | None = None,
) -> None:
    """Serve a card on a free port while `talk` goes on."""

    async def run() -> None:
        ports: asyncio.Queue[int] = asyncio.Queue()
        stop = asyncio.Event()
        server = asyncio.create_task(
            link.serve(
                card, disclosure, "127.0.0.1", 0, lambda _, port: ports.put_nowait(port), stop,
                tick=lambda: None, complain=complain, memory=memory,
            )
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            try:
                await talk(await ports.get())
            finally:
                stop.set()
                await server
                while _met:
                    writer = _met.pop()
                    writer.transport.abort()
                    with suppress(ConnectionError):
                        await writer.wait_closed()

    asyncio.run(run())


async def meet(
    port: int, source: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Call a port, from a loopback address of one's own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    _met.append(writer)
    return reader, writer


async def is_dropped(reader: asyncio.StreamReader) -> bool:
    """Wait for what comes next; tell whether that is the end."""
    try:
        return await reader.read(100) == b""
    except ConnectionError:
        return True
