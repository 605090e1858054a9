# SPDX-License-Identifier: Apache-2.0
"""The gateway on a network: uvicorn's HTTP/1.1 with TLS 1.3 and certificates on both sides.

uvicorn parses (httptools, in C); the sockets are opened here, since its server has no limits on
what a client may take its time for. These are:

    the handshake                      `HANDSHAKE_SECONDS`
    a request's head, and its body     `HEAD_SECONDS`, `BODY_SECONDS` each, from its first byte
    a first request, and the next one  `IDLE_SECONDS`
    a request's head, and each part of its body that is no content      `MOST_HEAD_BYTES`
    an answer that is not read         `STALLED_SECONDS`
    connections                        `MOST_CONNECTIONS`, from the moment that they are accepted
                                       (`listeners.admission`); `MOST_OF_ONE` with one certificate
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from listeners.acceptor import Acceptor, listen
from listeners.admission import Admission, Guest, most_connections
from listeners.deadline import Deadline
from utility_server.errors import StoreError
from utility_server.gateway.application import Application, Gateway
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.errands import Errands
from utility_server.gateway.limits import Peer

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 120.0
IDLE_SECONDS: Final = 75
STALLED_SECONDS: Final = 60.0
MOST_HEAD_BYTES: Final = 1 << 14
MOST_CONNECTIONS: Final = 10_000
MOST_STRANGERS: Final = 512
"""Connections without a certificate yet: each holds a third of a megabyte."""
MOST_OF_ONE: Final = 4
BACKLOG: Final = 2048
WORKERS: Final = 8
TICK_SECONDS: Final = 1.0
"""How old the date in a reply's head may be."""
GOODBYE_SECONDS: Final = 10.0
"""How long requests that are being answered may still take when the server stops."""


@dataclass(slots=True)
class _Certificates:
    """How many connections there are with each certificate."""

    open: "Counter[bytes]" = field(default_factory=Counter)

    def admit(self, certificate: bytes) -> bool:
        if self.open[certificate] >= MOST_OF_ONE:
            return False
        self.open[certificate] += 1
        return True

    def leave(self, certificate: bytes) -> None:
        self.open[certificate] -= 1
        if not self.open[certificate]:
            del self.open[certificate]


class GatewayProtocol(HttpToolsProtocol):
    """One connection: who is there, and for how long it may take its time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        certificates: _Certificates,
        guest: Guest,
    ) -> None:
        super().__init__(config, server_state, {})
        self._counts, self._guest = certificates, guest
        self._certificate: bytes | None = None
        self._deadline = Deadline(lambda: self.transport.abort())
        self._head_bytes = 0
        self._is_in_head = False
        self._is_in_body = False
        self._loose_bytes = 0
        """Of a body's framing since its last content."""

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
        self._guest.is_idle()
        self._deadline.within(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place to another."""
        self._deadline.within(None)
        self._guest.leaves()
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
        if self._is_in_body:
            # Whatever is no content is counted here: chunks' sizes, extensions, trailers.
            self._loose_bytes += len(data)
        super().data_received(data)
        if self._is_in_body and self._loose_bytes > MOST_HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to count the time and bytes of a head."""
        self._is_in_head, self._head_bytes = True, 0
        self._deadline.within(HEAD_SECONDS)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; trailers are none, and nobody is meant to send them."""
        if self._is_in_body:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take content, which the application counts."""
        self._loose_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Begin to count the time of a body."""
        self._is_in_head, self._is_in_body, self._loose_bytes = False, True, 0
        self._deadline.within(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Nothing more is waited for until it is answered."""
        self._is_in_body = False
        is_answered = self.cycle is not None and self.cycle.response_complete
        self._deadline.within(IDLE_SECONDS if is_answered else None)
        if not is_answered:
            self._guest.is_busy()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it has begun.

        By a limit of our own: any byte ends uvicorn's, and a bare line break begins no head.
        """
        if not self._deadline.is_set and not self.pipeline:
            self._guest.is_idle()
            self._deadline.within(IDLE_SECONDS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the hub to read what was sent."""
        super().pause_writing()
        self._guest.is_idle()
        self._deadline.within(STALLED_SECONDS)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        is_answered = self.cycle is None or self.cycle.response_complete
        if not is_answered:
            self._guest.is_busy()
        self._deadline.within(IDLE_SECONDS if is_answered else None)


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
    state = ServerState()
    certificates = _Certificates()
    admission = Admission(most_connections(MOST_CONNECTIONS), MOST_STRANGERS)
    listener = listen(host, port, BACKLOG)

    def make(guest: Guest) -> GatewayProtocol:
        return GatewayProtocol(config, state, certificates, guest)

    acceptor = Acceptor([listener], make, admission, context)
    try:
        name: Any = listener.getsockname()
        acceptor.open()
        ready(name[0], name[1])
        while not stop.is_set():
            state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
    finally:
        acceptor.close()
        await acceptor.wait_closed()
    for connection in list(state.connections):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=GOODBYE_SECONDS)
