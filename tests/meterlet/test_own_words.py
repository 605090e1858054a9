# SPDX-License-Identifier: Apache-2.0
"""What the resident's commands refuse and report is in the language of the environment."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from hub.device import Device
from hub.disclosure.rules import ReleaseRefused
from hub.meters.odd import Odd, OddTelegram
from meterlet.own_words import VARIABLES, error_in_own_words, own_language, reason_in_own_words
from tests.support.command import run_meterlet

WHY = "this period was answered 2 times already"


@pytest.fixture(autouse=True)
def no_language(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "language"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "it"}, "it"),
        ({"LC_ALL": "fr.UTF-8"}, "fr"),
        ({"LC_ALL": "", "LANG": "fr_CH"}, "fr"),
        ({"LANG": "nl_NL.UTF-8"}, "en"),
        ({"LANG": "../../de"}, "en"),
    ],
)
def test_the_environment_names_the_language(
    settings: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert own_language() == language


def test_reasons_and_errors_are_said_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ReleaseRefused("count", WHY)
    assert (error_in_own_words(refused), reason_in_own_words(WHY)) == (f"count: {WHY}", WHY)
    monkeypatch.setenv("LANG", "it_IT.UTF-8")
    assert reason_in_own_words(WHY) == "su questo periodo si è già risposto 2 volte"
    assert error_in_own_words(refused) == "numero: su questo periodo si è già risposto 2 volte"


@pytest.mark.process
def test_the_command_speaks_it_to_people_and_english_to_programs(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    copytree(demo_home, hub)
    with Device.open(hub) as device:
        odd = OddTelegram(Odd.LATE, "its clock is behind: 2025-03-01T10:00:00Z", 0, 9, b"\1", 8, {})
        device.quarantine.add([odd])
        facts = {"recipient": "supplier", "purpose": "billing"}
        device.disclosure.refusals.note(facts, ReleaseRefused("count", WHY))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    waiting = run_meterlet("hub", "readings", "quarantine", "list", "--hub", hub)
    assert "seine Uhr geht nach: 01.03.2025, 10:00 UTC" in waiting.stdout
    listed = run_meterlet("hub", "readings", "quarantine", "list", "--hub", hub, "--json")
    [one] = json.loads(listed.stdout)["set_aside"]
    assert one["reason"] == odd.reason
    left = run_meterlet("inspect", "releases", "--hub", hub)
    assert "über diesen Zeitraum wurde schon 2-mal geantwortet" in left.stdout
    missing = run_meterlet("hub", "readings", "quarantine", "drop", "99", "--hub", hub)
    assert missing.returncode == 2
    assert "nichts Beiseitegelegtes hat die Nummer 99" in missing.stderr
    nowhere = run_meterlet("hub", "status", "--hub", tmp_path / "none")
    assert "hier ist kein Hub" in nowhere.stderr
