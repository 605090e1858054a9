# SPDX-License-Identifier: Apache-2.0
"""Nobody acts in an operator's name at the console: forged forms, planted cookies, odd sign-ins."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from meterlet.commands.utility_serve import service_config
from tests.support.console import OWN, PASSWORD, come_in, form_token, refusal, send
from tests.support.oidc_provider import SECRET, OidcProvider, oidc_provider, settings_text
from tests.support.service import ENROLMENT, METER, ORIGIN, Clock, Served, new_utility, served
from utility_server.keys import write_secret
from utility_server.service.access.oidc import SIGN_IN_SECONDS
from utility_server.service.access.operators import FREE_FAILURES
from utility_server.service.access.roles import Role
from utility_server.service.api.application import Entrance, create_api
from utility_server.service.application import create_service
from utility_server.service.console import rollouts, settlements, sign_in
from utility_server.service.console.application import PAGES, create_console
from utility_server.service.console.visit import LARGEST_FILE
from utility_server.service.parts import ServiceSettings

COOKIE = "meterlet_console"
UPLOADS = (
    ("/customers", "enrolment", LARGEST_FILE),
    ("/settlement", "index", settlements.LARGEST_DOCUMENT),
    ("/rollouts", "package", rollouts.LARGEST_PACKAGE),
)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def provider(clock: Clock) -> Iterator[OidcProvider]:
    with oidc_provider(clock) as provider:
        yield provider


@pytest.fixture(scope="module")
def served_console(
    tmp_path_factory: pytest.TempPathFactory, provider: OidcProvider, clock: Clock
) -> Iterator[Served]:
    folder = new_utility(tmp_path_factory.mktemp("service") / "utility")
    write_secret(folder / "keys" / "oidc.secret", SECRET.encode())
    (folder / "service.toml").write_text(settings_text(provider))
    with served(folder, app=create_service, now=clock) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        operators = service.parts.operators
        operators.add("anna", PASSWORD, frozenset(Role))
        operators.add("grid", PASSWORD, frozenset({Role.GRID}))
        yield service


@pytest.fixture
def service(served_console: Served) -> Served:
    served_console.client.cookies.clear()
    return served_console


def provider_query(service: Served) -> dict[str, str]:
    """Go to the identity provider; return what the browser brings it."""
    sent = service.client.get("/sign-in/provider")
    assert sent.status_code == 303
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


def back(provider: OidcProvider, query: dict[str, str]) -> str:
    """Sign in there; return the path to which the browser is sent back."""
    address = urlsplit(provider.authorize(query))
    return f"{address.path}?{address.query}"


def is_in(service: Served) -> bool:
    return service.client.get("/tariffs").status_code == 200


def test_a_password_opens_a_session_whose_cookie_scripts_do_not_see(service: Served) -> None:
    answer = come_in(service)
    (cookie,) = (
        one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")
    )
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert is_in(service)
    token = form_token(service.client.get("/"))
    assert service.client.post("/sign-out", headers=OWN).headers["location"] == "/sign-in"
    assert is_in(service), "without its form nobody is signed out"
    service.client.post("/sign-out", data={"token": token}, headers=OWN)
    assert not is_in(service)
    with served_at_tls(service) as client:
        names = [one.split("=")[0] for one in client.get("/sign-in").headers.get_list("set-cookie")]
        assert names == [f"__Host-{COOKIE}_door"]
        assert "max-age" in client.get("/sign-in").headers["strict-transport-security"]


def served_at_tls(service: Served) -> TestClient:
    """The same utility, as it is served over TLS."""
    origins = ServiceSettings.origins_of(("utility.example",), 443, is_secure=True)
    parts = replace(service.parts, settings=replace(service.parts.settings, origins=origins))
    app = Entrance(create_console(parts, create_api(parts)), parts)
    return TestClient(app, base_url="https://utility.example", follow_redirects=False)


def test_wrong_passwords_say_nothing_and_cost_time(service: Served, clock: Clock) -> None:
    unknown, wrong = come_in(service, "nobody"), come_in(service, password="another password")
    assert (unknown.status_code, wrong.status_code) == (403, 403)
    message = sign_in.REFUSED
    assert message in unknown.text
    assert message in wrong.text
    for _ in range(FREE_FAILURES):
        last = come_in(service, password="another password")
    assert (last.status_code, "retry-after" in last.headers) == (429, True)
    assert come_in(service).status_code == 429, "the right one, too, is not looked at"
    clock.now += 600
    assert come_in(service).status_code == 200
    assert PASSWORD not in str(service.log)
    assert "another password" not in str(service.log)


def test_a_planted_cookie_is_never_taken_over(service: Served) -> None:
    """Session fixation: whoever plants a cookie has no session once its owner signs in."""
    planted = "ab" * 32
    service.client.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
    come_in(service)
    assert service.client.cookies.get(COOKIE) != planted
    assert service.parts.sessions.find(planted) is None
    come_in(service)
    old = service.client.cookies.get(COOKIE)
    come_in(service)
    assert service.parts.sessions.find(old) is None, "signing in again ends the session before"


def changes() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        if page.method == "POST":
            path = page.path.replace("{number:int}", "1").replace("{meter}", METER)
            found.append((page.path, re.sub(r"\{\w+\}", "0" * 32, path)))
    return found


@pytest.mark.parametrize(("page", "path"), changes())
def test_a_form_of_another_site_or_session_changes_nothing(
    service: Served, page: str, path: str
) -> None:
    come_in(service)
    right = form_token(service.client.get("/tariffs"))
    before = service.parts.audit.page(0, 10_000)
    for headers, token in (
        ({}, right), ({"Origin": "https://evil.example"}, right), ({"Origin": "null"}, right),
        ({"Origin": f"{ORIGIN}.evil.example"}, right), (OWN, ""), (OWN, "0" * 64),
        ({**OWN, "Sec-Fetch-Site": "cross-site"}, right),
        ({**OWN, "Sec-Fetch-Site": "same-site"}, right),
    ):  # fmt: skip
        answer = service.client.post(path, data={"token": token}, headers=headers)
        assert answer.status_code == 403, (page, headers, token)
    twice = [("Origin", ORIGIN), ("Origin", "https://evil.example")]
    assert service.client.post(path, data={"token": right}, headers=twice).status_code == 403
    assert service.parts.audit.page(0, 10_000) == before


def test_whoever_is_not_in_or_has_another_role_sees_no_page(service: Served) -> None:
    for page in PAGES:
        if page.roles is None:
            continue
        path = page.path.replace("{number:int}", "1").replace("{meter}", METER)
        path = re.sub(r"\{\w+\}", "0" * 32, path)
        answer = service.client.request(page.method, path, headers=OWN)
        assert answer.status_code == 303, page.path
        assert answer.headers["location"].startswith("/sign-in")
    come_in(service, "grid")
    token = form_token(service.client.get("/regions"))
    for page in PAGES:
        if page.roles is not None and Role.GRID not in page.roles and page.path != "/":
            path = page.path.replace("{number:int}", "1").replace("{meter}", METER)
            path = re.sub(r"\{\w+\}", "0" * 32, path)
            data = {"token": token} if page.method == "POST" else None
            answer = service.client.request(page.method, path, data=data, headers=OWN)
            assert answer.status_code == 403, page.path
            assert METER not in answer.text.replace(path, "")


def test_a_cookie_opens_the_console_and_not_the_interface(service: Served) -> None:
    """So no other site can use an operator's browser against the interface."""
    come_in(service)
    assert service.client.get("/v1/me").status_code == 401
    scope = {"meterlet.principal": "operator:anna", "Meterlet-Principal": "operator:anna"}
    assert service.client.get("/v1/me", headers=scope).status_code == 401


