# SPDX-License-Identifier: Apache-2.0
"""Attacks by whoever holds a withdrawn key of a hub: at the broker that wakes hubs.

He is put out, and not let in again, by whatever session of before.
"""

import asyncio
import fcntl
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meterlet.commands.main import main
from protocols.remote_admin.wake import WAKE, BrokerAddress, wake_topic
from tests.support.broker import client_context, mqtt_client, publish
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wake_world import METER, NEIGHBOUR, World, open_world, write_identity
from utility_server.gateway import broker_files
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.waking import NewlyWaiting
from utility_server.gateway.withdrawn_keys import WithdrawnKeys
from utility_server.processes import handles

CONNECT: Final = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
TAKEN: Final = b"\x20\x02\x00\x00"
Waiting = list[tuple[bytes, bytes, str]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path) as world:
        yield world


def files_of(world: World) -> BrokerFiles:
    return BrokerFiles(world.broker.folder)


def keep(world: World) -> None:
    """Do once what the gateway does each few seconds, and wait until the broker has heard it."""
    before = world.broker.log().count("Reloading config")
    told: list[str] = []
    address = BrokerAddress("localhost", world.broker.port)
    asyncio.run(WithdrawnKeys(files_of(world), address, world.authority, told.append).look())
    assert told == []
    world.broker.wait_for("Reloading config", before + 1)


@contextmanager
def tls(
    world: World, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", world.broker.port), PATIENCE) as line,
        context.wrap_socket(line, server_hostname="localhost", session=session) as secure,
    ):
        yield secure


