# SPDX-License-Identifier: Apache-2.0
"""A hub renews its certificate over the connection that it has dialled, in time and not before."""

import os
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from hub.dialling.dialler import Wire
from hub.dialling.errors import RecipientError
from hub.dialling.events import Kind
from hub.dialling.identity import (
    ask_for_certificate,
    ends_at,
    install_certificate,
    renew_if_due,
)
from hub.dialling.recipient import recipient_folder
from protocols.hub_certificates import (
    RENEWAL_PATH,
    HubCertificateError,
    decode_renewed,
    encode_renewal,
    encode_renewed,
    make_signing_request,
)
from tests.support.dialled_home import (
    DialledHome,
    InProcessWire,
    request,
)
from utility_server.gateway.certificates import MOST_SUCCESSORS
from utility_server.gateway.limits import Peer

DAY = 86_400
NAME = "supplier"


@pytest.fixture(autouse=True)
def installed(home: DialledHome) -> None:
    """Give the hub a certificate of its own for 300 days."""
    device = home.home.device
    document = ask_for_certificate(device.folder, NAME, device.main, os.urandom)
    home.certificate = home.authority.certify(document, 300)
    bundle = home.authority.bundle(home.certificate)
    install_certificate(device.folder, NAME, bundle, home.home.meter, device.now())


def at(home: DialledHome, days: int) -> int:
    """Let so many days go by; return the moment."""
    now = home.certificate.issued + days * DAY
    home.gateway.register = replace(home.authority, now=lambda: now)
    return now


def renew(home: DialledHome, now: int, wire: Wire) -> int | None:
    folder = home.home.device.folder
    return renew_if_due(folder, NAME, home.home.meter, wire.request, now=now, randomness=os.urandom)


def key_file(home: DialledHome) -> bytes:
    return (recipient_folder(home.home.device.folder, NAME) / "client.key").read_bytes()


def test_the_last_third_of_its_time_is_when_a_certificate_is_renewed(home: DialledHome) -> None:
    old = key_file(home)
    assert renew(home, at(home, 150), home.wire()) is None
    now = at(home, 250)
    ends = renew(home, now, home.wire())
    assert ends is not None
    assert ends > home.certificate.ends
    assert ends_at(home.home.device.folder, NAME) == ends
    assert key_file(home) != old
    assert len(home.authority.of(home.home.meter)) == 3  # the fixture's, the hub's, the next one
    assert renew(home, now, home.wire()) is None


def test_a_lost_answer_is_asked_for_again_and_is_the_same_certificate(home: DialledHome) -> None:
    now = at(home, 250)

    class Lossy(InProcessWire):
        def request(self, *arguments: Any) -> Any:
            super().request(*arguments)
            raise RecipientError("lost")

    with pytest.raises(RecipientError):
        renew(home, now, Lossy(home.gateway, home.peer))
    known = [one.serial for one in home.authority.of(home.home.meter)]
    assert renew(home, now, home.wire()) is not None
    assert [one.serial for one in home.authority.of(home.home.meter)] == known


def test_a_session_that_went_well_renews_and_the_next_one_connects_anew(home: DialledHome) -> None:
    now, wire = at(home, 250), home.wire()
    dialler = home.dialler(wire)
    dialler.renew = lambda line: renew(home, now, line) is not None
    dialler.session()
    assert [event.kind for event in home.events][-2:] == [Kind.ENDED, Kind.RENEWED]
    assert not wire.is_open
    dialler.session()
    assert [event.kind for event in home.events][-1] is Kind.ENDED


def test_a_server_that_will_not_is_told_of_and_the_certificate_stays(home: DialledHome) -> None:
    now, wire = at(home, 250), home.wire()
    at(home, 100)  # the server's clock is another
    dialler, old = home.dialler(wire), key_file(home)
    dialler.renew = lambda line: renew(home, now, line) is not None
    dialler.session()
    assert home.events[-1].kind is Kind.NOT_RENEWED
    assert "not renewed: the server answers with status 400" in str(home.events[-1].facts["why"])
    assert key_file(home) == old


def test_a_hub_gets_so_many_certificates_with_other_keys_and_no_more(home: DialledHome) -> None:
    at(home, 250)
    statuses = []
    for _ in range(MOST_SUCCESSORS + 3):
        signing = make_signing_request(home.home.meter, generate_private_key(SECP256R1()))
        body = encode_renewal(signing)
        statuses.append(request(home.gateway, home.peer, RENEWAL_PATH, [], body)[0])
    assert statuses == [200] * MOST_SUCCESSORS + [400] * 3
    assert len(home.authority.of(home.home.meter)) == 2 + MOST_SUCCESSORS


@pytest.mark.parametrize("body", [b"", b"?", b"AAAA", b"A" * 20_000])
def test_what_is_no_request_is_refused(home: DialledHome, body: bytes) -> None:
    at(home, 250)
    assert request(home.gateway, home.peer, RENEWAL_PATH, [], body)[0] == 400


def test_nobody_renews_for_another_meter_or_without_a_certificate_that_counts(
    home: DialledHome,
) -> None:
    at(home, 250)
    key = generate_private_key(SECP256R1())
    other = encode_renewal(make_signing_request(b"\x0a\x01", key))
    assert request(home.gateway, home.peer, RENEWAL_PATH, [], other)[0] == 400
    own = encode_renewal(make_signing_request(home.home.meter, key))
    assert request(home.gateway, Peer(b"?"), RENEWAL_PATH, [], own)[0] == 403
    at(home, 301)
    assert request(home.gateway, home.peer, RENEWAL_PATH, [], own)[0] == 403


def test_what_is_no_renewed_certificate_is_not_installed(home: DialledHome) -> None:
    now, old = at(home, 250), key_file(home)
    known = home.authority.of(home.home.meter)
    [other] = [one for one in known if one.serial != home.certificate.serial]
    foreign = encode_renewed(other.certificate)
    for answer in (b"", b"AAAA", b"\xff", b"A" * 20_000, foreign):

        class Lying(InProcessWire):
            answer = b""

            def request(self, *_arguments: Any) -> Any:
                return 200, [], self.answer

        wire = Lying(home.gateway, home.peer)
        Lying.answer = answer
        with pytest.raises(RecipientError):
            renew(home, now, wire)
    assert key_file(home) == old
    with pytest.raises(HubCertificateError):
        decode_renewed(b"MAA=")
