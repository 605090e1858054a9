# SPDX-License-Identifier: Apache-2.0
"""The shared captures of real meters, and what is known to be in them."""

import json
from functools import cache
from typing import Any, Final

from tests.support.shared import SHARED, needs_shared

FOLDER: Final = SHARED / "sml-captures"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.json"))

needs_captures = needs_shared(FOLDER)


@cache
def oracle(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


@cache
def capture(name: str) -> bytes:
    return (FOLDER / str(oracle(name)["file"])).read_bytes()