def test_what_is_sent_is_shown_as_text_and_leads_nowhere_else(service: Served) -> None:
    odd = '"><script>alert(1)</script>'
    answer = come_in(service, odd, next="//evil.example")
    assert "<script>alert" not in answer.text
    for target in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:1",
        "é",
    ):
        shown = come_in(service, next=target).text
        assert "evil" not in shown
        assert "javascript" not in shown
        assert 'url=/welcome"' in shown
    service.post("/v1/api-keys", 201, json={"name": odd, "roles": ["grid"]})
    shown = service.client.get("/keys").text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown
    page = service.client.get("/customers?meter=zz<script>")
    assert (page.status_code, "<script>" in page.text.split("</head>")[1]) == (422, False)


@pytest.mark.parametrize(("path", "name", "most"), UPLOADS)
def test_a_file_is_taken_up_to_its_page_s_limit_and_no_byte_further(
    service: Served, path: str, name: str, most: int
) -> None:
    come_in(service)
    token = form_token(service.client.get(path))

    def upload(size: int, count: int = 1) -> int:
        files = [(name, (f"{number}", b"0" * size)) for number in range(count)]
        data = {"token": token, "what": "month", "month": "2025-03", "supplier": "A"}
        return service.client.post(path, data=data, files=files, headers=OWN).status_code

    assert upload(most) in (409, 422), "it is read, and is none of these"
    assert upload(most + 1) == 413
    assert upload(1, 3) == 400, "nor are more files"


