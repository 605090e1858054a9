# SPDX-License-Identifier: Apache-2.0
"""The service's parts follow hub.toml; what is wrong in it changes nothing."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from hub.description import Description
from hub.device import Device
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.service.control import SOCKET, ask_status
from hub.service.errors import ConfigurationRefused, ServiceError, ServiceRunning
from hub.service.health import LONGEST_REQUEST, answer_to, health_of
from hub.service.lock import held, holder
from hub.service.log import ServiceLog
from hub.service.notify import VARIABLE, notify
from hub.service.part import PartKind, PartState, PartStatus
from hub.service.service import Changes, Planned, Service, WatchedFile
from meterlet.commands.inspect.proofs import BillingProofs
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME
from tests.support.sockets import ask
from tests.support.waiting import PATIENCE, wait_until

HOME: Final = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
GAS: Final = Description(b"LGB 1", (GAS_VOLUME,), "Europe/Berlin@06:00", 60)
HEALTH: Final = '\n[health]\naddress = "127.0.0.1:0"\n'


def no_machine() -> AppletMachine:
    raise AssertionError("nothing here needs an applet")


class Running:
    """A service in this process, with what it has said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines = folder, list[dict[str, Any]]()
        log = ServiceLog(lambda line: self.lines.append(json.loads(line)), lambda: 5, as_json=True)
        self.told: list[str] = []
        self.service = Service(folder, log, no_machine, BillingProofs(), notify=self.told.append)

    @property
    def file(self) -> Path:
        return self.folder / "hub.toml"

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] in names]

    def address(self, part: str = "health") -> tuple[str, int]:
        """Wait until a part listens; return where, by the latest line."""

        def found() -> list[str]:
            return [
                one["address"]
                for one in self.events("part")
                if one["part"] == part and "address" in one
            ]

        wait_until(found)
        host, _, port = found()[-1].rpartition(":")
        return host, int(port)

    def rewrite(self, text: str) -> dict[str, Any]:
        """Write hub.toml anew and have it read; return what was said of it."""
        return self.after(lambda: self.file.write_text(text))

    def after(self, change: Callable[[], object]) -> dict[str, Any]:
        """Change hub.toml and have it read; return what was said of it."""
        names = "configuration-accepted", "configuration-refused"
        before = len(self.events(*names))
        change()
        self.service.reload()
        wait_until(lambda: len(self.events(*names)) > before)
        return self.events(*names)[before]


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    run = Running(folder)
    ended: list[bool] = []
    thread = Thread(target=lambda: ended.append(run.service.run()))
    thread.start()
    try:
        wait_until(lambda: "READY=1" in run.told or not thread.is_alive())
        wait_until(lambda: ask_status(folder) is not None or not thread.is_alive())
        yield run
    finally:
        run.service.stop()
        thread.join(PATIENCE)
    assert ended == [True]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Device.create(tmp_path / "hub", HOME):
        pass
    path = tmp_path / "hub" / "hub.toml"
    path.write_text(path.read_text() + HEALTH)
    return tmp_path / "hub"


