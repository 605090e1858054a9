# SPDX-License-Identifier: Apache-2.0
"""The example of the manual, as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.command import ROOT
from tests.support.meter_captures import meter_capture, needs_meter_captures


@needs_meter_captures
def test_the_example_of_the_manual_prints_readings(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/dlms.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "capture.bin").write_bytes(meter_capture("dlms/aidon_sweden_push"))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", example[1]],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "1-0:1.7.0*255 1122 W\n" in result.stdout
