# SPDX-License-Identifier: Apache-2.0
"""Hubs that do what the protocol asks, without a device around them; and concentrators to ask them.

Each hub listens on a port of its own, as real ones do; they share a thread.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.aggregation.messages import (
    ROUND_NONCE_SIZE,
    Instruction,
    StepAnswer,
    StepRequest,
)
from protocols.aggregation.errors import AggregationError, MalformedMessage
from protocols.aggregation.household import RoundHousehold
from protocols.aggregation.members import MemberKeys
from protocols.aggregation.messages import Contributors, PairPoints
from protocols.aggregation.rosters import Roster, named_contributors, named_round
from protocols.aggregation.round import Round
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.platform.errors import StatusWord
from tests.support.aggregation import COLLECTOR, Home, encryptor
from tests.support.waiting import PATIENCE
from utility_server.grid.concentrator.hubs import Hubs
from utility_server.grid.concentrator.round_commands import APPLET
from utility_server.grid.concentrator.server import LIMITS, Answering, LineLimits, serve
from utility_server.grid.pinned_line import LineKeys
from utility_server.grid.rpc import Connection
from utility_server.head_end import Address


class StandIn:
    """One household's hub; tests replace what it does."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.round: Round | None = None
        self.silent: set[Instruction] = set()
        """What it does not answer."""
        self.applets = {APPLET}
        """What is installed."""
        self.is_of_before = False
        """Whether it knows nothing of names for rosters and lists."""
        self.rosters: dict[bytes, Roster] = {}
        self.listed: dict[bytes, bytes] = {}
        self.asked: list[StepRequest] = []

    def answer(self, step: Instruction, parts: Sequence[bytes]) -> bytes:
        home = self.home
        if not self.is_of_before:
            parts = self.in_full(parts)
        if step is Instruction.TELL_KEYS:
            nonce = parts[0][:ROUND_NONCE_SIZE]
            secret = home.secret_for(nonce)
            return MemberKeys.issue(nonce, home.meter, secret, home.certifier).encode()
        if step is Instruction.CONTRIBUTE:
            self.round = Round.decode(parts[0])
            roster = Roster.of(self.round)
            self.rosters[roster.digest] = roster
            key, exponent = self.round.terms.key, self.round.terms.exponent_bits
            return home.contribute(self.round, encryptor(key.bits, exponent))
        household: RoundHousehold = home.household
        contributors = Contributors.decode(parts[0])
        self.listed[contributors.digest] = parts[0]
        if step is Instruction.AGREE:
            return household.agree(contributors, home.contribution).encode()
        if step is Instruction.OPEN:
            signatures = [parts[1][at : at + 64] for at in range(0, len(parts[1]), 64)]
            return household.open(contributors, signatures, home.blinding).encode()
        if step is Instruction.SHOW_POINTS:
            return household.pair_points(contributors).encode()
        return household.pair_key(contributors, PairPoints.decode(parts[1])).encode()

    def in_full(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """Return the parts with what they name in place of its name."""
        if (announced := named_round(parts[0])) is not None:
            return [announced.announcement(self.rosters[announced.roster])]
        if (contributors := named_contributors(parts[0])) is not None:
            return [self.listed[contributors.contributors], *parts[1:]]
        return parts

    def transmit(self, apdu: bytes) -> bytes:
        command = CommandApdu.decode(apdu)
        if command.ins == 0xA4:
            status = 0x9000 if command.data in self.applets else 0x6A82
            return ResponseApdu(b"", status).encode()
        step = Instruction(command.ins)
        if step in self.silent:
            return ResponseApdu(b"", 0x6400).encode()
        request = StepRequest.decode(command.data)
        assert (request.meter, request.step) == (self.home.meter, step)
        self.asked.append(request)
        try:
            content = self.answer(step, request.parts)
        except KeyError:
            return ResponseApdu(b"", StatusWord.NOT_FOUND).encode()
        except MalformedMessage:
            return ResponseApdu(b"", StatusWord.WRONG_DATA).encode()
        except AggregationError:
            return ResponseApdu(b"", 0x6985).encode()
        answer = StepAnswer(request.meter, request.nonce, step, content)
        return ResponseApdu(answer.encode(), 0x9000).encode()


@contextmanager
def listening(hubs: Sequence[StandIn]) -> Iterator[list[Address]]:
    """Let the hubs listen; yield their addresses."""

    async def attend(
        hub: StandIn, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        frames = ApduFrameDecoder()
        try:
            while chunk := await reader.read(1 << 16):
                for apdu in frames.feed(chunk):
                    writer.write(encode_frame(hub.transmit(apdu)))
                    await writer.drain()
        finally:
            writer.close()

    async def start() -> list[Address]:
        addresses = []
        for hub in hubs:
            server = await asyncio.start_server(partial(attend, hub), "127.0.0.1", 0)
            servers.append(server)
            addresses.append(Address("127.0.0.1", server.sockets[0].getsockname()[1]))
        return addresses

    async def stop() -> None:
        for server in servers:
            server.close()

    servers: list[asyncio.Server] = []
    with loop_in_thread() as call:
        yield call(start())
        call(stop())


@contextmanager
def loop_in_thread() -> Iterator[Callable[[Any], Any]]:
    """Run an event loop in a thread; yield what runs a coroutine there and waits for it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with_cancelled(loop, task)
        loop.run_until_complete(asyncio.sleep(0))  # in which lines are closed
        loop.close()


def with_cancelled(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any]") -> None:
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        return


SERVER = Ed25519PrivateKey.from_private_bytes(COLLECTOR)
ASKER = Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
"""What the two ends of a line prove with who they are."""
SERVER_KEYS = LineKeys(SERVER, ASKER.public_key().public_bytes_raw())
ASKER_KEYS = LineKeys(ASKER, SERVER.public_key().public_bytes_raw())


def line_to(address: Address) -> AbstractContextManager[Connection]:
    """Connect to what `running` runs, as the one that it answers."""
    return Connection.open(address, PATIENCE, ASKER_KEYS)


@contextmanager
def running(
    answering: Answering, limits: LineLimits = LIMITS, complaints: list[str] | None = None
) -> Iterator[Address]:
    """Let a concentrator or trustee serve; yield its address."""
    found: list[Address] = []
    is_ready = threading.Event()

    def ready(host: str, port: int) -> None:
        found.append(Address(host, port))
        is_ready.set()

    async def make() -> asyncio.Event:
        return asyncio.Event()

    with loop_in_thread() as call:
        stop = call(make())

        async def main() -> None:
            said = [] if complaints is None else complaints
            await serve(answering, SERVER_KEYS, "127.0.0.1", 0, ready, stop, said.append, limits)

        async def begin() -> "asyncio.Task[None]":
            return asyncio.create_task(main())

        async def end() -> None:
            stop.set()
            await task

        task = call(begin())
        assert is_ready.wait(PATIENCE)
        try:
            yield found[0]
        finally:
            call(end())


def listed(path: Path, hubs: Sequence[StandIn], addresses: Sequence[Address]) -> Path:
    """Write the file that tells a concentrator of its hubs."""
    entries = [
        {
            "meter": hub.home.meter.hex(),
            "region": hub.home.region,
            "address": f"{address.host}:{address.port}",
        }
        for hub, address in zip(hubs, addresses, strict=True)
    ]
    path.write_text(json.dumps({"format": "meterlet hubs 1", "hubs": entries}))
    return path


def asking(at_once: int = 8) -> Hubs:
    return Hubs(at_once, PATIENCE)
