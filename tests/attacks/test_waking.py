# SPDX-License-Identifier: Apache-2.0
"""Attacks on wake-ups: by other hubs, by whoever can publish, and by the broker itself.

A wake-up proves nothing. The worst that one may do is to have the hub poll a few times more.
"""

import asyncio
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hub.dialling import wake_line
from hub.dialling.events import Fact, Kind
from hub.dialling.wake_calls import AT_ONCE, WakeCalls
from hub.dialling.wake_line import WakeLine
from meterlet.commands.main import main
from meterlet.commands.utility_wake import authority_of
from protocols.remote_admin.parameters import PostParameters, SessionParameters, Trigger
from protocols.remote_admin.wake import WAKE, BrokerAddress, wake_topic
from tests.support.broker import client_context, mqtt_client, publish
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wake_world import METER, NEIGHBOUR, World, open_world, write_identity
from utility_server.gateway import waking
from utility_server.gateway.serving import server_context
from utility_server.gateway.waking import Waker
from utility_server.retail.utility import Utility

ELSEWHERE: Final = Trigger(SessionParameters(post=PostParameters(host="evil.example"))).encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@dataclass
class Hub:
    """What a hub hears."""

    calls: WakeCalls = field(default_factory=lambda: WakeCalls(lambda: 0.0))
    told: list[tuple[Kind, dict[str, Fact]]] = field(default_factory=list)
    dialled: int = 0

    def kinds(self) -> list[Kind]:
        return [kind for kind, _ in self.told]

    def why(self) -> str:
        wait_until(lambda: Kind.WAKE_DOWN in self.kinds(), "the end of the connection")
        return str(next(facts["why"] for kind, facts in self.told if kind is Kind.WAKE_DOWN))


@contextmanager
def listening(world: World, address: BrokerAddress | None = None) -> Iterator[Hub]:
    """A hub that hears wake-ups, and dials in no time at all for each that counts."""
    hub, over = Hub(), threading.Event()
    line = WakeLine(
        address or BrokerAddress("localhost", world.broker.port),
        world.recipient(METER).broker_context,
        METER,
        hub.calls,
        lambda kind, facts: hub.told.append((kind, facts)),
        uniform=lambda: 0.0,
    )

    def dial() -> None:
        while not over.is_set():
            hub.calls.wait(0.01)
            hub.dialled += hub.calls.take()

    threads = [
        threading.Thread(target=target, daemon=True) for target in (lambda: line.run(over), dial)
    ]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


@contextmanager
def woken_hub(world: World) -> Iterator[Hub]:
    with listening(world) as hub:
        wait_until(lambda: Kind.WAKE_UP in hub.kinds(), f"the broker {hub.told}")
        yield hub


# Whoever has no business at the broker


def test_a_neighbours_hub_wakes_nobody_and_hears_nobody_woken(world: World) -> None:
    heard: list[str] = []

    def on_message(_client: Any, _data: Any, message: Any) -> None:
        heard.append(message.topic)

    with (
        woken_hub(world) as hub,
        mqtt_client(world.broker.port, world.context(NEIGHBOUR), on_message=on_message) as other,
        mqtt_client(world.broker.port, world.gateway()) as gateway,
    ):
        for topic in ("#", "meterlet/wake/+", wake_topic(METER), wake_topic(NEIGHBOUR)):
            other.subscribe(topic)
        for topic in (wake_topic(METER), wake_topic(NEIGHBOUR)):
            assert publish(other, topic, WAKE) == "Not authorized"
        assert publish(gateway, wake_topic(METER), WAKE) != "Not authorized"
        assert publish(gateway, wake_topic(NEIGHBOUR), WAKE) != "Not authorized"
        wait_until(lambda: hub.dialled == 1)
        wait_until(lambda: heard)
        assert set(heard) == {wake_topic(NEIGHBOUR)}
        assert hub.dialled == 1


