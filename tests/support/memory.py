# SPDX-License-Identifier: Apache-2.0
"""How much memory a command needs at its peak, over all its processes.

    python -m tests.support.memory COMMAND [ARGUMENT...]

runs the command and samples, twice a second, what each of its processes holds: its proportional set
size, in which a page that N processes share counts for 1/N in each. At the end it prints the
largest sum, when that was, and the processes that made it up. The exit status is the command's.
Linux only: it reads /proc.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.5
"""Seconds between two samples."""
SHOWN: Final = 12
"""Processes that are listed at the peak."""
PR_SET_CHILD_SUBREAPER: Final = 36
PROC: Final = Path("/proc")
MEGABYTE: Final = 1024
"""In kilobytes."""


@dataclass(frozen=True, slots=True)
class ProcessSize:
    """What one process held when it was looked at."""

    process: int
    kilobytes: int
    command: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What all processes held, so many seconds after the start."""

    seconds: float
    processes: tuple[ProcessSize, ...]

    @property
    def kilobytes(self) -> int:
        return sum(process.kilobytes for process in self.processes)

    def report(self) -> str:
        """Return the sum and the largest processes, a line for each."""
        largest = sorted(self.processes, key=lambda process: -process.kilobytes)[:SHOWN]
        lines = [
            f"peak memory: {self.kilobytes // MEGABYTE:,} MB in {len(self.processes)} processes,"
            f" after {self.seconds:.0f} s",
            *(f"{one.kilobytes // MEGABYTE:>8,} MB  {one.command[:90]}" for one in largest),
        ]
        return "\n".join(lines)


def descendants(root: int) -> Iterator[int]:
    """Yield the processes that come from `root`, itself left out."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found


def size_of(process: int) -> ProcessSize | None:
    """Return what the process holds; None of one that has ended, or holds nothing any more."""
    folder = PROC / str(process)
    try:
        rollup = (folder / "smaps_rollup").read_text()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    kilobytes = next(
        (int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), None
    )
    return None if kilobytes is None else ProcessSize(process, kilobytes, command.strip())


def peak_of(command: Sequence[str], interval: float = INTERVAL) -> tuple[int, Sample]:
    """Run `command`; return its exit status and the sample in which it held the most."""
    # A process whose parent ends becomes a child of this one, and is still counted.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel has no child subreapers")
    start, peak = time.monotonic(), Sample(0, ())
    with subprocess.Popen(command) as running:
        # Whoever ends it early is told the peak, too; Ctrl-C has reached the command by itself.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: running.terminate())
        while running.poll() is None:
            sizes = tuple(filter(None, map(size_of, descendants(os.getpid()))))
            peak = max(
                peak, Sample(time.monotonic() - start, sizes), key=lambda sample: sample.kilobytes
            )
            time.sleep(interval)
    return running.returncode, peak


def main() -> int:
    status, peak = peak_of(sys.argv[1:])
    sys.stderr.write(peak.report() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
