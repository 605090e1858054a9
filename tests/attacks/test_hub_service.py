# SPDX-License-Identifier: Apache-2.0
"""The hub's service tells strangers nothing, keeps secrets out of its log, and takes no bait.

/healthz is for anybody, the control socket for the owner alone; the log goes where logs go. So the
first says up or down, the last has no reading, no meter and no secret, whatever happens.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

import pytest

from hub.description import Description
from hub.device import Device
from hub.machine.machine import AppletMachine
from hub.readings import Reading, Readout
from hub.service import control
from hub.service.configuration import LARGEST_FILE, ServiceSettings
from hub.service.control import LINE_SECONDS, SOCKET, ask_status
from hub.service.errors import ConfigurationRefused
from hub.service.health import MOST_CONNECTIONS
from hub.service.log import ServiceLog
from hub.service.part import PartState
from hub.service.service import Service
from meterlet.commands.inspect.proofs import BillingProofs
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support.field import METER, NEIGHBOUR, telegram
from tests.support.sockets import ask
from tests.support.waiting import PATIENCE, wait_until

HOME: Final = Description(METER, (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
SECRET: Final = "correct-horse-battery"
SHOWN: Final = 5_123_457
NOON: Final = 1_743_415_200
NOBODY: Final = 65_534


def no_machine() -> AppletMachine:
    raise AssertionError("nothing here needs an applet")


@dataclass
class Running:
    folder: Path
    service: Service
    lines: list[str]

    def place(self, part: str) -> tuple[str, int]:
        def found() -> list[str]:
            lines = [json.loads(line) for line in list(self.lines)]
            return [one["address"] for one in lines if one.get("part") == part and "address" in one]

        wait_until(found)
        host, _, port = found()[-1].removeprefix("http://").rstrip("/").rpartition(":")
        return host, int(port)

    def facts(self, part: str) -> dict[str, object]:
        status = ask_status(self.folder)
        parts = [] if status is None else status["parts"]
        return next((dict(one["facts"]) for one in parts if one["name"] == part), {})


@contextmanager
def running(folder: Path, tables: str) -> Iterator[Running]:
    with Device.create(folder, HOME):
        pass
    path = folder / "hub.toml"
    path.write_text(path.read_text() + tables)
    lines: list[str] = []
    log = ServiceLog(lines.append, lambda: NOON, as_json=True)
    service = Service(folder, log, no_machine, BillingProofs(), now=lambda: NOON)
    thread = Thread(target=service.run)
    thread.start()
    try:
        wait_until(lambda: ask_status(folder) is not None)
        yield Running(folder, service, lines)
    finally:
        service.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


HEALTH: Final = '[health]\naddress = "127.0.0.1:0"\n'


@contextmanager
def meter_at(frames: list[bytes]) -> Iterator[str]:
    """Serve frames to one who connects by HTTP, with a login; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    ends: list[bool] = []

    def answer() -> None:
        number = 0
        while not ends:
            with suppress(TimeoutError):
                line, _ = listener.accept()
                with line:
                    line.recv(1 << 14)
                    body = frames[min(number, len(frames) - 1)]
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
                    line.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
                number += 1

    thread = Thread(target=answer)
    thread.start()
    try:
        host, port = listener.getsockname()
        yield f"http://{host}:{port}/{SECRET}?token={SECRET}"
    finally:
        ends.append(True)
        thread.join()
        listener.close()


