# SPDX-License-Identifier: Apache-2.0
"""Every command starts in an interpreter of its own: nothing counts on another's imports."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from meterlet.commands.inspect import TARGETS
from meterlet.commands.main import NOUNS
from tests.support.command import run_meterlet, run_meterlet_afresh
from tests.support.quick_program import program_path
from tests.support.waiting import PATIENCE

COMMANDS = [[noun] for noun in NOUNS] + [["inspect", name] for name in TARGETS]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_starts_by_itself(command: list[str]) -> None:
    afresh = run_meterlet_afresh(*command, "--help")
    assert (afresh.returncode, afresh.stderr) == (0, "")
    assert run_meterlet(*command, "--help").stdout == afresh.stdout


def test_a_command_ends_as_it_does_by_itself() -> None:
    for command in (["no-such-noun"], ["hub", "init", "--meter", "zz"], ["inspect", "bill"]):
        command += ["--hub", "/nowhere"] if command[0] == "inspect" else []
        ours, afresh = run_meterlet(*command), run_meterlet_afresh(*command)
        assert afresh.returncode != 0
        assert (ours.returncode, ours.stdout, ours.stderr) == (
            afresh.returncode, afresh.stdout, afresh.stderr,
        )  # fmt: skip


def test_a_script_runs_commands_as_they_run_by_themselves(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": program_path(), "NO_COLOR": "1", "COLUMNS": "200"}

    def script(text: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
        )  # fmt: skip

    wrong, afresh = script("meterlet no-such-noun"), run_meterlet_afresh("no-such-noun")
    assert (wrong.returncode, wrong.stdout, wrong.stderr) == (
        afresh.returncode, afresh.stdout, afresh.stderr,
    )  # fmt: skip
    assert script("meterlet hub init hub --serial 1 > told && test -e hub/hub.db").returncode == 0
    assert "meter" in (tmp_path / "told").read_text()
    # `log` is truncated when the background comes to it: the earlier server's must not be read.
    served = "rm -f log; meterlet hub serve --hub hub --port 0 > log & "
    served += "until grep -qs : log; do sleep .1; done"
    ended = script(f"{served}; kill $!; wait $!; echo ended with $?")
    assert ended.stdout == "ended with 0\n", ended.stderr
    killed = script(f"{served}; kill -{signal.SIGKILL} $!; wait $!; exit $?")
    assert killed.returncode == 128 + signal.SIGKILL
    # Killed with its client, it holds the hub no more.
    assert script(f"{served}; kill $!; wait $!").returncode == 0
