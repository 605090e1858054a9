# SPDX-License-Identifier: Apache-2.0
"""The concentrator (or a trustee) on a network: requests in, batches out.

    connect -> a stranger's place -> proves to hold the pinned key -> a peer's place -> requests

Strangers and peers have places of their own, so no stranger takes a peer's. A stranger has a few
seconds to prove who it is; where all their places are taken, the first to come is hung up on. A
peer's request has to be whole, and each part of its answer fetched, within a minute, whatever the
pace. Peers are served side by side: one that does not read keeps nobody waiting but itself.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

from utility_server.grid.concentrator.errors import (
    ConcentratorError,
    ConcentratorRefused,
    LineError,
)
from utility_server.grid.pinned_line import PROOF_SIZE, FrameSeals, LineKeys, ServerGreeting
from utility_server.grid.rpc import (
    ANSWER_SECONDS,
    GREETING_SECONDS,
    Item,
    Message,
    encode,
    read_message,
)

MOST_PEERS: Final = 8
MOST_STRANGERS: Final = 64
IDLE_SECONDS: Final = 600
"""How long a peer may ask nothing."""
FRAME_SECONDS: Final = 60
"""How long a request may take to come, and each part of an answer to be fetched."""


class Answering(Protocol):
    """Whoever answers the requests: a concentrator, a trustee."""

    def answer(self, request: Message) -> AsyncGenerator[Message, None]:
        """Yield the answer's messages but for the last; raise `ConcentratorRefused`."""
        ...


@dataclass(frozen=True, slots=True)
class LineLimits:
    """How long a server waits, in seconds, and for how many at a time."""

    greeting: float = GREETING_SECONDS
    idle: float = IDLE_SECONDS
    frame: float = FRAME_SECONDS
    answer: float = ANSWER_SECONDS
    peers: int = MOST_PEERS
    strangers: int = MOST_STRANGERS


LIMITS: Final = LineLimits()


@dataclass(slots=True)
class _Guest:
    """Who has connected."""

    writer: asyncio.StreamWriter
    task: asyncio.Task[None]
    is_answered: bool = False
    """Whether an answer is on its way."""


@dataclass(slots=True)
class _Guests:
    """The open lines; in each row the first is who has been silent for longest."""

    limits: LineLimits
    complain: Callable[[str], None]
    strangers: dict[asyncio.Task[None], _Guest] = field(default_factory=dict)
    peers: dict[asyncio.Task[None], _Guest] = field(default_factory=dict)
    turned_away: int = 0

    def add_stranger(self, guest: _Guest) -> None:
        """Give a newcomer a place; who has not said who it is for longest loses its own."""
        if len(self.strangers) >= self.limits.strangers:
            first = next(iter(self.strangers.values()))
            self.remove(first)
            first.writer.transport.abort()
        self.strangers[guest.task] = guest

    def make_peer(self, guest: _Guest) -> bool:
        """Give who has proved to hold the key a peer's place; tell whether there was any."""
        self.strangers.pop(guest.task, None)
        if len(self.peers) >= self.limits.peers:
            silent = next((peer for peer in self.peers.values() if not peer.is_answered), None)
            if silent is None:
                return False
            self.remove(silent)
            silent.writer.transport.abort()
        self.peers[guest.task] = guest
        return True

    def remove(self, guest: _Guest) -> None:
        """Forget who has gone."""
        self.strangers.pop(guest.task, None)
        self.peers.pop(guest.task, None)

    def count_stranger(self, why: str) -> None:
        """Complain of strangers, each time that there are twice as many: no log grows by them."""
        self.turned_away += 1
        if self.turned_away & (self.turned_away - 1) == 0:
            self.complain(f"strangers turned away: {self.turned_away}; the last: {why}")

    def everybody(self) -> list[_Guest]:
        """Return all whose line is open."""
        return [*self.strangers.values(), *self.peers.values()]