def test_neither_log_nor_health_has_a_reading_a_meter_or_a_secret(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    frames = [
        telegram(SHOWN, NOON - 60),
        telegram(SHOWN + 1, NOON - 50),
        telegram(SHOWN + 2, NOON - 40),
        telegram(1, NOON - 30),  # the register falls: set aside, and the reason says by how much
        telegram(SHOWN + 5, NOON - 20, meter=NEIGHBOUR),  # another meter: set aside
        telegram(SHOWN + 7, NOON),
    ]
    with meter_at(frames) as address, running(folder, HEALTH) as run:
        (folder / "login").write_text(f"me:{SECRET}")
        (folder / "login").chmod(0o600)
        path = folder / "hub.toml"
        tables = f'[sources.main]\naddress = "{address}"\nlogin_file = "login"\n'
        tables += '[pages]\naddress = "127.0.0.1:0"\n'
        path.write_text(path.read_text() + tables)
        run.service.reload()
        wait_until(lambda: run.facts("source main").get("stored") == 4)
        assert run.facts("source main")["set_aside"] == 2
        run.place("pages")
        code = str(run.facts("pages")["code"])
        # What is wrong with the file: a secret in the wrong place is not repeated.
        path.write_text(path.read_text() + f'{SECRET} = "{SECRET}"\nkind = "{SECRET}"\n')
        run.service.reload()
        wait_until(lambda: any("configuration-refused" in line for line in run.lines))
        answer = ask(run.place("health"), b"GET /healthz HTTP/1.1\r\n\r\n").decode()
        with Device.open(folder, description=HOME) as device:
            keys = [path.read_bytes().hex() for path in (folder / "keys").iterdir()]
            assert device.quarantine.count() == 2
    log = "\n".join(line for line in run.lines if "configuration-refused" not in line)
    assert '"set-aside"' in log, "there was something to tell"
    assert json.loads(answer.partition("\r\n\r\n")[2]) == {
        "status": "up",
        "parts": {"source-1": "up", "pages": "up"},
    }
    told = (METER.hex(), NEIGHBOUR.hex(), str(SHOWN), str(SHOWN + 7), "5123", code, "token")
    for secret in (*told, SECRET, *keys):
        assert secret not in log
        assert secret not in answer
    refused = [line for line in run.lines if "configuration-refused" in line]
    assert all(f'"{SECRET}"' not in line.replace(f"pages.{SECRET}", "") for line in refused)


def test_a_stranger_at_the_door_of_health_keeps_nobody_out(tmp_path: Path) -> None:
    """Connections that say nothing are few at a time, and are let go."""
    with running(tmp_path / "hub", HEALTH) as run, ExitStack() as silent:
        address = run.place("health")
        for _ in range(3 * MOST_CONNECTIONS):
            silent.enter_context(socket.create_connection(address, PATIENCE))

        def answered() -> bool:
            with suppress(OSError):
                return b" 200 " in ask(address, b"GET /healthz HTTP/1.1\r\n\r\n")
            return False

        wait_until(answered)


def test_the_control_socket_is_its_owners_alone(tmp_path: Path) -> None:
    with running(tmp_path / "hub", HEALTH) as run:
        facts = (run.folder / SOCKET).stat()
        assert (facts.st_mode & 0o777, facts.st_uid) == (0o600, os.geteuid())
        assert run.folder.stat().st_mode & 0o777 == 0o700
        assert (run.folder / "service.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_not_answered_though_the_files_let_him() -> None:
    """The folder was opened to all, by mistake; who calls is told by the system."""
    program = """
import os, socket, sys
line = socket.socket(socket.AF_UNIX)
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
line.connect(sys.argv[1])
try:
    line.sendall(b'{"ask": "status"}\\n')
    answer = line.recv(1000)
except OSError:  # hung up on
    answer = b""
print("connected", answer)
"""
    with (
        TemporaryDirectory() as name,
        running(Path(name) / "hub", HEALTH) as run,
    ):
        Path(name).chmod(0o755)
        run.folder.chmod(0o755)
        (run.folder / SOCKET).chmod(0o666)
        command = [sys.executable, "-IS", "-c", program, str(run.folder / SOCKET), str(NOBODY)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert told.stdout == "connected b''\n", told.stderr
        assert ask_status(run.folder) is not None, "the owner is"


@pytest.mark.parametrize(
    "question",
    [b"", b"\n", b"status\n", b'{"ask": "keys"}\n', b'{"ask": "status", "x": 1}\n', b"[" * 5000,
     b"\xff\xfe\n", b'{"ask": "status"}'],
)  # fmt: skip
def test_what_is_no_question_gets_no_answer(
    tmp_path: Path, question: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LINE_SECONDS", 0.3)
    assert LINE_SECONDS <= 10
    with running(tmp_path / "hub", HEALTH) as run:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(run.folder / SOCKET))
            with suppress(ConnectionResetError, BrokenPipeError):
                line.sendall(question)
                assert line.recv(1000) == b""
        assert ask_status(run.folder) is not None


def refusal(folder: Path) -> ConfigurationRefused:
    with pytest.raises(ConfigurationRefused) as caught:
        ServiceSettings.load(folder)
    return caught.value


def test_a_file_that_others_may_write_is_not_gone_by(tmp_path: Path) -> None:
    """Who may write hub.toml says who is called, and where a password is sent."""
    path = tmp_path / "hub.toml"
    path.write_text(HOME.to_toml() + HEALTH)
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        assert "others may write it" in str(refusal(tmp_path))
    path.chmod(0o644)
    assert ServiceSettings.load(tmp_path).health is not None
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
        assert "others may write it" in str(refusal(tmp_path))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    os.mkfifo(path, 0o600)
    begun = time.monotonic()
    assert "not a regular file" in str(refusal(tmp_path))
    path.unlink()
    path.mkdir()
    assert str(refusal(tmp_path))
    path.rmdir()
    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    assert "longer than" in str(refusal(tmp_path))
    path.write_bytes(HOME.to_toml().encode() + b"# \xff\n")
    assert refusal(tmp_path).line == len(HOME.to_toml().splitlines()) + 1
    assert time.monotonic() - begun < PATIENCE


@pytest.mark.parametrize("key", ["meter", "registers", "zone", "format", "slot_minutes", "phases"])
def test_a_secret_in_the_place_of_a_fact_of_the_meter_is_not_repeated(
    tmp_path: Path, key: str
) -> None:
    lines = HOME.to_toml().replace("\n    ", "").replace(",\n]", "]").splitlines()
    others = [line for line in lines if not line.startswith(f"{key} ")]
    path = tmp_path / "hub.toml"
    path.write_text("\n".join([f'{key} = "{SECRET}"', *others, HEALTH]))
    error = refusal(tmp_path)
    assert SECRET not in str(error)
    assert (error.line, error.key) == (1, key)


@pytest.mark.parametrize(
    "table",
    [
        f'[sources.a]\naddress = "mqtts://192.0.2.1/topic?version={SECRET}"\n',
        f'[sources.a]\naddress = "d0:///dev/ttyUSB0?mode={SECRET}"\n',
        f'[sources.a]\naddress = "mbus:///dev/ttyUSB0?every={SECRET}"\n',
        f'[sources.a]\naddress = "http://me:{SECRET}@192.0.2.1/"\n',
        f'[sources.a]\naddress = "mqtts://me:{SECRET}@192.0.2.1/topic"\n',
        f'[sources.a]\naddress = "tcp://192.0.2.1:1"\nkind = "{SECRET}"\n',
        f'[sources.a]\naddress = "tcp://192.0.2.1:1"\nlogin_file = "me:{SECRET}"\n',
        f'[sources.a]\naddress = "tcp://192.0.2.1:1"\nevery = "{SECRET}"\n',
        f'[sources.a]\naddress = "http+{SECRET}://192.0.2.1:1"\n',
        f'[serve]\naddress = "{SECRET}"\n',
        f'[recipients.a]\naddress = "https://me:{SECRET}@192.0.2.1"\n',
        f'[pages]\naddress = "127.0.0.1:1"\nkey = "{SECRET}"\n',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, table: str) -> None:
    (tmp_path / "hub.toml").write_text(HOME.to_toml() + table)
    assert SECRET not in str(refusal(tmp_path))


def test_secret_files_that_others_may_read_are_not_used(tmp_path: Path) -> None:
    table = '[sources.a]\naddress = "http://192.0.2.1/"\nlogin_file = "login"\n'
    (tmp_path / "hub.toml").write_text(HOME.to_toml() + table)
    (tmp_path / "login").write_text(f"me:{SECRET}")
    for mode, is_fine in ((0o644, False), (0o640, False), (0o600, True)):
        (tmp_path / "login").chmod(mode)
        if is_fine:
            assert ServiceSettings.load(tmp_path).sources
        else:
            assert "its mode must be 0600" in str(refusal(tmp_path))


def test_a_lock_that_points_elsewhere_is_not_followed(tmp_path: Path) -> None:
    with Device.create(tmp_path / "hub", HOME) as device:
        device.store([Readout({ACTIVE_ENERGY_IMPORT: Reading(NOON, 5)})])
    path = tmp_path / "hub" / "hub.toml"
    path.write_text(path.read_text() + HEALTH)
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "hub" / "service.lock").symlink_to(tmp_path / "precious")
    log = ServiceLog(lambda _: None, lambda: NOON)
    with pytest.raises(OSError, match="symbolic links"):
        Service(tmp_path / "hub", log, no_machine, BillingProofs()).run()
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_log_that_nobody_reads_any_more_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meterlet.commands import serving

    class Gone:
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    serving.print_line("a line")


def test_a_part_that_breaks_all_the_time_leaves_the_others_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tables = f'{HEALTH}[pages]\naddress = "127.0.0.1:{port}"\n'
        with running(tmp_path / "hub", tables) as run:
            wait_until(
                lambda: (
                    [one.state for one in run.service.watched() if one.name == "pages"]
                    == [PartState.WAITING]
                )
            )
            told = [json.loads(line) for line in run.lines]
            codes = [one.get("code") for one in told if one.get("part") == "pages"]
            assert codes == [None, "eaddrinuse"]
            answer = ask(run.place("health"), b"GET /healthz HTTP/1.1\r\n\r\n")
            assert b'{"status": "down", "parts": {"pages": "down"}}' in answer
