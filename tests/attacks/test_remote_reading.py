# SPDX-License-Identifier: Apache-2.0
"""Whoever has a reader's login, or wants one, gets no more than the resident has allowed."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from hub.certifier import DayUse
from hub.custody import hand_over
from hub.device import Device
from hub.disclosure.log import DisclosureLog
from hub.inspection.api.tokens import Scope, Tokens
from hub.inspection.errors import InspectionError
from hub.inspection.readers.readers import LoginRefused, Readers
from hub.inspection.store import open_inspection
from protocols.metrology import Period
from tests.support.readers import (
    DAYS,
    NOON,
    PASSPHRASES,
    PASSWORD,
    Interface,
    allow,
    basic,
    bearer,
    interface,
    make_home,
    revoke,
)
from tests.support.rotating import NOW as ROTATED
from tests.support.rotating import make_hub

WEEK = "from=2025-03-24&until=2025-03-30"
GAS = bytes.fromhex("0701030000ff")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "hub"
    make_home(folder)
    return folder


@pytest.fixture
def device(template: Path, tmp_path: Path) -> Iterator[Device]:
    copytree(template, tmp_path / "hub")
    with Device.open(tmp_path / "hub", now=lambda: NOON) as device:
        yield device


@pytest.fixture
def api(device: Device) -> Iterator[Interface]:
    with interface(device, NOON) as served:
        yield served


def handed_over(device: Device) -> int:
    return device.disclosure.exported_readings()


def refusals(device: Device) -> list[Any]:
    return [entry.facts for entry in device.disclosure.log.entries("refusal")]


@pytest.mark.parametrize(
    "question",
    [
        "/read/slots?from=2025-03-23&until=2025-03-30",
        "/read/slots?from=2025-03-24&until=2025-03-31",
        "/read/slots?from=2025-03-31&until=2025-03-31",
        f"/read/slots?{WEEK}&register=1-0:2.8.0*255",
        f"/read/slots?{WEEK}&resolution=15",
        f"/read/slots?{WEEK}&resolution=5",
        "/read/latest?register=7-1:3.0.0*255",
    ],
)
def test_more_than_is_allowed_is_refused_and_on_record(
    device: Device, api: Interface, question: str
) -> None:
    _, token = allow(device)
    answer = api.get(question, bearer(token))
    assert answer.status_code == 403
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert handed_over(device) == 0
    [refused] = refusals(device)
    assert refused["recipient"] == "pi"


@pytest.mark.parametrize("minutes", [60, 1440])
def test_no_cut_of_a_period_leaves_a_piece_of_a_sum(
    device: Device, api: Interface, minutes: int
) -> None:
    _, token = allow(device, minutes=minutes)
    bounds = [set[int]() for _ in range(2)]
    for first in range(24, 31):
        for last in range(first, 31):
            question = f"/read/slots?from=2025-03-{first}&until=2025-03-{last}"
            for resolution in ("60", "1440"):
                answer = api.get(f"{question}&resolution={resolution}", bearer(token))
                if int(resolution) < minutes:
                    assert answer.status_code == 403
                    continue
                for slot in answer.json()["slots"]:
                    bounds[0].add(slot["from"])
                    bounds[1].add(slot["until"])
    # All readings begin and end at whole steps of the local day, however the question was cut.
    days = list(DAYS.grids("Europe/Berlin", 15))
    steps = sum(1 if minutes == 1440 else len(grid) // 4 for grid in days)
    assert len(bounds[0] | bounds[1]) == steps + 1


def test_live_values_are_no_part_of_another_consent(device: Device, api: Interface) -> None:
    with pytest.raises(InspectionError, match="live values are finer than 60 minutes"):
        allow(device, minutes=60, is_live=True)
    _, token = allow(device, minutes=15, period=Period(date(2025, 3, 24), date(2025, 12, 31)))
    assert api.get("/read/latest", bearer(token)).json()["live"] is None
    revoke(device)
    reader, token = allow(
        device, minutes=15, is_live=True, period=Period(date(2025, 4, 1), date(2025, 12, 31))
    )
    # Just after midnight the power is not taken over yesterday evening, which is not allowed.
    api.clock[0] = 1_743_458_400 + 30
    assert api.get("/read/latest", bearer(token)).json()["live"] is None
    api.clock[0] = NOON
    device.disclosure.narrow(reader.number, replace(reader.terms, least_minutes=1440))
    assert api.get("/read/latest", bearer(token)).status_code == 403


def test_after_a_revocation_nothing_holds(device: Device, api: Interface) -> None:
    _, token = allow(device, password=PASSWORD)
    session = api.log_in("pi", PASSWORD).json()["token"]
    before = [api.get(f"/read/slots?{WEEK}", bearer(one)) for one in (token, session)]
    assert [answer.status_code for answer in before] == [200, 200]
    revoke(device)
    logins = bearer(token), bearer(session), basic("pi", PASSWORD)
    after = [api.get(f"/read/slots?{WEEK}", login) for login in logins]
    assert [answer.status_code for answer in after] == [401] * 3
    assert api.log_in("pi", PASSWORD).status_code == 401
    # The same terms again are another reader: what was handed out before stays dead.
    _, newer = allow(device)
    assert api.get("/read/registers", bearer(newer)).status_code == 200
    api.clock[0] += 60
    again = [api.get("/read/registers", login) for login in logins]
    assert [answer.status_code for answer in again] == [401, 401, 401]


def test_a_consent_that_has_ended_hands_nothing_over_again(device: Device, api: Interface) -> None:
    _, token = allow(device, until=date(2025, 4, 1))
    assert api.get(f"/read/slots?{WEEK}", bearer(token)).status_code == 200
    api.clock[0] += 86_400
    for question in (f"/read/slots?{WEEK}", "/read/latest", "/read/registers"):
        answer = api.get(question, bearer(token))
        assert (answer.status_code, "has expired" in answer.json()["detail"]) == (403, True)


def test_a_session_is_replayed_after_its_end_in_vain(device: Device, api: Interface) -> None:
    reader, _ = allow(device, password=PASSWORD)
    allow(device, "spy", password="another password")
    session = api.log_in("pi", PASSWORD).json()["token"]
    _, number, until, made, mac = session.split("_", 4)
    forged = [
        f"mls_{number}_{int(until) + 60}_{made}_{mac}",
        f"mls_{int(number) + 1}_{until}_{made}_{mac}",
        f"mls_{number}_{until}_{int(made) + 1}_{mac}",
        f"mls_{number}_{until}_{made}_{'A' * 43}",
        session + "=",
        session.replace("mls", "mlr"),
    ]
    for one in forged:
        assert api.get("/read/registers", bearer(one)).status_code in (401, 429)
    api.clock[0] += 599
    assert api.get("/read/registers", bearer(session)).status_code == 200
    api.clock[0] += 1
    assert api.get("/read/registers", bearer(session)).status_code == 401
    api.clock[0] -= 3600  # the clock is set back: it would hold for longer than any
    assert api.get("/read/registers", bearer(session)).status_code == 401
    api.clock[0] += 3600
    fresh = api.log_in("pi", PASSWORD).json()["token"]
    with open_inspection(device) as database:
        Readers(database, device).set_password("pi", "something else", PASSPHRASES)
    assert api.get("/read/registers", bearer(fresh)).status_code == 401
    assert reader.number == 1


def test_who_guesses_passwords_waits_and_learns_no_name(device: Device, api: Interface) -> None:
    allow(device, password=PASSWORD)
    allow(device, "lamp")  # has a token alone
    answers = [
        api.log_in(name, "wrong password") for name in ("pi", "nobody", "lamp", "Pi\x00", "")[:4]
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    blocked = api.log_in("pi", PASSWORD)
    assert (blocked.status_code, blocked.headers["retry-after"]) == (429, "1")
    api.clock[0] += 1
    assert api.get("/read/registers", basic("pi", PASSWORD)).status_code == 200
    # Over and over: the wait grows, for whatever names.
    waits = []
    for n in range(14):
        answer = api.get("/read/registers", basic(f"name{n}", "wrong password"))
        if answer.status_code == 429:
            waits.append(int(answer.headers["retry-after"]))
            api.clock[0] += waits[-1]
    assert waits == sorted(waits)
    assert waits[-1] >= 8


def test_an_unknown_name_takes_as_long_as_a_known_one(device: Device) -> None:
    allow(device, password=PASSWORD)
    allow(device, "lamp")
    seconds: dict[str, list[float]] = {"pi": [], "lamp": [], "nobody": []}
    with open_inspection(device) as database:
        readers = Readers(database, device)
        for _ in range(9):
            for name, times in seconds.items():
                begun = time.process_time()
                with pytest.raises(Exception, match="no login that holds"):
                    readers.by_password(name, "wrong password", PASSPHRASES)
                times.append(time.process_time() - begun)
    medians = [statistics.median(times) for times in seconds.values()]
    assert max(medians) < 3 * min(medians)


@pytest.mark.parametrize("how", ["basic", "login"])
def test_a_password_in_clear_over_a_network_is_not_even_looked_at(device: Device, how: str) -> None:
    _, token = allow(device, password=PASSWORD)

    def ask(api: Interface, **more: str) -> Any:
        if how == "basic":
            return api.get("/read/registers", {**basic("pi", PASSWORD), **more})
        return api.log_in("pi", PASSWORD, headers=more)

    with interface(device, NOON, address="192.168.1.9") as api:
        claims = {
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Proto": "https",
            "Forwarded": "for=127.0.0.1;proto=https",
            "Host": "localhost",
        }
        for answer in (ask(api), ask(api, **claims)):
            assert answer.status_code == 403
            assert "over TLS or on loopback only" in answer.json()["detail"]
        assert api.get("/read/registers", bearer(token)).status_code == 200
    with interface(device, NOON, address="192.168.1.9", is_secure=True) as api:
        assert ask(api).status_code == 200


def test_headers_that_say_two_things_say_nothing(device: Device, api: Interface) -> None:
    _, token = allow(device, password=PASSWORD)
    good, spare = f"Bearer {token}".encode(), b"Bearer mlr_1_" + b"A" * 43
    twice = [(b"authorization", good), (b"authorization", spare)]
    for fields in (twice, twice[::-1]):
        answer = api.client.get("/api/v1/read/registers", headers=fields)
        assert answer.status_code == 400
    for text in (
        "Basic " + "A" * 3000,
        "Basic cGk",  # no padding
        "Basic cGk6eB==",  # bits beyond the last byte
        "Basic cGk=",  # no colon
        "Basic /////w==",
        "Bearer  " + token,
        "Bearer " + token + " ",
        "Digest " + token,
    ):
        answer = api.get("/read/registers", {"Authorization": text})
        expected = (200, 400, 401, 429) if text.endswith(" ") else (400, 401, 429)
        assert answer.status_code in expected, text
    assert api.get("/read/registers", bearer(token)).status_code == 200
    wrong: list[tuple[bytes, str]] = [
        (b'{"name": "pi"}', "application/json"),
        (b'{"name": "pi", "password": "x", "more": 1}', "application/json"),
        (b'{"name": ["pi"], "password": "x"}', "application/json"),
        (b"name=pi&password=x", "application/x-www-form-urlencoded"),
        (b"\xff", "application/json"),
        (b" " * 5000, "application/json"),
    ]
    for body, kind in wrong:
        headers = {"Content-Type": kind}
        answer = api.client.post("/api/v1/login", content=body, headers=headers)
        assert answer.status_code in (400, 413, 415)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_reader_sees_no_other_readers_data_and_no_page_of_the_residents(
    device: Device, api: Interface
) -> None:
    _, first = allow(device)
    monday = Period(date(2025, 3, 24), date(2025, 3, 24))
    _, second = allow(device, "lamp", 1440, period=monday)
    seen = api.get(f"/read/slots?{WEEK}", bearer(first))
    assert seen.status_code == 200
    other = {**bearer(second), "If-None-Match": seen.headers["etag"]}
    assert api.get(f"/read/slots?{WEEK}", other).status_code == 403
    known = api.get("/read/registers", bearer(second)).json()
    assert (known["reader"], known["resolution_minutes"]) == ("lamp", 1440)
    for path in ("/device", "/power", f"/readings?{WEEK}", "/releases", "/consents"):
        assert api.get(path, bearer(first)).status_code in (401, 429)
    with open_inspection(device) as database:
        _, own = Tokens(database, device).create("mine", list(Scope))
    assert api.get("/read/registers", bearer(own)).status_code in (401, 429)


def test_who_writes_the_hubs_other_file_makes_no_login(device: Device, api: Interface) -> None:
    reader, token = allow(device, password=PASSWORD)
    hashed = PASSPHRASES.hash("the intruder's own")
    with open_inspection(device) as database, database.transaction() as connection:
        [[old]] = connection.execute("SELECT hash FROM reader_password")
        connection.execute("UPDATE reader_password SET hash = ?", (hashed,))
    assert api.log_in("pi", "the intruder's own").status_code == 401
    with open_inspection(device) as database:
        Readers(database, device).set_password("pi", "a newer password", PASSPHRASES)
        with database.transaction() as connection:  # an older password is put back
            connection.execute("UPDATE reader_password SET hash = ?", (old,))
    assert api.log_in("pi", PASSWORD).status_code == 401
    assert token.partition("_")[0] == "mlr"
    secret = token.split("_", 2)[2].encode()
    for file in device.folder.glob("*.db*"):
        assert secret not in file.read_bytes()
    assert reader.token_digest.hex() not in repr(reader)


def test_a_reader_that_is_refused_for_ever_does_not_fill_the_log(
    device: Device, api: Interface
) -> None:
    _, token = allow(device)
    for n in range(100):
        register = f"register=1-{n}:2.8.0*255"
        assert api.get(f"/read/slots?{WEEK}&{register}", bearer(token)).status_code == 403
    assert len(refusals(device)) == 8 + 3  # and the 16th, 32nd, 64th


def test_what_was_read_counts_for_whatever_else_is_asked(device: Device, api: Interface) -> None:
    """What readers hold of a day is held against every later release, as exports are."""
    _, token = allow(device, minutes=15)
    assert api.get(f"/read/slots?{WEEK}", bearer(token)).status_code == 200
    [opened] = device.disclosure._openings([])
    begin, end = DAYS.bounds("Europe/Berlin")
    assert (opened.recipient, opened.opening.begin, opened.opening.end) == ("pi", begin, end)
    assert opened.opening.seconds == 900


def test_corrected_readings_are_handed_over_anew_and_on_record(
    device: Device, api: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = allow(device)
    assert api.get(f"/read/slots?{WEEK}", bearer(token)).status_code == 200
    day = DayUse.decode(next(iter(device.main.journal.between(DAYS.first, DAYS.first))).use)
    changed = ((day.grid.begin, 1),)
    monkeypatch.setattr(
        "hub.metering.MeteredRegister.revised",
        lambda _, period: changed if period.first == DAYS.first else (),
    )
    for _ in range(2):
        assert api.get(f"/read/slots?{WEEK}", bearer(token)).status_code == 200
    entries = list(device.disclosure.log.entries("export"))
    assert [entry.facts["readings"] for entry in entries] == [167, 24]
    assert "revised" in entries[-1].facts


def test_a_register_that_the_hub_has_not_cannot_be_allowed(device: Device) -> None:
    with pytest.raises(InspectionError, match=r"7-1:3.0.0\*255: the hub has no such register"):
        allow(device, registers=(GAS,))
    with pytest.raises(InspectionError, match="no name"):
        allow(device, "Pi\n")
    with pytest.raises(InspectionError, match="only 5, 15, 30, 60, 1440"):
        allow(device, minutes=7)
    allow(device)
    with pytest.raises(InspectionError, match="a reader pi already"):
        allow(device, minutes=15)


def test_no_login_outlives_a_hand_over(tmp_path: Path) -> None:
    with make_hub(tmp_path / "hub", date(2025, 3, 1), date(2025, 3, 3)) as device:
        march = Period(date(2025, 3, 1), date(2025, 12, 31))
        reader, token = allow(device, period=march, password=PASSWORD)
        with interface(device, ROTATED) as api:
            session = api.log_in("pi", PASSWORD).json()["token"]
            assert api.get("/read/latest", bearer(session)).json()["slot"] is not None
    hand_over(tmp_path / "hub", now=lambda: ROTATED)
    with Device.open(tmp_path / "hub", now=lambda: ROTATED) as device:
        with interface(device, ROTATED) as api:
            logins = bearer(token), bearer(session), basic("pi", PASSWORD)
            answers = [api.get("/read/registers", login) for login in logins]
            assert [answer.status_code for answer in answers] == [401] * 3
        # A reader of the new resident's has the same number, and none of the days of before.
        newer, fresh = allow(device, period=march)
        assert newer.number == reader.number
        with interface(device, ROTATED) as api:
            assert api.get("/read/registers", bearer(token)).status_code == 401
            answer = api.get("/read/slots?from=2025-03-01&until=2025-03-03", bearer(fresh))
            assert answer.json()["slots"] == []
            assert handed_over(device) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        "resolution=1",
        "resolution=-5",
        "resolution=",
        "resolution=true",
        "cursor=x",
        "register=%00",
        "register=1",
        "more=1",
    ],
)
def test_what_is_no_value_of_a_parameter_is_said_to_be_none(
    device: Device, api: Interface, wrong: str
) -> None:
    _, token = allow(device)
    answer = api.get(f"/read/slots?{WEEK}&{wrong}", bearer(token))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert wrong.partition("=")[0] in answer.json()["detail"]


def test_a_login_that_is_no_json_is_refused(api: Interface) -> None:
    for body in (b"", b"{", b'{"name": 1}', b"\xff", b'{"name": "pi"}', b"[" * 4_000):
        answer = api.client.post(
            "/api/v1/login", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400


def test_a_number_of_many_digits_in_an_address_is_one_of_nothing(api: Interface) -> None:
    for digits in (20, 5_000):
        for path in ("/v1/messages/", "/v2/messages/"):
            answer = api.client.get(f"/api{path}{'9' * digits}")
            assert answer.status_code == 404


def test_the_log_is_gone_through_for_names_that_nobody_has_too(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(device, password=PASSWORD)
    allow(device, "nameless")
    asked_for: list[str] = []
    entries = DisclosureLog.entries

    def noted(log: DisclosureLog, kind: str) -> Any:
        asked_for.append(kind)
        return entries(log, kind)

    monkeypatch.setattr(DisclosureLog, "entries", noted)
    work = []
    with open_inspection(device) as database:
        readers = Readers(database, device)
        for name in ("pi", "nameless", "nobody"):
            asked_for.clear()
            with pytest.raises(LoginRefused):
                readers.by_password(name, "wrong password", PASSPHRASES)
            work.append([*asked_for])
    assert "reader password" in work[0]
    assert work[0] == work[1] == work[2]
