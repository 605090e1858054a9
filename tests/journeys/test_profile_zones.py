# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from meterlet.commands.profile import load_profiles, profile

pytest.importorskip("oemof.demand")


def test_a_set_of_profiles_is_of_the_zone_that_was_said(tmp_path: Path) -> None:
    sets = []
    for zone in ("Europe/Berlin", "Europe/Lisbon"):
        out = tmp_path / zone.replace("/", "-")
        arguments = ["bdew", "--month", "2025-02", "--zone", zone, "-o", str(out), "--json"]
        made = CliRunner().invoke(profile, arguments)
        assert made.exit_code == 0, made.output
        assert json.loads(made.stdout)["zone"] == zone
        sets.append(load_profiles(out))
    assert sets[0].profiles == sets[1].profiles
    assert sets[0].digest != sets[1].digest


def test_a_zone_that_there_is_not_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "none"
    refused = CliRunner().invoke(
        profile, ["bdew", "--month", "2025-02", "--zone", "Mars/Base", "-o", str(out)]
    )
    assert refused.exit_code == 1
    assert "time zone 'Mars/Base': unknown" in refused.stderr
    assert not out.exists()
