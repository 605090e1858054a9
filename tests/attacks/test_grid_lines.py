# SPDX-License-Identifier: Apache-2.0
"""Peers and strangers on the lines between MDMS, concentrator and trustee, over real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.aggregation.messages import Instruction
from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.round import Round
from tests.support.aggregation import COLLECTOR_KEY, NONCE, public_of
from tests.support.mdms import new_mdms
from tests.support.region import Region, built
from tests.support.stand_in import (
    ASKER,
    ASKER_KEYS,
    SERVER,
    SERVER_KEYS,
    asking,
    line_to,
    listed,
    running,
)
from tests.support.waiting import PATIENCE, wait_until
from utility_server.grid import rpc
from utility_server.grid.concentrator.errors import ConcentratorRefused, LineError
from utility_server.grid.concentrator.hubs import Hubs
from utility_server.grid.concentrator.server import LIMITS, MOST_STRANGERS
from utility_server.grid.concentrator.service import Concentrator
from utility_server.grid.mdms import control_socket
from utility_server.grid.mdms.control_socket import MdmsServer, PinnedPeer
from utility_server.grid.pinned_line import (
    CHALLENGE_SIZE,
    LABEL,
    PROOF_SIZE,
    ClientGreeting,
    FrameSeals,
    LineKeys,
    NotThePeer,
    ServerGreeting,
)
from utility_server.grid.rpc import Connection, Message, encode
from utility_server.grid.trustee import Trustee
from utility_server.head_end import Address

QUICK = replace(LIMITS, greeting=1, frame=1)
"""Limits that a test can wait for."""
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))


@pytest.fixture
def concentrator(tmp_path: Path) -> Concentrator:
    return Concentrator(listed(tmp_path / "hubs.json", [], []), bytes(32), asking(), SERVER)


def dial(address: Address, buffer: int = 1 << 16) -> socket.socket:
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    line.settimeout(PATIENCE)
    line.connect((address.host, address.port))
    return line


def greet(line: socket.socket, keys: LineKeys = ASKER_KEYS) -> FrameSeals:
    """Prove who we are, as a peer does."""
    greeting = ClientGreeting.begin(keys, read(line, CHALLENGE_SIZE), random_bytes)
    line.sendall(greeting.proof)
    return greeting.finish(read(line, 64))


def random_bytes(size: int) -> bytes:
    return bytes(Ed25519PrivateKey.generate().private_bytes_raw())[:size]


def read(line: socket.socket, size: int) -> bytes:
    data = line.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise ConnectionResetError
    return data


def rest_of(line: socket.socket) -> bytes:
    """Return what comes until the other end hangs up."""
    came = b""
    with suppress(ConnectionResetError, BrokenPipeError):
        while chunk := line.recv(1 << 16):
            came += chunk
    return came


def status(address: Address) -> list[str]:
    with line_to(address) as line:
        return [name for name, _ in line.ask("status")]


# Peers that do not go on.


class Talker:
    """Answers one request with more than a line holds unread, and any other at once."""

    def __init__(self) -> None:
        self.is_done = False

    async def answer(self, request: Message) -> AsyncGenerator[Message, None]:
        try:
            for _ in range(1000 if request[0] == "everything" else 1):
                yield "status", (bytes(1 << 16),)
        finally:
            self.is_done |= request[0] == "everything"


def test_a_peer_that_does_not_read_keeps_nobody_waiting_and_is_hung_up_on() -> None:
    """It asks on, and takes no answer: within the limit its answer is given up."""
    talker = Talker()
    with running(talker, QUICK) as address, dial(address, 4096) as stalled:
        seals = greet(stalled)
        for _ in range(100):
            stalled.sendall(encode("everything", seals=seals))
        begun = time.monotonic()
        for _ in range(5):
            assert status(address) == ["status", "done"]
        assert time.monotonic() - begun < PATIENCE / 2
        wait_until(lambda: talker.is_done)
        assert len(rest_of(stalled)) < 1000 << 16  # hung up on
        assert status(address) == ["status", "done"]


def test_a_hub_that_does_not_answer_keeps_no_other_peer_waiting(tmp_path: Path) -> None:
    """The concentrator waits for it, in one peer's round; another peer is answered meanwhile."""
    is_asked, goes_on = threading.Event(), threading.Event()
    with built(tmp_path) as region, running(region.concentrator) as address:
        answer = region.hubs[2].answer

        def slow(step: Instruction, parts: Sequence[bytes]) -> bytes:
            is_asked.set()
            assert goes_on.wait(PATIENCE)
            return answer(step, parts)

        region.hubs[2].answer = slow  # type: ignore[method-assign]
        names: list[str] = []

        def collect() -> None:
            with line_to(address) as line:
                announced = announced_in(region).encode()
                names.extend(name for name, _ in line.ask("collect", announced))

        thread = threading.Thread(target=collect)
        thread.start()
        assert is_asked.wait(PATIENCE)
        assert status(address) == ["status", "done"]
        assert names == []
        goes_on.set()
        thread.join(PATIENCE)
        assert names == ["batch", "done"]


