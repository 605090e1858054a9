# SPDX-License-Identifier: Apache-2.0
"""A hub that polls once an hour is billed at once, since its supplier wakes it over MQTT."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import dialling
from tests.support.broker import RunningBroker, running
from tests.support.command import environment
from tests.support.hub_service import lines_of, part_of
from tests.support.quick_program import program
from tests.support.sockets import free_port
from tests.support.town import Town, done
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def town(town: Town) -> Town:
    dialling.certify(town)
    return town


@contextmanager
def broker_of(town: Town) -> Iterator[RunningBroker]:
    port = free_port()
    folder = town.folder / "broker"
    done("utility", "broker-files", "--utility", town.utility, "--to", folder, "--port", port)
    with running(folder, port) as broker:
        yield broker


@contextmanager
def hub_process(log: Path, *command: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of the hub that goes on; its events are in the log."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [*program(), *map(str, command)], stdout=out, stderr=out, env=environment()
        ) as hub,
    ):
        try:
            yield hub
        finally:
            hub.send_signal(signal.SIGTERM)
            assert hub.wait(PATIENCE) == 0


def events(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]


def until_told(log: Path, event: str, count: int = 1) -> None:
    def has_come() -> bool:
        return len([one for one in events(log) if one["event"] == event]) >= count

    wait_until(has_come, f"{event} {count} times in {log.read_text()}")


def test_a_woken_hub_is_billed_long_before_its_next_poll_and_without_the_broker_at_it(
    town: Town,
) -> None:
    log = town.folder / "hub.log"
    with (
        broker_of(town) as broker,
        dialling.gateway(town, "--poll", 86_400, "--wake", broker.url) as url,
        hub_process(log, "hub", "dial", "--hub", town.hub, url, "--wake", broker.url, "--json"),
    ):
        until_told(log, "wake-up")
        until_told(log, "ended")
        dialling.ask(town, "2025-03")
        wait_until(lambda: not dialling.states(town), "the bill")
        assert dialling.bills(town) == [1]
        until_told(log, "woken")

        # The broker goes away and comes back: hub and gateway find it again by themselves.
        broker.stop()
        until_told(log, "wake-down")
        broker.start()
        until_told(log, "wake-up", 2)
        before = [one["event"] for one in events(log)]
        dialling.ask(town, "2025-02")  # days that the hub does not have: asked, and refused
        until_told(log, "woken", before.count("woken") + 1)
        until_told(log, "ended", before.count("ended") + 1)
        assert "failed" not in before
        # What goes through the broker has the meter in its topic, and two bytes.
        assert "'meterlet/wake/0a014d544c0000000001', ... (2 bytes))" in broker.log()


def test_without_a_broker_the_gateway_and_a_hub_do_what_they_did(town: Town) -> None:
    nowhere = f"mqtts://localhost:{free_port()}"
    log = town.folder / "hub.log"
    dialling.ask(town)
    with (
        dialling.gateway(town, "--poll", 1, "--wake", nowhere) as url,
        hub_process(log, "hub", "dial", "--hub", town.hub, url, "--wake", nowhere, "--json"),
    ):
        wait_until(lambda: not dialling.states(town), "the bill")
        until_told(log, "wake-down")
    assert dialling.bills(town) == [1]


def test_the_service_of_a_hub_is_woken_too(town: Town) -> None:
    log = town.folder / "run.log"
    with (
        broker_of(town) as broker,
        dialling.gateway(town, "--poll", 86_400, "--wake", f"{broker.url}?version=3.1.1") as url,
    ):
        path = town.hub / "hub.toml"
        path.write_text(
            f'{path.read_text()}\n[recipients.supplier]\naddress = "{url}"\n'
            f'wake = "{broker.url}?version=3.1.1"\n'
        )
        with hub_process(log, "hub", "run", "--hub", town.hub, "--json"):
            part = "recipient supplier"
            wait_until(lambda: part_of(town.hub, part).get("facts", {}).get("wake") == "up")
            wait_until(lambda: part_of(town.hub, part).get("facts", {}).get("sessions", 0) >= 1)
            dialling.ask(town)
            wait_until(lambda: not dialling.states(town), "the bill")
            assert part_of(town.hub, part)["facts"]["woken"] >= 1
    assert {one["event"] for one in lines_of(log)} >= {"service-started", "service-stopped"}
