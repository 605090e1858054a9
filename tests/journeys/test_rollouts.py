# SPDX-License-Identifier: Apache-2.0
"""Versions are rolled out to a hub that dials, by the commands, each in a process of its own."""

import json
import subprocess
import time
from pathlib import Path
from random import Random
from shutil import copytree
from typing import Any

import pytest

from tests.support import dialling
from tests.support.command import ROOT, environment
from tests.support.quick_program import program
from tests.support.town import METER, Town, done, refused
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.process
AID = "F04D544C010101"


@pytest.fixture
def town(town: Town) -> Town:
    dialling.certify(town)
    done("applet", "allow-upgrades", "--hub", town.hub, AID)
    return town


def build(town: Town, version: str, **changes: str) -> Path:
    """Build a version of the billing applet; `changes` are made in its manifest."""
    folder = town.folder / f"billing-{version}"
    copytree(ROOT / "applets" / "billing", folder)
    text = (folder / "manifest.toml").read_text()
    for old, new in {'version = "0.5.0"': f'version = "{version}"', **changes}.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "manifest.toml").write_text(text)
    package = town.folder / f"billing-{version}.cap"
    done("applet", "build", folder, "--key", town.folder / "vendor.key", "-o", package)
    return package


def rollout(town: Town, verb: str, *arguments: object) -> dict[str, Any]:
    told = done("utility", "rollout", verb, "--utility", town.utility, *arguments, "--json")
    made: dict[str, Any] = json.loads(told)
    return made


def begun(town: Town, package: Path) -> int:
    number: int = rollout(town, "plan", package)["number"]
    assert rollout(town, "start", number)["state"] == "running"
    return number


def state(town: Town, number: int) -> tuple[str, str]:
    told = rollout(town, "status", number, "--hubs")
    [one], [hub] = told["rollouts"], told["hubs"]
    return one["state"], hub["state"]


def dialled_until(town: Town, url: str, number: int, wanted: tuple[str, str]) -> None:
    """Dial until a roll-out is as it should be: a gateway looks once a second what is due."""

    def is_so() -> bool:
        assert dialling.dial_once(town, url)[0] == 0
        return state(town, number) == wanted

    wait_until(is_so)


def in_place(town: Town) -> str:
    listed = json.loads(done("applet", "list", "--hub", town.hub, "--json"))["entries"]
    [version] = [one["version"] for one in listed if one["kind"] == "application"]
    return str(version)


def test_a_version_goes_out_asks_for_what_is_more_and_comes_back(town: Town) -> None:
    number = begun(town, build(town, "0.6.0"))
    dialling.ask(town)
    with dialling.gateway(town) as url:
        code, _, complaint = dialling.dial_once(town, url)
        assert (code, complaint) == (0, "")
        assert state(town, number) == ("done", "installed")
        # In the same session: the bill came from the new version, under the same consents.
        assert dialling.bills(town) == [1]
        assert in_place(town) == "0.6.0"
        [card] = rollout(town, "card-states", "--ask")["cards"]
        assert card["state"] == "planned"
        dialled_until(town, url, 2, ("done", "installed"))
        [card] = rollout(town, "card-states")["cards"]
        assert card["card"].startswith("0.6 (")
        # The next version asks for one bit more.
        more = begun(town, build(town, "0.7.0", **{"value_bits = 28": "value_bits = 29"}))
        dialled_until(town, url, more, ("running", "waiting for consent"))
        assert in_place(town) == "0.6.0"
        [offer] = json.loads(done("applet", "offers", "--hub", town.hub, "--json"))["offers"]
        assert (offer["version"], offer["in_place"]) == ("0.7", "0.6")
        [applet] = offer["applets"]
        assert "29 bits" in " ".join(applet["new_consents"])
        assert len(applet["changes"]) == len(applet["new_consents"]), "one sentence of each"
        for change in applet["changes"]:
            assert "28 answers of yes or no" in change["before"]
            assert "29 answers of yes or no" in change["after"]
        lines = done("applet", "offers", "--hub", town.hub).splitlines()
        [was, now] = [line for line in lines if line.startswith(("    was: ", "    now: "))][:2]
        assert ("as 28 answers" in was, "as 29 answers" in now) == (True, True)
        done("applet", "accept", "--hub", town.hub, AID, "--yes")
        assert in_place(town) == "0.7.0"
        assert refused("applet", "accept", "--hub", town.hub, AID, "--yes")[0] == 1
        rollout(town, "ask-again", more)
        dialled_until(town, url, more, ("done", "installed"))
        rollout(town, "roll-back", more)
        dialled_until(town, url, more, ("rolled back", "rolled back"))
        assert in_place(town) == "0.6.0"
        keys = rollout(town, "plan-keys")["number"]
        rollout(town, "start", keys)
        dialling.ask(town)
        dialled_until(town, url, keys, ("done", "installed"))
        wait_until(lambda: dialling.dial_once(town, url)[0] == 0 and not dialling.states(town))
    answers = rollout(town, "status", more, "--answers", METER)["answers"]
    assert [(one["goal"], one["state"]) for one in answers] == [
        ("forward", "waiting for consent"), ("forward", "installed"), ("back", "rolled back"),
    ]  # fmt: skip
    assert len(dialling.bills(town)) == 2  # by the version that came back, in the new channel


@pytest.mark.soak
def test_a_gateway_that_is_killed_leaves_a_hub_that_the_next_one_finishes_with(
    town: Town,
) -> None:
    random = Random(18)
    for count in range(20):
        number = begun(town, build(town, f"0.{6 + count}.0"))
        killed_in_the_midst(town, 0.3 + random.random())
        assert in_place(town) in (f"0.{5 + count}.0", f"0.{6 + count}.0")
        with dialling.gateway(town) as url:
            assert dialling.dial_once(town, url)[0] == 0
        assert state(town, number) == ("done", "installed")
        assert in_place(town) == f"0.{6 + count}.0"


def killed_in_the_midst(town: Town, seconds: float) -> None:
    """Let the hub dial, and kill it and the gateway with a signal that nobody hears."""
    gateway = started("utility", "gateway", "--utility", town.utility, "--port", 0, "--json")
    try:
        assert gateway.stdout is not None
        port = json.loads(gateway.stdout.readline())["port"]  # a JSON object a line
        url = f"https://localhost:{port}"
        hub = started("hub", "dial", "--hub", town.hub, url, "--once")
        try:
            time.sleep(seconds)
        finally:
            gateway.kill()
            hub.kill()
            hub.communicate(timeout=PATIENCE)
    finally:
        gateway.kill()
        gateway.communicate(timeout=PATIENCE)


def started(*arguments: object) -> "subprocess.Popen[str]":
    command = [*program(), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    )
