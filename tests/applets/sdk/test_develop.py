# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet new`, `key` and `run`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from hub.machine.machine import AppletMachine
from hub.machine.manifest import Manifest
from meterlet.commands.applet_dev import key, new, run
from meterlet.commands.main import main


def invoke(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["applet", command.name, *map(str, arguments)])


@pytest.fixture
def made(tmp_path: Path, machine: AppletMachine) -> Path:
    assert machine is not None
    assert invoke(new, "night-use", "--in", tmp_path, "--vendor", "Night & Co").exit_code == 0
    return tmp_path / "night_use"


def test_new_writes_a_manifest_that_is_right(made: Path) -> None:
    manifest = Manifest.from_toml((made / "manifest.toml").read_text())
    assert (manifest.name, manifest.code.package) == ("night-use", "night_use")
    assert manifest.vendor == "Night & Co"
    assert len(manifest.aid) == 8
    assert manifest.aid[0] == 0xF0


def test_every_applet_gets_an_aid_of_its_own(tmp_path: Path) -> None:
    texts = []
    for name in ("first", "second"):
        invoke(new, name, "--in", tmp_path)
        texts.append((tmp_path / name / "manifest.toml").read_text())
    assert len({Manifest.from_toml(text).aid for text in texts}) == 2


@pytest.mark.parametrize("name", ["Night", "1st", "class", "a/b", "..", "a b", "", "a_b"])
def test_new_refuses_a_name_that_is_no_package(tmp_path: Path, name: str) -> None:
    assert invoke(new, name, "--in", tmp_path).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_new_overwrites_nothing(made: Path) -> None:
    before = (made / "applet.py").read_text()
    result = invoke(new, "night-use", "--in", made.parent)
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert (made / "applet.py").read_text() == before


def test_new_refuses_a_vendor_that_would_break_out_of_its_quotes(tmp_path: Path) -> None:
    assert invoke(new, "x", "--in", tmp_path, "--vendor", 'a"\naid = "').exit_code == 2


def test_key_makes_a_pair_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vendor.pem"
    assert invoke(key, path).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    private = load_pem_private_key(path.read_bytes(), None)
    public = load_pem_public_key((tmp_path / "vendor.pem.pub").read_bytes())
    assert private.public_key() == public
    secret = path.read_bytes()
    assert invoke(key, path).exit_code == 1
    (tmp_path / "vendor.pem.pub").unlink()
    assert invoke(key, path).exit_code == 1
    assert path.read_bytes() == secret


def steps(result: Result) -> list[dict[str, Any]]:
    printed = json.loads(result.stdout)
    assert printed["schema"] == "meterlet.applet.run/1"
    found: list[dict[str, Any]] = printed["steps"]
    return found


def test_run_says_what_every_command_came_to(made: Path) -> None:
    result = invoke(run, made, "--days", 28, "--json")
    assert result.exit_code == 0, result.output
    install, select, ask, refused = steps(result)
    assert (install["status"], select["status"]) == ("9000", "9000")
    assert ask["status"] == "9000"
    assert 20_000 < len(ask["data"]) < 30_000  # a proof and 28 days, in hexadecimal digits
    assert ask["log"][0].startswith("told ")
    assert 0 < ask["fuel"] < 5_000_000_000
    assert ask["host_calls"] == 4
    assert refused["status"] == "6A80"


def test_run_sends_what_it_is_told_to(made: Path) -> None:
    send = ["--send", "80 77 00 00", "--send", "8010000020{begin}{end}{nonce}"]
    *_, unknown, ask = steps(invoke(run, made, "--days", 28, "--json", *send))
    assert (unknown["status"], ask["status"]) == ("6D00", "9000")


def test_run_has_transactions_and_no_other_applets(made: Path) -> None:
    applet = made / "applet.py"
    text = applet.read_text()
    line = next(line for line in text.splitlines() if "print(f" in line)
    indent = line[: len(line) - len(line.lstrip())]
    begun = (
        f'{indent}with self.platform.transactions:\n{indent}    self.platform.store.put(b"k", b"")'
    )
    applet.write_text(text.replace(line, begun))
    *_, ask, _ = steps(invoke(run, made, "--days", 28, "--json"))
    assert ask["status"] == "9000"
    applet.write_text(text.replace(line, f'{indent}self.platform.peers.call(b"other", 1, b"")'))
    *_, ask, _ = steps(invoke(run, made, "--days", 28, "--json"))
    assert ask["status"] == "6982"


