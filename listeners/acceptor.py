# SPDX-License-Identifier: Apache-2.0
"""Accepts connections, counts each from that moment on, and does not wait long for a handshake."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from listeners.admission import Admission, Guest

HANDSHAKE_SECONDS: Final = 15.0
SHUTDOWN_SECONDS: Final = 5.0
_BREATH_SECONDS: Final = 0.05
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket; raise `OSError`, naming the address, if it is not free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except (OSError, UnicodeError) as error:
        listener.close()
        number = error.errno if isinstance(error, OSError) else None
        is_name = isinstance(error, socket.gaierror) or number is None
        reason = "no host can have that name" if is_name else os.strerror(number or errno.EINVAL)
        raise OSError(number or errno.EINVAL, reason, f"{host}:{port}") from None
    return listener


@dataclass(slots=True, eq=False)
class Acceptor:
    """Lets connections in until it is closed; made and closed where the loop runs.

    It can stand for the `asyncio.Server` that uvicorn makes.
    """

    listeners: Sequence[socket.socket]
    make: Callable[[Guest], asyncio.Protocol]
    """Makes what speaks on a connection; it says when that is idle, busy and over."""
    admission: Admission
    tls: ssl.SSLContext | None = None
    handshake_seconds: float = HANDSHAKE_SECONDS
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def open(self) -> None:
        """Begin."""
        for listener in self.listeners:
            listener.setblocking(False)
            self._begin(self._accept(listener))

    def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        for task in self._tasks:
            task.cancel()
        for listener in self.listeners:
            if listener.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()

    async def wait_closed(self) -> None:
        """Return when nothing of it runs any more."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _begin(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Whatever it is, of a connection or of the system, others still want to come in.
                if error.errno in _FULL:
                    self.admission.make_room()
                await asyncio.sleep(_BREATH_SECONDS)
                continue
            guest = self.admission.enter(_ending(connection))
            if guest is None:
                connection.close()
            else:
                self._begin(self._let_in(connection, guest))

    async def _let_in(self, connection: socket.socket, guest: Guest) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self.make(guest),
                connection,
                ssl=self.tls,
                ssl_handshake_timeout=None if self.tls is None else self.handshake_seconds,
                ssl_shutdown_timeout=None if self.tls is None else SHUTDOWN_SECONDS,
            )
        except OSError:  # no handshake, of whatever kind
            guest.leaves()
        except asyncio.CancelledError:
            guest.leaves()
            raise


def _ending(connection: socket.socket) -> Callable[[], None]:
    def end() -> None:
        # Whoever reads from it finds its end: in a handshake there is nobody else to be told.
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    return end