@pytest.mark.parametrize("known", [True, False], ids=["peer", "stranger"])
def test_whoever_sends_a_byte_now_and_then_is_hung_up_on_in_time(
    concentrator: Concentrator, known: bool
) -> None:
    with running(concentrator, QUICK) as address, dial(address) as slow:
        data = bytes(PROOF_SIZE)
        if known:
            data = encode("status", seals=greet(slow))
        begun = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for place in range(len(data)):
                slow.sendall(data[place : place + 1])
                assert status(address) == ["status", "done"]
                time.sleep(0.2)
        assert time.monotonic() - begun < PATIENCE


def test_a_peer_that_asks_nothing_loses_its_place_to_one_that_asks(
    concentrator: Concentrator,
) -> None:
    with ExitStack() as stack:
        address = stack.enter_context(running(concentrator))
        idle = [stack.enter_context(dial(address)) for _ in range(LIMITS.peers)]
        for line in idle:
            greet(line)
        assert status(address) == ["status", "done"]
        assert rest_of(idle[0]) == b""


# Strangers.


def test_a_stranger_is_told_nothing_and_ends_no_round(tmp_path: Path) -> None:
    """`end`, in the form of release 0.1 and in ours without the key, while a round is open."""
    with built(tmp_path) as region, running(region.concentrator) as address:
        announced = announced_in(region)
        with line_to(address) as line:
            assert [name for name, _ in line.ask("collect", announced.encode())][-1] == "done"
            forged = encode("end", announced.digest)
            for data in (forged, bytes(PROOF_SIZE) + forged, LABEL * 6 + forged, b""):
                with dial(address) as stranger:
                    stranger.sendall(data)
                    stranger.shutdown(socket.SHUT_WR)
                    assert len(rest_of(stranger)) in (0, CHALLENGE_SIZE)
            with pytest.raises(LineError), Connection.open(address, PATIENCE, stranger_keys()):
                pass
            evidence = [name for name, _ in line.ask("evidence", announced.digest)]
            assert evidence == ["contribution"] * 7 + ["done"]


def stranger_keys() -> LineKeys:
    return LineKeys(STRANGER, ASKER_KEYS.peer)


def announced_in(region: Region, number: int = 0) -> Round:
    members = tuple(hub.home.member(bytes([number]) + NONCE[1:]) for hub in region.hubs)
    return Round.announce(
        region.terms, bytes([number]) + NONCE[1:], region.workspace.now() + 3600,
        COLLECTOR_KEY, members, region.workspace.signing.private_bytes_raw(),
    )  # fmt: skip


def test_who_has_not_the_pinned_key_is_turned_away_by_name(concentrator: Concentrator) -> None:
    with (
        running(concentrator) as address,
        pytest.raises(LineError, match="does it know our public key"),
        Connection.open(address, PATIENCE, stranger_keys()),
    ):
        pass


@contextmanager
def impostor(reply: Callable[[socket.socket], None]) -> Iterator[tuple[Address, list[bytes]]]:
    """Listen, and do what `reply` does with the first who connects; yield what came then."""
    heard: list[bytes] = []

    def attend() -> None:
        line, _ = server.accept()
        line.settimeout(PATIENCE)
        with line, suppress(OSError, LineError):
            reply(line)
            heard.append(rest_of(line))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=attend)
        thread.start()
        try:
            yield Address("127.0.0.1", server.getsockname()[1]), heard
        finally:
            thread.join(PATIENCE)


