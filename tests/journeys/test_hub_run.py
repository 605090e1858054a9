# SPDX-License-Identifier: Apache-2.0
"""The hub as one service: a day ends, is certified and billed, with kills on the way.

The meter is at a pseudo-terminal. The service reads it, certifies, answers the supplier, serves the
pages. It is killed with -9 and goes on where it was. Then the command itself: its lines, what it
does with another hub.toml, and what other commands say while it runs.
"""

import json
import os
import random
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from hub.device import Device
from hub.service.sample import SAMPLE
from tests.support import dialling
from tests.support.command import run_meterlet
from tests.support.field import A_EURO_A_KILOWATT_HOUR, APRIL, MARCH, METER, telegram
from tests.support.hub_service import ServiceOnALine, fetch, hub_run, lines_of, part_of, place_of
from tests.support.town import Town, done, refused
from tests.support.waiting import PATIENCE, wait_until

pytest.importorskip("serial")
pytestmark = pytest.mark.process
DAY: Final = 86_400
START_WH: Final = 5_000_001
SERVICE: Final = """
[sources.main]
address = "{source}"
silent_after = "1h"

[serve]
address = "127.0.0.1:0"

[pages]
address = "127.0.0.1:0"

[health]
address = "127.0.0.1:0"
"""


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A town with readings of March up to noon of the last day; it is not used, but copied."""
    town = Town(tmp_path_factory.mktemp("service"))
    town.found("--meter", METER.hex())
    # Telegrams come once an hour, so most slots are estimated.
    done("utility", "limits", "--utility", town.utility, "--estimated-permille", 1000)
    times = range(MARCH, APRIL - DAY // 2 + 1, 3600)
    file = town.folder / "march.bin"
    file.write_bytes(b"".join(telegram(wh_at(moment), moment) for moment in times))
    done("hub", "ingest", "--hub", town.hub, file)
    town.enrol()
    return town


@pytest.fixture
def town(founded: Town, tmp_path: Path) -> Town:
    return Town(Path(shutil.copytree(founded.folder, tmp_path / "town")))


def wh_at(moment: int) -> int:
    return START_WH + (moment - MARCH) // 60 * 7


def write_service(hub: Path, text: str) -> None:
    path = hub / "hub.toml"
    begin = path.read_text().partition("\n[sources")[0]
    path.write_text(begin + text)


def stored(hub: Path) -> int:
    return int(part_of(hub, "source main").get("facts", {}).get("stored", 0))


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_a_day_ends_and_is_billed_though_the_service_is_killed(town: Town, kills: int) -> None:
    chance = random.Random(kills)
    service = ServiceOnALine(town.hub, town.folder / "log")
    write_service(town.hub, SERVICE.format(source=service.source))
    noon = APRIL - DAY // 2
    service.clock.set(noon)
    sent: list[int] = []
    unsure: list[int] = []

    def say(moment: int) -> None:
        service.clock.set(moment)
        before = stored(town.hub)
        service.send(telegram(wh_at(moment), moment))
        wait_until(lambda: stored(town.hub) > before)
        sent.append(moment)

    moments = range(noon + 900, APRIL, 2700 if kills < 10 else 900)
    killed_at = set(chance.sample(moments, kills))
    service.start()
    for moment in moments:
        if moment not in killed_at:
            say(moment)
            continue
        service.clock.set(moment)
        service.send(telegram(wh_at(moment), moment))
        unsure.append(moment)
        time.sleep(chance.random() / 20)  # the telegram is on its way, or into the vault
        service.kill()
        assert run_meterlet("hub", "status", "--hub", town.hub).returncode == 0
        service.start()
    say(APRIL)  # the day is over
    wait_until(lambda: any(one["event"] == "days-certified" for one in lines_of(service.log)))
    say(APRIL + 60)

    tariff = town.folder / "tariff.toml"
    tariff.write_text(A_EURO_A_KILOWATT_HOUR)
    address = place_of(service.log, "serve")
    bill = json.loads(done(*town.request(address, tariff, "--json", meter=METER.hex())))
    gained = wh_at(APRIL) - START_WH
    assert bill["total"] == f"{gained // 1000}.{gained % 1000:03}"
    assert (bill["verified"], bill["missing_slots"]) == (True, [])

    status, page = fetch(place_of(service.log, "pages"))
    assert (status, b"<form" in page) == (200, True)
    status, body = fetch(f"http://{place_of(service.log, 'health')}/healthz")
    parts = {"source-1": "up", "serve": "up", "pages": "up"}
    assert (status, json.loads(body)) == (200, {"status": "up", "parts": parts})
    service.stop()
    service.close()

    with Device.open(town.hub) as device:
        readings = device.main.vault.received(device.main.channel, noon, 1 << 40)
        found = [one.time for one in readings if one.time > noon]
        assert len(found) == len(set(found))
        assert set(sent) <= set(found) <= set(sent) | set(unsure)
        span = device.main.journal.span()
        assert span is not None
        assert span[2] == 31
        device.disclosure.log.verify()


class TelegramsByTcp:
    """A meter behind a bridge: whoever connects gets its telegrams, from now on."""

    def __init__(self, meter: bytes) -> None:
        self.meter = meter
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        host, port = self.listener.getsockname()
        return f"tcp://{host}:{port}"

    def _answer(self) -> None:
        self.listener.settimeout(0.1)
        while not self._ends.is_set():
            try:
                line, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            with line:
                while not self._ends.wait(0.2):
                    count = int(time.monotonic())  # of the one meter that is behind each bridge
                    frame = telegram(START_WH + count, count=count, meter=self.meter)
                    try:
                        line.sendall(frame)
                    except OSError:
                        break

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self.listener.close()


@contextmanager
def by_tcp(meter: bytes = METER) -> Iterator[TelegramsByTcp]:
    bridge = TelegramsByTcp(meter)
    try:
        yield bridge
    finally:
        bridge.close()


def events(log: Path, *names: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(log) if line["event"] in names]


def test_the_command_follows_its_file_and_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    hub, log = tmp_path / "hub", tmp_path / "log"
    done("hub", "init", hub, "--meter", METER.hex())
    code, line = refused("hub", "run", "--hub", hub, "--check")
    assert (code, "names nothing for the service to do" in line) == (1, True)
    sample = done("hub", "run", "--sample")
    assert sample.strip() == SAMPLE.strip()
    (hub / "hub.toml").write_text((hub / "hub.toml").read_text() + sample)
    checked = json.loads(done("hub", "run", "--hub", hub, "--check", "--json"))
    assert (checked["serve"], checked["sources"]) == ("127.0.0.1:7816", [])

    with by_tcp() as first, by_tcp() as second:
        write_service_of(hub, first.address)
        with hub_run(hub, log) as process:
            wait_until(lambda: stored(hub) > 2)
            status = json.loads(done("hub", "status", "--hub", hub, "--json"))
            assert status["service"]["parts"][0]["facts"]["address"] == first.address
            assert status["readings"] > 2
            said = done("hub", "status", "--hub", hub)
            assert "no owner yet: the first is made there with the code" in said
            beside_the_service(hub, log, first.address)

            # Another source in the file: the old one is let go, all else stays.
            serves = place_of(log, "serve")
            write_service_of(hub, second.address)
            wait_until(lambda: second.connections)
            wait_until(lambda: len(events(log, "configuration-accepted")) == 2)
            assert events(log, "configuration-accepted")[1]["changed"] == "source main"
            assert part_of(hub, "serve")["facts"]["address"] == serves

            # A file that is wrong: it is said, and nothing changes.
            right = (hub / "hub.toml").read_text()
            (hub / "hub.toml").write_text(right.replace("[health]", "[helth]"))
            os.kill(process.pid, signal.SIGHUP)
            wait_until(lambda: events(log, "configuration-refused"))
            wrong = events(log, "configuration-refused")[0]
            place = right.splitlines().index("[health]") + 1
            assert (wrong["line"], wrong["key"]) == (place, "helth")
            assert "did you mean health?" in wrong["reason"]
            now = stored(hub)
            wait_until(lambda: stored(hub) > now)
            assert fetch(place_of(log, "pages"))[0] == 200
            assert "hub.toml was refused" in done("hub", "status", "--hub", hub)

            process.kill()
            process.wait(PATIENCE)
        (hub / "hub.toml").write_text(right)
        kept = json.loads(done("hub", "status", "--hub", hub, "--json"))
        assert kept["service"] is None
        assert kept["readings"] >= now
        with hub_run(hub, log):
            wait_until(lambda: stored(hub) > 1)
            assert place_of(log, "health")
    assert [one["event"] for one in lines_of(log)][-1] == "service-stopped"
    with Device.open(hub) as device:
        found = list(device.main.vault.received(device.main.channel, 0, 1 << 40))
        assert len({one.time for one in found}) == len(found)


def test_it_dials_its_recipient_and_is_billed_without_an_open_port(tmp_path: Path) -> None:
    town, log = Town(tmp_path), tmp_path / "log"
    town.build()
    dialling.certify(town)
    path = town.hub / "hub.toml"
    with dialling.gateway(town, "--poll", 1) as url:
        path.write_text(path.read_text() + f'[recipients.supplier]\naddress = "{url}"\n')
        with hub_run(town.hub, log):
            wait_until(lambda: part_of(town.hub, "recipient supplier").get("state") == "up")
            code, line = refused("hub", "dial", "--hub", town.hub, url, "--once")
            assert (code, "dials supplier already" in line) == (1, True)
            dialling.ask(town)
            wait_until(lambda: not dialling.states(town))
            assert part_of(town.hub, "recipient supplier")["facts"]["address"] == url
            assert "recipient supplier up" in done("hub", "status", "--hub", town.hub)
        assert dialling.bills(town) == [1]
    told = [one for one in events(log, "part") if one["part"] == "recipient supplier"]
    assert [one["state"] for one in told] == ["starting", "up", "stopped"]
    assert not [one for one in lines_of(log) if "address" in one], "nothing listens"


def write_service_of(hub: Path, source: str) -> None:
    path = hub / "hub.toml"
    begin = path.read_text().partition("\n[sources")[0].partition("\n# What the service does")[0]
    path.write_text(begin + SERVICE.format(source=source))


def beside_the_service(hub: Path, log: Path, source: str) -> None:
    """Commands work beside it, or say in a line why not."""
    code, line = refused("hub", "run", "--hub", hub)
    assert (code, "its service runs already" in line) == (1, True)
    code, line = refused("hub", "ingest", "--hub", hub, source, "--once")
    assert (code, "reads that line already, as source main" in line) == (1, True)
    host, port = place_of(log, "serve").split(":")
    code, line = refused("hub", "serve", "--hub", hub, "--host", host, "--port", port)
    assert (code, "answers at" in line) == (1, True)
    code, line = refused("hub", "hand-over", "--hub", hub, "--yes")
    assert (code, "end it, then hand the hub over" in line) == (1, True)
    # A new key: each part goes on with it.
    before = stored(hub)
    done("hub", "keys", "rotate", "vault", "--hub", hub)
    wait_until(lambda: stored(hub) > before + 2)
    assert part_of(hub, "source main")["broken"] == 0
    assert fetch(place_of(log, "pages"))[0] == 200
    done("hub", "readings", "quarantine", "list", "--hub", hub)
