# SPDX-License-Identifier: Apache-2.0
"""Attacks over real sockets: on a hub that dials, and on the gateway that it dials."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.dialling import framing, https
from hub.dialling.dialler import Dialler
from hub.dialling.errors import BrokenDown, SecurityFailed
from hub.dialling.https import HttpsConnection, Traffic
from hub.dialling.recipient import Recipient, ServerAddress
from hub.machine.machine import AppletMachine
from protocols.hub_certificates import make_signing_request
from protocols.iso7816.apdu import CommandApdu
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import PROTOCOL, AgentPost, ServerReply, Target
from protocols.remote_admin.scripts import CommandScript, ResponseScript
from tests.support.dialled_home import DialledHome, dialled
from tests.support.waiting import PATIENCE
from utility_server.gateway import serving
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.serving import serve_gateway, server_context

STRANGER: Final = bytes.fromhex("0a014d544c0000000099")
FINE: Final = ResponseScript((b"\x90\x00",)).encode()


@pytest.fixture
def home(
    tmp_path: Path, dialling_home: tuple[Path, Any], machine: AppletMachine
) -> Iterator[DialledHome]:
    with dialled(dialling_home[0], tmp_path / "home", machine, dialling_home[1]) as home:
        yield home


def first(meter: bytes, path: bytes | None = None) -> AgentPost:
    return AgentPost(f"/gp/{(path or meter).hex()}?step=0", meter.hex())


# The hub, and a server that is hostile


@contextmanager
def tls_server(context: ssl.SSLContext, act: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """Somebody who takes connections and does with each what `act` does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    line, _ = server.accept()
                    line.settimeout(PATIENCE)
                    with context.wrap_socket(line, server_side=True) as secure:
                        act(secure)
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            with socket.create_connection(server.getsockname()):
                pass
            thread.join(PATIENCE)


@pytest.fixture(scope="module")
def pki(
    tmp_path_factory: pytest.TempPathFactory,
    dialling_home: tuple[Path, Any],
    machine: AppletMachine,
) -> Iterator[tuple[CertificateAuthority, Path]]:
    """The utility's authority, and a folder with a hub's key and certificate."""
    folder = tmp_path_factory.mktemp("pki")
    with dialled(dialling_home[0], folder / "home", machine, dialling_home[1]) as home:
        now = int(time.time())
        authority = replace(home.authority, now=lambda: now)
        write_identity(folder, authority, home.home.meter)
        yield authority, folder


def write_identity(folder: Path, authority: CertificateAuthority, meter: bytes) -> None:
    key = generate_private_key(SECP256R1())
    made = authority.renew(make_signing_request(meter, key), meter)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "client.key").write_bytes(pem)
    (folder / "client.pem").write_bytes(authority.bundle(made))
    (folder / "trust.pem").write_bytes(authority.certificate_file.read_bytes())


def connection(folder: Path, port: int, silence: float = PATIENCE) -> HttpsConnection:
    recipient = Recipient(
        ServerAddress("localhost", port),
        folder / "client.pem",
        folder / "client.key",
        folder / "trust.pem",
    )
    return HttpsConnection(recipient.address, recipient.context(), time.monotonic, silence)


def hostile(authority: CertificateAuthority) -> ssl.SSLContext:
    """Return what the utility's own server would show: hostile is what it says."""
    certificate, key = authority.server_files(["localhost"])
    return server_context(certificate, key, authority.certificate_file)


POST: Final = AgentPost("/gp/aa?step=0", "aa")


def test_a_server_of_another_authority_gets_nothing_and_is_not_tried_again(
    pki: tuple[CertificateAuthority, Path], tmp_path: Path
) -> None:
    authority, folder = pki
    (tmp_path / "keys").mkdir()
    other = replace(authority, folder=tmp_path)
    heard: list[bytes] = []
    with (
        tls_server(hostile(other), lambda line: heard.append(line.recv(1))) as port,
        pytest.raises(SecurityFailed, match="self-signed certificate"),
    ):
        connection(folder, port).exchange(POST)
    assert heard == []