def test_every_page_forbids_frames_foreign_scripts_and_caches(service: Served) -> None:
    come_in(service)
    for path in ("/", "/sign-in", "/nowhere", "/customers", f"/customers/{METER}"):
        headers = service.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    text = service.client.get("/").text
    assert not re.search(r"<script(?![^>]*src=\"/assets/)|\son\w+=|style=", text)


# The identity provider


def test_staff_sign_in_at_the_identity_provider(service: Served, provider: OidcProvider) -> None:
    answer = service.client.get(back(provider, provider_query(service)))
    assert answer.status_code == 200
    assert is_in(service)
    shown = service.client.get("/tariffs").text
    assert "clerk-7 (billing)" in shown
    assert service.client.get("/audit").status_code == 403
    assert [one.who for one in service.parts.audit.page(0, 10_000)][-1] == "staff:clerk-7"


def test_a_sign_in_is_used_once_and_by_the_browser_that_began(
    service: Served, provider: OidcProvider, clock: Clock
) -> None:
    query = provider_query(service)
    path = back(provider, query)
    began = dict(service.client.cookies)
    service.client.cookies.clear()
    assert service.client.get(path).status_code == 400, "no browser at all"
    assert provider_query(service)["state"] != query["state"]
    assert service.client.get(path).status_code == 403, "another browser: signed in as another"
    service.client.cookies.update(began)
    assert service.client.get(path).status_code == 403, "it was used, if in vain"
    query = provider_query(service)
    path = back(provider, query)
    clock.now += SIGN_IN_SECONDS
    assert service.client.get(path).status_code == 403, "too old"
    path = back(provider, provider_query(service))
    assert service.client.get(path).status_code == 200
    assert service.client.get(path).status_code in (400, 403)
    for wrong in ("", "?state=x", "?code=x", f"?state={'a' * 2000}&code=x"):
        provider_query(service)
        assert service.client.get(f"/sign-in/back{wrong}").status_code in (400, 403)


LIES = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another"},
    "the interface's audience": {"aud": "meterlet-utility"},
    "several audiences, for another": {"aud": ["meterlet-console", "x"], "azp": "x"},
    "another issuer": {"iss": "https://evil.example"},
    "over": {"exp": 1},
    "not yet": {"nbf": 10**10},
    "nobody": {"sub": None},
    "without a role": {"roles": ["visitors"]},
    "roles that are no list": {"roles": {"billing-clerks": True}},
}


