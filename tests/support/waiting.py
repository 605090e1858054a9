# SPDX-License-Identifier: Apache-2.0
"""Waiting for another thread or process, on a computer that may be busy with something else."""

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 300.0
"""Seconds after which a test takes it that something never comes. It measures nothing: where a
limit of the product is tested, the test sets that limit low and says so."""


def wait_until(has_come: Callable[[], object], what: str = "what was waited for") -> None:
    """Return as soon as `has_come()`; fail after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not has_come():
        assert time.monotonic() < end, f"{what} has not come within {PATIENCE:.0f} s"
        time.sleep(0.02)
