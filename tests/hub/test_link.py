# SPDX-License-Identifier: Apache-2.0
"""The hub's door to the network, with peers that mean no good on the other side."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from hub import link
from hub.card.line import Line
from hub.card.open import Card
from hub.disclosure import Disclosure, StrangerCounts
from hub.vault.vault import KeyReplaced
from tests.support import port as hub_port
from tests.support.port import Talk, is_dropped, meet
from tests.support.waiting import PATIENCE

ASK = bytes.fromhex("0000000400a40400")
ANSWER = bytes.fromhex("00000002") + b"\x90\x00"


@dataclass(slots=True)
class Hub:
    """Answers 9000 to whatever is asked, and keeps the record of connections."""

    answer: bytes = b"\x90\x00"
    selected: bytes | None = None
    broken: bool = False
    key_is_old: bool = False
    lets_in: bool = True
    """Whether the first command of a conversation authenticates."""
    asked: int = 0
    known: list[str] = field(default_factory=list)
    counted: StrangerCounts = field(default_factory=StrangerCounts)
    connections: list[tuple[str, int, int]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def strangers(self) -> "Hub":
        return self

    def connect(self, line: Line) -> "Conversation":
        assert line is Line.PORT
        return Conversation(self)

    def known_sources(self) -> list[str]:
        return self.known

    def remember_source(self, source: str) -> None:
        self.known.append(source)

    def add(self, counts: StrangerCounts) -> None:
        if self.key_is_old:
            raise KeyReplaced(Path("hub.db"), "vault")
        self.counted = counts

    def record_connection(self, peer: str, received: int, sent: int) -> None:
        self.connections.append((peer, received, sent))


@dataclass(slots=True)
class Conversation:
    """One connection to such a hub."""

    hub: Hub
    has_authenticated: bool = False
    wrong: int = 0
    commands: int = 0
    held: int = 0
    selected: bytes | None = None

    def transmit(self, apdu: bytes) -> bytes:
        if self.hub.broken:
            raise sqlite3.OperationalError("database or disk is full")
        self.hub.asked += 1
        self.has_authenticated = self.hub.lets_in
        return self.hub.answer

    def close(self) -> None: ...


def serve(hub: Hub, talk: Talk, memory: link.CallerMemory | None = None) -> None:
    hub_port.serve(cast("Card", hub), cast("Disclosure", hub), talk, hub.complaints.append, memory)


def test_a_new_key_neither_stops_the_port_nor_makes_it_forget_strangers() -> None:
    async def talk(port: int) -> None:
        reader, writer = await meet(port)
        writer.write(ASK)
        assert await reader.readexactly(len(ANSWER)) == ANSWER

    memory = link.CallerMemory()
    replaced = Hub(lets_in=False, key_is_old=True)
    serve(replaced, talk, memory)
    assert "new key" in replaced.complaints[-1]
    assert memory.callers.went_wrong("192.0.2.1", 5) == 0.5
    opened_again = Hub()

    async def nobody_comes(_: int) -> None: ...

    serve(opened_again, nobody_comes, memory)
    assert opened_again.counted == StrangerCounts(connections=1, received=8, sent=6)
    assert memory.callers.went_wrong("192.0.2.1", 6) == 1.0


def test_a_peer_is_answered_and_put_on_record() -> None:
    async def talk(port: int) -> None:
        reader, writer = await meet(port)
        for byte in ASK + ASK:  # however the network cuts it
            writer.write(bytes([byte]))
            await writer.drain()
        assert await reader.readexactly(2 * len(ANSWER)) == ANSWER + ANSWER
        writer.close()

    hub = Hub()
    serve(hub, talk)
    assert hub.connections == [("127.0.0.1", 2 * len(ASK), 2 * len(ANSWER))]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", bytes(8), b"\xff" * 100_000])
def test_a_peer_that_speaks_something_else_is_dropped(garbage: bytes) -> None:
    async def talk(port: int) -> None:
        reader, writer = await meet(port)
        writer.write(garbage)
        assert await is_dropped(reader)

    hub = Hub(lets_in=False)
    serve(hub, talk)
    assert hub.connections == []  # nothing was told, nothing is kept but the count
    assert hub.counted.connections == 1


def test_an_apdu_that_drips_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(link, "STRANGER_SECONDS", 0.5)

    async def talk(port: int) -> None:
        reader, writer = await meet(port)
        writer.write((1000).to_bytes(4, "big"))
        dropped = asyncio.create_task(is_dropped(reader))
        while not dropped.done():
            writer.write(b"\0")
            await asyncio.sleep(0.1)
        assert dropped.result()

    serve(Hub(), talk)


def test_a_peer_that_never_fetches_its_answers_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.5)

    async def talk(port: int) -> None:
        _, greedy = await meet(port)
        greedy.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
        greedy.write(ASK * 1000)
        while not hub.connections:
            await asyncio.sleep(0.05)

    hub = Hub(answer=bytes(60_000))
    serve(hub, talk)
    ((_, _, sent),) = hub.connections
    assert sent < 1000 * 60_000


def test_one_who_asks_without_end_does_not_keep_others_waiting() -> None:
    async def talk(port: int) -> None:
        _, greedy = await meet(port)
        greedy.write(ASK * 8000)
        reader, writer = await meet(port)
        writer.write(ASK)
        assert await reader.readexactly(len(ANSWER)) == ANSWER
        assert hub.asked < 8001  # the greedy one has not had all of its answers

    hub = Hub()
    serve(hub, talk)


def test_the_silent_give_way_to_a_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PATIENCE_SECONDS", PATIENCE)

    async def talk(port: int) -> None:
        peers = [await meet(port) for _ in range(link.MOST_RECIPIENTS)]
        for reader, writer in peers:
            writer.write(ASK)
            assert await reader.readexactly(len(ANSWER)) == ANSWER
        reader, writer = await meet(port)
        writer.write(ASK)
        assert await is_dropped(reader)  # all hold keys, and have just asked
        monkeypatch.setattr(link, "PATIENCE_SECONDS", 0)
        for _, writer in peers[1:]:
            writer.write(ASK)
        for place, (reader, _) in enumerate(peers[1:], start=1):
            assert await reader.readexactly(len(ANSWER)) == ANSWER, place
        reader, writer = await meet(port)
        writer.write(ASK)
        assert await reader.readexactly(len(ANSWER)) == ANSWER
        assert await is_dropped(peers[0][0])

    serve(Hub(known=["127.0.0.1"]), talk)


def test_a_database_that_fails_ends_a_conversation_in_one_line() -> None:
    async def talk(port: int) -> None:
        reader, writer = await meet(port)
        writer.write(ASK)
        assert await is_dropped(reader)
        hub.broken = False
        reader, writer = await meet(port)
        writer.write(ASK)
        assert await reader.readexactly(len(ANSWER)) == ANSWER

    hub = Hub(broken=True)
    serve(hub, talk)
    assert hub.complaints == ["127.0.0.1: hung up: database or disk is full"]
