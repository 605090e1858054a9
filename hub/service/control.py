# SPDX-License-Identifier: Apache-2.0
"""The control socket in the hub's folder: the owner asks the service how it is.

    one line of JSON there: {"ask": "status"}      one line of JSON back

The socket has mode 0600, in a folder that its owner alone may enter; where the system tells who
calls, nobody but the owner and root is answered. It is asked by its name within the folder, so that
a long path does no harm.
"""

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hub.service.errors import ServiceError
from hub.service.part import Life
from protocols.canonical.foreign_text import read_json

SOCKET: Final = "service.sock"
LONGEST_QUESTION: Final = 1 << 10
LONGEST_ANSWER: Final = 1 << 20
LINE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.25
_PEER: Final = struct.Struct("3i")
"""Process, user and group, as Linux tells them."""


@dataclass(slots=True)
class ControlWork:
    """Answers the owner."""

    folder: Path
    status: Callable[[], Mapping[str, Any]]

    def __call__(self, life: Life) -> None:
        """Answer until the life is to end; one at a time."""
        path = self.folder / SOCKET
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            with _address(self.folder) as address:
                path.unlink(missing_ok=True)  # of a service that was killed: the lock is ours
                os.fchmod(listener.fileno(), 0o600)  # where Linux takes the file's mode from
                listener.bind(address)
                path.chmod(0o600)
            listener.listen(8)
            listener.settimeout(LOOK_SECONDS)
            life.up()
            try:
                while not life.stopping.is_set():
                    with suppress(TimeoutError):
                        line, _ = listener.accept()
                        with line:
                            self._attend(line)
            finally:
                path.unlink(missing_ok=True)

    def _attend(self, line: socket.socket) -> None:
        line.settimeout(LINE_SECONDS)
        with suppress(OSError):
            if not _is_owner(line):
                return
            try:
                question = read_json(_line(line, LONGEST_QUESTION))
            except ValueError:
                return
            if question == {"ask": "status"}:
                line.sendall(json.dumps(self.status()).encode() + b"\n")


def ask_status(folder: Path) -> dict[str, Any] | None:
    """Return how the hub's service is; None where none answers.

    Raises `ServiceError` where something else than a service answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(LINE_SECONDS)
        try:
            with _address(folder) as address:
                line.connect(address)
            line.sendall(b'{"ask": "status"}\n')
            answer = read_json(_line(line, LONGEST_ANSWER))
        except OSError:
            return None
        except ValueError:
            raise ServiceError(f"{folder / SOCKET}: it is no service that answers") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("parts"), list):
        raise ServiceError(f"{folder / SOCKET}: it is no service that answers")
    return answer


def _line(line: socket.socket, most: int) -> bytes:
    """Return a line; raise `ValueError` where it does not end in time, or is too long."""
    data = b""
    while not data.endswith(b"\n"):
        piece = line.recv(1 << 14)
        if not piece or len(data) + len(piece) > most:
            raise ValueError
        data += piece
    return data


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Yield the socket's address: short, however long the folder's path is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = Path(f"/proc/self/fd/{descriptor}")
        yield str((short if short.exists() else folder) / SOCKET)
    finally:
        os.close(descriptor)


def _is_owner(line: socket.socket) -> bool:
    """Whether the owner of the process, or root, is at the other end, as far as can be told."""
    option: int | None = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, user, _ = _PEER.unpack(line.getsockopt(socket.SOL_SOCKET, option, _PEER.size))
    return user in (os.geteuid(), 0)