async def serve(
    answering: Answering,
    keys: LineKeys,
    host: str,
    port: int,
    ready: Callable[[str, int], None],
    stop: asyncio.Event,
    complain: Callable[[str], None],
    limits: LineLimits = LIMITS,
    randomness: Callable[[int], bytes] = os.urandom,
) -> None:
    """Answer the peer of `keys` on `host`:`port` (0 for any) until `stop` is set.

    `ready` is told the address. Raises `OSError` if it is not free.
    """
    guests = _Guests(limits, complain)

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        guest = _Guest(writer, task)
        guests.add_stranger(guest)
        try:
            seals = await _greet(keys, limits, reader, writer, randomness)
            if guests.make_peer(guest):
                await _Line(answering, guests, guest, reader, seals).converse()
            # Its last answer is to reach who leaves, if it fetches it.
            async with asyncio.timeout(limits.frame):
                writer.close()
                await writer.wait_closed()
        except (ConnectionError, TimeoutError):
            pass  # the peer left, fell silent or fetches nothing
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
        except _Stranger as stranger:
            guests.count_stranger(str(stranger))
        except LineError as error:
            complain(f"hung up on a peer: {error}")
        finally:
            guests.remove(guest)
            writer.transport.abort()

    server = await asyncio.start_server(attend, host, port)
    async with server:
        name = server.sockets[0].getsockname()
        ready(name[0], name[1])
        await stop.wait()
        server.close()
        left = guests.everybody()
        for guest in left:
            guest.writer.transport.abort()
            guest.task.cancel()
        await asyncio.gather(*(guest.task for guest in left), return_exceptions=True)
        await asyncio.sleep(0)  # in which the lines that were hung up on are closed


class _Stranger(Exception):
    """Somebody who has connected and is not the peer."""


async def _greet(
    keys: LineKeys,
    limits: LineLimits,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    randomness: Callable[[int], bytes],
) -> FrameSeals:
    """Return the seals of a line to the pinned peer; raise `_Stranger` for anyone else."""
    greeting = ServerGreeting.begin(keys, randomness)
    try:
        async with asyncio.timeout(limits.greeting):
            writer.write(greeting.challenge)
            welcome, seals = greeting.welcome(await reader.readexactly(PROOF_SIZE))
            writer.write(welcome)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        raise _Stranger("it left") from None
    except TimeoutError:
        raise _Stranger("it did not say who it is") from None
    except LineError as error:
        raise _Stranger(str(error)) from None
    return seals


@dataclass(frozen=True, slots=True)
class _Line:
    """A conversation with a peer."""

    answering: Answering
    guests: _Guests
    guest: _Guest
    reader: asyncio.StreamReader
    seals: FrameSeals

    async def converse(self) -> None:
        """Answer one request after the other until the peer leaves.

        Raises `TimeoutError` where it falls silent, `LineError` where it does not keep to the
        protocol.
        """
        limits, guest = self.guests.limits, self.guest
        while True:
            request = await read_message(self.reader, self.seals, limits.idle, limits.frame)
            if request is None:
                return
            guest.is_answered = True
            async with asyncio.timeout(limits.answer):
                await self._answer(request)
            guest.is_answered = False
            self.guests.peers[guest.task] = self.guests.peers.pop(guest.task, guest)

    async def _answer(self, request: Message) -> None:
        try:
            async with aclosing(self.answering.answer(request)) as answers:
                async for name, items in answers:
                    await self._send(name, *items)
        except ConcentratorRefused as refused:
            await self._send("error", refused.kind, str(refused))
        except (ConcentratorError, OSError) as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise  # of this line
            await self._send("error", "failed", f"it cannot be done: {error}")
        else:
            await self._send("done")

    async def _send(self, name: str, *items: Item) -> None:
        """Send one message; raise `TimeoutError` if the peer does not fetch what there is."""
        self.guest.writer.write(encode(name, *items, seals=self.seals))
        async with asyncio.timeout(self.guests.limits.frame):
            await self.guest.writer.drain()
        await asyncio.sleep(0)  # one who fetches at once must not keep others waiting
