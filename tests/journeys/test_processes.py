# SPDX-License-Identifier: Apache-2.0
"""Every command starts in an interpreter of its own: nothing counts on another's imports."""

import pytest

from meterlet.commands.inspect import TARGETS
from meterlet.commands.main import NOUNS
from tests.support.command import run_meterlet, run_meterlet_afresh

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
