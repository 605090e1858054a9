# SPDX-License-Identifier: Apache-2.0
"""`meterlet examples`: what comes with a wheel, written out as the README names it."""

import json
import re
import tomllib
from pathlib import Path

from click.testing import CliRunner

from hub.installer import build_package
from meterlet.commands.examples import examples
from meterlet.resources import APPLETS, EXAMPLES, SOURCES
from tests.support.command import ROOT
from tests.support.product import PRODUCT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_all_that_the_readme_names_is_written_out(tmp_path: Path) -> None:
    done = CliRunner().invoke(examples, ["--to", str(tmp_path)])
    assert done.exit_code == 0, done.output
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:examples|applets)/[\w/.-]*\w", readme))
    assert {"applets/billing", "examples/readings/home-2013-03.csv"} <= named
    assert not [name for name in named if not (tmp_path / name).exists()]
    assert (tmp_path / "applets" / "billing" / "dynamic.toml").is_file()


def test_an_applet_that_was_written_out_can_be_built(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    CliRunner().invoke(examples, ["--to", str(tmp_path)])
    folder, vendor = tmp_path / "applets" / "billing", Ed25519PrivateKey.generate()
    package = build_package(folder, vendor, [folder.parent, SOURCES], "manifest.toml")
    assert package == build_package(APPLETS / "billing", vendor, [SOURCES], "manifest.toml")


def test_nothing_that_exists_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    done = CliRunner().invoke(examples, ["--to", str(tmp_path)])
    assert (done.exit_code, done.stderr) == (1, f"meterlet: {tmp_path}/examples: exists already\n")
    assert not (tmp_path / "applets").exists()


def test_without_a_folder_they_are_listed() -> None:
    done = json.loads(CliRunner().invoke(examples, ["--json"]).stdout)
    listed = CliRunner().invoke(examples).stdout.splitlines()
    assert (done["to"], done["files"]) == (None, listed)
    assert "examples/verify_bills.py" in listed


def test_the_wheel_has_what_the_code_looks_for() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == {*PRODUCT, "examples"}
    assert wheel["sources"] == {"examples": "meterlet/examples"}
    assert ROOT / "examples" == EXAMPLES
