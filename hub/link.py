# SPDX-License-Identifier: Apache-2.0
"""The hub on a network: APDUs in length-prefixed frames, one card connection for each peer.

Nothing here is secret or trusted: whoever connects can do what anyone with a card in a reader
can, and the card's secure channels decide the rest. Limits keep a peer from filling memory or
holding a place for ever.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hub.card import Card
from hub.disclosure import Disclosure
from protocols.secure_channel import FrameDecoder, MalformedFrame, encode_frame

__all__ = ["serve"]

IDLE_SECONDS: Final = 60
MOST_CONNECTIONS: Final = 16
TICK_SECONDS: Final = 30
_CHUNK: Final = 1 << 16


class _Peers:
    """The open connections, counted."""

    def __init__(self, card: Card, disclosure: Disclosure) -> None:
        self._card, self._disclosure = card, disclosure
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one peer's APDUs until it leaves, breaks the framing or falls silent."""
        if len(self._open) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._open[writer] = asyncio.current_task()
        peer, received, sent = str(writer.get_extra_info("peername")[0]), 0, 0
        connection = self._card.connect()
        frames = FrameDecoder()
        try:
            while chunk := await asyncio.wait_for(reader.read(_CHUNK), IDLE_SECONDS):
                received += len(chunk)
                for apdu in frames.feed(chunk):
                    answer = encode_frame(connection.transmit(apdu))
                    sent += len(answer)
                    writer.write(answer)
                    await writer.drain()
        except (TimeoutError, ConnectionError, MalformedFrame):
            pass  # the peer left, fell silent or does not speak the protocol: nothing to answer
        finally:
            del self._open[writer]
            connection.close()
            self._disclosure.record_connection(peer, received, sent)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def dismiss(self) -> None:
        """Hang up on every peer and wait until their connections are on record."""
        tasks = [task for task in self._open.values() if task is not None]
        for writer in list(self._open):
            writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    card: Card,
    disclosure: Disclosure,
    host: str,
    port: int,
    ready: Callable[[str, int], None],
    stop: asyncio.Event,
    tick: Callable[[], object],
) -> None:
    """Answer peers on `host`:`port` (0 for any) until `stop` is set.

    `ready` is told the address once peers can connect; `tick` is called now and then, for what is
    due without anybody asking. Raises `OSError` if the address is not free.
    """
    peers = _Peers(card, disclosure)
    server = await asyncio.start_server(peers.attend, host, port)
    async with server:
        name = server.sockets[0].getsockname()
        ready(name[0], name[1])
        while not stop.is_set():
            tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
        server.close()
        await peers.dismiss()
