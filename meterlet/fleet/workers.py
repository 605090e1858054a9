# SPDX-License-Identifier: Apache-2.0
"""Processes that do parts of a long work, and give way to whoever else wants the processor."""

import os
from typing import Final

from utility_server.fan_out import PartProcesses

NICE: Final = 10


def workers(count: int) -> PartProcesses:
    """Return so many processes, which give way to others."""
    return PartProcesses(count, _be_nice)


def _be_nice() -> None:
    os.nice(NICE)
