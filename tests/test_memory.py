# SPDX-License-Identifier: Apache-2.0
"""`make test-memory` measures all processes of a command, and only those."""

import re
import subprocess
import sys

import pytest

from tests.support.command import ROOT

MEGABYTES = 40
HOLD = f"held = bytearray(b'x' * ({MEGABYTES} << 20))"
WAIT = "import sys, time; time.sleep(4)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {HOLD + '; ' + WAIT!r}])"
ORPHAN = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PARENT!r}], check=True)"
"""Leaves a process whose parent has ended."""


@pytest.mark.parametrize(("before", "processes"), [("", 1), (ORPHAN, 2)])
def test_the_peak_is_that_of_all_processes_together(before: str, processes: int) -> None:
    script = f"{before}\n{HOLD}; {WAIT}; sys.exit(7)"
    measured = [sys.executable, "-m", "tests.support.memory", sys.executable, "-c", script]
    done = subprocess.run(measured, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"peak memory: (\d+) MB in (\d+) processes", done.stderr)
    assert found is not None, done.stderr
    assert int(found[2]) == processes
    assert processes * MEGABYTES <= int(found[1]) < processes * (MEGABYTES + 40)
    assert done.returncode == 7
