# SPDX-License-Identifier: Apache-2.0
"""Processes that do parts of a work: deaf to Ctrl-C, and gone with whoever began them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import ROOT
from tests.support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.process, pytest.mark.one_database]

PARENT = """
import sys, time
from pathlib import Path
from tests.utility_server.test_part_processes import stay
from utility_server.fan_out import PartProcesses

if __name__ == "__main__":
    with PartProcesses(1) as pool:
        try:
            pool.submit(stay, sys.argv[1]).result()
        finally:
            print("cut off", flush=True)
            Path(sys.argv[1] + ".go").touch()
"""


def stay(place: str) -> None:
    """Say which process this is; stay until the file `go` is there."""
    partial = Path(f"{place}.partial")
    partial.write_text(str(os.getpid()))
    partial.rename(place)
    wait_until(Path(f"{place}.go").exists)


def is_there(process: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_parts_end_with_their_parent_and_say_nothing_of_ctrl_c(
    tmp_path: Path, number: signal.Signals
) -> None:
    place = tmp_path / "part"
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(place)], cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wait_until(lambda: place.exists() or parent.poll() is not None)
    part = int(place.read_text())
    if number is signal.SIGINT:
        os.killpg(parent.pid, number)  # as a terminal does: to all of them
    else:
        parent.kill()
    output, errors = parent.communicate(timeout=PATIENCE)
    wait_until(lambda: not is_there(part), "the end of the part")
    if number is signal.SIGINT:
        assert output == "cut off\n"
        assert "KeyboardInterrupt" in errors  # the parent's own, and nobody else's
        assert "Process Spawn" not in errors
