# SPDX-License-Identifier: Apache-2.0
"""One POST and its reply over TLS 1.3: the wire of the hub's agent.

The framing, and the limit on a reply's size, are in `hub.dialling.framing`. A reply has a limit on
the time that it may take in all; a server that is silent, or drips, is left.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from hub.dialling.errors import BrokenDown, SecurityFailed
from hub.dialling.framing import HttpFraming, Told
from hub.dialling.recipient import ServerAddress
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import AgentPost, Headers, ServerReply

MOST_REPLY_SECONDS: Final = 600.0
GOODBYE_SECONDS: Final = 2.0
"""How long the server may take to close TLS; nothing hangs on it."""
_CHUNK: Final = 1 << 16


@dataclass(slots=True)
class Traffic:
    """Bytes of HTTP so far, both ways; TLS adds its own."""

    received: int = 0
    sent: int = 0


@dataclass(slots=True)
class HttpsConnection:
    """A kept connection to one server; close it when done."""

    address: ServerAddress
    context: ssl.SSLContext = field(repr=False)
    monotonic: Callable[[], float] = field(repr=False)
    silence_seconds: float = 60.0
    """How long the server may be silent."""
    traffic: Traffic = field(default_factory=Traffic)
    _socket: ssl.SSLSocket | None = None
    _http: HttpFraming = field(init=False, repr=False)
    _used: bool = False

    def exchange(self, post: AgentPost) -> ServerReply:
        """POST and return the reply; connects first where nothing is connected.

        Raises `BrokenDown`, `SecurityFailed` where TLS refuses, `ProtocolViolated` where what came
        is not a reply. The connection is closed then.
        """
        told = self.request(post.uri, post.headers(), post.body)
        try:
            return ServerReply.read(*told)
        except ProtocolViolated:
            self.close()
            raise

    def request(self, uri: str, headers: Headers, body: bytes) -> Told:
        """POST anything and return status, header fields and body; raises as `exchange` does."""
        # The server may have closed what was kept: then nothing of this POST has reached it.
        if self._socket is not None and self._used and self._is_dead():
            self.close()
        try:
            return self._request(uri, headers, body)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close TLS, then the connection."""
        line, self._socket, self._used = self._socket, None, False
        if line is None:
            return
        line.settimeout(GOODBYE_SECONDS)
        with suppress(OSError, ValueError):
            line.unwrap()
        with suppress(OSError):
            line.close()

    def interrupt(self) -> None:
        """Break off what another thread is waiting for."""
        line = self._socket
        if line is not None:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept."""
        return self._socket is not None

    def _is_dead(self) -> bool:
        line = self._socket
        assert line is not None
        line.settimeout(0.0)
        try:
            return not line.recv(1) or True  # nothing may come that was not asked for
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True

    def _connect(self) -> ssl.SSLSocket:
        address = self.address
        try:
            line = socket.create_connection((address.host, address.port), self.silence_seconds)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no server can have that name"
            raise BrokenDown(f"{address}: {reason}", has_posted=False) from None
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = self.context.wrap_socket(line, server_hostname=address.host)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            line.close()
            raise BrokenDown(f"{address}: the connection ended", has_posted=False) from None
        except ssl.SSLError as error:
            line.close()
            raise security_failure(address, error) from None
        except (OSError, UnicodeError, ValueError) as error:
            line.close()
            reason = getattr(error, "strerror", None) or "timed out"
            raise BrokenDown(f"{address}: {reason}", has_posted=False) from None
        self._http = HttpFraming(address)
        return secure

    def _request(self, uri: str, headers: Headers, body: bytes) -> Told:
        if self._socket is None:
            self._socket = self._connect()
        line, http = self._socket, self._http
        deadline = self.monotonic() + MOST_REPLY_SECONDS
        data = http.request(uri, headers, body)
        try:
            line.settimeout(self.silence_seconds)
            line.sendall(data)
            self.traffic.sent += len(data)
            reply = self._reply(line, http, deadline)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise BrokenDown(f"{self.address}: the connection ended", has_posted=True) from None
        except ssl.SSLError as error:
            # In TLS 1.3 a server refuses a client's certificate after the handshake.
            raise security_failure(self.address, error) from None
        except OSError as error:
            reason = error.strerror or "timed out"
            raise BrokenDown(f"{self.address}: {reason}", has_posted=True) from None
        self._used = True
        if not http.next():
            self.close()
        return reply

    def _reply(self, line: ssl.SSLSocket, http: HttpFraming, deadline: float) -> Told:
        while True:
            left = deadline - self.monotonic()
            if left <= 0:
                raise TimeoutError
            line.settimeout(min(left, self.silence_seconds))
            chunk = line.recv(_CHUNK)
            self.traffic.received += len(chunk)
            told = http.reply(chunk)
            if told is not None:
                return told


def security_failure(address: ServerAddress, error: ssl.SSLError) -> SecurityFailed:
    """Return what TLS has refused, in its own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message or "its certificate is refused"
    else:
        reason = (error.reason or "TLS refused").lower().replace("_", " ")
    return SecurityFailed(f"{address}: {reason}")
