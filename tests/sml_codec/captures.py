# SPDX-License-Identifier: Apache-2.0
"""The shared captures of real meters, and what is known to be in them."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

SHARED: Final = Path(
    os.environ.get("METERLET_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared")
)
FOLDER: Final = SHARED / "sml-captures"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.json"))

needs_captures = pytest.mark.skipif(not NAMES, reason=f"no captures in {FOLDER}")


@cache
def oracle(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


@cache
def capture(name: str) -> bytes:
    return (FOLDER / str(oracle(name)["file"])).read_bytes()
