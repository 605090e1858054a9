# SPDX-License-Identifier: Apache-2.0
"""The gateway on a network: uvicorn's HTTP/1.1 with TLS 1.3 and certificates on both sides.

uvicorn parses (httptools, in C); the sockets are opened here, since its server has no limits on
what a client may take its time for. These are:

    the handshake                      `HANDSHAKE_SECONDS`
    a request's head, and its body     `HEAD_SECONDS`, `BODY_SECONDS` each, from its first byte
    a first request, and the next one  `IDLE_SECONDS`
    a request's head                   `MOST_HEAD_BYTES`
    connections                        `MOST_CONNECTIONS`, `MOST_OF_ONE` with one certificate
"""

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from errno import EINVAL
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from utility_server.errors import StoreError
from utility_server.gateway.application import Application, Gateway
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.errands import Errands
from utility_server.gateway.limits import Peer

HANDSHAKE_SECONDS: Final = 15.0
SHUTDOWN_SECONDS: Final = 5.0
HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 120.0
IDLE_SECONDS: Final = 75
MOST_HEAD_BYTES: Final = 1 << 14
MOST_CONNECTIONS: Final = 10_000
MOST_OF_ONE: Final = 4
WORKERS: Final = 8
TICK_SECONDS: Final = 1.0
"""How old the date in a reply's head may be."""
GOODBYE_SECONDS: Final = 10.0
"""How long requests that are being answered may still take when the server stops."""


@dataclass(slots=True)
class _Connections:
    """The open connections of a server, counted."""

    total: int = 0
    by_certificate: "Counter[bytes]" = field(default_factory=Counter)

    def admit(self, certificate: bytes) -> bool:
        if self.total >= MOST_CONNECTIONS or self.by_certificate[certificate] >= MOST_OF_ONE:
            return False
        self.total += 1
        self.by_certificate[certificate] += 1
        return True

    def leave(self, certificate: bytes) -> None:
        self.total -= 1
        self.by_certificate[certificate] -= 1
        if not self.by_certificate[certificate]:
            del self.by_certificate[certificate]


class GatewayProtocol(HttpToolsProtocol):
    """One connection: who is there, and for how long it may take its time."""

    def __init__(
        self, config: Config, server_state: ServerState, connections: _Connections
    ) -> None:
        super().__init__(config, server_state, {})
        self._counts = connections
        self._certificate: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take in whose certificate TLS has verified; without one there is no connection."""
        secure = transport.get_extra_info("ssl_object")
        certificate = None if secure is None else secure.getpeercert(binary_form=True)
        if certificate is None or not self._counts.admit(certificate):
            transport.abort()
            return
        self._certificate = certificate
        self.app_state = {"peer": Peer(certificate, transport.abort)}
        super().connection_made(transport)
        self._within(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place to another."""
        self._within(None)
        if self._certificate is None:
            return
        self._counts.leave(self._certificate)
        self._certificate = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, unless a head goes on too long."""
        if self._certificate is None:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.transport.abort()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count the time and bytes of a head."""
        self._is_in_head, self._head_bytes = True, 0
        self._within(HEAD_SECONDS)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to count the time of a body."""
        self._is_in_head = False
        self._within(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Nothing more is waited for until it is answered."""
        is_answered = self.cycle is not None and self.cycle.response_complete
        self._within(IDLE_SECONDS if is_answered else None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has begun.

        By a limit of our own: any byte ends uvicorn's, and a bare line break begins no head.
        """
        if self._deadline is None and not self.pipeline:
            self._within(IDLE_SECONDS)
        super().on_response_complete()

    def _within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self.transport.abort()


def server_context(certificate: Path, key: Path, hubs: Path) -> ssl.SSLContext:
    """Return TLS 1.3 with the server's certificate, for clients with one by the authority `hubs`.

    Raises `StoreError`, which names the file, where one cannot be used.
    """
    _require_usable(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(hubs)
    except (OSError, ValueError) as error:
        reason = None if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
        raise StoreError(f"{hubs}: {reason or 'not a certificate (PEM)'}") from None
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError):
        raise StoreError(
            f"{certificate}, {key}: the key is not the certificate's: say the two that belong"
            " together, the server's certificate first in its file"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    # No tickets: a session that is resumed shows no certificate again, and one may be withdrawn.
    context.num_tickets = 0
    return context


def _require_usable(certificate: Path, key: Path) -> None:
    """Raise `StoreError`, saying which file it is and what to do, where TLS would say less."""
    try:
        chain, secret = certificate.read_bytes(), key.read_bytes()
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from None
    try:
        load_pem_x509_certificates(chain)
    except ValueError:
        raise StoreError(
            f"{certificate}: no certificate: say the server's, in PEM, with its chain behind it"
        ) from None
    try:
        load_pem_private_key(secret, None)
    except TypeError:
        raise StoreError(
            f"{key}: the key has a password, and nobody is there to say it: say a key without one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise StoreError(f"{key}: no private key: say the certificate's, in PEM") from None


def gateway_app(
    errands: Errands, authority: CertificateAuthority, workers: ThreadPoolExecutor
) -> Gateway:
    """Return the application for a server of one's own; see `serve_gateway` for what it needs."""
    return Gateway(errands, authority, authority.randomness, workers)


async def serve_gateway(
    gateway: Application,
    context: ssl.SSLContext,
    host: str,
    port: int,
    ready: Callable[[str, int], None],
    stop: asyncio.Event,
) -> None:
    """Answer hubs on `host`:`port` (0 for any) until `stop` is set.

    `ready` is told the address once hubs can connect. Raises `OSError`, naming the address, if it
    is not free.
    """
    config = Config(
        gateway,
        interface="asgi3",
        http=GatewayProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
    )
    config.load()
    state, connections = ServerState(), _Connections()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: GatewayProtocol(config, state, connections),
            host,
            port,
            ssl=context,
            backlog=2048,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else None
        number = error.errno if isinstance(error, OSError) else None
        reason = reason or (os.strerror(number) if number else "no host can have that name")
        raise OSError(number or EINVAL, reason, f"{host}:{port}") from None
    async with server:
        name: Any = server.sockets[0].getsockname()
        ready(name[0], name[1])
        while not stop.is_set():
            state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=GOODBYE_SECONDS)
