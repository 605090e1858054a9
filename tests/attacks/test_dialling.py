# SPDX-License-Identifier: Apache-2.0
"""Attacks on the door for hubs that dial, and on the hub that does."""

import asyncio
import os
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
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import delete

from hub.dialling import framing, https
from hub.dialling.dialler import Dialler
from hub.dialling.errors import BrokenDown, RecipientError, SecurityFailed
from hub.dialling.https import HttpsConnection, Traffic
from hub.dialling.identity import (
    ask_for_certificate,
    install_certificate,
)
from hub.dialling.recipient import Recipient, ServerAddress, recipient_folder
from hub.machine.machine import AppletMachine
from protocols.hub_certificates import (
    CertificateRequest,
    HubCertificateError,
    make_signing_request,
    read_signing_request,
)
from protocols.iso7816.apdu import CommandApdu
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import PROTOCOL, AgentPost, ScriptStatus, ServerReply, Target
from protocols.remote_admin.scripts import CommandScript, ResponseScript
from tests.support.answered_home import MONTHS
from tests.support.dialled_home import (
    DialledHome,
    asked,
    dialled,
    make_dialling_home,
    request,
)
from tests.support.waiting import PATIENCE
from utility_server.database import hub_certificate_table, writing
from utility_server.errors import CertificateRefused, UnknownCustomer
from utility_server.gateway import application, serving
from utility_server.gateway.application import Peer
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.serving import serve_gateway, server_context
from utility_server.retail.questions import State

STRANGER: Final = bytes.fromhex("0a014d544c0000000099")
FINE: Final = ResponseScript((b"\x90\x00",)).encode()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("home")
    return folder, make_dialling_home(folder, machine)


@pytest.fixture
def home(
    tmp_path: Path, template: tuple[Path, Any], machine: AppletMachine
) -> Iterator[DialledHome]:
    with dialled(template[0], tmp_path / "home", machine, template[1]) as home:
        yield home


def certified(home: DialledHome, meter: bytes) -> Peer:
    """Return a connection with a certificate for a meter, issued by the utility's own key."""
    key = generate_private_key(SECP256R1())
    made = home.authority.renew(make_signing_request(meter, key), meter)
    return Peer(made.certificate)


def first(meter: bytes, path: bytes | None = None) -> AgentPost:
    return AgentPost(f"/gp/{(path or meter).hex()}?step=0", meter.hex())


def status(home: DialledHome, peer: Peer, post: AgentPost) -> int:
    return request(home.gateway, peer, post.uri, post.headers(), post.body)[0]


# Who is there


