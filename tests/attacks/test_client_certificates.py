# SPDX-License-Identifier: Apache-2.0
"""Certificates of systems at the service's door: another's, an old one, a hub's, a mere claim."""

import asyncio
import base64
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.web_listener import tls_context
from listeners.acceptor import listen
from listeners.pages import PagesServer
from meterlet.commands.utility_wake import authority_of
from protocols.hub_certificates import make_signing_request
from tests.support.client_certificates import Identity, Line, identity, written
from tests.support.service import Clock, new_utility
from tests.support.waiting import PATIENCE, wait_until
from utility_server.errors import AccessProblem
from utility_server.service.access import tls_clients
from utility_server.service.access.roles import Role
from utility_server.service.access.tls_clients import (
    SHOWN,
    CertificateProtocol,
    TrustedClients,
    ask_for_certificates,
)
from utility_server.service.api.application import create_service_api
from utility_server.service.parts import ServiceParts, ServiceSettings

METER: Final = bytes.fromhex("0a014d544c0000000001")
FULL: Final = frozenset(Role)
KEY_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
ALGORITHM: Final = bytes.fromhex("300a06082a8648ce3d040302")
"""The algorithm's identifier: ECDSA with SHA-256."""


@dataclass
class Door:
    """A service over TLS that asks for certificates."""

    parts: ServiceParts
    clock: Clock
    port: int
    trust: Path
    folder: Path
    clients: TrustedClients

    def register(self, one: Identity, *roles: Role) -> str:
        """Register a certificate, and have TLS know it; return its fingerprint."""
        made = self.parts.client_certificates.register(
            "bank", frozenset(roles or FULL), one.certificate
        )
        self.clients.refresh()
        return made.fingerprint

    @contextmanager
    def line(self, shown: Identity | None) -> Iterator[Line]:
        with closing(Line(self.port, self.trust, shown)) as line:
            yield line

    def me(self, shown: Identity | None, **headers: str) -> tuple[int, Any]:
        """Who the service says one is."""
        with self.line(shown) as line:
            return line.ask("GET", "/v1/me", headers)[:2]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    clock = Clock()
    listener = listen("127.0.0.1", 0, 64)
    port = listener.getsockname()[1]
    origins = ServiceSettings.origins_of(("localhost",), port, is_secure=True)
    parts = ServiceParts.open(ServiceSettings(new_utility(folder / "utility"), origins, now=clock))
    authority = authority_of(parts.utility)
    certificate, key = authority.server_files(["localhost"])
    context = tls_context(certificate, key)
    ask_for_certificates(context)
    clients = TrustedClients(context, parts.client_certificates.all)
    config = uvicorn.Config(
        create_service_api(parts), log_config=None, access_log=False, proxy_headers=False,
        http="h11", ws="none", loop="asyncio", lifespan="off",
        ssl_context_factory=lambda _config, _default: context,
    )  # fmt: skip
    server = PagesServer(config, 64, CertificateProtocol)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
    )
    thread.start()
    wait_until(lambda: server.started, "the service")
    yield Door(parts, clock, port, authority.certificate_file, folder, clients)
    server.should_exit = True
    thread.join(PATIENCE)
    listener.close()
    parts.close()


def refused_by_tls(door: Door, shown: Identity) -> bool:
    try:
        door.me(shown)
    except OSError:  # ssl.SSLError is one
        return True
    return False


def test_a_system_asks_with_its_roles_and_is_on_record(door: Door) -> None:
    bank = identity(door.folder / "own")
    fingerprint = door.register(bank, Role.BILLING, Role.AUDITOR)
    who = f"certificate:{fingerprint}"
    assert door.me(bank) == (200, {"who": who, "roles": ["auditor", "billing"]})
    with door.line(bank) as line:
        status, answer, fields = line.ask("GET", "/v1/api-keys")
        assert status == 200
        status, answer, fields = line.ask(
            "POST", "/v1/api-keys", body={"name": "x", "roles": ["admin"]}
        )
        assert (status, fields["content-type"]) == (403, "application/problem+json")
        assert answer["type"] == "urn:meterlet:problem:role-missing"
        _, audit, _ = line.ask("GET", "/v1/audit")
    assert (who, "create_api_key", "403") in [
        (one["who"], one["action"], one["outcome"]) for one in audit["items"]
    ]


