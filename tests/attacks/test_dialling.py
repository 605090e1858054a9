# SPDX-License-Identifier: Apache-2.0
"""Attacks on the door for hubs that dial, and on the hub that does."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import delete

from hub.custody import move
from hub.dialling.errors import RecipientError
from hub.dialling.identity import ask_for_certificate, install_certificate
from hub.dialling.recipient import ServerAddress, recipient_folder
from hub.machine.machine import AppletMachine
from protocols.hub_certificates import (
    CertificateRequest,
    HubCertificateError,
    make_signing_request,
    read_signing_request,
)
from protocols.remote_admin.http import PROTOCOL, AgentPost, ScriptStatus
from protocols.remote_admin.scripts import ResponseScript
from protocols.remote_admin.server import Errand
from tests.support.answered_home import MONTHS
from tests.support.dialled_home import DialledHome, asked, dialled, request
from utility_server.database import hub_certificate_table, writing
from utility_server.errors import AnswerTooLong, CertificateRefused, UnknownCustomer
from utility_server.gateway import application
from utility_server.gateway.errands import BillErrands
from utility_server.gateway.limits import MOST_POSTS_AT_ONCE, Peer, Pot
from utility_server.retail.questions import MOST_ANSWER_BYTES, State

STRANGER: Final = bytes.fromhex("0a014d544c0000000099")
FINE: Final = ResponseScript((b"\x90\x00",)).encode()


@pytest.fixture
def home(
    tmp_path: Path, dialling_home: tuple[Path, Any], machine: AppletMachine
) -> Iterator[DialledHome]:
    with dialled(dialling_home[0], tmp_path / "home", machine, dialling_home[1]) as home:
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
    assert status(home, home.peer, first(home.home.meter)) == 204
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
    home.gateway._receiving = Pot(900)
    short = AgentPost(post.uri, meter.hex(), ScriptStatus.OK, body=bytes(901))
    assert status(home, home.peer, short) == 503
    assert home.gateway._receiving.held == 0


def test_a_body_that_does_not_end_gives_way_before_anybody_elses(home: DialledHome) -> None:
    """Four connections of one hub send without an end; another hub's answer is taken."""
    pot: Pot[Peer] = Pot(900)
    home.gateway._receiving = pot
    greedy = certified(home, STRANGER).certificate
    cut_off: list[int] = []
    for number in range(4):
        pot.add(Peer(greedy, partial(cut_off.append, number)), 200)
    pot.add(certified(home, bytes(9) + b"\1"), 50)
    meter = home.home.meter
    post = AgentPost(f"/gp/{meter.hex()}?step=0", meter.hex(), ScriptStatus.OK, body=bytes(300))
    assert status(home, home.peer, post) == 204
    assert cut_off == [0, 1, 2, 3]
    assert pot.held == 50


def test_an_answer_that_does_not_end_gives_way_before_anybody_elses_dialogue(
    home: DialledHome,
) -> None:
    home.ask(MONTHS[0])
    pot: Pot[bytes] = Pot(100_000)
    home.gateway._held = pot
    pot.hold(STRANGER, 90_000)
    home.gateway._begin(STRANGER, home.clock.now)
    pot.hold(STRANGER, 90_000)
    wire = home.dial()
    assert STRANGER not in home.gateway._open
    assert home.home.utility.questions.waiting() == []
    assert len(wire.posts) == 9
    assert pot.held == 0


