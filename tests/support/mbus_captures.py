# SPDX-License-Identifier: Apache-2.0
"""The shared captures of M-Bus meters, and what is known to be in them."""

from typing import Any, Final

from tests.support.meter_captures import compare as compare
from tests.support.meter_captures import meter_capture, meter_oracle
from tests.support.shared import SHARED, needs_shared

FOLDER: Final = SHARED / "meter-captures/mbus"
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.json"))
WIRED: Final = [name for name in NAMES if name.startswith("wired_")]
WIRELESS: Final = [name for name in NAMES if name.startswith("wireless_")]

needs_captures = needs_shared(FOLDER)


def oracle(name: str) -> dict[str, Any]:
    return meter_oracle(f"mbus/{name}")


def capture(name: str) -> bytes:
    return meter_capture(f"mbus/{name}")


def key_of(name: str) -> bytes | None:
    key = oracle(name).get("key")
    return bytes.fromhex(key) if key else None
