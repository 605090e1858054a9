# SPDX-License-Identifier: Apache-2.0
"""The hub on a network: APDUs in length-prefixed frames, one card connection for each peer.

Nothing here is secret or trusted: whoever connects can do what anyone with a card in a reader
can, and the card's secure channels decide the rest. Limits keep a peer from filling memory or
holding a place for ever: an APDU must be whole, and its answer fetched, within a minute, whatever
the pace; where all places are taken, whoever has asked nothing for longest gives way to a newcomer.
APDUs are answered one at a time; of those that wait, the next is for whom the hub has worked least
of late (`hub.turns`), so that nobody's commands stand in the way of another applet's.
"""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EINVAL
from typing import Final

from hub.card.open import Card
from hub.disclosure import Disclosure
from hub.errors import HubError
from hub.turns import FairTurns
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import MalformedFrame

IDLE_SECONDS: Final = 60
PATIENCE_SECONDS: Final = 2
"""How long a peer that has asked nothing keeps its place when others want it."""
MOST_CONNECTIONS: Final = 16
TICK_SECONDS: Final = 30
_CHUNK: Final = 1 << 16


@dataclass(slots=True)
class _OpenConnection:
    """An open connection."""

    task: asyncio.Task[None]
    host: str
    received: int = 0
    sent: int = 0
    last_asked: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    """When its last APDU was answered, by the loop's clock."""
    waits: bool = False
    """Whether it has asked, and waits for its turn."""
    is_over: bool = False


class _OpenConnections:
    """The open connections, counted."""

    def __init__(self, card: Card, disclosure: Disclosure, complain: Callable[[str], None]) -> None:
        self._card, self._disclosure, self._complain = card, disclosure, complain
        self._open: dict[asyncio.StreamWriter, _OpenConnection] = {}
        self._turns = FairTurns()

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one peer's APDUs until it leaves, breaks the framing or falls silent."""
        task, address = asyncio.current_task(), writer.get_extra_info("peername")
        if task is None or address is None or not self._has_room():
            writer.transport.abort()
            return
        peer = self._open[writer] = _OpenConnection(task, str(address[0]))
        try:
            await self._converse(peer, reader, writer)
        except (TimeoutError, ConnectionError, MalformedFrame):
            pass  # the peer left, fell silent or does not speak the protocol: nothing to answer
        except (HubError, sqlite3.Error) as error:
            self._complain(f"{peer.host}: hung up: {error}")
        finally:
            del self._open[writer]
            # A peer that fetches nothing would keep a polite goodbye waiting.
            writer.transport.abort() if peer.is_over else writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(
        self, peer: "_OpenConnection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection, frames = self._card.connect(), ApduFrameDecoder()
        try:
            while True:
                async with asyncio.timeout_at(peer.last_asked + IDLE_SECONDS):
                    chunk = await reader.read(_CHUNK)
                if not chunk:
                    return
                peer.received += len(chunk)
                for apdu in frames.feed(chunk):
                    peer.waits = True
                    try:
                        async with self._turns.turn(connection.selected):
                            answer = encode_frame(connection.transmit(apdu))
                    finally:
                        peer.waits = False
                    peer.sent += len(answer)
                    writer.write(answer)
                    peer.last_asked = asyncio.get_running_loop().time()
                    async with asyncio.timeout_at(peer.last_asked + IDLE_SECONDS):
                        await writer.drain()
                    await asyncio.sleep(0)  # one who asks without end must not keep others waiting
        except TimeoutError:
            peer.is_over = True
            raise
        finally:
            connection.close()
            if peer.sent:  # whoever was told nothing leaves no trace to be kept for ever
                self._disclosure.record_connection(peer.host, peer.received, peer.sent)

    def _has_room(self) -> bool:
        """Tell whether there is a place, made by hanging up on the longest silent if need be."""
        if len(self._open) < MOST_CONNECTIONS:
            return True
        quiet = [pair for pair in self._open.items() if not pair[1].waits]
        if not quiet:
            return False
        writer, silent = min(quiet, key=lambda pair: pair[1].last_asked)
        if asyncio.get_running_loop().time() - silent.last_asked < PATIENCE_SECONDS:
            return False
        writer.transport.abort()
        return True

    async def dismiss(self) -> None:
        """Hang up on every peer and wait until their connections are on record."""
        tasks = [peer.task for peer in self._open.values()]
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    card: Card,
    disclosure: Disclosure,
    host: str,
    port: int,
    ready: Callable[[str, int], None],
    stop: asyncio.Event,
    tick: Callable[[], object],
    complain: Callable[[str], None],
) -> None:
    """Answer peers on `host`:`port` (0 for any) until `stop` is set.

    `ready` is told the address once peers can connect; `tick` is called now and then, for what is
    due without anybody asking; `complain` is told when the hub's own database stops a conversation.
    Raises `OSError`, naming the address, if it is not free.
    """
    peers = _OpenConnections(card, disclosure, complain)
    try:
        server = await asyncio.start_server(peers.attend, host, port)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else None
        number = error.errno if isinstance(error, OSError) else None
        reason = reason or (os.strerror(number) if number else "no host can have that name")
        raise OSError(number or EINVAL, reason, f"{host}:{port}") from None
    async with server:
        name = server.sockets[0].getsockname()
        ready(name[0], name[1])
        while not stop.is_set():
            try:
                tick()
            except (HubError, sqlite3.Error) as error:
                complain(str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
        server.close()
        await peers.dismiss()
