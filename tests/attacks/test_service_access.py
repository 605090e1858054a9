# SPDX-License-Identifier: Apache-2.0
"""Nobody asks the service what he may not: forged tokens, other roles, others' keys, odd bytes."""

import base64
import hmac
import json
import re
import string
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.support.oidc_provider import (
    AUDIENCE,
    CONSOLE,
    SECRET,
    OidcProvider,
    oidc_provider,
    settings_text,
)
from tests.support.service import ENROLMENT, METER, ORIGIN, Clock, Served, new_utility, served
from tests.support.waiting import PATIENCE, wait_until
from utility_server.keys import write_secret
from utility_server.service.access import oidc
from utility_server.service.access.roles import Role
from utility_server.service.api import application
from utility_server.service.api.application import LARGEST_BODY
from utility_server.service.api.operation import ServiceRoute


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def provider(clock: Clock) -> Iterator[OidcProvider]:
    with oidc_provider(clock) as provider:
        yield provider


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, provider: OidcProvider, clock: Clock
) -> Iterator[Served]:
    folder = new_utility(tmp_path_factory.mktemp("service") / "utility")
    write_secret(folder / "keys" / "oidc.secret", SECRET.encode())
    (folder / "service.toml").write_text(settings_text(provider))
    with served(folder, now=clock) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        yield service


def refused(service: Served, token: str) -> bool:
    answer = service.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    if answer.status_code != 401:
        return False
    assert answer.headers["content-type"] == "application/problem+json"
    return "invalid_token" in answer.headers["www-authenticate"]


def coded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_of_another_time_issuer_or_audience_does_not_count(
    service: Served, provider: OidcProvider, clock: Clock
) -> None:
    assert not refused(service, provider.access_token())
    for wrong in (
        {"exp": clock.now - 60}, {"exp": None}, {"exp": "never"}, {"nbf": clock.now + 60},
        {"iat": clock.now + 3600}, {"iss": None}, {"iss": f"{provider.issuer}/"},
        {"iss": [provider.issuer]}, {"aud": None}, {"aud": "another"}, {"aud": CONSOLE},
        {"aud": [CONSOLE, "another"]}, {"aud": {AUDIENCE: 1}}, {"sub": None}, {"sub": ""},
    ):  # fmt: skip
        assert refused(service, provider.access_token(**wrong)), wrong


def test_a_token_without_a_signature_of_the_provider_does_not_count(
    service: Served, provider: OidcProvider
) -> None:
    claims = provider.claims(AUDIENCE)
    body = coded(claims)
    none = [f"{coded({'alg': alg, 'typ': 'JWT'})}.{body}." for alg in ("none", "None", "NONE", "")]
    stranger = RSAKey.generate_key(2048)
    forged = [
        jwt.encode({"alg": "RS256", "kid": kid}, claims, stranger)
        for kid in ("rsa", "ec", "../../rsa", "")
    ]
    own = {"alg": "RS256", "kid": "rsa", "jwk": stranger.as_dict(private=False)}
    forged.append(
        f"{coded(own)}.{body}.{jwt.encode({'alg': 'RS256'}, claims, stranger).split('.')[2]}"
    )
    right = provider.access_token()
    head, payload, signature = right.split(".")
    forged += [
        f"{head}.{coded({**claims, 'roles': ['inspectors']})}.{signature}",
        f"{head}.{payload}.", f"{head}.{payload}", f"{right}.", f".{payload}.{signature}",
        f"{head}.{payload}.{signature[::-1]}", right + "A" * 20_000, "mlk_", "é",
    ]  # fmt: skip
    for token in [*none, *forged]:
        assert refused_or_malformed(service, token), token[:80]


def refused_or_malformed(service: Served, token: str) -> bool:
    headers = {b"Authorization": f"Bearer {token}".encode()}
    return service.client.get("/v1/me", headers=headers).status_code == 401


def test_a_public_key_is_never_taken_for_a_shared_secret(
    service: Served, provider: OidcProvider
) -> None:
    """The old trick: HS256 with the bytes of the provider's public key as its secret."""
    claims = provider.claims(AUDIENCE)
    for key in provider.keys:
        public = key.as_dict(private=False)
        for secret in (
            key.as_pem(private=False), key.as_pem(private=False).strip(),
            json.dumps(public).encode(),
        ):  # fmt: skip
            for kid in (key.kid, None):
                header = {"alg": "HS256", "typ": "JWT", **({} if kid is None else {"kid": kid})}
                signed = f"{coded(header)}.{coded(claims)}"
                mac = hmac.new(secret, signed.encode(), sha256).digest()
                token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
                assert refused(service, token)