def is_let_in(world: World, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> bool:
    """Whether the broker takes a connection; a broker that says nothing fails the test."""
    try:
        with tls(world, context, session) as secure:
            secure.sendall(CONNECT)
            return secure.recv(4) == TAKEN
    except TimeoutError:
        raise
    except OSError:
        return False


def ticket(world: World, context: ssl.SSLContext) -> ssl.SSLSession:
    with tls(world, context) as secure:
        secure.sendall(CONNECT)
        assert secure.recv(4) == TAKEN
        assert secure.session is not None
        return secure.session


def test_a_withdrawn_key_is_not_let_in_and_neither_is_a_session_from_before(world: World) -> None:
    own, neighbour = world.context(METER), world.context(NEIGHBOUR)
    moment = world.authority.now()
    world.authority = replace(world.authority, now=lambda: moment)  # all in one second
    tickets = [ticket(world, own) for _ in range(3)]
    assert is_let_in(world, own, tickets[0])
    assert world.authority.withdraw(METER) == 1
    keep(world)
    assert not is_let_in(world, own)
    assert [is_let_in(world, own, one) for one in tickets] == [False] * 3
    assert is_let_in(world, neighbour)
    assert is_let_in(world, world.gateway())

    # A second one: the broker goes by the later of two lists.
    assert world.authority.withdraw(NEIGHBOUR) == 1
    keep(world)
    assert not is_let_in(world, neighbour)
    assert not is_let_in(world, own)

    # The list is whole for a broker that starts, too.
    world.broker.stop()
    world.broker.start()
    assert not is_let_in(world, own)
    assert not is_let_in(world, neighbour)
    assert is_let_in(world, world.gateway())


def test_who_is_in_already_is_put_out_and_stays_out_when_the_hub_has_a_new_key(
    world: World,
) -> None:
    heard: list[str] = []
    hub_heard: list[str] = []
    gone: list[int] = []
    waiting: Waiting = []

    class Steps:
        def for_hubs(self, _since: int) -> Waiting:
            return waiting

    newly = NewlyWaiting(
        Steps(), frozenset, lambda _: None, world.authority.now, world.authority.who_may_dial
    )

    def on_message(_client: Any, _data: Any, message: Any) -> None:
        heard.append(message.topic)

    def hub_hears(_client: Any, _data: Any, message: Any) -> None:
        hub_heard.append(message.topic)

    def on_disconnect(*_: Any) -> None:
        gone.append(1)

    with (
        mqtt_client(world.broker.port, world.gateway()) as gateway,
        mqtt_client(
            world.broker.port, world.context(METER),
            on_message=on_message, on_disconnect=on_disconnect,
        ) as thief,
    ):  # fmt: skip

        def wake() -> None:
            for meter in newly.look():
                publish(gateway, wake_topic(meter), WAKE)

        thief.subscribe(wake_topic(METER))
        world.broker.wait_for("Sending SUBACK")
        waiting.append((METER, b"first", "asked"))
        wake()
        wait_until(lambda: len(heard) == 1, "what the key hears before it is withdrawn")

        world.authority.withdraw(METER)
        keep(world)
        wait_until(lambda: gone, "the end of the thief's connection")
        world.broker.wait_for("certificate verify failed")  # he tries again by himself
        # Nor is a hub called that has no key which counts.
        waiting.append((METER, b"second", "asked"))
        waiting.append((NEIGHBOUR, b"third", "asked"))
        assert newly.look() == [NEIGHBOUR]

        write_identity(world.folder / "again", world.authority, METER)
        files = (
            world.folder / "again" / name for name in ("client.pem", "client.key", "trust.pem")
        )
        with mqtt_client(world.broker.port, client_context(*files), on_message=hub_hears) as hub:
            hub.subscribe(wake_topic(METER))
            wait_until(lambda: world.broker.log().count("Sending SUBACK") > 1, "its topic")
            waiting.append((METER, b"fourth", "asked"))
            wake()
            wait_until(lambda: hub_heard, "the wake-up of the hub with its new key")
    assert heard == [wake_topic(METER)]
    assert hub_heard == [wake_topic(METER)]


def test_who_is_in_is_put_out_though_another_process_has_written_the_list(world: World) -> None:
    """As `broker-files` does, or a gateway that ends in the moment after."""
    gone: list[int] = []

    def on_disconnect(*_: Any) -> None:
        gone.append(1)

    told: list[str] = []
    address = BrokerAddress("localhost", world.broker.port)
    keeper = WithdrawnKeys(files_of(world), address, world.authority, told.append)
    asyncio.run(keeper.look())
    with mqtt_client(world.broker.port, world.context(METER), on_disconnect=on_disconnect):
        world.authority.withdraw(METER)
        assert files_of(world).renew(world.authority)
        asyncio.run(keeper.look())
        wait_until(lambda: gone, "the end of the thief's connection")
        world.broker.wait_for("certificate verify failed")
    assert told == []


def test_whoever_holds_the_folder_locked_is_named_and_holds_nothing_up_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any user of the machine may read the folder, and so lock it."""
    monkeypatch.setattr(broker_files, "LOCK_SECONDS", 0.1)
    told: list[str] = []
    address = BrokerAddress("localhost", world.broker.port)
    keeper = WithdrawnKeys(files_of(world), address, world.authority, told.append)
    held = os.open(world.broker.folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        world.authority.withdraw(METER)
        looking = Thread(target=lambda: asyncio.run(keeper.look()), daemon=True)
        looking.start()
        looking.join(PATIENCE / 2)
        assert not looking.is_alive()
        assert len(told) == 1
        assert told[0].endswith("another process holds it locked")
    finally:
        os.close(held)
    keep(world)
    assert not is_let_in(world, world.context(METER))


def test_a_neighbour_cannot_take_the_place_of_a_hub_s_connection(world: World) -> None:
    gone: list[int] = []

    def on_disconnect(*_: Any) -> None:
        gone.append(1)

    with mqtt_client(world.broker.port, world.context(METER), on_disconnect=on_disconnect):
        with tls(world, world.context(NEIGHBOUR)) as other:
            name = METER.hex().encode()
            other.sendall(
                b"\x10" + bytes((12 + len(name),)) + b"\x00\x04MQTT\x04\x02\x00\x3c"
                + len(name).to_bytes(2, "big") + name
            )  # fmt: skip
            assert other.recv(4) == TAKEN
            other.sendall(b"\xc0\x00")  # PINGREQ: the broker has done all that it would
            assert other.recv(2) == b"\xd0\x00"
        assert not gone


def test_what_puts_a_hub_out_of_the_broker_opens_no_door_for_hubs(world: World) -> None:
    made = x509.load_pem_x509_certificate(world.authority.stand_in(METER))
    assert world.authority.peer(made.public_bytes(Encoding.DER)) is None
    left = made.not_valid_after_utc - made.not_valid_before_utc
    assert left <= timedelta(minutes=10)


def test_the_list_is_the_authority_s_and_never_shuts_everybody_out(world: World) -> None:
    path = world.broker.folder / "crl.pem"

    def read() -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl(path.read_bytes())

    first = read()
    assert len(first) == 0
    world.authority.withdraw(METER)
    keep(world)
    second = read()
    assert len(second) == 1
    assert second.last_update_utc > first.last_update_utc
    _, issuer = world.authority.open()
    assert second.next_update_utc is not None
    assert second.next_update_utc >= issuer.not_valid_after_utc  # or it would end for all hubs
    # Somebody else's list, or half a one, is written anew.
    for junk in (b"", path.read_bytes()[:200]):
        path.write_bytes(junk)
        keep(world)
        assert len(read()) == 1


def test_only_the_broker_is_signalled(world: World, tmp_path: Path) -> None:
    """The number in the file may be another program's, which SIGHUP would end."""
    copy = BrokerFiles(tmp_path / "copy")
    copy.folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for number in (str(other.pid), "1", "0", "-1", "x", ""):
            (copy.folder / "mosquitto.pid").write_text(number)
            assert copy.process is None
            assert not copy.reload()
        assert other.poll() is None
        assert not handles(other.pid, signal.SIGHUP)
        assert other.stdin is not None
        other.stdin.close()
    assert files_of(world).reload()


def test_an_editor_of_the_settings_is_not_signalled(tmp_path: Path) -> None:
    """It has their path among its arguments, and catches SIGHUP, as editors do."""
    copy = BrokerFiles(tmp_path / "copy")
    copy.folder.mkdir()
    program = "import signal; signal.signal(signal.SIGHUP, print); print('ready', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; input()", copy.settings],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as editor:  # fmt: skip
        assert editor.stdout is not None
        assert editor.stdout.readline() == b"ready\n"
        assert handles(editor.pid, signal.SIGHUP)
        (copy.folder / "mosquitto.pid").write_text(str(editor.pid))
        assert copy.process is None
        assert not copy.reload()
        assert editor.stdin is not None
        editor.stdin.close()


def test_files_from_before_are_named_that_let_withdrawn_keys_in(world: World) -> None:
    settings = world.broker.folder / "mosquitto.conf"
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(one for one in lines if not one.startswith("crlfile")))
    done = CliRunner().invoke(
        main,
        ["utility", "broker-files", "--utility", str(world.folder / "utility"),
         "--to", str(world.broker.folder)],
    )  # fmt: skip
    assert done.exit_code == 0
    assert f"has no `crlfile {world.broker.folder}/crl.pem`" in done.output
    assert "use_username_as_clientid" not in done.output
