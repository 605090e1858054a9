# SPDX-License-Identifier: Apache-2.0
"""Whose a server, a folder, a port and a line of a log are: a stack touches only its own."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import randbelow
from typing import Final

from utility_server.errors import StackRefused

LOCK: Final = "stack.lock"
ANSWER_SECONDS: Final = 2.0
"""A server that is up answers sooner; else it is asked again."""
LASTING: Final = range(20_000, 32_768)
"""Ports that no system gives away by itself: Linux begins at 32,768, others at 49,152."""
_MOST_SAID: Final = 1 << 16
_MOST_TRIES: Final = 100


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the one stack of a folder; raise `StackRefused`, having touched nothing, for a second one.

    The lock ends with the process, however that ends.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StackRefused(f"{folder / LOCK}: {error.strerror}") from None
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = file.read(16).strip()
            process = f" (process {number})" if number.isdecimal() else ""
            raise StackRefused(
                f"{folder}: its stack runs already{process}: end that one, or say another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_free(host: str, port: int) -> bool:
    """Tell whether nobody listens at an address. Raises `StackRefused` where nobody may."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise StackRefused(f"{host}:{port}: {error.strerror}: say a port above 1023") from None
        except OSError:
            return False
    return True


def lasting_port(host: str, below: Callable[[int], int] = randbelow) -> int:
    """Return a free port that stays one while its server is down, unless somebody wants just that.

    Raises `StackRefused` where none is found.
    """
    for _ in range(_MOST_TRIES):
        port = LASTING[below(len(LASTING))]
        if is_free(host, port):
            return port
    raise StackRefused(f"{host}: no port between {LASTING.start} and {LASTING.stop - 1} is free")


def end_of(log: Path) -> int:
    """Return how long a log is; 0 where there is none yet."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def said_since(log: Path, begin: int) -> str:
    """Return what a log has from there on, of much the end."""
    try:
        with log.open("rb") as file:
            file.seek(max(begin, end_of(log) - _MOST_SAID))
            return file.read(_MOST_SAID).decode(errors="replace")
    except OSError:
        return ""
