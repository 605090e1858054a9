# SPDX-License-Identifier: Apache-2.0
"""A server for browsers and systems: uvicorn's, with limits on what a client may take its time for.

    a first request, and the next one         the server's `timeout_keep_alive`
    a request's head, from its first byte     `HEAD_SECONDS`
    its body                                  `BODY_SECONDS`
    to read of an answer what has been sent   `STALLED_SECONDS`

Any byte ends uvicorn's own limit for the next request, and it has none for the others. Connections
are counted from the moment that they are accepted (`listeners.admission`).
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from listeners.acceptor import Acceptor
from listeners.admission import Admission, Guest, most_connections
from listeners.deadline import Deadline

HEAD_SECONDS: Final = 15.0
BODY_SECONDS: Final = 120.0
STALLED_SECONDS: Final = 60.0


class _Phase(Enum):
    WAITING, HEAD, BODY, ANSWER, ENDING = range(5)
    """`ENDING`: all is answered, and the rest of it was not read yet."""


class PatientProtocol(H11Protocol):
    """One connection, for which nobody waits without an end."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any], guest: Guest
    ) -> None:
        super().__init__(config, state, app_state)
        self._guest = guest
        self._phase = _Phase.WAITING
        self._was_answered = False
        self._deadline = Deadline(lambda: self.transport.abort())
        self._limits: Mapping[_Phase, float] = {
            _Phase.WAITING: config.timeout_keep_alive,
            _Phase.HEAD: HEAD_SECONDS,
            _Phase.BODY: BODY_SECONDS,
            _Phase.ENDING: STALLED_SECONDS,
        }

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._deadline.within(self._limits[_Phase.WAITING])

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place to another."""
        self._deadline.within(None)
        self._guest.leaves()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and see what is waited for now."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has come already."""
        self._was_answered = True
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Wait for the client to read what was sent; who is waited for may have to give way."""
        super().pause_writing()
        self._guest.is_idle()
        self._deadline.within(STALLED_SECONDS)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._phase is _Phase.ANSWER:
            self._guest.is_busy()
        self._deadline.within(self._limits.get(self._phase))

    def _look(self) -> None:
        phase = self._now()
        if phase is self._phase:
            return  # more bytes of the same give no more time
        self._phase = phase
        if phase is _Phase.ANSWER:
            self._guest.is_busy()
        elif self._was_answered:
            self._guest.is_idle()
        self._deadline.within(self._limits.get(phase))

    def _now(self) -> _Phase:
        theirs = self.conn.their_state
        if theirs is h11.SEND_BODY:
            return _Phase.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return _Phase.ANSWER
        if theirs is not h11.IDLE or self.transport.is_closing():
            return _Phase.ENDING
        return _Phase.HEAD if self.conn.trailing_data[0] else _Phase.WAITING


class PagesServer(uvicorn.Server):
    """Serves on sockets that listen already; `most` connections at once.

    `protocol` is what speaks on each connection.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        most: int,
        protocol: type[PatientProtocol] = PatientProtocol,
    ) -> None:
        super().__init__(config)
        self.admission = Admission(most_connections(most))
        self._protocol = protocol

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to us: ended by one it ends well; uvicorn's own would raise it again."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return

        def make(guest: Guest) -> asyncio.Protocol:
            return self._protocol(self.config, self.server_state, self.lifespan.state, guest)

        acceptor = Acceptor(sockets or [], make, self.admission, self.config.ssl)
        acceptor.open()
        self.servers = [acceptor]  # type: ignore[list-item]
        self.started = True
