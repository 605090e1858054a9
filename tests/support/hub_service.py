# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub run` in a process of its own: the command, or fast forward with our clock."""

import json
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import tty
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hub.service.control import ask_status
from hub.service.log import ServiceLog
from hub.service.service import Service
from meterlet.commands.common import open_machine
from meterlet.commands.inspect.proofs import BillingProofs
from tests.support.command import ROOT, environment
from tests.support.line import SharedClock
from tests.support.quick_program import program
from tests.support.waiting import PATIENCE, wait_until

_FORK: Final = multiprocessing.get_context("fork")


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Return what a service has said so far."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def place_of(log: Path, part: str) -> str:
    """Return where a part of a service listens, once it does: as the latest line says."""

    def found() -> list[str]:
        lines = lines_of(log)
        begun = max((n for n, line in enumerate(lines) if line["event"] == "service-started"))
        said = [one for one in lines[begun:] if one.get("part") == part and "address" in one]
        return [one["address"] for one in said]

    wait_until(lambda: any(line["event"] == "service-started" for line in lines_of(log)))
    wait_until(found, f"{part} of the service")
    return found()[-1]


def part_of(hub: Path, name: str) -> dict[str, Any]:
    """Return how a part of a running service is; empty where nobody answers."""
    status = ask_status(hub)
    parts = [] if status is None else status["parts"]
    return next((dict(one) for one in parts if one["name"] == name), {})


def fetch(url: str) -> tuple[int, bytes]:
    """Return status and body of a page, or of /healthz."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _serve(folder: Path, clock: SharedClock, log: Path) -> None:
    """Be the service, until killed or told to end."""
    with log.open("a") as file:

        def write(line: str) -> None:
            file.write(f"{line}\n")
            file.flush()

        lines = ServiceLog(write, clock.now, as_json=True)
        service = Service(folder, lines, open_machine, BillingProofs(), now=clock.now)
        signal.signal(signal.SIGTERM, lambda *_: service.stop())
        sys.exit(0 if service.run() else 1)


@dataclass(slots=True)
class ServiceOnALine:
    """A service whose meter is at a pseudo-terminal, with one clock for both."""

    hub: Path
    log: Path
    clock: SharedClock = field(default_factory=SharedClock)
    _ends: tuple[int, int] = field(default_factory=pty.openpty)
    _process: "multiprocessing.process.BaseProcess | None" = None

    def __post_init__(self) -> None:
        tty.setraw(self._ends[1])

    @property
    def source(self) -> str:
        """The address of the meter's line."""
        return f"serial://{os.ttyname(self._ends[1])}?baud=9600"

    def start(self) -> None:
        """Switch the service on, and wait until its line is open and its parts answer."""
        before = len(lines_of(self.log))
        arguments = self.hub, self.clock, self.log
        self._process = _FORK.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        wait_until(lambda: len(lines_of(self.log)) > before)
        wait_until(lambda: self._is_reading(), "the line of the service")
        place_of(self.log, "serve")
        place_of(self.log, "pages")

    def _is_reading(self) -> bool:
        assert self._process is not None
        assert self._process.is_alive()
        os.write(self._ends[0], bytes(4))  # junk, until something is heard
        return part_of(self.hub, "source main").get("state") == "up"

    def send(self, frame: bytes) -> None:
        """Send a telegram, whatever becomes of it."""
        os.write(self._ends[0], frame)

    def kill(self) -> None:
        """End it at once, with -9."""
        assert self._process is not None
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """Ask it to end; it must end well."""
        assert self._process is not None
        self._process.terminate()
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0

    def close(self) -> None:
        """Take the line away."""
        for end in self._ends:
            os.close(end)


@contextmanager
def hub_run(hub: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the command, its lines going to a file; it must end well at SIGTERM, unless killed."""
    command = [*program(), "hub", "run", "--hub", str(hub), "--json"]
    with (
        log.open("ab") as file,
        subprocess.Popen(command, stdout=file, cwd=ROOT, env=environment()) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                assert process.wait(PATIENCE) == 0


def waited(fact: Callable[[], Any]) -> Any:
    """Return a fact once there is one."""
    wait_until(fact)
    return fact()