@pytest.mark.parametrize("lie", LIES)
def test_an_id_token_that_is_not_right_opens_nothing(
    service: Served, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    monkeypatch.setattr(provider, "lies", LIES[lie])
    answer = service.client.get(back(provider, provider_query(service)))
    assert answer.status_code == 403
    assert not is_in(service)


def test_the_code_is_bound_to_the_verifier_and_the_address(
    service: Served, provider: OidcProvider
) -> None:
    """Whoever steals a code on its way back cannot turn it into a session: PKCE."""
    theirs = provider_query(service)
    stolen = parse_qs(urlsplit(provider.authorize(theirs)).query)["code"][0]
    service.client.cookies.clear()
    mine = provider_query(service)
    answer = service.client.get(f"/sign-in/back?state={mine['state']}&code={stolen}")
    assert (answer.status_code, is_in(service)) == (403, False)
    assert theirs["redirect_uri"] == f"{ORIGIN}{sign_in.BACK}"
    assert len(theirs["code_challenge"]) == 43
    assert SECRET not in answer.text + str(service.log)


def test_a_provider_that_says_it_is_another_is_not_believed(
    service: Served, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = service.parts.sign_in
    assert known is not None
    addresses = known.provider._addresses
    try:
        known.provider._addresses = {}
        said = {**provider.discovery(), "issuer": "https://evil.example"}
        monkeypatch.setattr(provider, "discovery", lambda: said)
        assert service.client.get("/sign-in/provider").status_code == 503
        said["issuer"] = provider.issuer
        said["token_endpoint"] = "http://evil.example/token"
        assert service.client.get("/sign-in/provider").status_code == 503
    finally:
        known.provider._addresses = addresses


ODD: Final = ("²", "9" * 5_000, "", "-1", "1.5", "0x10", "\0", "é", "1 000", "٣")


@pytest.mark.parametrize("odd", ODD)
def test_a_number_that_is_none_is_refused_by_the_interface_and_not_a_fault_here(
    service: Served, odd: str
) -> None:
    come_in(service)
    digest = service.tariff()
    made = send(service, "/keys", "/keys", name="a key", days=odd, **{"role-grid": "1"})
    assert made.status_code == 422
    assert "Days: it is" in refusal(made)
    assert 'value="a key"' in made.text
    assert re.search(r'name="role-grid" value="1" checked', made.text)
    for field in ("day", "hour"):
        numbers = {"day": "1", "hour": "1", field: odd}
        planned = send(service, "/schedules", "/", name="monthly", tariff=digest, **numbers)
        assert planned.status_code == 422
        assert f"{field.capitalize()}: it is" in refusal(planned)
        assert 'value="monthly"' in planned.text
    assert "a key" not in {one["name"] for one in service.get("/v1/api-keys")}
    assert service.get("/v1/bill-schedules")["items"] == []


@pytest.mark.parametrize(
    ("month", "status"),
    [("9999-12", 409), ("0001-01", 409), ("0000-01", 422), ("2025-13", 422), ("²025-03", 422),
     ("", 422), ("2025-3", 422), ("2025-03-01", 422), ("9" * 5_000, 422), ("\0", 422)],
)  # fmt: skip
def test_a_month_that_is_none_or_not_the_tariff_s_begins_no_run(
    service: Served, month: str, status: int
) -> None:
    """60 refusals, one by one, said no more than this; and the run looked as if all went well."""
    come_in(service)
    before = service.get("/v1/runs")["items"]
    fields = {"what": "month", "month": month, "tariff": service.tariff(), "replaces": "1"}
    answer = send(service, "/runs", "/", **fields)
    assert answer.status_code in (status, 422)
    said = refusal(answer)
    assert "pattern" not in said
    assert any(
        words in said for words in ("as 2025-03", "no such month", "valid from", "only the years")
    )
    assert re.search(r'name="replaces" value="1" checked', answer.text)
    assert service.get("/v1/runs")["items"] == before


def guesses(service: Served, client: TestClient, count: int, name: str = "anna") -> int:
    """Guess at a name in a browser that is nobody's; return the last answer's status."""
    status = 0
    for _ in range(count):
        client.cookies.clear()
        token = form_token(client.get("/sign-in"))
        form = {"token": token, "name": name, "password": "wrong wrong wrong"}
        status = client.post("/sign-in", data=form, headers=OWN).status_code
    return status


def test_strangers_behind_the_same_address_keep_nobody_out_of_his_own_browser(
    service: Served, clock: Clock
) -> None:
    clock.now += 86_401
    assert come_in(service).status_code == 200
    own = dict(service.client.cookies)
    assert guesses(service, service.client, 2 * FREE_FAILURES) == 429
    service.client.cookies.clear()
    assert come_in(service).status_code == 429, "another browser"
    service.client.cookies.update({n: one for n, one in own.items() if "_known_" in n})
    assert come_in(service, password="wrong wrong wrong").status_code == 403
    assert come_in(service).status_code == 200
    service.client.cookies.clear()
    service.client.cookies.update({n: one for n, one in own.items() if "_known_" in n})
    assert come_in(service, "grid").status_code == 429, "it is of one name"
    clock.now += 86_401


def test_who_called_a_trusted_proxy_is_counted_and_nobody_else_says_who_called(
    service: Served, clock: Clock
) -> None:
    app = Entrance(create_console(service.parts, create_api(service.parts)), service.parts)
    for proxies, peer, is_open in (
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "10.0.0.9", False),
        ((), "127.0.0.1", False),
    ):
        clock.now += 86_401
        config = service_config(app, None, proxies)
        config.load()
        clients = [
            TestClient(config.loaded_app, ORIGIN, client=(peer, 1), follow_redirects=False,
                       headers={"X-Forwarded-For": f"6.6.6.6, {source}"})
            for source in ("203.0.113.5", "203.0.113.6")
        ]  # fmt: skip
        names = (f"nobody-{number}" for number in range(100))
        for _ in range(2 * FREE_FAILURES):
            guesses(service, clients[0], 1, next(names))
        assert guesses(service, clients[0], 1, next(names)) == 429
        status = guesses(service, clients[1], 1, next(names))
        assert status == (403 if is_open else 429), (proxies, peer)
    clock.now += 86_401