def test_a_server_that_speaks_only_an_older_tls_is_not_spoken_to(
    pki: tuple[CertificateAuthority, Path],
) -> None:
    authority, folder = pki
    context = hostile(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_server(context, lambda line: None) as port, pytest.raises(SecurityFailed):
        connection(folder, port).exchange(POST)


def test_a_server_of_another_name_is_not_spoken_to(
    pki: tuple[CertificateAuthority, Path], tmp_path: Path
) -> None:
    authority, folder = pki
    certificate, key = authority.server_files(["elsewhere.example"])
    context = server_context(certificate, key, authority.certificate_file)
    with tls_server(context, lambda line: None) as port, pytest.raises(SecurityFailed):
        connection(folder, port).exchange(POST)


def say(*parts: bytes) -> Callable[[ssl.SSLSocket], None]:
    def act(line: ssl.SSLSocket) -> None:
        line.recv(65_536)
        for part in parts:
            line.sendall(part)
        line.recv(1)

    return act


HEAD: Final = b"HTTP/1.1 200 OK\r\nX-Admin-Protocol: " + PROTOCOL.encode() + b"\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Type: text/html\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        HEAD + b"X: " + b"y" * 70_000,
        b"SSH-2.0-OpenSSH\r\n\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFFFF\r\n",
    ],
)
def test_what_is_no_reply_of_a_server_ends_the_session(
    pki: tuple[CertificateAuthority, Path], answer: bytes
) -> None:
    authority, folder = pki
    with tls_server(hostile(authority), say(answer)) as port:
        line = connection(folder, port)
        with pytest.raises(ProtocolViolated):
            line.exchange(POST)
        assert not line.is_open


