# SPDX-License-Identifier: Apache-2.0
"""Processes that do parts of a long work, and give way to whoever else wants the processor."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from utility_server.with_parent import end_with_parent

NICE: Final = 10


def workers(count: int) -> ProcessPoolExecutor:
    """Return so many processes; Ctrl-C is for whoever has begun them, and they end with that one.

    They are spawned: no database is open in two of them by inheritance.
    """
    return ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin)


def _begin() -> None:
    end_with_parent()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
