# SPDX-License-Identifier: Apache-2.0
"""What is shipped to run the hub as a service of a system is what it is said to be."""

import json
import re
import shutil
import subprocess
import tomllib
from configparser import RawConfigParser
from pathlib import Path
from typing import Final

import click
import pytest

from meterlet.commands.main import main
from tests.support.command import ROOT
from tests.support.waiting import PATIENCE

DEPLOY: Final = ROOT / "deploy"
UNIT: Final = DEPLOY / "meterlet-hub.service"
INSTALLED: Final = "/opt/meterlet/bin/meterlet"


def service() -> dict[str, str]:
    """Return the settings of the unit's service; of one that is said twice, the last."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return dict(parser["Service"])


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="NO SYSTEMD: systemd-analyze verify has not looked at deploy/meterlet-hub.service",
)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    # Where it is to be installed nothing is here: systemd looks whether the programs are there.
    program = tmp_path / "meterlet"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, str(program)))

    def verify() -> tuple[int, str]:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(unit)],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert verify() == (0, "")
    unit.write_text(unit.read_text().replace("LimitCORE=", "LimitKERN="))
    assert "LimitKERN" in verify()[1], "a fault is found"


def test_the_unit_starts_the_service_and_reloads_and_ends_it_in_time() -> None:
    settings = service()
    program, *words = settings["ExecStart"].split()
    assert program == INSTALLED
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    assert command.name == "run"
    command.make_context("run", words, resilient_parsing=True)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    from hub.service.service import GOODBYE_SECONDS

    assert float(settings["TimeoutStopSec"]) > GOODBYE_SECONDS
    assert settings["Type"] == "notify"
    assert "-HUP" in settings["ExecReload"]
    assert (settings["UMask"], settings["LimitCORE"]) == ("0077", "0")


def test_both_files_are_in_the_source_distribution() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = pyproject["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert "/deploy" in included
    assert {path.name for path in DEPLOY.iterdir()} == {
        "Containerfile", UNIT.name, "compose.yaml", "kubernetes.yaml", "utility.Containerfile",
    }  # fmt: skip
    for name in (UNIT.name, "Containerfile"):
        assert f"deploy/{name}" in (ROOT / "docs" / "hub-run.md").read_text()
    container = (DEPLOY / "Containerfile").read_text()
    assert "Untried" in container
    extras = container.split("/src[")[1].split("]")[0].split(",")
    assert set(extras) <= pyproject["project"]["optional-dependencies"].keys()


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_the_examples_for_containers_start_commands_that_there_are(name: str) -> None:
    text = (DEPLOY / name).read_text()
    found = re.findall(r"(?:command|args): (\[\"utility\".*\])", text)
    variables = set[object]()
    assert len(found) == 3
    for words in map(json.loads, found):
        command: click.Command = main
        while isinstance(command, click.Group):
            following = command.get_command(click.Context(command), words.pop(0))
            assert following is not None
            command = following
        options = {option for one in command.params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= options
        variables |= {one.envvar for one in command.params}
    said = set(re.findall(r"METERLET_\w+", text)) - {"METERLET_DATABASE"}
    assert said <= variables
