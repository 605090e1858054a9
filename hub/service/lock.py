# SPDX-License-Identifier: Apache-2.0
"""One service a hub: a lock that goes with the process, and says which one has it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hub.service.errors import ServiceRunning

LOCK: Final = "service.lock"
TRIES: Final = 5
RETRY_SECONDS: Final = 0.1


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Be the hub's service; raise `ServiceRunning` where another process is."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        if not _taken(file.fileno()):
            raise ServiceRunning(
                f"{folder}: its service runs already (process {_process(file.read(16))}):"
                " `meterlet hub status` shows it"
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _taken(descriptor: int) -> bool:
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(RETRY_SECONDS)  # somebody may only be looking who has it
    return False


def holder(folder: Path) -> int | None:
    """Return the process that is the hub's service; None where there is none."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _process(file.read(16))
    return None


def _process(text: str) -> int:
    """Return the number in a lock; 0 where it is not written yet."""
    return int(text) if text.strip().isdecimal() else 0
