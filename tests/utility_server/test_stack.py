# SPDX-License-Identifier: Apache-2.0
"""A stack touches only what is its own, and says why a part of it has ended."""

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from utility_server.errors import StackRefused
from utility_server.processes import handles, runs_with
from utility_server.stack import mosquitto_server
from utility_server.stack.own import LASTING, alone, is_free, lasting_port
from utility_server.stack.whole import Stack, _Part

pytestmark = pytest.mark.one_database

Events = list[tuple[str, Mapping[str, object]]]


def test_a_second_stack_in_a_folder_starts_and_stops_nothing(tmp_path: Path) -> None:
    events: Events = []
    stack = Stack(tmp_path, told=lambda event, facts: events.append((event, facts)))
    with alone(tmp_path):
        why = r"its stack runs already \(process \d+\)"
        with pytest.raises(StackRefused, match=why), stack.running():
            pytest.fail("two stacks in one folder")
        with pytest.raises(StackRefused), alone(tmp_path):
            pass
    assert not events
    assert [one.name for one in tmp_path.iterdir()] == ["stack.lock"]
    with alone(tmp_path):  # the lock goes with whoever had it
        pass


def test_ports_that_are_taken_are_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        stack = Stack(tmp_path, gateway_port=port, port=port + 1 if port < 65_535 else port - 1)
        why = rf"127.0.0.1:{port}.*say another --gateway-port"
        with pytest.raises(StackRefused, match=why), stack.running():
            pytest.fail("a port is another's")
        with pytest.raises(StackRefused, match="say two ports"), Stack(tmp_path, 1, 9, 9).running():
            pytest.fail("one port for two")
    assert [one.name for one in tmp_path.iterdir()] == ["stack.lock"]


def test_a_servers_port_is_none_that_a_system_gives_away() -> None:
    with socket.create_server(("127.0.0.1", lasting_port("127.0.0.1"))) as other:
        taken = LASTING.index(other.getsockname()[1])
        choices = iter([taken, taken, (taken + 1) % len(LASTING)])
        chosen = lasting_port("127.0.0.1", lambda _size: next(choices))
        assert chosen != other.getsockname()[1]
        assert chosen < 32_768, "where Linux begins"
        with pytest.raises(StackRefused, match="no port between 20000 and 32767 is free"):
            lasting_port("127.0.0.1", lambda _size: taken)


def test_without_mosquitto_a_line_says_so_or_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosquitto_server, "server_program", lambda: None)
    monkeypatch.setattr(Stack, "_start_servers", lambda _self: None)
    monkeypatch.setattr(Stack, "_start_parts", lambda _self, wake: started.append(wake))
    started: list[list[str]] = []
    events: Events = []
    stack = Stack(tmp_path, told=lambda event, facts: events.append((event, facts)))
    with stack.running():
        pass
    assert started == [[]]
    (without,) = [facts for event, facts in events if event == "without"]
    assert without["part"] == "mosquitto"
    assert "apt install mosquitto" in str(without["why"])

    events.clear()
    stack.must_wake = True
    with pytest.raises(StackRefused, match="apt install mosquitto"), stack.running():
        pytest.fail("without what was required")
    assert (started, events) == ([[]], [])


def test_a_number_of_a_process_is_believed_only_with_the_folder_among_its_arguments(
    tmp_path: Path,
) -> None:
    here, copy = tmp_path / "here", tmp_path / "copy"
    command = [sys.executable, "-c", "input()", str(here)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
        wait_until(lambda: runs_with(running.pid, here))
        assert not runs_with(running.pid, copy)
        assert not handles(running.pid, signal.SIGHUP)  # which would end it
        wait_until(lambda: handles(running.pid, signal.SIGINT), "its own handler")
        assert running.stdin is not None
        running.stdin.close()
        wait_until(lambda: not runs_with(running.pid, here), "its end")  # a zombie is none


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; print('begin'); sys.exit('no such port')", "no such port"),
        (
            'import sys; print(\'{"exit_code": 1, "message": "the port is taken"}\'); print("bye");'
            " sys.exit(1)",
            "the port is taken",
        ),
        ("import sys; sys.exit(7)", None),
    ],
)
def test_a_part_that_ends_says_why_and_where_its_log_is(
    tmp_path: Path, code: str, why: str | None
) -> None:
    events: Events = []
    part = new_part(tmp_path, [sys.executable, "-c", code])

    def has_ended(times: int, now: float) -> bool:
        part.look_after(now, lambda event, facts: events.append((event, facts)))
        return [event for event, _ in events].count("ended") == times

    wait_until(lambda: has_ended(1, 0.0))
    assert events[-1][1].get("why") == why
    assert events[-1][1]["log"] == str(tmp_path / "log")
    assert str(events[-1][1]["again_in_seconds"]) == "1.0"
    wait_until(lambda: has_ended(2, 2.0))
    assert str(events[-1][1]["again_in_seconds"]) == "2.0"
    assert "up" not in [event for event, _ in events]


def test_a_part_is_up_once_it_answers_and_not_by_what_it_said_before(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ready\n")
    events = list[str]()
    with closing(socket.create_server(("127.0.0.1", 0))) as gate:
        place = gate.getsockname()
        code = f"import socket; socket.create_connection({place!r}).recv(1); print('ready');"
        part = new_part(tmp_path, [sys.executable, "-uc", f"{code} import time; time.sleep(999)"])

        def look() -> None:
            part.look_after(0.0, lambda event, _: events.append(event))

        look()
        line, _ = gate.accept()
        look()
        assert events == ["started"]
        line.close()

        def is_up() -> bool:
            look()
            return part.is_up

        wait_until(is_up)
    assert events == ["started", "up"]
    part.ask_to_stop()
    part.wait()


def new_part(folder: Path, command: Sequence[str]) -> _Part:
    return _Part("gateway", command, folder / "log", lambda said: "ready" in said)