def test_without_a_certificate_of_the_authority_nobody_comes_to_the_broker(
    world: World, tmp_path: Path
) -> None:
    """Another authority's certificate with the very same names is none."""
    Utility.create(tmp_path / "utility").close()
    with Utility.open(tmp_path / "utility") as utility:
        foreign = authority_of(utility)
        write_identity(tmp_path / "hub", foreign, METER)
        files = *foreign.waker_files(), world.authority.certificate_file
        trust = world.authority.certificate_file
        contexts = [
            client_context(*files),
            client_context(tmp_path / "hub" / "client.pem", tmp_path / "hub" / "client.key", trust),
            ssl.create_default_context(cafile=str(trust)),
        ]
    for context in contexts:
        with (
            socket.create_connection(("127.0.0.1", world.broker.port), PATIENCE) as line,
            pytest.raises(OSError),
            context.wrap_socket(line, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
            assert not tls.recv(1)
            raise OSError


def test_the_gateways_certificate_for_the_broker_opens_no_door_for_hubs(world: World) -> None:
    certificate, _ = world.authority.waker_files()
    parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert world.authority.peer(parsed.public_bytes(Encoding.DER)) is None


def test_the_broker_s_files_are_renewed_and_what_was_changed_in_them_stays(
    world: World, tmp_path: Path
) -> None:
    def write(target: Path, *names: str) -> tuple[int, str]:
        arguments = ["--utility", world.folder / "utility", "--to", target]
        more = [word for name in names for word in ("--name", name)]
        command = ["utility", "broker-files", *map(str, arguments), *more]
        done = CliRunner().invoke(main, command)
        return done.exit_code, done.output

    folder = tmp_path / "broker"
    assert write(folder, "a.example")[0] == 0
    key = (folder / "broker.key").read_bytes()
    assert (folder / "broker.key").stat().st_mode & 0o777 == 0o600
    (folder / "acl").write_text("own rules\n")
    assert write(folder, "a.example")[0] == 0
    assert (folder / "broker.key").read_bytes() == key
    assert write(folder, "b.example")[0] == 0
    assert (folder / "broker.key").read_bytes() != key
    assert (folder / "acl").read_text() == "own rules\n"
    (tmp_path / "other").mkdir()
    code, output = write(tmp_path / "other")
    assert (code, "exists already" in output) == (1, True)


def test_two_gateways_at_a_broker_take_turns_say_so_once_and_wake_hubs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "FIRST_BACKOFF", 0.2)
    monkeypatch.setattr(waking, "LONGEST_BACKOFF", 0.2)
    monkeypatch.setattr(waking, "LOOK_SECONDS", 0.05)
    told: list[list[str]] = [[], []]
    to_wake: list[bytes] = []
    address = BrokerAddress("localhost", world.broker.port)
    wakers = [Waker(address, world.gateway, lambda: to_wake, lines.append) for lines in told]

    async def run(hub: Hub) -> None:
        async with waking.waking(*wakers), asyncio.timeout(PATIENCE):
            while not any("One is enough" in line for lines in told for line in lines):
                await asyncio.sleep(0.02)
            to_wake.append(METER)
            while not hub.dialled:
                await asyncio.sleep(0.02)

    with woken_hub(world) as hub:
        asyncio.run(run(hub))
    # However often they take turns.
    assert max(map(len, told)) <= 2 * waking.TAKEN_OVER + 1


# Whoever can publish


def test_wake_ups_without_end_are_a_few_polls(world: World) -> None:
    with woken_hub(world) as hub, mqtt_client(world.broker.port, world.gateway()) as attacker:
        for _ in range(40):  # replayed and doubled as he likes
            publish(attacker, wake_topic(METER), WAKE)
        wait_until(lambda: hub.dialled == AT_ONCE)
        for _ in range(500):
            attacker.publish(wake_topic(METER), WAKE)
        assert "too many messages" in hub.why()
        assert hub.dialled == AT_ONCE


def test_odd_payloads_wake_nobody_and_are_told_in_one_line(world: World) -> None:
    with woken_hub(world) as hub, mqtt_client(world.broker.port, world.gateway()) as attacker:
        for odd in (ELSEWHERE, b"", b"\x81", b"\x81\x01", b"x" * 600, os.urandom(30), b"81 00"):
            publish(attacker, wake_topic(METER), odd)
        publish(attacker, wake_topic(METER), WAKE)
        wait_until(lambda: hub.dialled)
        assert hub.kinds().count(Kind.WAKE_ODD) == 1
        assert hub.dialled == 1
        assert "evil" not in repr(hub.told)


def test_a_wake_up_that_the_broker_has_kept_wakes_nobody_who_comes(world: World) -> None:
    with mqtt_client(world.broker.port, world.gateway()) as attacker:
        publish(attacker, wake_topic(METER), WAKE, retain=True)
        try:
            for old in (False, True):
                address = BrokerAddress("localhost", world.broker.port, is_old=old)
                with listening(world, address) as hub:
                    wait_until(lambda hub=hub: Kind.WAKE_UP in hub.kinds())  # type: ignore[misc]
                    publish(attacker, wake_topic(METER), b"odd")  # comes after what was kept
                    wait_until(lambda hub=hub: Kind.WAKE_ODD in hub.kinds())  # type: ignore[misc]
                    assert hub.dialled == 0
        finally:
            publish(attacker, wake_topic(METER), b"", retain=True)


# The broker itself


CONNACK: Final = b"\x20\x03\x00\x00\x00"
SUBACK: Final = b"\x90\x04\x00\x01\x00\x00"


def message(topic: bytes, payload: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + b"\x00" + payload
    return b"\x30" + bytes((len(body),)) + body


@contextmanager
def hostile_broker(
    context: ssl.SSLContext, act: Callable[[ssl.SSLSocket], None]
) -> Iterator[BrokerAddress]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with suppress(OSError):
                    line, _ = server.accept()
                    line.settimeout(PATIENCE)
                    with context.wrap_socket(line, server_side=True) as secure:
                        act(secure)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield BrokerAddress("localhost", server.getsockname()[1])
        finally:
            over.set()
            with suppress(OSError), socket.create_connection(server.getsockname()):
                pass
            thread.join(PATIENCE)


def own_context(world: World) -> ssl.SSLContext:
    """What the broker itself would show: hostile is what it says."""
    folder = world.broker.folder
    files = folder / "broker.pem", folder / "broker.key"
    return server_context(*files, world.authority.certificate_file)


def test_a_packet_that_says_it_is_huge_is_not_read(world: World) -> None:
    sent = 0

    def act(line: ssl.SSLSocket) -> None:
        nonlocal sent
        line.recv(65_536)
        line.sendall(CONNACK + b"\x30\xff\xff\xff\x7f")  # 256 MB follow
        for _ in range(4_000):
            sent += line.send(bytes(65_536))

    with hostile_broker(own_context(world), act) as address, listening(world, address) as hub:
        assert "the connection ended" in hub.why()
        assert hub.dialled == 0
    assert sent < 64 << 20


def test_junk_ends_a_connection_and_never_the_listening(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client library meets bytes that it has no error for; the hub goes on listening."""
    monkeypatch.setattr(wake_line, "FIRST_BACKOFF", 0.002)
    monkeypatch.setattr(wake_line, "LONGEST_BACKOFF", 0.002)
    monkeypatch.setattr(wake_line, "SLICE_SECONDS", 0.02)
    monkeypatch.setattr(wake_line, "CONNECT_SECONDS", 0.2)
    dice = random.Random(7)
    came = 0

    def act(line: ssl.SSLSocket) -> None:
        nonlocal came
        line.recv(65_536)
        kind, rest = dice.choice(range(0x10, 0x100, 0x10)), dice.randbytes(dice.randrange(0, 40))
        packet = bytes((kind | dice.choice((0, 2, 3)), len(rest))) + rest
        line.sendall(dice.choice((b"", CONNACK, CONNACK + SUBACK)) + packet)
        came += 1
        line.settimeout(0.05)
        with suppress(OSError):
            line.recv(65_536)
            line.recv(1)

    with hostile_broker(own_context(world), act) as address, listening(world, address) as hub:
        wait_until(lambda: came >= 60)
        assert hub.dialled == 0


def test_a_broker_that_wakes_with_other_meters_topics_wakes_nobody(world: World) -> None:
    gone = threading.Event()

    def act(line: ssl.SSLSocket) -> None:
        line.recv(65_536)
        line.sendall(CONNACK)
        line.recv(65_536)
        line.sendall(SUBACK)
        for topic in (wake_topic(NEIGHBOUR).encode(), b"", b"#", b"\xff\xfe"):
            line.sendall(message(topic, WAKE))
        gone.set()
        line.recv(1)

    with hostile_broker(own_context(world), act) as address, listening(world, address) as hub:
        assert gone.wait(PATIENCE)
        wait_until(lambda: {Kind.WAKE_ODD, Kind.WAKE_DOWN} & {*hub.kinds()})
        assert hub.dialled == 0


def test_a_broker_that_is_silent_is_left_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_line, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(wake_line, "SLICE_SECONDS", 0.05)

    def act(line: ssl.SSLSocket) -> None:
        line.recv(65_536)
        with suppress(OSError):
            line.recv(1)

    with hostile_broker(own_context(world), act) as address, listening(world, address) as hub:
        assert "it does not answer" in hub.why()


def test_a_silent_port_is_left_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_line, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = BrokerAddress("localhost", server.getsockname()[1])
        with listening(world, address) as hub:
            assert "timed out" in hub.why()


def test_a_neighbours_hub_in_the_place_of_the_broker_hears_nothing(world: World) -> None:
    """Its certificate is of the same authority, but is no server's."""
    heard: list[bytes] = []
    one = world.recipient(NEIGHBOUR)
    context = server_context(one.certificate, one.key, world.authority.certificate_file)
    with (
        hostile_broker(context, lambda line: heard.append(line.recv(1))) as address,
        listening(world, address) as hub,
    ):
        assert "unsuitable certificate purpose" in hub.why()
    assert heard == []


def test_a_broker_that_hangs_up_is_not_come_to_faster_and_faster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_line, "FIRST_BACKOFF", 0.1)
    monkeypatch.setattr(wake_line, "SLICE_SECONDS", 0.05)
    came: list[float] = []

    def act(line: ssl.SSLSocket) -> None:
        came.append(time.monotonic())
        line.recv(65_536)

    with hostile_broker(own_context(world), act) as address, listening(world, address) as hub:
        wait_until(lambda: len(came) >= 5)
        assert hub.kinds() == [Kind.WAKE_DOWN]  # told once
    # 0.05, 0.1, 0.2 and 0.4 s at least, as the jitter of this test is none
    assert came[4] - came[0] >= 0.74