def test_without_a_certificate_or_key_nobody_asks(door: Door) -> None:
    status, answer = door.me(None)
    assert (status, answer["type"]) == (401, "urn:meterlet:problem:not-authenticated")


def test_a_certificate_of_another_issuer_with_the_same_names_is_another(
    door: Door, tmp_path: Path
) -> None:
    authority = identity(tmp_path / "ca", "An Authority", is_authority=True, usages=())
    bank = identity(tmp_path / "bank", "bank", issuer=authority)
    door.register(bank)
    assert door.me(bank)[0] == 200
    other = identity(tmp_path / "ca2", "An Authority", is_authority=True, usages=())
    for forged in (
        identity(tmp_path / "1", "bank", issuer=other),
        identity(tmp_path / "2", "bank", issuer=authority),  # the same issuer vouches for nobody
        identity(tmp_path / "3", "bank", issuer=bank),  # nor does the certificate on record
        identity(tmp_path / "4", "bank"),
        identity(tmp_path / "5", "bank", issuer=authority, key=bank.key),
    ):
        assert refused_by_tls(door, forged) or door.me(forged)[0] == 401
        assert door.parts.client_certificates.find(forged.der) is None


def test_whoever_has_the_certificate_and_not_its_key_is_nobody(door: Door, tmp_path: Path) -> None:
    bank = identity(tmp_path / "bank")
    door.register(bank)
    thief = written(tmp_path / "thief", bank.certificate, generate_private_key(SECP256R1()))
    with pytest.raises(ssl.SSLError):
        door.me(thief)


def test_a_certificate_counts_within_its_time_alone(door: Door, tmp_path: Path) -> None:
    bank = identity(tmp_path / "bank", ends=timedelta(days=2))
    door.register(bank)
    before = door.clock.now
    with door.line(bank) as line:
        assert line.ask("GET", "/v1/me")[0] == 200
        try:
            # It ends while its client is connected.
            door.clock.now = int(bank.certificate.not_valid_after_utc.timestamp())
            assert line.ask("GET", "/v1/me")[0] == 401
            door.clock.now = int(bank.certificate.not_valid_before_utc.timestamp()) - 1
            assert line.ask("GET", "/v1/me")[0] == 401
        finally:
            door.clock.now = before
        assert line.ask("GET", "/v1/me")[0] == 200
    # On record since before it ended: TLS refuses it, too.
    old = identity(tmp_path / "old", begins=timedelta(days=-3), ends=timedelta(days=-1))
    then = int(old.certificate.not_valid_before_utc.timestamp()) + 60
    replace(door.parts.client_certificates, now=lambda: then).register("x", FULL, old.certificate)
    door.clients.refresh()
    assert refused_by_tls(door, old)
    for times in (
        {"begins": timedelta(days=-2), "ends": timedelta(days=-1)},
        {"begins": timedelta(days=1)},
    ):
        one = identity(tmp_path / "other", **times)  # type: ignore[arg-type]
        with pytest.raises(AccessProblem, match="has ended|not count yet"):
            door.parts.client_certificates.register("x", FULL, one.certificate)


def test_one_that_is_withdrawn_is_refused_on_an_open_connection_and_for_good(
    door: Door, tmp_path: Path
) -> None:
    bank = identity(tmp_path / "bank")
    fingerprint = door.register(bank)
    with door.line(bank) as line:
        assert line.ask("GET", "/v1/me")[0] == 200
        door.parts.client_certificates.withdraw(fingerprint)
        status, answer, fields = line.ask("GET", "/v1/me")
        assert (status, fields["content-type"]) == (401, "application/problem+json")
        assert answer["detail"] == "the certificate does not count"
    assert door.me(bank)[0] == 401
    with pytest.raises(AccessProblem, match="on record already"):
        door.register(bank)
    assert door.me(bank)[0] == 401


