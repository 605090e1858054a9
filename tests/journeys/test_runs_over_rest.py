# SPDX-License-Identifier: Apache-2.0
"""A settlement and a roll-out over REST, with a hub that dials, while the service is killed."""

import base64
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import dialling
from tests.support.command import ROOT, environment
from tests.support.quick_program import program
from tests.support.town import MARCH, METER, Town, done
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.soak]
SPOT = ROOT / "examples" / "tariffs" / "de-spot-2025-03.csv"


class Service:
    """The service with its door for hubs, as a process that is killed."""

    def __init__(self, utility: Path) -> None:
        self.utility = utility
        roles = (word for role in ("settlement", "fleet") for word in ("--role", role))
        said = done("utility", "api-key", "create", "x", "--utility", utility, *roles)
        self.key, self.facts = said.strip(), dict[str, Any]()

    @contextmanager
    def killed_afterwards(self) -> Iterator[None]:
        command = [
            *program(), "utility", "serve", "--utility", str(self.utility), "--port", "0",
            "--hubs-port", "0", "--no-console", "--json",
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(), text=True
        ) as process:
            try:
                assert process.stdout is not None
                text = ""
                while not text.endswith("}\n"):
                    line = process.stdout.readline()
                    assert line, text
                    text += line
                self.facts = json.loads(text)
                yield
            finally:
                os.kill(self.facts["process"], signal.SIGKILL)

    @property
    def hubs(self) -> str:
        return f"https://localhost:{self.facts['hubs'].rpartition(':')[2]}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        address = self.facts["address"].rstrip("/") + path
        asked = urllib.request.Request(address, data, headers, method=method)
        with urllib.request.urlopen(asked) as answer:
            return json.loads(answer.read())

    def item(self, run: str) -> dict[str, Any]:
        (found,) = self.ask("GET", f"/v1/settlement-runs/{run}/items")["items"]
        return dict(found)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    town = Town(tmp_path / "town")
    town.folder.mkdir()
    vendor, package = tmp_path / "vendor.key", tmp_path / "settlement.cap"
    done("tariff", "keygen", "--out", vendor)
    done("applet", "build", ROOT / "applets" / "settlement", "--key", vendor, "-o", package)
    done("utility", "init", town.utility)
    done("hub", "init", town.hub, "--serial", 1, "--vendor", f"{vendor}.pub")
    done("hub", "ingest", "--hub", town.hub, *MARCH)
    enrolment = town.folder / "enrolment.json"
    done(
        "applet", "install", "--hub", town.hub, package, "--yes", "--recipient",
        town.utility / "public.pem", "--enrolment", enrolment,
    )  # fmt: skip
    done("utility", "enrol", "--utility", town.utility, enrolment)
    dialling.certify(town)
    return town


def test_it_goes_on_where_it_was_killed(town: Town, tmp_path: Path) -> None:
    index = tmp_path / "spot.index"
    done(
        "index", "import", SPOT, "--series", "de-lu-day-ahead", "--currency", "EUR", "--column",
        "eur_per_mwh", "--unit", "EUR/MWh", "--step", 60, "-o", index,
    )  # fmt: skip
    service = Service(town.utility)
    order = {
        "month": "2025-03", "index": base64.b64encode(index.read_bytes()).decode(),
        "suppliers": {"Stadtwerke": []},
    }  # fmt: skip
    with service.killed_afterwards():
        run = service.ask("POST", "/v1/settlement-runs", order)["run"]
    with service.killed_afterwards():
        wait_until(lambda: service.item(run)["state"] == "asked", "the question")
    with service.killed_afterwards():
        code, _, complaint = dialling.dial_once(town, service.hubs)
        assert code == 0, complaint
    with service.killed_afterwards():
        at = f"/v1/settlement-runs/{run}"
        wait_until(lambda: service.ask("GET", at)["state"] == "done", "the end of the run")
        assert service.item(run)["entry"] == 1
        result = service.ask("GET", f"{at}/result")
        assert (result["total"], result["provisional"]) == ("24.55", False)  # docs/settlement.md
        keys = service.ask("POST", "/v1/key-rollouts", {"applet": "f04d544c010103"})
        number = keys["number"]
        service.ask("POST", f"/v1/rollouts/{number}/start")
    with service.killed_afterwards():

        def is_done() -> bool:
            assert dialling.dial_once(town, service.hubs)[0] == 0
            return bool(service.ask("GET", f"/v1/rollouts/{number}")["state"] == "done")

        wait_until(is_done, "the new keys")
        (hub,) = service.ask("GET", f"/v1/rollouts/{number}/hubs")["items"]
        assert (hub["meter"], hub["state"]) == (METER, "installed")
    told = json.loads(done("utility", "check-ledger", "--utility", town.utility, "--json"))
    assert told["verified"]
