# SPDX-License-Identifier: Apache-2.0
"""Processes end with whoever has started them, also where that one is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import ROOT
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.process

WORK = """
import os, time
def wait(path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(600)
"""
IN_PROCESSES = """
import work
from utility_server.fan_out import InProcesses
if __name__ == "__main__":
    for _ in InProcesses(2).run(work.wait, ["pids", "pids"]):
        pass
"""
IN_A_FLEET = """
import work
from meterlet.fleet.workers import workers
if __name__ == "__main__":
    with workers(2) as pool:
        list(pool.map(work.wait, ["pids", "pids"]))
"""
A_PROGRAM = """
import subprocess, sys, time
command = [sys.executable, "-m", "utility_server.with_parent", "program", "an argument"]
with subprocess.Popen(command, stdin=subprocess.PIPE):
    time.sleep(600)
"""
PROGRAM = """
import os, sys, time
if __name__ == "__main__":
    assert sys.stdin.read() == ""
    assert sys.argv[1:] == ["an argument"]
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n" * 2)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """None is used."""
    return "sqlite"


@contextmanager
def started(folder: Path, script: str) -> Iterator["subprocess.Popen[bytes]"]:
    for name, text in (("work.py", WORK), ("program.py", PROGRAM), ("script.py", script)):
        (folder / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=folder, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def pids_in(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "pids").read_text().split()]
    except FileNotFoundError:
        return []


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("script", [IN_PROCESSES, IN_A_FLEET, A_PROGRAM])
def test_whoever_is_killed_leaves_no_process_behind(tmp_path: Path, script: str) -> None:
    with started(tmp_path, script) as process:
        wait_until(lambda: len(pids_in(tmp_path)) == 2, "two processes work")
        assert all(map(is_running, pids_in(tmp_path)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        wait_until(lambda: not any(map(is_running, pids_in(tmp_path))), "they end with it")