def test_a_hubs_certificate_opens_no_door_of_the_service(door: Door, tmp_path: Path) -> None:
    authority = authority_of(door.parts.utility)
    key = generate_private_key(SECP256R1())
    made = authority.renew(make_signing_request(METER, key), METER)
    hub = written(tmp_path / "hub", x509.load_der_x509_certificate(made.certificate), key)
    assert refused_by_tls(door, hub)
    with pytest.raises(AccessProblem, match="of a hub"):
        door.register(hub)
    assert refused_by_tls(door, hub)
    assert door.parts.client_certificates.find(made.certificate) is None


def test_a_systems_certificate_opens_no_door_for_hubs(door: Door, tmp_path: Path) -> None:
    """By the same authority, and whatever the system is called."""
    authority = authority_of(door.parts.utility)
    for name in (METER.hex(), "meterlet-gateway", "bank"):
        issued = authority.issue_to_system(name, generate_private_key(SECP256R1()).public_key(), 1)
        assert authority.peer(issued.public_bytes(Encoding.DER)) is None
        [subject] = [str(one.value) for one in issued.subject]
        assert subject == f"system: {name}"  # to the broker it is neither a meter nor the gateway
        assert not subject.startswith(METER.hex())


def test_header_fields_that_claim_a_certificate_are_no_certificate(
    door: Door, tmp_path: Path
) -> None:
    bank = identity(tmp_path / "bank")
    fingerprint = door.register(bank)
    pem = bank.certificate.public_bytes(Encoding.PEM).decode()
    claims = {
        "X-Client-Cert": quote(pem),
        "X-SSL-Client-Cert": quote(pem),
        "X-SSL-Client-Verify": "SUCCESS",
        "X-SSL-Client-Fingerprint": fingerprint,
        "X-Forwarded-Client-Cert": f'Hash={fingerprint};Cert="{quote(pem)}"',
        "X-ARR-ClientCert": base64.b64encode(bank.der).decode(),
        "Client-Cert": f":{base64.b64encode(bank.der).decode()}:",  # RFC 9440
        "SSL_CLIENT_CERT": quote(pem),
        SHOWN: base64.b64encode(bank.der).decode(),
    }
    other = identity(tmp_path / "other")
    who = f"certificate:{door.register(other, Role.GRID)}"
    for name, value in claims.items():
        assert door.me(None, **{name: value})[0] == 401, name
    # Nor do they change who shows one.
    assert door.me(other, **claims)[1]["who"] == who


def test_a_browser_that_shows_a_certificate_unasked_asks_nothing(
    door: Door, tmp_path: Path
) -> None:
    """A page elsewhere could send an operator's browser here."""
    bank = identity(tmp_path / "bank")
    door.register(bank)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": f"https://localhost:{door.port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Referer": "https://evil.example/"},
        {"Cookie": "a=b"},
    ):
        with door.line(bank) as line:
            status, answer, _ = line.ask("POST", "/v1/record-checks", headers)
        assert (status, answer["type"]) == (
            403, "urn:meterlet:problem:certificate-in-a-browser",
        )  # fmt: skip


def test_a_wrong_key_beside_a_certificate_is_a_wrong_key(door: Door, tmp_path: Path) -> None:
    bank = identity(tmp_path / "bank")
    door.register(bank)
    assert door.me(bank, Authorization=f"Bearer mlk_{'0' * 16}_{'A' * 43}")[0] == 401
    _, key = door.parts.api_keys.create("grid", frozenset({Role.GRID}))
    assert door.me(bank, Authorization=f"Bearer {key}")[1]["roles"] == ["grid"]


