# SPDX-License-Identifier: Apache-2.0
"""Whose a process is: a number in a file may be another program's by now."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def runs_with(process: int, argument: Path) -> bool:
    """Tell whether a process has this path among its arguments, and has not ended.

    A number in a file may be another program's by now, and in a copied folder another server's. A
    relative path among the arguments is one from where the process is.
    """
    place = Path(f"/proc/{process}")
    try:
        words = (place / "cmdline").read_bytes().split(b"\0")  # none of a zombie
        if os.fsencode(argument) in words:
            return True
        where = os.fsencode((place / "cwd").readlink())
    except OSError:
        return False
    name = os.fsencode(argument.name)
    return any(
        os.path.normpath(os.path.join(where, word)) == os.fsencode(argument)  # noqa: PTH118 - bytes
        for word in words
        if word.endswith(name)
    )


def is_program(process: int, name: str) -> bool:
    """Tell whether a process runs a program of that name, of at most 15 characters."""
    try:
        return Path(f"/proc/{process}/comm").read_text().rstrip("\n") == name
    except (OSError, UnicodeDecodeError):
        return False


def handles(process: int, number: int) -> bool:
    """Tell whether a process catches a signal; one that is only starting would die of it."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return False
    caught = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
    return bool(caught and caught[0] >> (number - 1) & 1)


def end_process(number_now: Callable[[], int | None], seconds: float) -> None:
    """Have a process end, and wait for that so long; nothing is done where there is none."""
    process = number_now()
    if process is None:
        return
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while number_now() is not None and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
        time.sleep(0.02)
