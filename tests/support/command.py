# SPDX-License-Identifier: Apache-2.0
"""The command `meterlet`, run as a user runs it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

from tests.support.quick_program import program
from tests.support.waiting import PATIENCE
from tests.support.zygote import Zygote

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = (sys.executable, "-W", "error", "-m", "meterlet")

Meterlet = Callable[..., "CompletedProcess[str]"]


_zygotes: list[Zygote] = []


def run_meterlet(
    *arguments: object, stdin: bytes | None = None, timeout: float = PATIENCE
) -> "CompletedProcess[str]":
    """Run the command as a user does, in a process of its own."""
    if not _zygotes or _zygotes[0].process.poll() is not None:
        _zygotes[:] = [Zygote.start()]
    return _zygotes[0].run([*map(str, arguments)], stdin, environment(), timeout)


def run_meterlet_afresh(*arguments: object) -> "CompletedProcess[str]":
    """Run the command in an interpreter of its own, too."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
        env=environment(),
    )
    return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def serving(
    *arguments: object, end: signal.Signals = signal.SIGTERM, said: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Run a command that serves; yield the JSON it prints; it must end well at the signal.

    `said` gets the lines that it has printed then.
    """
    command = [*program(), *map(str, arguments), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            text = ""
            while not text.endswith("}\n"):
                line = server.stdout.readline()
                assert line, text
                text += line
            yield json.loads(text)
        finally:
            server.send_signal(end)
            assert server.wait(PATIENCE) == 0
            if said is not None:
                said += server.stdout.read().splitlines()


@contextmanager
def serving_hub(hub: object) -> Iterator[str]:
    """Serve a hub, until Ctrl-C; its address is yielded."""
    options = "--hub", hub, "--port", 0
    with serving("hub", "serve", *options, end=signal.SIGINT) as where:
        yield f"{where['host']}:{where['port']}"


def environment() -> dict[str, str]:
    """Return what commands are started with."""
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}


def stop_zygotes() -> None:
    """End the processes that commands were forked from."""
    for zygote in _zygotes:
        zygote.stop()