def test_what_may_vouch_for_others_or_is_weak_is_not_registered(door: Door, tmp_path: Path) -> None:
    def registered(one: Identity) -> None:
        door.parts.client_certificates.register("x", FULL, one.certificate)

    with pytest.raises(AccessProblem, match="authority"):
        registered(identity(tmp_path / "ca", is_authority=True, usages=()))
    with pytest.raises(AccessProblem, match="not for clients"):
        registered(identity(tmp_path / "server", usages=(ExtendedKeyUsageOID.SERVER_AUTH,)))
    bank = identity(tmp_path / "bank")
    rsa = generate_rsa(65537, 1024)
    weak = (
        x509.CertificateBuilder()
        .serial_number(1)
        .not_valid_before(bank.certificate.not_valid_before_utc)
        .not_valid_after(bank.certificate.not_valid_after_utc)
        .subject_name(bank.certificate.subject)
        .issuer_name(bank.certificate.subject)
        .public_key(rsa.public_key())
        .sign(rsa, SHA256())
    )
    with pytest.raises(AccessProblem, match="RSA of 2048"):
        door.parts.client_certificates.register("x", FULL, weak)


@pytest.mark.parametrize("means", ["version 1", "key usage", "netscape type"])
def test_an_authority_without_basic_constraints_is_one_still(
    door: Door, tmp_path: Path, means: str
) -> None:
    """OpenSSL takes each for an authority: whomever it vouches for would pass the handshake."""
    made = identity(tmp_path / "old", usages=())
    key, before = made.key, made.certificate
    builder = (
        x509.CertificateBuilder(before.issuer, before.subject, key.public_key(), 1)
        .not_valid_before(before.not_valid_before_utc)
        .not_valid_after(before.not_valid_after_utc)
    )
    if means == "key usage":
        signs = x509.KeyUsage(*(one == "key_cert_sign" for one in KEY_USAGES))
        builder = builder.add_extension(signs, critical=True)
    elif means == "netscape type":
        kind = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
        any_authority = x509.UnrecognizedExtension(kind, bytes.fromhex("03020007"))
        builder = builder.add_extension(any_authority, critical=False)
    certificate = builder.sign(key, SHA256())
    if means == "version 1":
        body = certificate.tbs_certificate_bytes
        assert body[:9].hex().startswith("3081")  # a length of one byte, then the version
        first = b"\x30\x81" + bytes([len(body) - 8]) + body[8:]
        old = [first, body[8 + body[8:].index(ALGORITHM) :][: len(ALGORITHM)]]
        signature = b"\x00" + key.sign(first, ECDSA(SHA256()))
        old.append(b"\x03" + bytes([len(signature)]) + signature)
        content = b"".join(old)
        certificate = x509.load_der_x509_certificate(
            b"\x30\x82" + len(content).to_bytes(2, "big") + content
        )
        assert certificate.version is x509.Version.v1
    with pytest.raises(AccessProblem, match="authority"):
        door.parts.client_certificates.register("x", FULL, certificate)


def test_a_certificate_s_name_is_seen(door: Door, tmp_path: Path) -> None:
    with pytest.raises(AccessProblem, match="characters that are shown"):
        door.parts.client_certificates.register("  ", FULL, identity(tmp_path / "x").certificate)


def test_a_certificate_of_another_system_is_not_asked_twice_by_one_idempotency_key(
    door: Door, tmp_path: Path
) -> None:
    """Two systems' requests with the same key do not meet."""
    one, two = identity(tmp_path / "one"), identity(tmp_path / "two")
    for each in (one, two):
        door.register(each)
    runs = []
    key = {"Idempotency-Key": os.urandom(8).hex()}
    for each in (one, one, two):
        with door.line(each) as line:
            status, answer, _ = line.ask("POST", "/v1/record-checks", key)
        assert status == 202
        runs.append(answer["run"])
    assert (runs[0] == runs[1], runs[0] == runs[2]) == (True, False)


def test_tls_learns_what_is_registered_while_it_runs(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_clients, "LOOK_SECONDS", 0.01)
    failures: list[Exception] = []

    async def kept_up() -> None:
        task = asyncio.create_task(door.clients.keep_up(failures.append))
        late = identity(tmp_path / "late")
        assert await asyncio.to_thread(refused_by_tls, door, late)
        door.parts.client_certificates.register("late", FULL, late.certificate)
        end = asyncio.get_running_loop().time() + PATIENCE
        while await asyncio.to_thread(refused_by_tls, door, late):
            assert asyncio.get_running_loop().time() < end
        task.cancel()

    asyncio.run(kept_up())
    assert failures == []