def test_an_impostor_with_another_key_is_asked_nothing() -> None:
    """It may even know the real concentrator's key, and relay what that has signed elsewhere."""
    keys = LineKeys(STRANGER, SERVER_KEYS.peer)

    def reply(line: socket.socket) -> None:
        greeting = ServerGreeting.begin(keys, random_bytes)
        line.sendall(greeting.challenge)
        proof = read(line, PROOF_SIZE)
        # The proof is for the real one: here it proves nothing.
        with pytest.raises(NotThePeer):
            greeting.welcome(proof)
        line.sendall(bytes(64))

    with (
        impostor(reply) as (address, heard),
        pytest.raises(LineError, match="does not hold the key that it is known by"),
        Connection.open(address, PATIENCE, ASKER_KEYS) as line,
    ):
        list(line.ask("status"))
    assert heard == [b""]


def test_a_proof_is_good_for_one_line_only(concentrator: Concentrator) -> None:
    with running(concentrator) as address, dial(address) as first, dial(address) as second:
        greeting = ClientGreeting.begin(ASKER_KEYS, read(first, CHALLENGE_SIZE), random_bytes)
        first.sendall(greeting.proof)
        read(first, 64)
        read(second, CHALLENGE_SIZE)
        second.sendall(greeting.proof)
        assert rest_of(second) == b""


@pytest.mark.parametrize("change", ["altered", "repeated", "left out", "plain"])
def test_a_frame_that_is_not_the_next_one_ends_the_line_and_does_nothing(
    concentrator: Concentrator, change: str
) -> None:
    complaints: list[str] = []
    with running(concentrator, complaints=complaints) as address, dial(address) as line:
        seals = greet(line)
        frame = encode("status", seals=seals)
        match change:
            case "altered":
                line.sendall(frame[:-1] + bytes([frame[-1] ^ 1]))
            case "repeated":
                line.sendall(frame)
                for _ in range(2):
                    read(line, int.from_bytes(read(line, 4), "big"))
                line.sendall(frame)
            case "left out":
                line.sendall(encode("status", seals=seals))
            case "plain":
                line.sendall(encode("status"))
        assert rest_of(line) == b""
        wait_until(lambda: len(complaints) == 1)
        assert status(address) == ["status", "done"]
    assert "altered on its way, or is not the next one" in complaints[0]


def test_a_flood_of_strangers_takes_no_peers_place_and_fills_no_log(
    concentrator: Concentrator,
) -> None:
    complaints: list[str] = []
    flood = 4 * MOST_STRANGERS
    with ExitStack() as stack:
        address = stack.enter_context(running(concentrator, complaints=complaints))
        peer = stack.enter_context(line_to(address))
        lines = []
        for number in range(flood):
            lines.append(stack.enter_context(dial(address)))
            if number % 32 == 0:
                assert status(address) == ["status", "done"]
        assert [name for name, _ in peer.ask("status")] == ["status", "done"]
        assert status(address) == ["status", "done"]
        # No more than their places are held open.
        for line in lines[: flood - MOST_STRANGERS]:
            assert len(rest_of(line)) in (0, CHALLENGE_SIZE)
    assert len(complaints) <= 10


# Servers that do not go on, and how long an MDMS waits for them.


def test_a_server_that_drips_is_left_in_time() -> None:
    def drip(line: socket.socket) -> None:
        greeting = ServerGreeting.begin(SERVER_KEYS, random_bytes)
        line.sendall(greeting.challenge)
        welcome, seals = greeting.welcome(read(line, PROOF_SIZE))
        line.sendall(welcome)
        for byte in encode("status", 1, 2, 3, 4, 5, 6, seals=seals) * 100:
            line.sendall(bytes([byte]))
            time.sleep(0.3)

    begun = time.monotonic()
    with (
        impostor(drip) as (address, _),
        pytest.raises(LineError, match="timed out"),
        Connection.open(address, 1.5, ASKER_KEYS) as line,
    ):
        list(line.ask("status"))
    assert time.monotonic() - begun < PATIENCE


