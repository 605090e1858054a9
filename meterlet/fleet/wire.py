# SPDX-License-Identifier: Apache-2.0
"""A hub's connection in an event loop: what `hub.dialling.https` is in a thread, and its faults.

TLS and HTTP are the hub's own; what differs is who waits for the socket.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from hub.dialling.errors import BrokenDown
from hub.dialling.framing import HttpFraming
from hub.dialling.https import GOODBYE_SECONDS, MOST_REPLY_SECONDS, Traffic, security_failure
from hub.dialling.recipient import Recipient
from meterlet.fleet.faults import ConnectionFaults, Cut
from protocols.remote_admin.http import AgentPost, ServerReply

_CHUNK: Final = 1 << 16


@dataclass(slots=True)
class AsyncConnection:
    """A kept connection to one server; close it when done."""

    recipient: Recipient
    faults: Callable[[], ConnectionFaults]
    """Asked once for each connection that is made."""
    silence_seconds: float
    """How long the server may be silent."""
    traffic: Traffic = field(default_factory=Traffic)
    posts: int = 0
    """POSTs that were begun, those that came twice counted twice."""
    connections: int = 0
    is_disturbed: bool = False
    """Whether anything was cut off or came twice so far."""
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None
    _http: HttpFraming = field(init=False, repr=False)
    _faults: ConnectionFaults = field(init=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept."""
        return self._writer is not None

    def counted(self) -> "Counter[str]":
        """Return what was counted so far, by name."""
        return Counter(
            received=self.traffic.received,
            sent=self.traffic.sent,
            posts=self.posts,
            connections=self.connections,
        )

    async def exchange(self, post: AgentPost) -> ServerReply:
        """POST and return the reply; raises as `HttpsConnection.exchange` does."""
        # The server may have closed what was kept: then nothing of this POST has reached it.
        if self._reader is not None and (self._reader.at_eof() or self._reader.exception()):
            await self.close()
        try:
            async with asyncio.timeout(MOST_REPLY_SECONDS):
                return await self._exchange(post)
        except TimeoutError:
            self._abort()
            raise BrokenDown(f"{self.recipient.address}: timed out", has_posted=True) from None
        except BaseException:
            self._abort()
            raise

    async def close(self) -> None:
        """Close TLS, then the connection."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await writer.wait_closed()

    def _abort(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.transport.abort()

    async def _connect(self) -> None:
        address = self.recipient.address
        try:
            # Made for each connection: what thousands of hubs would keep is no small thing.
            context = self.recipient.context()
            async with asyncio.timeout(self.silence_seconds):
                self._reader, self._writer = await asyncio.open_connection(
                    address.host, address.port, ssl=context, server_hostname=address.host
                )
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError):
            raise BrokenDown(f"{address}: the connection ended", has_posted=False) from None
        except ssl.SSLError as error:
            raise security_failure(address, error) from None
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "timed out"
            raise BrokenDown(f"{address}: {reason}", has_posted=False) from None
        self.connections += 1
        self._http, self._faults = HttpFraming(address), self.faults()

    async def _exchange(self, post: AgentPost) -> ServerReply:
        if self._writer is None:
            await self._connect()
        faults = self._faults
        delay, cut, is_repeated = faults.delay(), faults.cut(), faults.is_repeated()
        self.is_disturbed |= is_repeated or cut is not None
        if delay:
            await asyncio.sleep(delay)
        if cut is Cut.BEFORE:
            raise BrokenDown("cut off before the POST", has_posted=False)
        try:
            reply = await self._once(post, cut)
            if is_repeated and self._writer is not None:
                reply = await self._once(post, None)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, asyncio.IncompleteReadError):
            address = self.recipient.address
            raise BrokenDown(f"{address}: the connection ended", has_posted=True) from None
        except ssl.SSLError as error:
            # In TLS 1.3 a server refuses a client's certificate after the handshake.
            raise security_failure(self.recipient.address, error) from None
        except OSError as error:
            reason = error.strerror or "timed out"
            raise BrokenDown(f"{self.recipient.address}: {reason}", has_posted=True) from None
        return reply

    async def _once(self, post: AgentPost, cut: Cut | None) -> ServerReply:
        reader, writer, http = self._reader, self._writer, self._http
        assert reader is not None
        assert writer is not None
        data = http.request(post.uri, post.headers(), post.body)
        if cut is Cut.HALF_WAY:
            data = data[: len(data) // 2]
        self.posts += 1
        writer.write(data)
        await writer.drain()
        self.traffic.sent += len(data)
        if cut is not None:
            raise BrokenDown(f"cut off {cut.name.lower().replace('_', ' ')}", has_posted=True)
        while True:
            async with asyncio.timeout(self.silence_seconds):
                chunk = await reader.read(_CHUNK)
            self.traffic.received += len(chunk)
            told = http.reply(chunk)
            if told is not None:
                break
        if not http.next():
            await self.close()
        return ServerReply.read(*told)