def test_a_script_without_end_is_left(
    pki: tuple[CertificateAuthority, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "MOST_SCRIPT_BYTES", 100_000)
    authority, folder = pki
    chunk = b"2710\r\n" + bytes(10_000) + b"\r\n"
    start = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with (
        tls_server(hostile(authority), say(start, *[chunk] * 20)) as port,
        pytest.raises(ProtocolViolated, match="too long"),
    ):
        connection(folder, port).exchange(POST)


def test_a_server_that_is_silent_or_drips_is_left(
    pki: tuple[CertificateAuthority, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, folder = pki
    with tls_server(hostile(authority), say()) as port:
        with pytest.raises(BrokenDown, match="timed out") as caught:
            connection(folder, port, 0.3).exchange(POST)
        assert caught.value.has_posted

    def drip(line: ssl.SSLSocket) -> None:
        line.recv(65_536)
        for byte in HEAD * 100:
            line.sendall(bytes((byte,)))
            time.sleep(0.02)

    monkeypatch.setattr(https, "MOST_REPLY_SECONDS", 0.5)
    with tls_server(hostile(authority), drip) as port, pytest.raises(BrokenDown):
        connection(folder, port).exchange(POST)


def test_scripts_that_guess_keys_are_answered_later_and_later(
    home: DialledHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that the hub trusts for TLS has no applet's keys by that."""
    target = str(Target(home.home.enrolment.applet))
    wrong = CommandApdu(0x84, 0x82, 0x33, 0, bytes(16)).encode()
    begin = CommandApdu(0x80, 0x50, home.home.enrolment.key_version, 0, bytes(8), le=256).encode()
    script = CommandScript((begin, wrong)).encode()

    class Guessing:
        traffic = Traffic()
        is_open = True
        number = 0

        def exchange(self, post: AgentPost) -> ServerReply:
            self.number += 1
            if self.number > 6:
                return ServerReply()
            return ServerReply(f"/gp/x?step={self.number}", Target.parse(target), script)

        def close(self) -> None:
            pass

        def interrupt(self) -> None:
            pass

    waited: list[float] = []
    wire: Any = Guessing()
    monkeypatch.setattr(Dialler, "_wait", lambda _self, seconds, *_: waited.append(seconds))
    home.dialler(wire).session()
    assert waited == [0.5, 1, 2, 4, 8, 16]
    assert home.home.device.disclosure.releases() == []
    assert list(home.home.device.disclosure.log.entries("connection")) == []


# The gateway's sockets


@contextmanager
def listening(home: DialledHome, authority: CertificateAuthority) -> Iterator[int]:
    """Serve a home's gateway on a port, in a thread."""
    ports: list[int] = []
    ready, loops = threading.Event(), []

    def run() -> None:
        async def main() -> None:
            stop = asyncio.Event()
            loops.append((asyncio.get_running_loop(), stop))

            def told(_host: str, port: int) -> None:
                ports.append(port)
                ready.set()

            await serve_gateway(home.gateway, hostile(authority), "127.0.0.1", 0, told, stop)

        asyncio.run(main())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield ports[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)


def test_without_a_certificate_of_the_authority_there_is_no_connection(
    home: DialledHome, pki: tuple[CertificateAuthority, Path], tmp_path: Path
) -> None:
    authority, folder = pki
    meter = home.home.meter
    other = tmp_path / "other"
    (other / "keys").mkdir(parents=True)
    foreign = replace(authority, folder=other)
    write_identity(other, foreign, meter)
    (other / "trust.pem").write_bytes(authority.certificate_file.read_bytes())
    old = tmp_path / "old"
    old.mkdir()
    long_ago = replace(authority, now=lambda: int(time.time()) - 500 * 86_400)
    write_identity(old, long_ago, meter)
    posts_before = home.gateway.posts
    with listening(home, authority) as port:
        for wrong in (other, old):
            # asyncio hangs up without TLS's alert: to the hub that is a broken connection.
            with pytest.raises((SecurityFailed, BrokenDown)):
                connection(wrong, port).exchange(first(meter))
        bare = ssl.create_default_context(cafile=str(authority.certificate_file))
        with (
            socket.create_connection(("127.0.0.1", port)) as line,
            pytest.raises(OSError),
            bare.wrap_socket(line, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"POST / HTTP/1.1\r\n\r\n")
            assert not tls.recv(1)
            raise OSError
        assert home.gateway.posts == posts_before
        fine = connection(folder, port)
        home.gateway.register = authority
        assert fine.exchange(first(meter)).retry_after == 900
        fine.close()


def test_a_client_that_takes_its_time_is_hung_up_on(
    home: DialledHome, pki: tuple[CertificateAuthority, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, folder = pki
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.3)
    context = connection(folder, 1).context
    home.gateway.register = authority
    path = f"/gp/{home.home.meter.hex()}".encode()
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n"
    with listening(home, authority) as port:
        body = head + b"Content-Length: 5\r\n\r\nab"
        for start in (b"POST ", head, body, head + b"X: " + b"y" * 20_000):
            with (
                socket.create_connection(("127.0.0.1", port), PATIENCE) as line,
                context.wrap_socket(line, server_hostname="localhost") as tls,
            ):
                tls.sendall(start)
                with suppress(ConnectionError, ssl.SSLError):  # but no time-out
                    assert tls.recv(100) == b""  # whatever it waits for has not come


def test_a_line_break_does_not_hold_a_connection_after_a_reply(
    home: DialledHome, pki: tuple[CertificateAuthority, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, folder = pki
    monkeypatch.setattr(serving, "IDLE_SECONDS", 1)
    context = connection(folder, 1).context
    home.gateway.register = authority
    poll = first(home.home.meter)
    fields = b"".join(b"%b: %b\r\n" % field for field in poll.headers())
    post = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (poll.uri.encode(), fields)
    with listening(home, authority) as port:
        for polls in (0, 1, 2):
            with (
                socket.create_connection(("127.0.0.1", port), PATIENCE) as line,
                context.wrap_socket(line, server_hostname="localhost") as tls,
            ):
                for _ in range(polls):
                    tls.sendall(post)
                    assert tls.recv(1000).startswith(b"HTTP/1.1 204")
                tls.sendall(b"\r\n")
                with suppress(ConnectionError, ssl.SSLError):  # but no time-out
                    assert tls.recv(1000) == b""


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"0\r\n", b"A:b\r\n" * 4000),
        (b"0\r\nA: ", b"b" * 20_000),
        (b"1;", b"x" * 20_000),
        (b"1\r\nx\r\n1;", b"x" * 20_000),
    ],
)
def test_trailers_and_extensions_of_chunks_are_counted(
    home: DialledHome,
    pki: tuple[CertificateAuthority, Path],
    start: bytes,
    more: bytes,
) -> None:
    authority, folder = pki
    context = connection(folder, 1).context
    home.gateway.register = authority
    path = f"/gp/{home.home.meter.hex()}".encode()
    head = b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        listening(home, authority) as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as line,
        context.wrap_socket(line, server_hostname="localhost") as tls,
        suppress(ConnectionError, ssl.SSLError),  # but no time-out
    ):
        tls.sendall(head + start)
        for _ in range(20):
            tls.sendall(more)
        assert tls.recv(1000) == b""


def test_one_certificate_has_few_connections(
    home: DialledHome, pki: tuple[CertificateAuthority, Path]
) -> None:
    authority, folder = pki
    context = connection(folder, 1).context
    home.gateway.register = authority
    with listening(home, authority) as port, ExitStack() as stack:
        lines = []
        for _ in range(serving.MOST_OF_ONE + 1):
            line = socket.create_connection(("127.0.0.1", port), PATIENCE)
            lines.append(
                stack.enter_context(context.wrap_socket(line, server_hostname="localhost"))
            )
        with suppress(ConnectionError, ssl.SSLError):  # but no time-out
            assert lines[-1].recv(1) == b""
        lines[0].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert lines[0].recv(100).startswith(b"HTTP/1.1 404")
