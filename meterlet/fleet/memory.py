# SPDX-License-Identifier: Apache-2.0
"""What a process has of the computer's memory and time, as Linux counts it."""

import os
import resource
from pathlib import Path
from typing import Final

_KIB: Final = 1024
_USER, _SYSTEM = 11, 12
"""Fields of /proc/PID/stat behind the program's name, which may hold anything."""


def memory_bytes() -> int:
    """Return the memory that this process has now; of what it shares with others, its part.

    Where the system does not say, it is the most that it has ever had.
    """
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
    return next(int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss:"))


def cpu_seconds(process: int) -> float | None:
    """Return how much processor time a process has used, None where the system does not say."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    """Return how much processor time this process and its ended children have used."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in parts)
