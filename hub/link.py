# SPDX-License-Identifier: Apache-2.0
"""The hub on a network: APDUs in length-prefixed frames, one card connection for each peer.

Nothing here is secret or trusted: anybody may connect, and the card's secure channels decide the
rest (`hub.card.line`). Whoever has not authenticated is a stranger. Limits keep strangers from
filling memory, disk or places, and from keeping out recipients:

    places    `MOST_STRANGERS` for strangers, `MOST_KNOWN` for those who come from where a recipient
              has authenticated before, `MOST_PER_SOURCE` of them of one source
              (`hub.network_source`). A newcomer takes the place of whoever has been there longest,
              from the source that has most. `MOST_RECIPIENTS` are for whoever has authenticated.
    time      an APDU is whole, and its answer fetched, within a minute; from a stranger within
              `STRANGER_SECONDS`, and it leaves or authenticates within `STRANGER_LIFE_SECONDS`. The
              time that the hub works for others does not count.
    work      the next turn is for whom the hub has worked least of late (`hub.turns`), and a
              stranger has `MOST_COMMANDS` on a connection. The answer to a wrong authentication is
              held back, longer each time (`hub.callers`).
    memory    `MOST_HELD` bytes of unfinished commands of strangers, `MOST_HELD_OF_ONE` of one
              source.
    disk      strangers are counted by the day; a recipient's connection is an entry of the log.
"""

import asyncio
import math
import os
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EINVAL
from typing import Final

from hub.callers import Callers
from hub.card.connection import CardConnection
from hub.card.line import Line
from hub.card.open import Card
from hub.disclosure import Disclosure, StrangerCounts
from hub.errors import HubError
from hub.network_source import source_of
from hub.turns import FairTurns
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import MalformedFrame

IDLE_SECONDS: Final = 60
STRANGER_SECONDS: Final = 20
STRANGER_LIFE_SECONDS: Final = 120
PATIENCE_SECONDS: Final = 2
"""How long an authenticated peer that has asked nothing keeps its place when others want it."""
MOST_RECIPIENTS: Final = 16
MOST_KNOWN: Final = 32
MOST_STRANGERS: Final = 64
MOST_PER_SOURCE: Final = 24
MOST_COMMANDS: Final = 16
MOST_HELD: Final = 1 << 25
MOST_HELD_OF_ONE: Final = 1 << 22
TICK_SECONDS: Final = 30
_CHUNK: Final = 1 << 16


class _StrangerTiresUs(Exception):
    """A stranger has asked or sent too much on one connection."""


@dataclass(slots=True)
class _Instant:
    """A moment, and for how long the hub had worked by then; seconds of the loop's clock."""

    time: float
    worked: float


@dataclass(slots=True, eq=False)
class _OpenConnection:
    """An open connection."""

    writer: asyncio.StreamWriter
    connection: CardConnection
    host: str
    source: str
    is_known: bool
    """Whether it came from where a recipient had authenticated before."""
    began: _Instant
    answered: _Instant
    """When its last APDU was answered."""
    received: int = 0
    sent: int = 0
    is_over: bool = False
    given_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_stranger(self) -> bool:
        """Whether nobody has shown a key yet."""
        return not self.connection.has_authenticated


@dataclass(slots=True)
class CallerMemory:
    """What a port remembers of callers; it outlives a new key, for which the hub is opened anew."""

    callers: Callers = field(default_factory=Callers)
    counts: StrangerCounts = field(default_factory=StrangerCounts)
    """Of strangers, not in the hub's file yet."""


