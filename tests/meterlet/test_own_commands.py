# SPDX-License-Identifier: Apache-2.0
"""Commands that a message names are those that the user can run: about the hub that was said."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.main import main
from meterlet.commands.own_commands import remembering_folders, with_said_folders

SAID = "`meterlet hub readings quarantine list"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    folder = tmp_path / "the hub"
    assert run("hub", "init", folder, "--serial", "1").exit_code == 0
    return folder


def test_a_refusal_names_the_hub_that_was_said(hub: Path) -> None:
    drop = "hub", "readings", "quarantine", "drop", "9", "--hub", hub
    shown = f"{SAID} --hub {shlex.quote(str(hub))}`"
    assert shown in run(*drop).stderr
    as_json = run(*drop, "--json").stderr
    assert as_json.count(shown) == 2  # in the message and in what to do


def test_a_command_that_takes_no_such_folder_is_left_as_it_is(tmp_path: Path) -> None:
    refused = run("hub", "status", "--hub", tmp_path / "none")
    assert "there is no hub; `meterlet hub init` makes one" in refused.stderr


def test_what_was_not_said_is_not_named(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLET_HUB", str(hub))
    assert f"{SAID}` shows them" in run("hub", "readings", "quarantine", "drop", "9").stderr


def test_a_folder_is_forgotten_with_its_command_line(hub: Path) -> None:
    run("hub", "status", "--hub", hub)
    assert with_said_folders("`meterlet hub status`") == "`meterlet hub status`"
    with remembering_folders(main):
        assert with_said_folders("`meterlet hub status`") == "`meterlet hub status`"


def test_a_number_that_is_none_is_said_in_plain_words(hub: Path) -> None:
    refused = run("hub", "readings", "quarantine", "drop", "x", "--hub", hub)
    assert refused.exit_code == 2
    assert "'x' is not a number; see `" in refused.stderr


def test_a_file_that_is_stored_already_is_told_the_way_on(hub: Path, tmp_path: Path) -> None:
    file = tmp_path / "use.csv"
    rows = "2025-03-01T00:00:00Z,0.1\n2025-03-01T00:15:00Z,0.1\n"
    file.write_text(f"time,kWh\n{rows}")
    assert "3 readings stored" in run("hub", "ingest", "--hub", hub, file).stdout
    again = run("hub", "ingest", "--hub", hub, file)
    assert again.exit_code == 1
    assert f"`meterlet hub correct --hub {shlex.quote(str(hub))}` changes those" in again.stderr
    file.write_text("time,kWh\n2025-03-02T00:00:00Z,-0.1\n2025-03-02T00:15:00Z,0.5\n")
    negative = run("hub", "ingest", "--hub", hub, file, "--column", "kWh")
    assert (negative.exit_code, "--feed-in-column" in negative.stderr) == (1, True)
