# SPDX-License-Identifier: Apache-2.0
"""The whole service started by one command; what is killed comes back, and nothing is lost."""

import json
import os
import signal
import subprocess
import time
import urllib.request
import warnings
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.answered_crowd import answered_crowd
from tests.support.command import PROGRAM, ROOT, environment
from tests.support.postgresql import kill_server
from tests.support.waiting import PATIENCE, wait_until
from utility_server.errors import StoreError
from utility_server.pipeline.jetstream import JetStreamQueue
from utility_server.retail.utility import Utility
from utility_server.stack import mosquitto_server
from utility_server.stack.nats_server import server_program
from utility_server.stack.postgresql_server import server_programs
from utility_server.stack.whole import Stack


def children(process: int) -> dict[str, int]:
    """Return the stack's own processes, by what they do."""
    found = {}
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        for name in ("gateway", "worker", "serve", "deliver"):
            if name.encode() in words:
                found[name] = int(child)
    return found


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return int(response.status) == 200
    except OSError:
        return False


def is_running(process: int, what: str) -> bool:
    return what in children(process)


def second_is_refused(command: list[str], stack: Stack) -> None:
    """Start another stack in the folder of one that runs: it touches nothing of the first."""
    servers = stack.postgresql.process, stack.nats.process
    for other, why in (("0", "runs already"), ("1", "another program listens there")):
        place = str(stack.folder if other == "0" else f"{stack.folder}2")
        again = [place if word == str(stack.folder) else word for word in command]
        refused = subprocess.run(
            again, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
        assert (refused.returncode, refused.stdout) == (1, "")
        assert why in json.loads(refused.stderr)["message"]
    assert (stack.postgresql.process, stack.nats.process) == servers
    assert None not in servers


def kill_broker(stack: Stack) -> None:
    """Kill the broker, and wait for the next one."""
    process = stack.mosquitto.process
    assert process is not None
    assert stack.mosquitto.answers()
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: stack.mosquitto.process not in (None, process), "another broker")
    wait_until(stack.mosquitto.answers, "its answer")


@pytest.mark.process
def test_one_command_runs_it_all_and_what_is_killed_comes_back() -> None:
    if server_program() is None or server_programs() is None:
        pytest.skip("NOT TESTED: the servers of PostgreSQL and NATS are not installed")
    with TemporaryDirectory(prefix="stack-") as made:
        Path(made).chmod(0o711)  # root's PostgreSQL is another user's
        folder = Path(made) / "s"
        stack = Stack(folder)
        log = Path(made) / "said"
        command = [
            *PROGRAM,
            "utility",
            "stack",
            str(folder),
            "--port",
            "18448",
            "--broker-port",
            "18449",
            "--gateway-port",
            "0",
            "--json",
        ]
        refused = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
        assert refused.returncode == 2  # hubs have to find it again
        command[-2] = "18447"
        with log.open("wb") as out:
            running = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out)
        try:
            wait_until(
                lambda: '"ready"' in log.read_text() or running.poll() is not None, "the stack"
            )
            assert running.poll() is None
            second_is_refused(command, stack)
            stack.broker_port = 18449
            if mosquitto_server.missing():
                warnings.warn("NOT TESTED: the stack's broker: no Mosquitto", stacklevel=1)
            else:
                kill_broker(stack)
            with Utility.open(stack.utility) as utility:
                crowd = answered_crowd(utility, 6)
            for place, what in enumerate(("worker", "postgresql", "gateway")):
                with closing(
                    JetStreamQueue.open(
                        stack.nats.url, token=stack.nats.token_file.read_text().strip()
                    )
                ) as queue:
                    queue.publish(crowd.nonces[2 * place : 2 * place + 2])
                if what == "postgresql":
                    kill_server(stack.postgresql)
                else:
                    wait_until(partial(is_running, running.pid, what), what)
                    os.kill(children(running.pid)[what], signal.SIGKILL)

            def entries() -> int:
                try:
                    with Utility.open(stack.utility) as utility:
                        return sum(1 for _ in utility.ledger.entries())
                except StoreError:
                    return -1

            deadline = time.monotonic() + 3 * PATIENCE
            while entries() != 6:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            wait_until(
                lambda: len(children(running.pid)) == 4, "gateway, worker, deliverer and service"
            )
            wait_until(lambda: answers("http://127.0.0.1:18448/readyz"), "the service")
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(PATIENCE)
        assert running.returncode == 0, log.read_text()
        assert (stack.postgresql.process, stack.nats.process) == (None, None)
        assert stack.mosquitto.process is None
        events = [json.loads(line) for line in log.read_text().splitlines()]
        ended = {one["part"] for one in events if one["event"] == "ended"}
        assert ended >= {"worker-1", "postgresql", "gateway"}
        assert mosquitto_server.missing() or "mosquitto" in ended
        names = [one["event"] for one in events]
        up = {one["part"] for one in events[: names.index("ready")] if one["event"] == "up"}
        assert up == {"deliverer", "gateway", "service", "worker-1"}
        assert stack.nats.token_file.stat().st_mode & 0o777 == 0o600
        assert stack.nats.token_file.read_text().strip() not in log.read_text()