class _OpenConnections:
    """The open connections, counted."""

    def __init__(
        self,
        card: Card,
        disclosure: Disclosure,
        complain: Callable[[str], None],
        memory: CallerMemory,
    ) -> None:
        self._card, self._disclosure, self._complain = card, disclosure, complain
        self._memory, self._callers = memory, memory.callers
        self._callers.know(disclosure.strangers.known_sources())
        self._open: list[_OpenConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = FairTurns()
        self._worked = 0.0
        """For how many seconds the hub has worked for peers."""

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one peer's APDUs until it leaves, breaks the framing or falls silent."""
        task, address = asyncio.current_task(), writer.get_extra_info("peername")
        if task is None or address is None:
            writer.transport.abort()
            return
        host, now = str(address[0]), self._now()
        source = source_of(host)
        known = self._callers.is_known(source)
        self._make_room(source, is_known=known)
        connection = self._card.connect(Line.PORT)
        peer = _OpenConnection(writer, connection, host, source, known, now, now)
        self._open.append(peer)
        self._tasks.add(task)
        try:
            await self._converse(peer, reader)
        except (TimeoutError, ConnectionError, MalformedFrame, _StrangerTiresUs):
            pass  # the peer left, fell silent or does not speak the protocol: nothing to answer
        except (HubError, sqlite3.Error) as error:
            self._complain(f"{peer.host}: hung up: {error}")
        finally:
            self._tasks.discard(task)
            if peer in self._open:
                self._open.remove(peer)
            # A peer that fetches nothing would keep a polite goodbye waiting.
            writer.transport.abort() if peer.is_over else writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _now(self) -> _Instant:
        return _Instant(asyncio.get_running_loop().time(), self._worked)

    async def _converse(self, peer: _OpenConnection, reader: asyncio.StreamReader) -> None:
        frames = ApduFrameDecoder()
        try:
            while chunk := await self._next_chunk(peer, reader):
                peer.received += len(chunk)
                for apdu in frames.feed(chunk):
                    await self._answer(peer, apdu)
        except TimeoutError:
            peer.is_over = True
            raise
        finally:
            peer.connection.close()
            counts = self._memory.counts
            counts.wrong += peer.connection.wrong
            if peer.is_stranger:
                counts.connections += 1
                counts.received += peer.received
                counts.sent += peer.sent
            else:
                self._disclosure.record_connection(peer.host, peer.received, peer.sent)

    async def _next_chunk(self, peer: _OpenConnection, reader: asyncio.StreamReader) -> bytes:
        while True:
            try:
                async with asyncio.timeout_at(self._deadline(peer)):
                    return await reader.read(_CHUNK)
            except TimeoutError:
                # Only the peer's own silence counts, not what the hub did for others meanwhile.
                if asyncio.get_running_loop().time() >= self._deadline(peer):
                    raise

    def _deadline(self, peer: _OpenConnection) -> float:
        """Return until when the peer's next bytes must be there."""
        patience, life = (
            (STRANGER_SECONDS, STRANGER_LIFE_SECONDS)
            if peer.is_stranger
            else (IDLE_SECONDS, math.inf)
        )
        return min(
            start.time + seconds + self._worked - start.worked
            for start, seconds in ((peer.answered, patience), (peer.began, life))
        )

    async def _answer(self, peer: _OpenConnection, apdu: bytes) -> None:
        loop, card = asyncio.get_running_loop(), peer.connection
        wrong, stranger = card.wrong, peer.is_stranger
        # A recipient's turns are its applet's, over however many connections; a stranger's are
        # those of where it comes from.
        async with self._turns.turn(peer.source if stranger else card.selected):
            start = loop.time()
            answer = encode_frame(card.transmit(apdu))
            self._worked += loop.time() - start
        if stranger and card.has_authenticated:
            self._let_in(peer)
        if peer.is_stranger and card.commands > MOST_COMMANDS:
            raise _StrangerTiresUs
        if peer.is_stranger and card.held:
            self._bound_memory(peer)
        if card.wrong > wrong:
            delay = self._callers.went_wrong(peer.source, int(loop.time()))
            with suppress(TimeoutError):
                await asyncio.wait_for(peer.given_up.wait(), delay)
        peer.sent += len(answer)
        peer.writer.write(answer)
        peer.answered = self._now()
        async with asyncio.timeout_at(peer.answered.time + IDLE_SECONDS):
            await peer.writer.drain()
        await asyncio.sleep(0)  # one who asks without end must not keep others waiting

    def _let_in(self, peer: _OpenConnection) -> None:
        """Give a recipient that has authenticated a place among such, which no stranger takes.

        Raises `ConnectionAbortedError` where all of them hold keys, and work.
        """
        if self._callers.authenticated(peer.source):
            self._disclosure.strangers.remember_source(peer.source)
        others = [one for one in self._open if not one.is_stranger and one is not peer]
        if len(others) >= MOST_RECIPIENTS:
            victim = min(others, key=lambda one: one.answered.time)
            if self._now().time - victim.answered.time < PATIENCE_SECONDS:
                raise ConnectionAbortedError
            self._give_up(victim)

    def _make_room(self, source: str, *, is_known: bool) -> None:
        """See to a place for a newcomer, by hanging up on another stranger if need be."""
        strangers = [one for one in self._open if one.is_stranger]
        own = [one for one in strangers if one.source == source]
        if len(own) >= MOST_PER_SOURCE:
            self._give_up(_longest_waiting(own))
            return
        room = [one for one in strangers if one.is_known is is_known]
        if len(room) >= (MOST_KNOWN if is_known else MOST_STRANGERS):
            self._give_up(_longest_waiting(room))

    def _bound_memory(self, peer: _OpenConnection) -> None:
        """Hang up on the stranger that keeps most where strangers keep too much."""
        strangers = [one for one in self._open if one.is_stranger]
        own = sum(one.connection.held for one in strangers if one.source == peer.source)
        if own > MOST_HELD_OF_ONE:
            raise _StrangerTiresUs
        if sum(one.connection.held for one in strangers) > MOST_HELD:
            self._give_up(max(strangers, key=lambda one: one.connection.held))

    def _give_up(self, victim: _OpenConnection) -> None:
        self._memory.counts.turned_away += victim.is_stranger
        self._open.remove(victim)
        _hang_up(victim)

    def keep_counts(self) -> None:
        """Put what was counted of strangers into the hub's file."""
        if not self._memory.counts.is_empty:
            self._disclosure.strangers.add(self._memory.counts)
            self._memory.counts = StrangerCounts()

    async def dismiss(self) -> None:
        """Hang up on every peer and wait until their connections are on record."""
        tasks = list(self._tasks)
        for peer in self._open:
            _hang_up(peer)
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            self.keep_counts()
        except (HubError, sqlite3.Error) as error:  # such as a new key: they stay in memory
            self._complain(f"strangers are not counted yet: {error}")


def _hang_up(peer: _OpenConnection) -> None:
    peer.writer.transport.abort()
    peer.given_up.set()  # it may be waiting out a delay


def _longest_waiting(strangers: Iterable[_OpenConnection]) -> _OpenConnection:
    """Return which stranger gives way: the longest there, from the source that has most.

    Of one source, those come first that were wrong and wait for the answer: so somebody who comes
    with a key from where others guess is not the one.
    """
    candidates = list(strangers)
    crowds = Counter(one.source for one in candidates)
    return min(
        candidates,
        key=lambda one: (-crowds[one.source], not one.connection.wrong, one.began.time),
    )


async def serve(
    card: Card,
    disclosure: Disclosure,
    host: str,
    port: int,
    ready: Callable[[str, int], None],
    stop: asyncio.Event,
    tick: Callable[[], object],
    complain: Callable[[str], None],
    memory: CallerMemory | None = None,
) -> None:
    """Answer peers on `host`:`port` (0 for any) until `stop` is set.

    `ready` is told the address once peers can connect; `tick` is called now and then, for what is
    due without anybody asking; `complain` is told when the hub's own database stops a conversation.
    `memory` goes from one call to the next, where the hub's folder is opened again.
    Raises `OSError`, naming the address, if it is not free.
    """
    peers = _OpenConnections(card, disclosure, complain, memory or CallerMemory())
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
                peers.keep_counts()
            except (HubError, sqlite3.Error) as error:
                complain(str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
        server.close()
        await peers.dismiss()
