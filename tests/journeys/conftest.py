# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.zygote import Zygote

ROOT = Path(__file__).resolve().parents[2]

Meterlet = Callable[..., "CompletedProcess[str]"]


_zygotes: list[Zygote] = []


def run_meterlet(
    *arguments: object, stdin: bytes | None = None, timeout: int = 120
) -> "CompletedProcess[str]":
    """Run the command as a user does, in a process of its own."""
    if not _zygotes or _zygotes[0].process.poll() is not None:
        _zygotes[:] = [Zygote.start()]
    return _zygotes[0].run([*map(str, arguments)], stdin, environment(), timeout)


def run_meterlet_afresh(*arguments: object, timeout: int = 120) -> "CompletedProcess[str]":
    """Run the command in an interpreter of its own, too."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "meterlet", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
        env=environment(),
    )
    return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def environment() -> dict[str, str]:
    """Return what commands are started with."""
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}


def pytest_sessionfinish() -> None:
    for zygote in _zygotes:
        zygote.stop()


@pytest.fixture
def meterlet() -> Meterlet:
    return run_meterlet


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository, where there is one."""
    folder = Path(os.environ.get("METERLET_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"NO REAL DATA: {folder} is not there; set METERLET_SHARED to run this test")
    return folder
