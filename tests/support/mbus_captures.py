# SPDX-License-Identifier: Apache-2.0
"""The shared captures of M-Bus meters, and what is known to be in them."""

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from tests.support.shared import SHARED, needs_shared

FOLDER: Final = SHARED / "meter-captures/mbus"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.json"))
WIRED: Final = [name for name in NAMES if name.startswith("wired_")]
WIRELESS: Final = [name for name in NAMES if name.startswith("wireless_")]
ORACLES: Final = SHARED / "tools/meter_oracles.py"

needs_captures = needs_shared(FOLDER)


@cache
def oracle(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


@cache
def capture(name: str) -> bytes:
    return (FOLDER / str(oracle(name)["file"])).read_bytes()


def key_of(name: str) -> bytes | None:
    key = oracle(name).get("key")
    return bytes.fromhex(key) if key else None


@cache
def compare() -> Callable[[Any, Any], list[str]]:
    """Return the comparison of the oracles: why a decoded capture is not as its oracle says."""
    spec = importlib.util.spec_from_file_location("meter_oracles", ORACLES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Any, Any], list[str]] = module.capture_differs
    return found