def test_a_certificate_that_is_withdrawn_while_a_body_comes_counts_no_more(
    home: DialledHome,
) -> None:
    home.ask(MONTHS[0])
    meter = home.home.meter
    reply = asked(home.gateway, home.peer, first(meter))
    assert reply.next_uri is not None
    post = AgentPost(reply.next_uri, meter.hex(), ScriptStatus.OK, body=FINE)
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        home.authority.withdraw(meter)
        home.clock.now += application.CERTIFICATE_SECONDS
        return {"type": "http.request", "body": post.body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    where, _, query = post.uri.partition("?")
    scope = {
        "type": "http", "method": "POST", "path": where, "query_string": query.encode(),
        "headers": post.headers(), "state": {"peer": home.peer},
    }  # fmt: skip
    asyncio.run(home.gateway(scope, receive, send))
    assert told[0]["status"] == 403


def test_polls_for_a_question_that_has_to_wait_are_not_looked_up_each_time(
    home: DialledHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ask(MONTHS[0])
    meter = home.home.meter
    home.gateway.monotonic = home.errands.monotonic = lambda: 1000.0
    reply = asked(home.gateway, home.peer, first(meter))
    assert reply.next_uri is not None
    forged = ResponseScript((bytes(32) + b"\x90\x00",)).encode()
    asked(
        home.gateway,
        home.peer,
        AgentPost(reply.next_uri, meter.hex(), ScriptStatus.OK, body=forged),
    )
    looks: list[bytes] = []
    inner = home.errands.next

    def look(_errands: BillErrands, of: bytes) -> Errand | None:
        looks.append(of)
        return inner(of)

    monkeypatch.setattr(BillErrands, "next", look)
    for _ in range(50):
        assert status(home, home.peer, first(meter)) == 204
    assert len(looks) <= 1


def test_an_answer_longer_than_any_right_one_is_not_kept(home: DialledHome) -> None:
    question = home.ask(MONTHS[0])
    questions = home.home.utility.questions
    with pytest.raises(AnswerTooLong):
        questions.answered(question, bytes(MOST_ANSWER_BYTES + 1))
    assert questions.find(question).state is State.ASKED
    home.dial()
    assert questions.waiting() == []


def test_a_withdrawn_certificate_renews_itself_no_more_and_its_key_gets_no_other(
    home: DialledHome,
) -> None:
    """Whoever has stolen it: within the seconds for which it is trusted, or with an open POST."""
    document = ask_for_certificate(
        home.home.device.folder, "supplier", home.home.device.main, os.urandom
    )
    start = home.authority.now()
    stolen = home.authority.certify(document)
    late = replace(home.authority, now=lambda: start + 300 * 86_400)
    late.withdraw(home.home.meter, stolen.serial)
    key = generate_private_key(SECP256R1())
    with pytest.raises(CertificateRefused, match="counts no more"):
        late.renew_by(stolen, make_signing_request(home.home.meter, key))
    with pytest.raises(CertificateRefused, match="withdrawn"):
        late.certify(document)
    other = ask_for_certificate(
        home.home.device.folder, "supplier", home.home.device.main, os.urandom, is_new=True
    )
    assert late.certify(other).counts_at(late.now())


def test_errands_of_one_hub_are_never_done_twice_at_once(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    meter = home.home.meter
    at_once: list[int] = []
    running = [0]
    inner = home.errands.next

    def slow(of: bytes) -> Errand | None:
        running[0] += 1
        at_once.append(running[0])
        time.sleep(0.02)
        try:
            return inner(of)
        finally:
            running[0] -= 1

    post = first(meter)
    statuses: list[int] = []

    async def one() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        where, _, query = post.uri.partition("?")
        scope = {
            "type": "http", "method": "POST", "path": where, "query_string": query.encode(),
            "headers": post.headers(), "state": {"peer": home.peer},
        }  # fmt: skip
        for _ in range(4):
            await home.gateway(scope, receive, send)

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(4)))

    with patch.object(BillErrands, "next", lambda _self, of: slow(of)):
        asyncio.run(all_of_them())
    assert set(at_once) == {1}
    assert set(statuses) <= {200, 429}


def test_whoever_has_not_authenticated_is_not_collected_from_for_long(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    failed: list[str] = []
    home.errands.failed = lambda _question, error: failed.append(str(error))
    meter = home.home.meter
    reply = asked(home.gateway, home.peer, first(meter))
    posts = 0
    while reply.next_uri is not None:
        more = ResponseScript((bytes(30_000) + b"\x61\x00",)).encode()
        post = AgentPost(reply.next_uri, meter.hex(), ScriptStatus.OK, body=more)
        reply = asked(home.gateway, home.peer, post)
        posts += 1
    assert posts == 3
    assert "does not end" in failed[0]
    assert home.gateway._held.held == 0


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


def test_a_hub_that_posts_without_end_is_held_back_on_new_connections_too(
    home: DialledHome,
) -> None:
    home.gateway.monotonic = lambda: home.clock.now
    many = range(int(MOST_POSTS_AT_ONCE) + 5)
    statuses = [status(home, home.peer, first(home.home.meter)) for _ in many]
    assert statuses[-5:] == [429] * 5
    assert set(statuses[:-5]) == {204}
    home.clock.now += 1
    assert status(home, home.peer, first(home.home.meter)) == 204


def test_dialogues_have_a_limit_and_the_oldest_gives_way(
    home: DialledHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "MOST_DIALOGUES", 1)
    home.ask(MONTHS[0])
    meter = home.home.meter
    reply = asked(home.gateway, home.peer, first(meter))
    home.gateway._begin(STRANGER, home.clock.now)
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
    home.gateway._begin(STRANGER, home.clock.now)
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


def test_who_takes_a_hub_over_cannot_dial_as_the_one_before(home: DialledHome) -> None:
    device = home.home.device
    folder = device.folder
    made = home.authority.certify(ask_for_certificate(folder, "supplier", device.main, os.urandom))
    install_certificate(
        folder, "supplier", home.authority.bundle(made), home.home.meter, device.now()
    )
    assert (folder / "recipients" / "supplier" / "client.key").exists()
    device.close()
    move(folder, bytes.fromhex("0a014d544c0000000077"))
    assert not (folder / "recipients").exists()


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