def test_a_secret_among_the_providers_keys_signs_nothing(
    service: Served, provider: OidcProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = OctKey.generate_key(256, {"kid": "oct"})
    keys = provider.public_keys()
    keys["keys"].append(shared.as_dict(private=True))
    monkeypatch.setattr(provider, "public_keys", lambda: keys)
    clock.now += 3600
    token = jwt.encode({"alg": "HS256", "kid": "oct"}, provider.claims(AUDIENCE), shared)
    assert refused(service, token)


def test_every_operation_refuses_whoever_is_unknown_or_has_not_its_role(service: Served) -> None:
    """The interface's own description is walked: an operation that says no role would be found."""
    described = service.client.get("/v1/openapi.json").json()
    walked = 0
    for path, methods in described["paths"].items():
        address = re.sub(r"\{(meter)\}", METER, path)
        address = re.sub(r"\{(number)\}", "1", address)
        address = re.sub(r"\{(run|nonce|account)\}", "0" * 32, address)
        address = re.sub(r"\{(digest|fingerprint)\}", "0" * 64, address)
        address = re.sub(r"\{(key)\}", "0" * 16, address)
        assert "{" not in address
        for method, operation in methods.items():
            roles = {Role(name) for name in operation["x-roles"]}
            assert roles, (method, path)
            unknown = service.client.request(method, address)
            assert unknown.status_code == 401, (method, path)
            for role in set(Role) - roles:
                answer = service.ask(method, address, role)
                assert answer.status_code == 403, (method, path, role)
                walked += 1
            if others := set(Role) - roles:
                assert service.ask(method, address, *others).status_code == 403
    assert walked > 80
    for module in application.ROUTERS:
        for route in module.router.routes:
            assert isinstance(route, ServiceRoute)
            assert f"/v1{route.path}" in described["paths"], "none is left out of the description"


def test_what_only_reads_is_for_nobody_to_change_with(service: Served) -> None:
    described = service.client.get("/v1/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if method != "get" and "auditor" in operation["x-roles"]:
                assert path in (
                    "/v1/record-checks", "/v1/ledger/{number}/verification",
                    "/v1/record-checks/{run}/cancellation", "/v1/search",
                )  # fmt: skip


def test_each_run_is_begun_with_its_own_role_alone(service: Served) -> None:
    """Who bills settles nothing, who settles rolls nothing out, and none of them bills for it."""
    described = service.client.get("/v1/openapi.json").json()["paths"]
    for prefix, role in (
        ("/v1/bill-", "billing"), ("/v1/settlement-runs", "settlement"),
        ("/v1/profile-runs", "settlement"), ("/v1/group-settlement-runs", "settlement"),
        ("/v1/rollouts", "fleet"),
        ("/v1/key-rollouts", "fleet"), ("/v1/card-looks", "fleet"),
    ):  # fmt: skip
        changing = [
            operation
            for path, methods in described.items() if path.startswith(prefix)
            for method, operation in methods.items() if method != "get"
        ]  # fmt: skip
        assert changing, prefix
        assert all(operation["x-roles"] == [role] for operation in changing), prefix


def test_an_auditor_ends_no_bill_run_and_a_clerk_no_check(service: Served) -> None:
    order = {"tariff": service.tariff(), "wait_seconds": 60}
    run = service.post("/v1/bill-runs", 202, json=order)["run"]
    check = service.post("/v1/record-checks", 202)["run"]
    for kind, name, role, status in (
        ("runs", run, Role.AUDITOR, 403), ("runs", check, Role.BILLING, 404),
        ("record-checks", check, Role.BILLING, 403), ("record-checks", run, Role.AUDITOR, 404),
    ):  # fmt: skip
        answer = service.ask("POST", f"/v1/{kind}/{name}/cancellation", role)
        assert answer.status_code == status, (kind, role)
    assert service.post(f"/v1/record-checks/{check}/cancellation", 202)["state"] == "cancelling"
    service.run()


def test_a_key_with_another_secret_or_form_does_not_count(service: Served) -> None:
    right = service.key(Role.AUDITOR)
    other = service.key(Role.ADMIN)
    secret = right[21:]
    end = "A" if right[-1] != "A" else "E"
    for wrong in (
        other[:21] + secret, right[:-1], right + "A", right[:-1] + end, right.upper(),
        f"mlk_{'0' * 16}_{secret}", f"mlk_{'0' * 16}_{'A' * 43}", right[:21],
    ):  # fmt: skip
        assert refused(service, wrong), wrong
    for header in (
        f"Basic {right}", right, f"Bearer  {right}", f"Bearer {right} x", f"bearer\t{right}", "",
    ):  # fmt: skip
        answer = service.client.get("/v1/me", headers={"Authorization": header})
        assert answer.status_code == 401, header
    twice = [("Authorization", f"Bearer {right}"), ("Authorization", f"Bearer {other}")]
    assert service.client.get("/v1/me", headers=twice).status_code == 401
    assert service.client.get(f"/v1/me?access_token={right}").status_code == 401


def test_secrets_are_compared_in_constant_time_for_unknown_keys_too(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def counting(one: Any, two: Any) -> bool:
        compared.append((len(one), len(two)))
        return real(one, two)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    secret = service.key()[21:]
    for text in (service.key(), f"mlk_{'0' * 16}_{secret}", service.key()[:21] + "A" * 43):
        compared.clear()
        service.parts.api_keys.find(text)
        assert compared == [(32, 32)]


def test_nobody_gets_what_another_was_answered(service: Served) -> None:
    order, headers = {"tariff": service.tariff(), "wait_seconds": 1}, {"Idempotency-Key": "same"}
    mine = service.ask("POST", "/v1/bill-runs", Role.BILLING, json=order, headers=headers)
    theirs = service.ask(
        "POST", "/v1/bill-runs", Role.BILLING, Role.AUDITOR, json=order, headers=headers
    )
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["run"] != theirs.json()["run"]
    assert "idempotency-replayed" not in theirs.headers
    wrong = service.ask("POST", "/v1/bill-runs", Role.GRID, json=order, headers=headers)
    assert wrong.status_code == 403
    service.run()


def test_what_is_too_large_is_not_read(service: Served) -> None:
    told = service.ask("POST", "/v1/customers", content=bytes(LARGEST_BODY + 1))
    assert told.status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 65_536 + 2):
            yield bytes(65_536)

    for path, kind in (("/v1/customers", "application/json"), ("/v1/bills", "application/json")):
        streamed = service.ask("POST", path, content=endless(), headers={"Content-Type": kind})
        assert streamed.status_code == 413, path
    assert service.ask("GET", "/v1/" + "a" * 600).status_code == 414
    assert service.ask("GET", "/v1/me?" + "a" * 5000).status_code == 414
    deep = b"[" * 100_000
    answer = service.ask(
        "POST", "/v1/bills", content=deep, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)


def test_another_host_is_not_answered_and_no_header_comes_back_as_it_was(service: Served) -> None:
    rebound = service.ask("GET", "/v1/me", headers={"Host": "evil.example:8420"})
    assert rebound.status_code == 421
    for name in ("a\tb", "x" * 65, "a b", "<script>", "a,b"):
        answer = service.client.get("/healthz", headers={"X-Request-Id": name})
        assert answer.headers["x-request-id"] != name
    origin = service.client.get("/v1/me", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in origin.headers
    assert ORIGIN not in origin.text


def test_a_cursor_of_ones_own_making_leads_nowhere(service: Served) -> None:
    page = base64.urlsafe_b64encode(bytes(16) + b"\x81\x41\x00").rstrip(b"=").decode()
    invalid = (400, "urn:meterlet:problem:invalid-cursor")
    for path in ("customers", "ledger", "audit", "runs", "bills", "invoices"):
        answer = service.ask("GET", f"/v1/{path}", params={"cursor": page})
        assert (answer.status_code, answer.json()["type"]) == invalid
    ours = service.get("/v1/audit?limit=1")["next"]
    assert service.get("/v1/audit", params={"limit": 1, "cursor": ours})["items"]
    others = [ours[:-1] + one for one in string.ascii_letters if one != ours[-1]]
    for other in (ours + "=", ours + "==", ours + "\n", " " + ours, *others):
        answer = service.ask("GET", "/v1/audit", params={"limit": 1, "cursor": other})
        assert (answer.status_code, answer.json()["type"]) == invalid, (
            "as it was made, or not at all"
        )


def test_a_service_that_dials_nobody_is_not_made_to(service: Served) -> None:
    order = {"tariff": service.tariff(), "addresses": {METER: "169.254.169.254:80"}}
    answer = service.ask("POST", "/v1/bill-runs", json=order)
    assert (answer.status_code, "dials" in answer.text) == (409, True)


@contextmanager
def dripping() -> Iterator[tuple[int, Callable[[], int]]]:
    """A server that sends a byte now and then and is never done: its port, and who has come."""
    over, came = threading.Event(), list[int]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(1)
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with suppress(OSError):  # whoever asked has gone, as he should
                while not over.wait(0.02):
                    self.wfile.write(b" ")
                    self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port, lambda: len(came)
        finally:
            over.set()
            server.shutdown()
            thread.join(PATIENCE)


def test_a_provider_that_drips_stops_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte is in time, and the whole never comes: one asks, all others are answered."""
    # Enough for the one who asks to get there on a busy computer, before the others come.
    monkeypatch.setattr(oidc, "PATIENCE_SECONDS", 4.0)
    folder = new_utility(tmp_path / "utility")
    with dripping() as (port, came):
        (folder / "service.toml").write_text(
            f'[oidc]\nissuer = "http://127.0.0.1:{port}"\naudience = "utility"\n'
            '[oidc.roles]\nclerks = ["billing"]\n'
        )
        with served(folder) as service:
            key = service.key(Role.BILLING)
            asking = ThreadPoolExecutor(60)
            headers = {"Authorization": f"Bearer {coded({'alg': 'RS256'})}.e30.x"}
            strangers = [asking.submit(service.client.get, "/v1/me", headers=headers)]
            wait_until(lambda: came() > 0)
            strangers += [
                asking.submit(service.client.get, "/v1/me", headers=headers) for _ in range(59)
            ]
            assert service.ask("GET", "/v1/me", key=key).status_code == 200
            statuses = {one.result(PATIENCE).status_code for one in strangers}
            asking.shutdown()
            assert statuses == {503}
            assert came() == 1, "nobody else has asked the provider"
            trouble = service.client.get("/v1/me", headers=headers)
            assert "in time" in trouble.json()["detail"]
