# SPDX-License-Identifier: Apache-2.0
"""Attacks on plans of roll-outs over the interface: in another order, of altered files, by name.

The promise: what a plan was made of is what hubs get, what has begun last can go back, and no plan
of before ends a newer roll-out.
"""

import base64
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.machine.machine import AppletMachine
from protocols.packages.cap_file import CapFile
from tests.support.fleet import Fleet, Hubs, new_hubs
from tests.support.service import Served, served
from tests.support.versions import version


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Hubs:
    return new_hubs(tmp_path_factory.mktemp("hubs"), machine, 1)


@pytest.fixture
def fleet(hubs: Hubs, tmp_path: Path) -> Iterator[Fleet]:
    with hubs.managed(tmp_path / "utility") as fleet:
        yield fleet


@pytest.fixture
def service(fleet: Fleet) -> Iterator[Served]:
    with served(fleet.utility.folder, now=fleet.clock) as service:
        yield service


def order(content: bytes, **more: Any) -> dict[str, Any]:
    package = base64.b64encode(content).decode()
    return {"name": "cat.cap", "package": package, "canary": "100%", "waves": [], **more}


def plan(service: Served, content: bytes, **more: Any) -> int:
    number: int = service.post("/v1/rollouts", 201, json=order(content, **more))["number"]
    return number


def state(service: Served, number: int) -> str:
    found: str = service.get(f"/v1/rollouts/{number}")["state"]
    return found


def repacked(content: bytes, component: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return the file with a component changed that the vendor has not signed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(made, "w") as after:
        for entry in before.infolist():
            data = before.read(entry)
            is_it = entry.filename.endswith(f"/{component}.cap")
            after.writestr(entry.filename, change(data) if is_it else data)
    return made.getvalue()


def as_version_99_9(header: bytes) -> bytes:
    return header[:10] + bytes((9, 99)) + header[12:]


@pytest.mark.one_database
def test_an_older_plan_ends_no_newer_rollout(fleet: Fleet, service: Served) -> None:
    old = plan(service, version(fleet.home, "0.2.0"))
    new = plan(service, version(fleet.home, "0.3.0"), canary="1", rest=3600)
    service.post(f"/v1/rollouts/{new}/start", 202)
    answer = service.post(f"/v1/rollouts/{old}/start", 409)
    assert answer["type"].endswith(":rollout-refused")
    assert (state(service, new), state(service, old)) == ("running", "planned")


@pytest.mark.one_database
def test_what_has_begun_last_can_go_back(fleet: Fleet, service: Served) -> None:
    """The newer version was planned first: hubs that have it could not go back, for the other."""
    newer = plan(service, version(fleet.home, "0.5.0"))
    older = plan(service, version(fleet.home, "0.4.0"))
    service.post(f"/v1/rollouts/{older}/start", 202)
    answer = service.post(f"/v1/rollouts/{newer}/start", 409)
    assert "plan this one again" in answer["detail"]
    again = plan(service, version(fleet.home, "0.5.0"))
    service.post(f"/v1/rollouts/{again}/start", 202)
    assert state(service, older) == "superseded"
    service.post(f"/v1/rollouts/{again}/roll-back", 202)


@pytest.mark.one_database
def test_a_superseded_version_is_planned_again_once_its_successor_has_gone_back(
    fleet: Fleet, service: Served
) -> None:
    """Else those hubs that it had not reached could have no version before the next one."""
    content = version(fleet.home, "0.55.0")
    superseded = plan(service, content)
    service.post(f"/v1/rollouts/{superseded}/start", 202)
    successor = plan(service, version(fleet.home, "0.56.0"))
    service.post(f"/v1/rollouts/{successor}/start", 202)
    assert service.ask("POST", "/v1/rollouts", json=order(content)).status_code == 409
    service.post(f"/v1/rollouts/{successor}/roll-back", 202)
    fleet.dial_all()
    assert state(service, successor) == "rolled back"
    again = plan(service, content)
    service.post(f"/v1/rollouts/{again}/start", 202)
    fleet.dial_all()
    assert (state(service, again), fleet.in_place(fleet.meters[0])[0]) == ("done", "0.55")


@pytest.mark.one_database
def test_hubs_get_the_file_that_was_planned_and_no_other_around_the_same_signed_part(
    fleet: Fleet, service: Served
) -> None:
    right = version(fleet.home, "0.60.0")
    altered = repacked(right, "Header", as_version_99_9)
    bad = plan(service, altered)
    good = plan(service, right)
    assert fleet.rollouts.load(fleet.rollouts.find(good)).block == CapFile.decode(right).block
    assert state(service, bad) == "superseded"
    service.post(f"/v1/rollouts/{bad}/start", 409)
    service.post(f"/v1/rollouts/{good}/start", 202)
    # Nor is it put under a roll-out that has begun.
    answer = service.ask("POST", "/v1/rollouts", json=order(altered))
    assert (answer.status_code, answer.json()["type"][-15:]) == (409, "rollout-refused")
    assert fleet.rollouts.load(fleet.rollouts.find(good)).block == CapFile.decode(right).block
    fleet.dial_all()
    assert service.get(f"/v1/rollouts/{good}")["hubs"] == [{"installed": 1}]


@pytest.mark.one_database
def test_a_name_turns_no_line_around(fleet: Fleet, service: Served) -> None:
    body = order(version(fleet.home, "0.70.0"), name="safe \u202e0.0 evil")
    assert service.ask("POST", "/v1/rollouts", json=body).status_code == 409
    assert service.get("/v1/rollouts")["items"] == []
