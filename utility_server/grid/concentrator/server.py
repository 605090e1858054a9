# SPDX-License-Identifier: Apache-2.0
"""The concentrator (or a trustee) on a network: requests in, batches out, one at a time.

Whoever connects can ask for keys and states; sums are collected of rounds only that the operator
has signed. A peer that sends what is no message is hung up on.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final, Protocol

from utility_server.grid.concentrator.errors import (
    ConcentratorError,
    ConcentratorRefused,
    LineError,
)
from utility_server.grid.rpc import Message, encode, read_message

MOST_PEERS: Final = 8
IDLE_SECONDS: Final = 600


class Answering(Protocol):
    """Whoever answers the requests: a concentrator, a trustee."""

    def answer(self, request: Message) -> AsyncGenerator[Message, None]:
        """Yield the answer's messages but for the last; raise `ConcentratorRefused`."""
        ...


async def serve(
    answering: Answering,
    host: str,
    port: int,
    ready: Callable[[str, int], None],
    stop: asyncio.Event,
    complain: Callable[[str], None],
) -> None:
    """Answer on `host`:`port` (0 for any) until `stop` is set; `ready` is told the address.

    Raises `OSError` if the address is not free.
    """
    turn, peers = asyncio.Lock(), dict[asyncio.StreamWriter, asyncio.Task[None]]()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(peers) >= MOST_PEERS:
            writer.transport.abort()
            return
        peers[writer] = task
        try:
            await _converse(answering, turn, reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # the peer left or fell silent
        except LineError as error:
            complain(f"hung up on a peer: {error}")
        finally:
            del peers[writer]
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(attend, host, port)
    async with server:
        name = server.sockets[0].getsockname()
        ready(name[0], name[1])
        await stop.wait()
        server.close()
        tasks = list(peers.values())
        for writer in list(peers):
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _converse(
    answering: Answering,
    turn: asyncio.Lock,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            request = await read_message(reader)
        if request is None:
            return
        async with turn:
            try:
                async with aclosing(answering.answer(request)) as answers:
                    async for name, items in answers:
                        writer.write(encode(name, *items))
                        await writer.drain()
                last = encode("done")
            except ConcentratorRefused as refused:
                last = encode("error", refused.kind, str(refused))
            except (ConcentratorError, OSError) as error:
                last = encode("error", "failed", f"it cannot be done: {error}")
        writer.write(last)
        await writer.drain()
