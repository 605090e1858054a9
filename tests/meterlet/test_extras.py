# SPDX-License-Identifier: Apache-2.0
"""What a command says where a library is not installed: one line, the extra, exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meterlet.extras import needs_extra
from meterlet.resources import EXAMPLES

WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({names!r}))
from meterlet.commands.main import main
main(prog_name="meterlet", args={arguments!r})
"""
ROLE_LIBRARIES = ["Crypto", "flint", "phe", "sqlalchemy", "wasmtime"]
CALENDAR = EXAMPLES / "tariffs" / "it-bioraria-2025.toml"


def run(*arguments: object, without: list[str]) -> "subprocess.CompletedProcess[str]":
    program = WITHOUT.format(names=without, arguments=[str(one) for one in arguments])
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "without", "extra"),
    [
        (["hub", "serve"], ["wasmtime"], "hub"),
        (["applet", "--help"], ["cbor2"], "hub"),
        (["inspect", "bill"], ["wasmtime"], "hub"),
        (["inspect", "serve"], ["uvicorn"], "pages"),
        (["inspect", "tui", "--language", "de"], ["textual"], "tui"),
        (["utility", "ledger", "--utility", "x"], ["sqlalchemy"], "utility"),
        (["mdms", "query", "--region", "x"], ["phe"], "utility"),
        (["demo", "--json"], ["wasmtime"], "demo"),
        (["demo"], ["sqlalchemy"], "demo"),
        (["profile", "bdew", "--month", "2025-03"], ["oemof"], "simulation"),
        (["sml", "watch", "serial:///dev/null"], ["serial"], "serial"),
    ],
)
def test_a_missing_library_is_one_line_with_its_extra(
    arguments: list[str], without: list[str], extra: str, tmp_path: Path
) -> None:
    if arguments[0] == "profile":
        arguments = [*arguments, "-o", str(tmp_path / "profiles")]
    done = run(*arguments, without=without)
    said, hint = done.stderr, needs_extra(extra)
    if "--json" in arguments:
        refusal = json.loads(said)
        assert (refusal["kind"], refusal["exit_code"]) == ("missing-extra", 2)
        said = f"meterlet: {refusal['message']}\n"
    assert (done.returncode, said) == (2, f"meterlet: {hint}\n")
    assert f"pip install 'meterlet[{extra}]'" in done.stderr


def test_a_named_calendar_without_its_library_names_file_and_extra(tmp_path: Path) -> None:
    text = CALENDAR.read_text()
    begin, end = text.index("dates = ["), text.index("]\n\n[[charge]]") + 1
    file = tmp_path / "named.toml"
    file.write_text(f'{text[:begin]}calendar = "IT"{text[end:]}')
    done = run("tariff", "check", file, without=["holidays"])
    assert (done.returncode, done.stderr) == (2, f"meterlet: {file}: {needs_extra('tariffs')}\n")


def test_the_base_prices_decodes_and_helps_without_the_roles_libraries() -> None:
    assert run("--help", without=ROLE_LIBRARIES).returncode == 0
    readings = EXAMPLES / "readings" / "home-2013-03.csv"
    tariff = EXAMPLES / "tariffs" / "gb-economy7-2013.toml"
    done = run(
        "tariff", "price", tariff, readings, "--column", "home", "--interval", "30min",
        without=ROLE_LIBRARIES,
    )  # fmt: skip
    assert (done.returncode, "total 53.19 GBP" in done.stdout) == (0, True)
    done = run("tariff", "price", tariff, "missing.csv", "--column", "home", without=ROLE_LIBRARIES)
    assert (done.returncode, done.stderr) == (
        1,
        "meterlet: missing.csv: No such file or directory\n",
    )
    done = run("bill", "verify", readings, without=ROLE_LIBRARIES)
    assert (done.returncode, "not a bill bundle" in done.stderr) == (4, True)


def test_a_module_that_no_extra_brings_is_a_fault_of_ours() -> None:
    done = run("tariff", "check", "x", without=["tariffs.clock"])
    assert (done.returncode, "ModuleNotFoundError" in done.stderr) == (1, True)
