# SPDX-License-Identifier: Apache-2.0
"""Keys of systems, operators' passwords and staff's tokens: what counts, and until when."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.support.oidc_provider import SECRET, OidcProvider, oidc_provider, settings_text
from tests.support.service import Clock, Served, new_utility, served
from utility_server.errors import AccessProblem, StoreError, TooManySignIns
from utility_server.keys import write_secret
from utility_server.service.access.oidc import (
    KEYS_SECONDS,
    LEAST_KEYS_SECONDS,
    MOST_KEYS_SECONDS,
)
from utility_server.service.access.operators import FREE_FAILURES, LONGEST_WAIT_SECONDS
from utility_server.service.access.roles import Role, parse_roles
from utility_server.service.access.sessions import IDLE_SECONDS, LIFE_SECONDS
from utility_server.service.access.settings import OidcSettings, read_settings

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def provider(clock: Clock) -> Iterator[OidcProvider]:
    with oidc_provider(clock) as provider:
        yield provider


@pytest.fixture
def service(tmp_path: Path, provider: OidcProvider, clock: Clock) -> Iterator[Served]:
    folder = new_utility(tmp_path / "utility")
    write_secret(folder / "keys" / "oidc.secret", SECRET.encode())
    (folder / "service.toml").write_text(settings_text(provider))
    with served(folder, now=clock) as service:
        yield service


def status(service: Served, token: str, path: str = "/v1/me") -> int:
    return service.client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_key_counts_until_it_expires_or_is_revoked(service: Served, clock: Clock) -> None:
    key, text = service.parts.api_keys.create("bank", frozenset({Role.BILLING}), 3600)
    assert service.get("/v1/me", key=text) == {
        "who": f"key:{key.identification}", "roles": ["billing"],
    }  # fmt: skip
    assert text not in repr(service.parts.api_keys.all())
    clock.now += 3600
    assert status(service, text) == 401
    made = service.post("/v1/api-keys", 201, json={"name": "bank", "roles": ["auditor"]})
    assert status(service, made["secret"], "/v1/audit") == 200
    assert service.post(f"/v1/api-keys/{made['key']}/revocation")["revoked"]
    assert status(service, made["secret"]) == 401
    assert "secret" not in str(service.get("/v1/api-keys"))
    assert service.ask("POST", f"/v1/api-keys/{'0' * 16}/revocation").status_code == 404


def test_a_keys_answer_is_shown_once_whatever_the_idempotency_key(service: Served) -> None:
    order, headers = {"name": "bank", "roles": ["auditor"]}, {"Idempotency-Key": "k"}
    first = service.ask("POST", "/v1/api-keys", json=order, headers=headers)
    again = service.ask("POST", "/v1/api-keys", json=order, headers=headers)
    assert (first.status_code, again.status_code) == (201, 409)
    assert first.json()["secret"] not in again.text
    database = service.parts.settings.folder / "utility.db"
    secret = first.json()["secret"][21:].encode()
    assert secret not in database.read_bytes()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_an_access_token_counts_with_the_roles_it_stands_for(
    service: Served, provider: OidcProvider, algorithm: str
) -> None:
    token = provider.access_token(algorithm)
    assert service.get("/v1/me", key=token) == {"who": "staff:clerk-7", "roles": ["billing"]}
    both = provider.access_token(roles=["inspectors", "billing-clerks", "unknown"])
    assert service.get("/v1/me", key=both)["roles"] == ["auditor", "billing"]
    assert status(service, provider.access_token(roles=["unknown"])) == 403
    assert status(service, provider.access_token(roles=None)) == 403


def test_keys_that_the_provider_has_changed_are_asked_for_but_not_for_every_token(
    service: Served, provider: OidcProvider, clock: Clock
) -> None:
    old, old_token = list(provider.keys), provider.access_token()
    assert status(service, old_token) == 200
    try:
        provider.keys = [RSAKey.generate_key(2048, {"kid": "new", "use": "sig"})]
        new_token = provider.access_token()
        clock.now += LEAST_KEYS_SECONDS
        assert status(service, new_token) == 200
        assert status(service, old_token) == 401
        asked = len(provider.asked)
        stranger = OidcProvider(
            provider.issuer, clock, keys=[ECKey.generate_key("P-256", {"kid": "x"})]
        )
        for _ in range(20):
            assert status(service, stranger.access_token("ES256")) == 401
        assert len(provider.asked) == asked, "nobody makes us flood the provider"
    finally:
        provider.keys = old
        clock.now += KEYS_SECONDS


def test_a_provider_that_is_not_reached_is_not_a_refusal(
    tmp_path: Path, provider: OidcProvider
) -> None:
    folder = new_utility(tmp_path / "utility")
    settings = OidcSettings("http://127.0.0.1:9", "us", {"x": frozenset({Role.BILLING})})
    write_secret(folder / "keys" / "oidc.secret", b"x")
    text = settings_text(provider).replace(provider.issuer, settings.issuer)
    (folder / "service.toml").write_text(text)
    with served(folder) as service:
        answer = service.ask("GET", "/v1/me", key=provider.access_token())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        assert service.get("/v1/me")["who"].startswith("key:"), "keys count without it"


def test_a_provider_that_is_away_for_a_while_stops_nobody_but_not_for_ever(
    service: Served, provider: OidcProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(service, provider.access_token()) == 200
    tokens = service.parts.tokens
    assert tokens is not None
    tried: list[str] = []

    def away(address: str) -> dict[str, object]:
        tried.append(address)
        raise AccessProblem("away")

    monkeypatch.setattr(tokens.provider, "_get", away)
    clock.now += KEYS_SECONDS
    for _ in range(5):
        assert status(service, provider.access_token()) == 200
    assert len(tried) == 1, "nobody waits for it at every token"
    clock.now += MOST_KEYS_SECONDS
    assert status(service, provider.access_token()) == 503


WRONG = {
    "issuer = 1": "oidc.issuer",
    'issuer = "http://login.example"': "https",
    'issuer = "https://user@login.example"': "https",
    'issuer = "https://login.example"\naudience = ""': "audience",
    'issuer = "https://l.example"\naudience = "a"\nclient_id = "a"\n[oidc.roles]\nx = ["grid"]': (
        "client_id"
    ),
    'issuer = "https://l.example"\naudience = "a"': "oidc.roles",
    'issuer = "https://l.example"\naudience = "a"\n[oidc.roles]\nx = ["king"]': "no role",
    'issuer = "https://l.example"\naudience = "a"\n[oidc.roles]\nx = "grid"': "list",
    'issuer = "https://l.example"\nallow = "all"': "not known",
    'issuer = "https://l.example"\nclient_secret_file = "nowhere"': "No such file",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.toml").write_text(f"[oidc]\n{text}\n")
    with pytest.raises((AccessProblem, StoreError), match=WRONG[text]):
        read_settings(tmp_path)


def test_roles_may_lie_within_other_claims() -> None:
    roles = {"x": frozenset({Role.GRID})}
    settings = OidcSettings("https://l.example", "us", roles, "realm_access.roles")
    assert settings.roles_of({"realm_access": {"roles": ["x", 7]}}) == {Role.GRID}
    for claims in ({}, {"realm_access": "x"}, {"realm_access": {"roles": {"x": 1}}}):
        assert settings.roles_of(claims) == frozenset()
    with pytest.raises(AccessProblem, match="at least"):
        parse_roles([])


def test_wrong_passwords_cost_time_and_right_ones_clear_it(service: Served, clock: Clock) -> None:
    operators = service.parts.operators
    for weak in ("short", "a" * 20, "ab" * 10):
        with pytest.raises(AccessProblem, match="password") as error:
            operators.add("anna", weak, frozenset({Role.BILLING}))
        assert weak not in str(error.value)
    operators.add("anna", PASSWORD, frozenset({Role.BILLING}))
    for _ in range(FREE_FAILURES):
        assert operators.sign_in("anna", "wrong password", "10.0.0.1") is None
    with pytest.raises(TooManySignIns):
        operators.sign_in("anna", PASSWORD, "10.0.0.1")
    clock.now += LONGEST_WAIT_SECONDS
    assert operators.sign_in("anna", PASSWORD, "10.0.0.1") is not None
    assert operators.sign_in("nobody", PASSWORD, "10.0.0.1") is None


def sessions_end(change: Callable[[Served, Clock], None], service: Served, clock: Clock) -> bool:
    parts = service.parts
    if parts.operators.find("bert") is None:
        parts.operators.add("bert", PASSWORD, frozenset({Role.BILLING}))
    operator = parts.operators.find("bert")
    assert operator is not None
    token = parts.sessions.begin(operator.principal, operator.epoch)
    found = parts.sessions.find(token)
    assert found is not None
    assert (found.principal, token in repr(found)) == (operator.principal, False)
    change(service, clock)
    return parts.sessions.find(token) is None


def test_a_session_ends_when_idle_old_or_its_operator_changed(
    service: Served, clock: Clock
) -> None:
    operators, sessions = service.parts.operators, service.parts.sessions

    def idle(_: Served, clock: Clock) -> None:
        clock.now += IDLE_SECONDS

    def other_password(service: Served, _: Clock) -> None:
        service.parts.operators.change("bert", PASSWORD + "!")

    assert sessions_end(idle, service, clock)
    assert sessions_end(other_password, service, clock)
    assert sessions_end(lambda service, _: operators.remove("bert"), service, clock)
    operator = operators.add("bert", PASSWORD, frozenset({Role.BILLING}))
    token = sessions.begin(operator.principal, operator.epoch)
    for _ in range(LIFE_SECONDS // (IDLE_SECONDS // 2) - 1):
        clock.now += IDLE_SECONDS // 2
        assert sessions.find(token) is not None
    clock.now += IDLE_SECONDS // 2
    assert sessions.find(token) is None, "old, however busy"
