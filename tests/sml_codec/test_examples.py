# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows, run."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.captures import FOLDER, capture, needs_captures

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, folder: Path = ROOT) -> str:
    path = {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, *command], cwd=folder, env=path, capture_output=True, text=True, check=True
    )
    return result.stdout


@needs_captures
def test_the_example_of_the_manual_prints_readings(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "sml.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (tmp_path / "capture.bin").write_bytes(capture("EMH_cacf7e"))
    assert "1-0:1.17.0*255 4050.8 Wh\n" in run("-W", "ignore", "-c", example[1], folder=tmp_path)


@needs_captures
def test_the_power_of_a_meter_is_watched() -> None:
    lines = run("examples/sml/watch_power.py", str(FOLDER / "eBZ_2d16c3.bin")).splitlines()
    assert len(lines) == 7
    assert lines[0] == "3.89 W"


def test_values_are_pulled() -> None:
    assert run("examples/sml/pull.py") == "1-0:1.8.0*255 4050.8 Wh\n"
