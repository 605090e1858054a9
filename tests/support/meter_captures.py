# SPDX-License-Identifier: Apache-2.0
"""The shared captures of meters that do not speak SML, and what is known to be in them."""

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from tests.support.shared import SHARED, needs_shared

FOLDER: Final = SHARED / "meter-captures"
NAMES: Final = sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.json"))

needs_meter_captures = needs_shared(FOLDER)


def captures_of(group: str) -> list[str]:
    """The names of the captures in a folder: `p1`, `currentcost`, `mbus`, `dlms`."""
    return [name for name in NAMES if name.startswith(f"{group}/")]


@cache
def meter_oracle(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


@cache
def meter_capture(name: str) -> bytes:
    return (FOLDER / name).with_name(str(meter_oracle(name)["file"])).read_bytes()


@cache
def compare() -> Callable[[Any, Any], list[str]]:
    """Return the comparison of the oracles: why a decoded capture is not as its oracle says."""
    path = SHARED / "tools" / "meter_oracles.py"
    spec = importlib.util.spec_from_file_location("meter_oracles", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Any, Any], list[str]] = module.capture_differs
    return found


def differs(name: str, view: dict[str, Any]) -> list[str]:
    """Return where a view is not what the oracle says."""
    return compare()(meter_oracle(name), json.loads(json.dumps(view)))
