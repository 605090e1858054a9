# SPDX-License-Identifier: Apache-2.0
"""At the resident's pages, who is none: other sites, other names, guesses, floods."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from hub.device import Device
from tests.support.pages import ORIGIN, PASSPHRASE, Browser, browser

ROOT = Path(__file__).resolve().parents[2]
AID = "f04d544c010101"


@pytest.fixture
def anna(demo_home: Path, tmp_path: Path) -> Iterator[Browser]:
    folder = tmp_path / "hub"
    copytree(demo_home, folder)
    with browser(folder) as someone:
        yield someone


@pytest.fixture(scope="module")
def door(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """For attacks that change nothing, if they are refused."""
    folder = tmp_path_factory.mktemp("door") / "hub"
    copytree(demo_home, folder)
    with browser(folder) as someone:
        yield someone


@pytest.fixture
def stranger(anna: Browser) -> Browser:
    anna.client.cookies.clear()
    return anna


def consents_standing(folder: Path) -> int:
    with Device.open(folder) as device:
        return sum(consent.revoked is None for consent in device.disclosure.consents())


REVOKE = "/consents/1/revoke"
CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8322"},
    {"Origin": "https://127.0.0.1:8321"},
    {"Origin": "http://127.0.0.1:8321.evil.example"},
    {"Origin": f"{ORIGIN}, https://evil.example"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_another_sites_form_is_refused_even_with_cookie_and_token(
    door: Browser, headers: dict[str, str]
) -> None:
    before = consents_standing(door.folder)
    answer = door.post(REVOKE, headers=headers)
    assert answer.status_code == 403
    assert consents_standing(door.folder) == before
    assert "cross-site request" in door.happened()


def test_a_form_without_origin_is_refused(door: Browser) -> None:
    answer = door.client.post(REVOKE, data={"token": door.token()})
    assert answer.status_code == 403
    assert "cross-site request" in door.happened()


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "ab" * 32])
def test_a_form_without_this_sessions_token_is_refused(door: Browser, token: str) -> None:
    answer = door.client.post(REVOKE, data={"token": token}, headers={"Origin": ORIGIN})
    assert answer.status_code == 403
    assert "forged form" in door.happened()
    assert consents_standing(door.folder) == 5


def test_one_sessions_token_is_worth_nothing_in_another(anna: Browser) -> None:
    old = anna.token()
    anna.post("/sign-out")
    anna.sign_in()
    answer = anna.client.post(REVOKE, data={"token": old}, headers={"Origin": ORIGIN})
    assert answer.status_code == 403


def test_a_form_of_the_door_needs_the_doors_cookie(stranger: Browser) -> None:
    token = stranger.token("/sign-in")
    stranger.client.cookies.clear()
    fields = {"token": token, "name": "anna", "passphrase": PASSPHRASE}
    answer = stranger.client.post("/sign-in", data=fields, headers={"Origin": ORIGIN})
    assert answer.status_code == 403
    assert stranger.happened()[-1] == "forged form"


@pytest.mark.parametrize("path", ["/readings/minutes", "/bill", "/releases/5/bytes"])
def test_another_sites_page_gets_nothing_into_its_own(door: Browser, path: str) -> None:
    for mode in ("no-cors", "cors", "same-origin"):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
        assert door.get(path, headers=headers).status_code == 403
    answer = door.get(path)
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in answer.headers


HOSTS = [
    "evil.example",
    "evil.example:8321",
    "127.0.0.1",
    "127.0.0.1:8322",
    "127.0.0.1:8321.evil.example",
    "evil.example@127.0.0.1:8321",
    "LOCALHOST:8321",
    "",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_was_rebound_to_the_hub_is_refused(door: Browser, host: str) -> None:
    answer = door.get("/bill", headers={"Host": host})
    assert answer.status_code == 421
    assert "127.46" not in answer.text
    assert "forged host" in door.happened()


PATHS = [
    "/assets/../residents.db",
    "/assets/%2e%2e/residents.db",
    "/assets/..%2fresidents.db",
    "/assets/..%5c..%5cresidents.db",
    "/assets/%00",
    "//assets/pages.css",
    "/assets//etc/passwd",
    "/.git/config",
    "/bill;a=b",
    "/b%69ll",
    "/consents/%31",
    "/" + "a" * 600,
]


@pytest.mark.parametrize("path", PATHS)
def test_no_trick_with_a_path_leads_anywhere(door: Browser, path: str) -> None:
    # `raw_path` as a server hands it over: the client would tidy it up.
    found = ask_raw(door, path)
    assert found == 400
    assert "path trick" in door.happened()


@pytest.mark.parametrize("path", ["/assets/hub.db", "/assets/residents.db", "/hub.toml", "/keys"])
def test_no_file_of_the_hub_is_served(door: Browser, path: str) -> None:
    assert door.get(path).status_code == 404


def ask_raw(anna: Browser, path: str) -> int:
    """Ask the application for a path just as it is written; return the status."""
    from urllib.parse import unquote

    import anyio

    from hub.inspection.web import create_application

    sent: list[dict[str, object]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8321")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8321),
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    application = create_application(anna.parts)
    anyio.run(application, scope, receive, send)  # type: ignore[arg-type]
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status


def test_a_thousand_wrong_pins_are_refused_and_on_record(stranger: Browser) -> None:
    token = stranger.token("/sign-in")
    checked = 0
    for number in range(1000):
        answer = stranger.client.post(
            "/sign-in",
            data={"token": token, "name": "anna", "passphrase": f"{number:06}"},
            headers={"Origin": ORIGIN},
        )
        assert answer.status_code in (403, 429)
        checked += answer.status_code == 403
        stranger.clock.now += 1
    # 1000 s: 4 at once, then after 1, 2, 4, ... s.
    assert checked <= 15
    wrong = [e.facts for e in stranger.events() if e.facts["event"] == "wrong passphrase"]
    assert [facts["count"] for facts in wrong] == [1, 2, 4, 8]
    early = [e.facts for e in stranger.events() if e.facts["event"] == "sign-in too soon"]
    assert early[-1]["count"] == 512
    right = {"token": token, "name": "anna", "passphrase": PASSPHRASE}
    answer = stranger.client.post("/sign-in", data=right, headers={"Origin": ORIGIN})
    assert answer.status_code == 429  # not even the right one, for a while
    stranger.clock.now += 3600
    answer = stranger.client.post("/sign-in", data=right, headers={"Origin": ORIGIN})
    assert answer.url.path == "/"


def test_the_delay_outlives_a_restart(stranger: Browser) -> None:
    for _ in range(6):
        stranger.sign_in(passphrase="000000")
    with browser(stranger.folder, role=None) as again:
        again.clock.now = stranger.clock.now
        assert again.sign_in().status_code == 429


def test_no_answer_tells_whether_a_name_exists(stranger: Browser) -> None:
    known = stranger.sign_in("anna", "wrong passphrase")
    unknown = stranger.sign_in("nobody", "wrong passphrase")
    assert known.status_code == unknown.status_code == 403
    # What was typed stays in the form, and is all that differs.
    assert known.text.replace('value="anna"', 'value="nobody"') == unknown.text


def test_passphrases_and_tokens_are_in_no_file_and_no_log(anna: Browser) -> None:
    anna.sign_in("anna", "a wrong guess of somebody")
    secrets = [PASSPHRASE, "a wrong guess of somebody", anna.token()]
    secrets += [cookie.value or "?" for cookie in anna.client.cookies.jar]
    for path in anna.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path
    told = repr(anna.parts) + repr(anna.parts.sessions)
    assert not any(secret in told for secret in secrets)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(stranger: Browser, target: str) -> None:
    answer = stranger.client.post(
        "/sign-in",
        data={
            "token": stranger.token("/sign-in"),
            "name": "anna",
            "passphrase": PASSPHRASE,
            "next": target,
        },
        headers={"Origin": ORIGIN},
        follow_redirects=False,
    )
    assert answer.headers["Location"] == "/"


def test_the_cookie_is_for_this_site_and_no_script(stranger: Browser) -> None:
    answer = stranger.client.post(
        "/sign-in",
        data={"token": stranger.token("/sign-in"), "name": "anna", "passphrase": PASSPHRASE},
        headers={"Origin": ORIGIN},
        follow_redirects=False,
    )
    for cookie in answer.headers.get_list("Set-Cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie


def test_a_session_that_was_fixed_beforehand_is_not_taken_over(stranger: Browser) -> None:
    stranger.client.cookies.set("meterlet", "ab" * 32, domain="127.0.0.1")
    stranger.sign_in()
    stranger.client.cookies.clear()
    stranger.client.cookies.set("meterlet", "ab" * 32, domain="127.0.0.1")
    assert stranger.get("/").url.path == "/sign-in"


def test_a_flood_of_refusals_does_not_fill_the_log(anna: Browser) -> None:
    before = len(anna.events())
    for _ in range(300):
        anna.get("/bill", headers={"Host": "evil.example"})
    assert len(anna.events()) - before == 9


def test_an_applets_identifier_of_an_address_is_no_path(door: Browser) -> None:
    for aid in ("hub", "f04d544c010102", "x" * 200):
        assert door.post(f"/applets/{aid}/enrolment").status_code == 409
        assert door.post(f"/applets/{aid}/remove").status_code == 409