def health(address: tuple[str, int]) -> tuple[int, dict[str, Any]]:
    head, _, body = ask(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_what_changes_in_the_plan_is_what_changes_in_the_service() -> None:
    def planned(about: object) -> Planned:
        return Planned(PartKind.SOURCE, about, lambda: lambda _: None)

    old = {"a": planned(1), "b": planned(2), "c": planned(3)}
    new = {"b": planned(2), "c": planned(4), "d": planned(5)}
    assert Changes.between(old, new) == Changes(("d",), ("c",), ("a",))
    assert Changes.between(new, new) == Changes((), (), ())


def test_a_file_has_changed_once_it_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text("1")
    watched = WatchedFile(path)
    watched.is_known()
    assert not watched.has_changed()
    path.write_text("12")
    assert not watched.has_changed(), "it may be being written"
    path.write_text("123")
    assert not watched.has_changed()
    assert watched.has_changed()
    watched.is_known()
    assert not watched.has_changed()
    path.unlink()
    assert [watched.has_changed(), watched.has_changed()] == [False, True]


def test_it_follows_the_file_and_stays_where_the_file_is_wrong(folder: Path) -> None:
    with running(folder) as run:
        first = run.address()
        assert health(first) == (200, {"status": "up", "parts": {}})
        right = run.file.read_text()

        refused = run.rewrite(right + "[serv]\n")
        line = len(right.splitlines()) + 1
        assert (refused["line"], refused["key"]) == (line, "serv")
        assert "did you mean serve?" in refused["reason"]
        status = ask_status(folder)
        assert status is not None
        assert "did you mean serve?" in status["configuration"]["refused"]["message"]
        assert health(first)[0] == 200, "the one in force stays"
        with Device.open(folder, description=Description.from_toml(status["description"])) as hub:
            assert hub.description == HOME

        source = '[sources.main]\naddress = "tcp://127.0.0.1:1"\n'
        assert run.rewrite(right + source)["started"] == "source main"
        assert run.address() == first, "what has not changed goes on as it was"
        wait_until(
            lambda: health(first) == (503, {"status": "down", "parts": {"source-1": "down"}})
        )
        wait_until(lambda: any(one.get("code") == "interrupted" for one in run.events("part")))
        status = ask_status(folder)
        assert status is not None
        assert status["configuration"]["refused"] is None
        [told] = [one for one in status["parts"] if one["kind"] == "source"]
        assert (told["state"], told["facts"]["address"]) == ("waiting", "tcp://127.0.0.1:1")

        with Device.open(folder) as device:
            said = run.after(lambda: device.add_meter("gas", GAS))
        assert said["changed"] == "source main"
        said = run.rewrite(HOME.with_meter("gas", GAS).to_toml() + HEALTH)
        assert said["stopped"] == "source main"
        assert health(run.address()) == (200, {"status": "up", "parts": {}})
    states = [one["state"] for one in run.events("part") if one["part"] == "source main"]
    assert (states[0], states[-1]) == ("starting", "stopped")
    assert run.lines[-1]["event"] == "service-stopped"
    assert run.told[0] == "READY=1"
    assert run.told[-1] == "STOPPING=1"
    assert not (folder / SOCKET).exists()


def test_a_change_of_the_file_is_seen_without_being_told(folder: Path) -> None:
    with running(folder) as run:
        run.file.write_text(run.file.read_text() + "[pagse]\n")
        wait_until(lambda: run.events("configuration-refused"))
        assert run.events("configuration-refused")[0]["key"] == "pagse"
        said = run.rewrite("[pages")  # wrong before any key: none is named
        assert (said["event"], "key" in said) == ("configuration-refused", False)


def test_another_meter_is_refused(folder: Path) -> None:
    """Readings of the meter that hub.toml named before are stored."""
    with Device.open(folder) as device:
        from hub.readings import Reading, Readout

        device.store([Readout({ACTIVE_ENERGY_IMPORT: Reading(1_740_783_600, 5)})])
    with running(folder) as run:
        other = run.file.read_text().replace(emulated_meter_id(1).hex(), emulated_meter_id(2).hex())
        said = run.rewrite(other)
        assert (said["event"], said["code"]) == ("configuration-refused", "device")
        assert emulated_meter_id(1).hex() not in json.dumps(run.lines)


def test_a_hub_has_one_service(folder: Path) -> None:
    assert holder(folder) is None
    with running(folder):
        assert holder(folder) is not None
        with pytest.raises(ServiceRunning, match="its service runs already"):
            Running(folder).service.run()
    assert holder(folder) is None
    with held(folder):
        pass


def test_it_does_not_begin_with_a_file_that_is_wrong(folder: Path) -> None:
    (folder / "hub.toml").write_text(HOME.to_toml())
    run = Running(folder)
    with pytest.raises(ConfigurationRefused, match="names nothing"):
        run.service.run()
    assert run.lines == []


def test_nobody_answers_for_a_service_that_is_not_there(folder: Path) -> None:
    assert ask_status(folder) is None
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / SOCKET))
        other.listen()

        def answer() -> None:
            line, _ = other.accept()
            with line:
                line.recv(100)
                line.sendall(b"[]\n")

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(ServiceError, match="no service that answers"):
            ask_status(folder)
        thread.join()
    assert ask_status(folder) is None, "left by a service that was killed"


def test_a_long_path_of_the_folder_does_no_harm(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-of-a-folder"] * 6)
    with Device.create(deep / "hub", HOME):
        pass
    path = deep / "hub" / "hub.toml"
    path.write_text(path.read_text() + HEALTH)
    with running(deep / "hub"):
        assert ask_status(deep / "hub") is not None


def test_systemd_is_told_if_it_wants_to_know(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    assert not notify("READY=1", {})
    assert not notify("READY=1", {VARIABLE: path}), "nobody is there"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        assert notify("READY=1", {VARIABLE: path})
        assert systemd.recv(100) == b"READY=1"


def part(name: str, kind: PartKind, state: PartState = PartState.UP) -> PartStatus:
    return PartStatus(name, kind, state, 0, reason="a secret", facts={"address": "a place"})


def test_health_is_up_where_all_parts_are() -> None:
    parts = [part("source main", PartKind.SOURCE), part("serve", PartKind.SERVE)]
    assert health_of(parts) == (True, {"source-1": "up", "serve": "up"})
    for state in (PartState.STARTING, PartState.WAITING, PartState.STOPPED):
        down = [*parts, part("source gas", PartKind.SOURCE, state)]
        assert health_of(down) == (False, {"source-1": "up", "serve": "up", "source-2": "down"})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", 200),
        (b"GET /healthz?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", 200),
        (b"POST /healthz HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /healthz/../hub.toml HTTP/1.1\r\n\r\n", 404),
        (b"GET /healthz\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
    ],
)
def test_health_is_all_that_is_served(request_: bytes, status: int) -> None:
    answer = answer_to(request_, lambda: [part("source main", PartKind.SOURCE)])
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    _, _, body = answer.partition(b"\r\n\r\n")
    assert (body == b"") is request_.startswith(b"HEAD")
    assert b"secret" not in answer
    assert b"place" not in answer


def test_a_request_without_end_is_not_answered(folder: Path) -> None:
    with running(folder) as run:
        address = run.address()
        with socket.create_connection(address, PATIENCE) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X" * (2 * LONGEST_REQUEST))
            with suppress(ConnectionResetError):
                assert line.recv(10) == b""
        assert health(address)[0] == 200
