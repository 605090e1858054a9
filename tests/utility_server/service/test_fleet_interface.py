# SPDX-License-Identifier: Apache-2.0
"""Roll-outs over the interface: planned, begun, stopped, gone on with and rolled back.

The hubs are real ones, in this process, and answer as they dial.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hub.machine.machine import AppletMachine
from tests.support.console import OWN, PASSWORD, come_in, form_token, refusal, send, service_at_rest
from tests.support.fleet import CAT, Fleet, Hubs, fill, new_hubs
from tests.support.service import Served, served
from tests.support.versions import version
from utility_server.service.access.roles import Role

NUMBERS = count(2)
"""Of versions: the hubs are shared, and each test brings them newer ones."""
ALL_AT_ONCE = {"canary": "100%", "waves": []}


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Hubs:
    return new_hubs(tmp_path_factory.mktemp("hubs"), machine, 3)


@dataclass
class Town:
    """Hubs, and the service of their recipient."""

    fleet: Fleet
    service: Served

    def package(self) -> dict[str, Any]:
        """What brings the next version, which no hub has had."""
        content = version(self.fleet.home, f"0.{next(NUMBERS)}.0")
        return {"name": "cat.cap", "package": base64.b64encode(content).decode()}

    def plan(self, **more: Any) -> int:
        body = {**self.package(), **ALL_AT_ONCE, **more}
        number: int = self.service.post("/v1/rollouts", 201, json=body)["number"]
        return number

    def say(self, number: int, word: str, status: int = 202, **more: Any) -> Any:
        return self.service.post(f"/v1/rollouts/{number}/{word}", status, **more)


@pytest.fixture
def town(hubs: Hubs, tmp_path: Path) -> Iterator[Town]:
    with (
        hubs.managed(tmp_path / "utility") as fleet,
        served(fleet.utility.folder, service_at_rest, now=fleet.clock) as service,
    ):
        yield Town(fleet, service)


@pytest.mark.one_database
def test_a_version_goes_out_in_waves_and_back(town: Town) -> None:
    service, fleet = town.service, town.fleet
    before = fleet.in_place(fleet.meters[0])[0]
    body = {**town.package(), "canary": "1", "waves": [], "rest": 60}
    again = {"headers": {"Idempotency-Key": "one"}, "json": body}
    plan = service.post("/v1/rollouts", 201, **again)
    assert service.post("/v1/rollouts", 201, **again) == plan, "planned once"
    assert (plan["state"], plan["waves"], plan["answered"], plan["total"]) == (
        "planned", [1, 2], 0, 3,
    )  # fmt: skip
    number = plan["number"]
    assert [one["number"] for one in service.get("/v1/rollouts")["items"]] == [number]
    assert fleet.rollouts.due_meters() == frozenset(), "nothing is said before the start"
    started = service.ask("POST", f"/v1/rollouts/{number}/start")
    assert (started.status_code, started.headers["Location"]) == (202, f"/v1/rollouts/{number}")
    fleet.dial_all()
    shown = service.get(f"/v1/rollouts/{number}")
    assert (shown["state"], shown["wave"], shown["answered"]) == ("running", 1, 1)
    assert shown["hubs"] == [{"installed": 1}, {"planned": 2}]
    assert town.say(number, "stop", 200)["state"] == "stopped"
    fleet.clock.now += 60
    fleet.dial_all()
    assert service.get(f"/v1/rollouts/{number}")["answered"] == 1, "no hub after the stop"
    assert town.say(number, "resume")["state"] == "running"
    fleet.dial_all()
    shown = service.get(f"/v1/rollouts/{number}")
    assert (shown["state"], shown["answered"]) == ("done", 3)
    assert {fleet.in_place(meter)[0] for meter in fleet.meters} == {shown["version"]}
    path = f"/v1/rollouts/{number}/hubs?limit=2"
    first = service.get(path)
    rest = service.get(f"{path}&cursor={first['next']}")
    listed = [*first["items"], *rest["items"]]
    assert sorted(one["meter"] for one in listed) == [meter.hex() for meter in fleet.meters]
    assert {one["state"] for one in listed} == {"installed"}
    assert service.get(f"{path}&state=failed")["items"] == []
    assert town.say(number, "roll-back")["state"] == "rolling back"
    fleet.dial_all()
    shown = service.get(f"/v1/rollouts/{number}")
    assert (shown["state"], shown["answered"]) == ("rolled back", 3)
    assert {fleet.in_place(meter)[0] for meter in fleet.meters} == {before}
    answers = service.get(f"/v1/rollouts/{number}/hubs/{fleet.meters[0].hex()}/answers")
    assert [(one["goal"], one["state"]) for one in answers] == [
        ("forward", "installed"), ("back", "rolled back"),
    ]  # fmt: skip
    lines = service.get("/v1/audit?limit=200")["items"]
    changes = [
        (one["action"], one["target"], one["outcome"])
        for one in lines
        if "rollout" in one["action"]
    ]
    assert ("plan_rollout", f"number={number}", "201") in changes
    for action in ("start_rollout", "resume_rollout", "roll_back_rollout"):
        assert [one[1:] for one in changes if one[0] == action] == [
            (f"number={number}", "begun"), (f"number={number}", "202"),
        ]  # fmt: skip


def test_it_stops_where_too_many_fail_and_says_which(town: Town) -> None:
    service, fleet = town.service, town.fleet
    number = town.plan(stop_at="1")
    failing = fleet.meters[0]
    fill(fleet, failing)
    town.say(number, "start")
    fleet.dial_all()
    shown = service.get(f"/v1/rollouts/{number}")
    assert (shown["state"], shown["why"]) == ("stopped", "1 of 3 hubs of wave 1 have failed")
    (hub,) = service.get(f"/v1/rollouts/{number}/hubs?state=failed")["items"]
    assert hub["meter"] == failing.hex()
    answers = service.get(f"/v1/rollouts/{number}/hubs/{failing.hex()}/answers")
    assert [one["status_word"] for one in answers] == ["6A84"]
    town.say(number, "resume", json={"leave_failed": True})
    fleet.dial_all()
    shown = service.get(f"/v1/rollouts/{number}")
    assert (shown["state"], shown["hubs"]) == ("done", [{"failed": 1, "installed": 2}])
    assert town.say(number, "stop", 409)["type"].endswith(":rollout-refused")


@pytest.mark.one_database
def test_keys_are_replaced_and_cards_looked_at_and_no_key_is_shown(town: Town) -> None:
    service, fleet = town.service, town.fleet
    meter, applet = fleet.meters[-1], CAT.hex()
    order = {"applet": applet, "meters": [meter.hex()]}
    old = fleet.utility.customers.find(meter, CAT)
    plan = service.post("/v1/key-rollouts", 201, json=order)
    assert (plan["kind"], plan["version"], plan["total"]) == ("keys", None, 1)
    town.say(plan["number"], "start")
    fleet.dial_all()
    new = fleet.utility.customers.find(meter, CAT)
    assert new.key_version != old.key_version
    assert town.say(plan["number"], "roll-back", 409)["detail"]
    look = service.post("/v1/card-looks", 202, json={"applet": applet})
    assert look["state"] == "running"
    fleet.dial_all()
    cards = service.get(f"/v1/card-states?applet={applet}&limit=2")
    more = service.get(f"/v1/card-states?applet={applet}&limit=2&cursor={cards['next']}")
    found = [*cards["items"], *more["items"]]
    assert [one["meter"] for one in found] == [meter.hex() for meter in fleet.meters]
    assert all(one["state"] == "read" and "in place" in one["card"] for one in found)
    shown = str([
        plan, look, found, service.get("/v1/rollouts"), service.get("/v1/audit?limit=200"),
        service.get(f"/v1/rollouts/{plan['number']}/hubs"),
    ])  # fmt: skip
    for enrolment in (old, new):
        for key in (enrolment.keys.enc, enrolment.keys.mac, enrolment.keys.dek):
            assert key.hex() not in shown.lower()


@pytest.mark.one_database
def test_what_is_no_plan_is_refused_and_plans_nothing(town: Town) -> None:
    service, fleet = town.service, town.fleet
    right = town.package()
    junk = base64.b64encode(b"PK no package at all").decode()
    for change, status in (
        ({"package": junk}, 422),
        ({"package": right["package"][:-5] + "!AA="}, 422),
        ({"package": "AAB="}, 422),  # not its one form
        ({"canary": "101%"}, 422), ({"stop_at": "0"}, 422), ({"waves": ["5%"] * 65}, 422),
        ({"canary": "50%", "waves": ["10%"]}, 409),
        ({"meters": ["aabb"]}, 409),
        ({"unknown": 1}, 422),
    ):  # fmt: skip
        answer = service.ask("POST", "/v1/rollouts", json={**right, **change})
        assert answer.status_code == status, (change.keys(), answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    nobody = {"applet": "f04d544c019999"}
    assert service.ask("POST", "/v1/key-rollouts", json=nobody).status_code == 409
    assert service.get("/v1/rollouts")["items"] == []
    assert service.ask("POST", "/v1/rollouts/1/start").status_code == 404
    assert service.ask("GET", "/v1/rollouts/1/hubs").status_code == 404
    number = service.post("/v1/rollouts", 201, json=right)["number"]
    town.say(number, "start")
    town.say(number, "start", 409)
    same = service.ask("POST", "/v1/rollouts", json=right)
    assert same.status_code == 409, "no newer than what was rolled out"
    assert town.say(number, "ask-again")["state"] == "running"
    for role in set(Role) - {Role.FLEET}:
        assert service.ask("POST", f"/v1/rollouts/{number}/roll-back", role).status_code == 403
    assert fleet.rollouts.find(number).state == "running"


@pytest.mark.one_database
def test_the_console_plans_starts_and_rolls_back_and_shows_why_a_hub_failed(town: Town) -> None:
    service, fleet = town.service, town.fleet
    service.parts.operators.add("anna", PASSWORD, frozenset({Role.FLEET}))
    come_in(service)
    assert service.client.get("/welcome").headers["Location"] == "/rollouts"
    package = base64.b64decode(town.package()["package"])
    order = {"name": "cat.cap", "canary": "1", "waves": "", "stop_at": "1", "enough": "100",
             "rest": "0"}  # fmt: skip
    assert refusal(send(service, "/rollouts", "/rollouts", **order)) == "Choose the package's file"
    token = form_token(service.client.get("/rollouts"))
    plan: dict[str, Any] = {"data": {"token": token, **order}, "headers": OWN,
            "files": {"package": ("cat.cap", package)}}  # fmt: skip
    wrong = service.client.post("/rollouts", **{**plan, "data": {**plan["data"], "canary": "x"}})
    assert wrong.status_code == 422
    assert refusal(wrong).startswith("Canary")
    assert 'value="cat.cap"' in wrong.text
    planned = service.client.post("/rollouts", **plan)
    at = planned.headers["Location"].partition("?")[0]
    number = int(at.rpartition("/")[2])
    assert "The roll-out is planned" in service.client.get(planned.headers["Location"]).text

    def said(step: str, **fields: str) -> str:
        """Decide it, and confirm; return the page after that."""
        asked = send(service, f"{at}/{step}", at, **fields)
        assert 'name="sure" value="yes"' in asked.text
        before = service.get(f"/v1{at}")["state"]
        assert before == state[-1], "asked first"
        done = send(service, f"{at}/{step}", at, sure="yes", **fields)
        assert done.status_code == 303, done.text
        state.append(service.get(f"/v1{at}")["state"])
        return service.client.get(done.headers["Location"]).text

    state = ["planned"]
    fill(fleet, fleet.meters[0])
    assert "The roll-out has begun" in said("start")
    said("stop")
    said("resume")
    assert "asked again when they dial next" in said("ask-again")
    fleet.dial_all()
    (wave,) = [one["wave"] for one in service.get(f"/v1{at}/hubs?limit=1")["items"]]
    assert wave == 1
    failing = fleet.meters[0].hex()
    if service.get(f"/v1{at}")["state"] != "stopped":  # it is in the second wave
        fleet.dial_all()
    state.append("stopped")
    page = service.client.get(at).text
    assert "have failed" in page
    assert "<progress" in page
    failed = service.client.get(f"{at}?show=failed").text
    assert f"{at}/hubs/{failing}" in failed
    assert f"{at}/hubs/{fleet.meters[1].hex()}" not in failed
    assert "6A84" in service.client.get(f"{at}/hubs/{failing}").text
    assert f'href="/customers/{failing}"' not in failed, "the role may not see the customer"
    again = send(service, f"{at}/resume", at, leave_failed="1")
    assert "count no more" in again.text
    assert 'name="leave_failed" value="1"' in again.text
    said("resume", leave_failed="1")
    fleet.dial_all()
    fleet.dial_all()
    state.append("done")
    assert service.get(f"/v1{at}")["state"] == "done"
    said("roll-back")
    fleet.dial_all()
    refused = send(service, f"{at}/stop", at, sure="yes")
    assert refused.status_code == 409
    assert "cannot be stopped" in refused.text
    assert state[1:5] == ["running", "stopped", "running", "running"]
    looks = [one for one in service.get("/v1/audit?limit=200&order=newest")["items"]
             if one["action"] == "list_rollout_hubs"]  # fmt: skip
    polled = service.client.get(at, headers={"X-Poll": "1"})
    assert f"Roll-out {number}" in polled.text
    more = [one for one in service.get("/v1/audit?limit=200&order=newest")["items"]
            if one["action"] == "list_rollout_hubs"]  # fmt: skip
    assert more == looks, "a page that renews itself looks at no customer"
    assert service.client.get(f"{at}/hubs").status_code in (404, 405)
    assert send(service, f"{at}/delete", at, sure="yes").status_code == 404


@pytest.mark.one_database
def test_the_console_plans_keys_and_looks_at_cards(town: Town) -> None:
    service, fleet = town.service, town.fleet
    service.parts.operators.add("anna", PASSWORD, frozenset({Role.FLEET}))
    come_in(service)
    meter = fleet.meters[-1].hex()
    once = {"once": "0" * 32 + "-keys", "applet": CAT.hex(), "meters": meter}
    wrong = send(service, "/rollouts/keys", "/rollouts", applet="zz")
    assert refusal(wrong).startswith("Applet: ")
    assert 'id="keys-applet" name="applet" value="zz"' in wrong.text
    assert 'id="looks-applet" name="applet" value=""' in wrong.text
    planned, repeated = (send(service, "/rollouts/keys", "/rollouts", **once) for _ in range(2))
    assert planned.headers["Location"] == repeated.headers["Location"], "planned once"
    at = planned.headers["Location"].partition("?")[0]
    shown = service.client.get(at).text
    assert f"new keys of the applet {CAT.hex()}" in shown
    assert f'action="{at}/start"' in shown
    assert "/roll-back" not in shown, "there is no way back"
    looked = send(service, "/rollouts/looks", "/rollouts", applet=CAT.hex(), meters=meter)
    fleet.dial_all()
    page = service.client.get(looked.headers["Location"]).text
    assert "in place" in page
    assert ">done</span>" in page