def test_run_holds_the_applet_to_its_manifest(made: Path) -> None:
    *_, ask, _ = steps(invoke(run, made, "--days", 7, "--json"))  # the manifest says 28 or more
    assert ask["status"] == "6982"


def test_run_shows_what_breaks_and_goes_on(made: Path) -> None:
    applet = made / "applet.py"
    applet.write_text(applet.read_text().replace("print(f", "import os  # print(f"))
    result = invoke(run, made, "--days", 28)
    assert result.exit_code == 1
    assert "! ModuleNotFoundError: an applet cannot import 'os'" in result.output
    assert "!     import os" in result.output
    assert "< 6400" in result.output
    assert result.output.count("< 6A80") == 1  # the next command is answered


@pytest.mark.parametrize("line", ["80 1", "zz", "80{end", "{other}"])
def test_run_names_a_command_that_is_none(made: Path, line: str) -> None:
    result = invoke(run, made, "--days", 2, "--send", line)
    assert result.exit_code == 2
    assert line in result.output


def test_run_names_what_is_wrong_in_a_manifest(made: Path) -> None:
    manifest = made / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("fuel =", "fule ="))
    result = invoke(run, made)
    assert result.exit_code == 1
    assert "limits.fule: unknown key" in result.output


def test_run_lets_a_raw_applets_time_pass(tmp_path: Path, machine: AppletMachine) -> None:
    assert machine is not None
    assert invoke(new, "busy-hour", "--raw", "--in", tmp_path).exit_code == 0
    folder = tmp_path / "busy_hour"
    install, first, second, third = steps(invoke(run, folder, "--days", 4, "--json"))
    assert install["status"] == "9000"
    assert first["released"] == []
    said = first["log"][0].removeprefix("most was used from ").partition(" ")[0]
    assert second["released"][0]["value"] == f"{int(said):02x}"
    assert third["released"][0]["boundary"] - second["released"][0]["boundary"] == 86_400
    assert invoke(run, folder, "--send", "80CA0000").exit_code == 2


@pytest.mark.parametrize("raw", [(), ("--raw",)])
def test_the_skeletons_tests_run_from_wherever_they_are_started(
    tmp_path: Path, raw: tuple[str, ...]
) -> None:
    assert invoke(new, "night-use", "--in", tmp_path, *raw).exit_code == 0
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    for folder in (tmp_path / "night_use", tmp_path / "night_use" / "tests"):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q"], cwd=folder, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_run_takes_a_file_of_readings(made: Path, tmp_path: Path) -> None:
    rows = [f"2026-03-0{day}T{hour:02}:00:00+01:00,0.25" for day in (1, 2, 3) for hour in range(24)]
    path = tmp_path / "use.csv"
    path.write_text("\n".join(["time,kwh", *rows]))
    manifest = made / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("minimum_days = 28", "minimum_days = 2"))
    result = invoke(run, made, "--readings", path, "--column", "kwh", "--json")
    assert result.exit_code == 0, result.output
    assert "told 18000 about 72 slots" in steps(result)[2]["log"]
    assert invoke(run, made, "--readings", path, "--column", "kwh", "--days", 3).exit_code == 2
    path.write_text("\n".join(["time,kwh", *rows[:5]]))
    few = invoke(run, made, "--readings", path, "--column", "kwh")
    assert few.exit_code == 1
    assert "readings of a whole day or more are needed, by the clock of Europe" in few.output
    path.write_text("\n".join(["time,kwh", *rows[5:-3]]))
    parts = invoke(run, made, "--readings", path, "--column", "kwh")
    assert (parts.exit_code, "2026-03-02 to 2026-03-02" in parts.stdout) == (0, True)
    for day in ("2026-03-01", "2026-03-03"):
        assert f"{day} is left out: the file has not all of it" in parts.stderr