@pytest.mark.parametrize("limit", ["ANSWER_SECONDS", "LARGEST_ANSWER"])
def test_an_answer_that_does_not_end_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(rpc, limit, {"ANSWER_SECONDS": 1, "LARGEST_ANSWER": 10_000}[limit])

    def never_done(line: socket.socket) -> None:
        greeting = ServerGreeting.begin(SERVER_KEYS, random_bytes)
        line.sendall(greeting.challenge)
        welcome, seals = greeting.welcome(read(line, PROOF_SIZE))
        line.sendall(welcome)
        while True:
            line.sendall(encode("absent", b"meter", "contribute", "x" * 100, seals=seals))
            time.sleep(0.001)

    with (
        impostor(never_done) as (address, _),
        pytest.raises(LineError, match="timed out|an answer of more than"),
        Connection.open(address, PATIENCE, ASKER_KEYS) as line,
    ):
        for _ in line.ask("collect", b"round"):
            pass


# What is under way.


def test_a_round_that_is_being_collected_is_ended_by_nobody_else_and_kept_for_nobody(
    tmp_path: Path,
) -> None:
    async def main(region: Region) -> None:
        concentrator, announced = region.concentrator, announced_in(region)
        collecting = concentrator.answer(("collect", (announced.encode(),)))
        assert (await anext(collecting))[0] == "absent"
        for request in ("end", "evidence", "points"):
            with pytest.raises(ConcentratorRefused, match="being collected"):
                async for _ in concentrator.answer((request, (announced.digest,))):
                    pass
        (_, held) = await anext(concentrator.answer(("status", ())))
        assert held[0] == 1
        await collecting.aclose()
        (_, held) = await anext(concentrator.answer(("status", ())))
        assert held[:2] == (0, 0)

    with built(tmp_path) as region:
        region.hubs[2].silent = {Instruction.CONTRIBUTE}
        asyncio.run(main(region))
        # Hubs that were being asked have answered before their loop ends.
        assert isinstance(region.concentrator.hubs, Hubs)
        region.concentrator.hubs._threads.shutdown(wait=True)


# The trustee.


def test_a_trustee_opens_nothing_of_a_round_that_is_over(tmp_path: Path) -> None:
    with built(tmp_path) as region:
        trustee, announced = region.split(), announced_in(region)
        later = region.workspace.now() + 3600
        trustee.now = lambda: later
        with pytest.raises(RoundRefused, match="over"):
            trustee._round(announced.encode())


def test_an_operator_cannot_have_a_trustee_forget_what_it_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utility_server.grid.trustee.MOST_REMEMBERED", 2)
    with built(tmp_path) as region:
        trustee = region.split()
        first, second, third = (announced_in(region, number) for number in range(3))
        trustee._remember(first, b"product")
        trustee._remember(second, b"product")
        with pytest.raises(RoundRefused, match="no room"):
            trustee._remember(third, b"product")
        with pytest.raises(RoundRefused, match="another sum"):
            trustee._remember(first, b"other product")
        later = region.workspace.now() + 3600
        trustee.now = lambda: later
        trustee._remember(replace(third, valid_until=later + 1), b"product")


def test_a_trustee_is_known_by_a_key_of_its_share(tmp_path: Path) -> None:
    with built(tmp_path) as region:
        one = region.split()
        other = Trustee(one.share, b"", (), 5)
        assert public(other.line_key) == public(one.line_key)
        assert public(one.line_key) != public_of(one.share.encode()[:32])
        assert public(one.line_key) != public(ASKER)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


# The MDMS's own socket.


def test_an_mdms_waits_for_a_request_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_socket, "ASKING_SECONDS", 1)
    new_mdms(tmp_path / "mdms").close()
    server = MdmsServer(tmp_path / "mdms", PinnedPeer(Address("127.0.0.1", 1), bytes(32)))
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            for byte in encode("aggregate", "North", b"x" * 1000):
                theirs.sendall(bytes([byte]))
                if stop.wait(0.1):
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    begun = time.monotonic()
    with ours, theirs, pytest.raises(LineError, match="timed out"):
        server._attend(ours)
    stop.set()
    thread.join(PATIENCE)
    assert time.monotonic() - begun < PATIENCE / 2


def test_an_operator_that_does_not_read_holds_up_a_round_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control_socket, "ASKING_SECONDS", 0.5)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        listener = control_socket._Listener(ours)
        begun = time.monotonic()
        for _ in range(50):
            listener.say(bytes(1 << 20))
        assert time.monotonic() - begun < PATIENCE / 2
        assert listener.has_left