def test_another_meter_in_the_url_than_in_the_certificate_is_refused(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    stranger = certified(home, STRANGER)
    own = home.home.meter
    assert status(home, stranger, first(STRANGER)) == 204
    for post in (first(STRANGER, own), first(own), AgentPost(f"/gp/{own.hex()}/x", "a")):
        assert status(home, stranger, post) == 403
    for path in (f"/gp/{STRANGER.hex().upper()}", f"/gp/{STRANGER.hex()}/", "/gp/"):
        assert status(home, stranger, AgentPost(path, STRANGER.hex())) == 403
    assert status(home, stranger, AgentPost(f"/x/{STRANGER.hex()}", STRANGER.hex())) == 404
    assert home.home.utility.questions.waiting()[0].state is State.ASKED


def test_another_name_in_the_header_is_refused_though_it_proves_nothing(home: DialledHome) -> None:
    own = home.home.meter.hex()
    assert status(home, home.peer, AgentPost(f"/gp/{own}?step=0", STRANGER.hex())) == 403


def test_a_certificate_that_the_database_does_not_have_counts_for_nothing(
    home: DialledHome,
) -> None:
    """The authority's key may have been stolen: what it signs elsewhere opens no door."""
    with writing(home.home.utility.engine) as connection:
        connection.execute(delete(hub_certificate_table))
    assert status(home, home.peer, first(home.home.meter)) == 403


def test_a_certificate_that_is_over_or_withdrawn_counts_no_more(home: DialledHome) -> None:
    peer = home.peer
    assert status(home, peer, first(home.home.meter)) == 204
    assert home.authority.withdraw(home.home.meter, home.certificate.serial) == 1
    # On a connection that is kept, too, once what is known of it is ten seconds old.
    for _ in range(10):
        last = status(home, peer, first(home.home.meter))
    assert last == 403
    ended = home.authority.find(home.certificate.serial)
    assert ended is not None
    assert not ended.counts_at(ended.issued)
    renewed = certified(home, home.home.meter)
    known = home.authority.peer(renewed.certificate)
    assert known is not None
    assert known.counts_at(known.ends - 1)
    assert not known.counts_at(known.ends)


@pytest.mark.parametrize("certificate", [b"", b"\x30\x03\x02\x01\x05", bytes(100)])
def test_bytes_that_are_no_certificate_are_nobody(home: DialledHome, certificate: bytes) -> None:
    assert home.authority.peer(certificate) is None


# What is posted


def test_a_post_that_is_played_again_is_not_taken_twice(home: DialledHome) -> None:
    """Somebody has a hub's key, or a proxy repeats: nothing is entered a second time."""
    home.ask(MONTHS[0])
    wire = home.dial()
    for post in wire.posts:
        status(home, home.peer, post)
    assert [entry.kind for entry in home.home.utility.ledger.entries()] == ["bill"]
    assert len(home.home.device.disclosure.releases()) == 1


def test_answers_that_are_made_up_end_an_errand_and_nothing_is_kept(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    failed: list[str] = []
    home.errands.failed = lambda _question, error: failed.append(str(error))
    meter = home.home.meter
    reply = asked(home.gateway, home.peer, first(meter))
    assert reply.next_uri is not None
    forged = ResponseScript((bytes(32) + b"\x90\x00",)).encode()
    post = AgentPost(reply.next_uri, meter.hex(), ScriptStatus.OK, body=forged)
    assert asked(home.gateway, home.peer, post).next_uri is None
    [why] = failed
    assert why.startswith("channel: ")
    assert home.home.utility.questions.waiting()[0].state is State.ASKED


def test_another_hubs_dialogue_cannot_be_joined(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    meter, stranger = home.home.meter, certified(home, STRANGER)
    reply = asked(home.gateway, home.peer, first(meter))
    assert reply.next_uri is not None
    stolen = reply.next_uri.replace(meter.hex(), STRANGER.hex())
    answers = AgentPost(stolen, STRANGER.hex(), ScriptStatus.OK, body=FINE)
    mine = asked(home.gateway, stranger, answers)
    assert (mine.next_uri, mine.body) == (None, b"")  # nothing waits for the stranger
    with_own_name = AgentPost(reply.next_uri, STRANGER.hex(), ScriptStatus.OK, body=FINE)
    assert status(home, stranger, with_own_name) == 403
    # The hub's own dialogue is where it was.
    known = home.gateway._open[meter].dialogue
    assert known.is_current(AgentPost(reply.next_uri, meter.hex(), ScriptStatus.OK, body=FINE))


def test_a_body_that_is_too_long_is_refused_before_and_while_it_is_read(
    home: DialledHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "MOST_BODY_BYTES", 1000)
    meter = home.home.meter
    post = AgentPost(f"/gp/{meter.hex()}?step=0", meter.hex(), ScriptStatus.OK, body=bytes(1001))
    assert status(home, home.peer, post) == 413
    announced = [*first(meter).headers(), (b"content-length", b"1001")]
    assert request(home.gateway, home.peer, first(meter).uri, announced)[0] == 413
    monkeypatch.setattr(application, "MOST_BODIES_BYTES", 900)
    short = AgentPost(post.uri, meter.hex(), ScriptStatus.OK, body=bytes(901))
    assert status(home, home.peer, short) == 503
    assert home.gateway._receiving == 0


@pytest.mark.parametrize(
    ("method", "more", "body", "wanted"),
    [
        ("GET", [], b"", 405),
        ("PUT", [], b"", 405),
        ("POST", [(b"x-admin-protocol", PROTOCOL.encode())], b"", 400),  # twice
        ("POST", [(b"x-admin-script-status", b"fine")], b"", 400),
        ("POST", [], FINE, 400),  # answers without a status
    ],
)
def test_what_is_no_post_of_an_agent_is_refused(
    home: DialledHome,
    method: str,
    more: list[tuple[bytes, bytes]],
    body: bytes,
    wanted: int,
) -> None:
    post = first(home.home.meter)
    told = request(home.gateway, home.peer, post.uri, [*post.headers(), *more], body, method)
    assert told[0] == wanted
    assert told[2] == b""


def test_a_connection_that_posts_without_end_is_held_back(home: DialledHome) -> None:
    peer = home.peer
    home.gateway.monotonic = lambda: home.clock.now
    many = range(int(application.MOST_POSTS_AT_ONCE) + 5)
    statuses = [status(home, peer, first(home.home.meter)) for _ in many]
    assert statuses[-5:] == [429] * 5
    assert set(statuses[:-5]) == {204}
    home.clock.now += 1
    assert status(home, peer, first(home.home.meter)) == 204


def test_dialogues_have_a_limit_and_the_oldest_gives_way(
    home: DialledHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "MOST_DIALOGUES", 1)
    home.ask(MONTHS[0])
    meter = home.home.meter
    reply = asked(home.gateway, home.peer, first(meter))
    home.gateway._begin(STRANGER, None, home.clock.now)
    assert list(home.gateway._open) == [STRANGER]
    # The hub goes on, into a dialogue that is gone, and is billed all the same.
    assert reply.next_uri is not None
    post = AgentPost(reply.next_uri, meter.hex(), ScriptStatus.OK, body=FINE)
    assert asked(home.gateway, home.peer, post).body
    home.dial()
    assert home.home.utility.questions.waiting() == []


def test_a_hub_that_is_silent_is_forgotten(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    asked(home.gateway, home.peer, first(home.home.meter))
    home.clock.now += application.DIALOGUE_SECONDS + 1
    home.gateway._begin(STRANGER, None, home.clock.now)
    assert list(home.gateway._open) == [STRANGER]


# Certificates


def test_a_request_is_certified_for_its_certifier_and_nobody_else(home: DialledHome) -> None:
    device = home.home.device
    folder = device.folder
    document = ask_for_certificate(folder, "supplier", device.main, os.urandom)
    made = home.authority.certify(document)
    assert made.meter == home.home.meter
    for place in range(0, len(document), 11):
        changed = bytearray(document)
        changed[place] ^= 1
        with pytest.raises((CertificateRefused, UnknownCustomer)):
            home.authority.certify(bytes(changed))
    key = generate_private_key(SECP256R1())
    csr = make_signing_request(home.home.meter, key)
    forged = CertificateRequest(home.home.meter, csr).signed(Ed25519PrivateKey.generate())
    with pytest.raises(CertificateRefused, match="the signature is wrong"):
        home.authority.certify(forged)
    unknown = CertificateRequest(STRANGER, make_signing_request(STRANGER, key))
    with pytest.raises(UnknownCustomer):
        home.authority.certify(unknown.signed(device.main.certifier.keys.signing_key))
    with pytest.raises(CertificateRefused):
        home.authority.certify(b"x" * (1 << 20))


def test_a_request_for_one_meter_in_the_name_of_another_is_refused() -> None:
    key = generate_private_key(SECP256R1())
    with pytest.raises(HubCertificateError, match="not 0a"):
        read_signing_request(make_signing_request(STRANGER, key), bytes.fromhex("0a01"))
    changed = bytearray(make_signing_request(STRANGER, key))
    changed[-3] ^= 1
    with pytest.raises(HubCertificateError):
        read_signing_request(bytes(changed), STRANGER)


def test_a_hub_installs_only_the_certificate_of_its_own_key_and_meter(home: DialledHome) -> None:
    device = home.home.device
    folder, meter, now = device.folder, home.home.meter, device.now()
    made = home.authority.certify(ask_for_certificate(folder, "supplier", device.main, os.urandom))
    bundle = home.authority.bundle(made)
    for wrong, why in (
        (home.authority.bundle(home.certificate), "not for a key of this hub"),
        (bundle.split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n", "know"),
        (b"hello", "not the certificates"),
        (b"x" * (1 << 17), "not the certificates"),
    ):
        with pytest.raises(RecipientError, match=why):
            install_certificate(folder, "supplier", wrong, meter, now)
    with pytest.raises(RecipientError, match="for meter"):
        install_certificate(folder, "supplier", bundle, STRANGER, now)
    with pytest.raises(RecipientError, match="has ended"):
        install_certificate(folder, "supplier", bundle, meter, made.ends)
    other = x509.load_pem_x509_certificate(bundle).public_bytes(Encoding.PEM)
    with pytest.raises(RecipientError, match="not issued by"):
        install_certificate(folder, "supplier", other + other, meter, now)
    assert install_certificate(folder, "supplier", bundle, meter, now) == made.ends
    assert install_certificate(folder, "supplier", bundle, meter, now) == made.ends
    key_file = recipient_folder(folder, "supplier") / "client.key"
    assert key_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a" * 33, "a\n"])
def test_a_recipients_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipientError):
        recipient_folder(tmp_path, name)


@pytest.mark.parametrize(
    "url",
    ["http://h", "https://", "https://h/x", "https://u@h", "https://h?x", "h:1", "https://h:x"],
)
def test_only_https_is_dialled_and_nothing_but_a_server(url: str) -> None:
    with pytest.raises(RecipientError):
        ServerAddress.parse(url)


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
    tmp_path_factory: pytest.TempPathFactory, template: tuple[Path, Any], machine: AppletMachine
) -> Iterator[tuple[CertificateAuthority, Path]]:
    """The utility's authority, and a folder with a hub's key and certificate."""
    folder = tmp_path_factory.mktemp("pki")
    with dialled(template[0], folder / "home", machine, template[1]) as home:
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
                with suppress(OSError):
                    assert tls.recv(100) == b""  # whatever it waits for has not come


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
        with suppress(OSError):
            assert lines[-1].recv(1) == b""
        lines[0].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert lines[0].recv(100).startswith(b"HTTP/1.1 404")
