# SPDX-License-Identifier: Apache-2.0
"""A service that is killed in the middle of a bill run, again and again, goes on where it was."""

import json
import random
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from protocols.enrolment import Enrolment
from tests.support.command import environment
from tests.support.quick_program import program
from tests.support.service import TARIFF, new_utility, other_meters
from tests.support.sockets import free_port
from tests.support.town import done
from tests.support.waiting import wait_until
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

pytestmark = [pytest.mark.process, pytest.mark.soak]
CUSTOMERS, KILLS = 60, 20


class Service:
    """The service, as a process that may be killed."""

    def __init__(self, utility: Path) -> None:
        self.utility, self.port = utility, free_port()
        said = done("utility", "api-key", "create", "x", "--utility", utility, "--role", "billing")
        self.key = said.strip()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *program(), "utility", "serve", "--utility", str(self.utility), "--port",
            str(self.port), "--no-hubs", "--no-console", "--no-worker", "--dial",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )
        wait_until(self.answers, "the service")

    def answers(self) -> bool:
        try:
            return bool(self.ask("GET", "/v1/me"))
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        address = f"http://127.0.0.1:{self.port}{path}"
        asked = urllib.request.Request(address, data, headers, method=method)
        with urllib.request.urlopen(asked) as answer:
            return json.loads(answer.read())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def test_each_customer_is_asked_once_whatever_dies(tmp_path: Path) -> None:
    folder = new_utility(tmp_path / "utility")
    tariff = tmp_path / "tariff.toml"
    tariff.write_text(TARIFF)
    files = other_meters(CUSTOMERS)
    with Utility.open(folder) as utility:
        for content in files:
            utility.customers.enrol(content)
    nowhere = f"127.0.0.1:{free_port()}"  # each hub is tried, and not there
    addresses = {Enrolment.decode(one).meter.hex(): nowhere for one in files}
    service, dice = Service(folder), random.Random(1)
    service.start()
    try:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{service.port}/v1/tariffs", TARIFF.encode(),
            {"Authorization": f"Bearer {service.key}", "Content-Type": "application/toml"},
        )  # fmt: skip
        with urllib.request.urlopen(asked) as answer:
            digest = json.loads(answer.read())["digest"]
        order = {
            "tariff": digest, "period": {"from": "2025-03-01", "until": "2025-03-31"},
            "addresses": addresses, "tries": 2, "retry_seconds": 1,
        }  # fmt: skip
        run = service.ask("POST", "/v1/bill-runs", order)["run"]
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.0, 0.4))
            service.kill()
            service.start()
            service.ask("GET", f"/v1/runs/{run}")

        def is_over() -> bool:
            return bool(service.ask("GET", f"/v1/runs/{run}")["state"] == "done")

        wait_until(is_over, "the end of the run")
        assert service.ask("GET", f"/v1/runs/{run}")["counts"] == {"given-up": CUSTOMERS}
    finally:
        service.kill()
    with Utility.open(folder) as utility:
        waiting = utility.questions.waiting()
        assert [one.state for one in waiting] == [State.ASKED] * CUSTOMERS
        assert len({one.question.about.meter for one in waiting}) == CUSTOMERS
    told = json.loads(done("utility", "audit", "--utility", folder, "--json"))
    assert told["verified"]
