# SPDX-License-Identifier: Apache-2.0
"""The gateway: an ASGI application to which hubs POST, and whose answers carry commands.

    POST /gp/<meter>?...   over TLS 1.3; the meter in the certificate is the meter in the URL, and
                           the one in X-Admin-From

    POST /.well-known/est/simplereenroll     the next certificate, in the last third of its time

    403  another meter than the certificate's, or one that does not count any more
    404  any other path      405  any other method      400  not a POST of an agent
    413  answers of more than `MOST_BODY_BYTES`          429  too many POSTs of one hub
    503  no room at the moment

A hub that nothing waits for gets 204 and is gone; nothing is kept of it. A dialogue lives in memory
alone, one for each hub, and ends when the hub is silent for `DIALOGUE_SECONDS`; a gateway that dies
loses nothing but the step of the moment (`utility_server.gateway.errands`). Whoever comes with the
number of another hub's dialogue begins one of its own: dialogues are found by the certificate.

What an errand does (database, proofs) is done in threads; polls are answered at once.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, Unpack

from protocols.hub_certificates import (
    RENEWAL_ANSWER,
    RENEWAL_PATH,
    HubCertificateError,
    decode_renewal,
    encode_renewed,
)
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import AgentPost, ServerReply
from protocols.remote_admin.server import AdminDialogue
from utility_server.errors import CertificateRefused
from utility_server.gateway.certificates import HubCertificate
from utility_server.gateway.errands import Errands
from utility_server.gateway.limits import Pace, Peer, Pot

PATH: Final = "/gp/"
MOST_BODY_BYTES: Final = 1 << 24
MOST_BODIES_BYTES: Final = 1 << 28
"""Of all that is being received at the same time."""
MOST_HELD_BYTES: Final = 1 << 28
"""Of all answers that dialogues have taken and not come to the end of."""
MOST_DIALOGUES: Final = 20_000
DIALOGUE_SECONDS: Final = 300.0
MOST_WAITING: Final = 2
"""POSTs of one hub that wait for another one of its own."""
CERTIFICATE_SECONDS: Final = 10.0
"""How old it may be what is known of a certificate's withdrawal."""
BUSY_SECONDS: Final = 30
_ID_SIZE: Final = 16

ArgumentTs = TypeVarTuple("ArgumentTs")
ResultT = TypeVar("ResultT")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log: Final = logging.getLogger("meterlet.gateway")


class Register(Protocol):
    """Knows which certificates count."""

    def peer(self, certificate: bytes) -> HubCertificate | None:
        """Return whose certificate (DER) it is; None where it does not count."""
        ...

    def renew_by(self, current: HubCertificate, signing_request: bytes) -> HubCertificate:
        """Return the next certificate of a hub; raise `CertificateRefused` where it may not be."""
        ...


@dataclass(slots=True, eq=False)
class _Open:
    """A hub's dialogue."""

    dialogue: AdminDialogue
    used: float


@dataclass(slots=True, eq=False)
class _Turn:
    """Lets the POSTs of one hub be worked on one after the other; there while any is."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    posts: int = 0


@dataclass(frozen=True, slots=True)
class _Renewed:
    """The reply that brings the next certificate (RFC 7030, 4.2.3)."""

    body: bytes
    status: int = 200

    @staticmethod
    def headers() -> list[tuple[bytes, bytes]]:
        kind = f"{RENEWAL_ANSWER}; smime-type=certs-only".encode()
        return [(b"content-type", kind), (b"content-transfer-encoding", b"base64")]


class _Refused(Exception):
    """A POST gets a status and nothing else."""

    def __init__(self, status: int, retry_after: int | None = None) -> None:
        super().__init__(status)
        self.status, self.retry_after = status, retry_after


@dataclass(slots=True)
class Gateway:
    """The application; `serving` puts a `Peer` into each connection's state."""

    errands: Errands
    register: Register
    randomness: Callable[[int], bytes] = field(repr=False)
    workers: Executor = field(repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    pace: Pace = field(default_factory=Pace)
    posts: int = 0
    """POSTs that were answered so far."""
    _open: "OrderedDict[bytes, _Open]" = field(default_factory=OrderedDict)
    _turns: dict[bytes, _Turn] = field(default_factory=dict)
    """Of hubs a POST of which is being worked on, by meter; they outlive dialogues."""
    _receiving: "Pot[Peer]" = field(default_factory=lambda: Pot(MOST_BODIES_BYTES))
    _held: "Pot[bytes]" = field(default_factory=lambda: Pot(MOST_HELD_BYTES))
    """By meter."""
    _forgotten_at: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        try:
            reply = await self._answer(scope, receive)
        except _Refused as refused:
            wait = refused.retry_after
            fields = [] if wait is None else [(b"retry-after", b"%d" % wait)]
            # The body may not have been read: the connection is of no more use.
            fields += [(b"content-length", b"0"), (b"connection", b"close")]
            start = {"type": "http.response.start", "status": refused.status, "headers": fields}
            await send(start)
            await send({"type": "http.response.body"})
            return
        self.posts += 1
        headers, body = reply.headers(), reply.body
        if body:
            headers.append((b"Content-Length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> "ServerReply | _Renewed":
        peer: Peer = scope["state"]["peer"]
        now = self.monotonic()
        if not self.pace.admits(peer.certificate, now):
            raise _Refused(429, BUSY_SECONDS)
        path: str = scope["path"]
        if not path.startswith(PATH) and path != RENEWAL_PATH:
            raise _Refused(404)
        if scope["method"] != "POST":
            raise _Refused(405)
        known = await self._known(peer, now)
        if known is None:
            raise _Refused(403)
        if path == RENEWAL_PATH:
            body = await self._body(peer, scope, receive)
            if await self._known(peer, self.monotonic()) is None:
                raise _Refused(403)
            return await self._renewed(known, body)
        meter = known.meter
        # The meter in the certificate is the meter in the URL, to the letter.
        if path != PATH + meter.hex():
            raise _Refused(403)
        query: bytes = scope["query_string"]
        body = await self._body(peer, scope, receive)
        if await self._known(peer, self.monotonic()) is None:
            raise _Refused(403)  # it was withdrawn while the body came
        try:
            uri = f"{path}?{query.decode('ascii')}" if query else path
            post = AgentPost.read(uri, scope["headers"], body)
        except (ProtocolViolated, UnicodeDecodeError):
            raise _Refused(400) from None
        # The name proves nothing by itself; a wrong one is a lie all the same.
        if post.agent != meter.hex():
            raise _Refused(403)
        return await self._reply(meter, post, now)

    async def _known(self, peer: Peer, now: float) -> HubCertificate | None:
        if now - peer.looked_at >= CERTIFICATE_SECONDS:
            peer.known = await self._in_thread(self.register.peer, peer.certificate)
            peer.looked_at = now
        return peer.known

    async def _renewed(self, current: HubCertificate, body: bytes) -> "_Renewed":
        try:
            request = decode_renewal(body)
            made = await self._in_thread(self.register.renew_by, current, request)
        except (HubCertificateError, CertificateRefused):
            raise _Refused(400) from None
        return _Renewed(encode_renewed(made.certificate))

    async def _body(self, peer: Peer, scope: Scope, receive: Receive) -> bytes:
        announced = _announced(scope)
        if announced is not None and announced > MOST_BODY_BYTES:
            raise _Refused(413)
        chunks: list[bytes] = []
        held = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Refused(400)
                chunk: bytes = message.get("body", b"")
                if chunk:
                    held += len(chunk)
                    self._receiving.add(peer, len(chunk))
                    chunks.append(chunk)
                if held > MOST_BODY_BYTES:
                    raise _Refused(413)
                self._make_room(peer)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self._receiving.hold(peer, 0)

    def _make_room(self, receiving: Peer) -> None:
        """Cut off the certificate that sends the most, where all bodies together are too long."""
        for peer in self._receiving.greediest(lambda one: one.certificate):
            self._receiving.hold(peer, 0)
            peer.abort()
            if peer is receiving:
                raise _Refused(503, BUSY_SECONDS)

    async def _reply(self, meter: bytes, post: AgentPost, now: float) -> ServerReply:
        turn = self._turns.setdefault(meter, _Turn())
        if turn.posts > MOST_WAITING:
            raise _Refused(429, BUSY_SECONDS)
        turn.posts += 1
        try:
            # Errands of one meter are never done twice at once.
            async with turn.lock:
                return await self._in_turn(meter, post, now)
        finally:
            turn.posts -= 1
            if not turn.posts:
                del self._turns[meter]

    async def _in_turn(self, meter: bytes, post: AgentPost, now: float) -> ServerReply:
        known = self._open.get(meter)
        if known is None or not known.dialogue.is_current(post):
            if not self.errands.is_fresh():
                await self._in_thread(self.errands.refresh)
            if not self.errands.is_waiting(meter):
                self._close(meter)
                return ServerReply(retry_after=self.errands.waits(meter).poll)
            known = self._begin(meter, now)
        known.used = now
        try:
            reply = await self._in_thread(known.dialogue.receive, post)
        except Exception:
            self._close(meter)
            raise
        self._held.hold(meter, known.dialogue.held)
        if known.dialogue.is_over:
            self._close(meter)
        for greedy in self._held.greediest(bytes):
            # It begins anew at its next POST, as after a gateway's end.
            self._held.hold(greedy, 0)
            if greedy == meter or greedy not in self._turns:
                self._close(greedy)
        return reply

    def _begin(self, meter: bytes, now: float) -> _Open:
        self._forget_silent(now)
        self._close(meter)
        if len(self._open) >= MOST_DIALOGUES:
            # Its hub will POST into a dialogue that is gone, and begin anew: nothing is lost.
            oldest = next((one for one in self._open if one not in self._turns), None)
            if oldest is None:
                raise _Refused(503, BUSY_SECONDS)
            self._close(oldest)
        identifier = self.randomness(_ID_SIZE).hex()
        dialogue = AdminDialogue(
            PATH + meter.hex(),
            identifier,
            lambda: self.errands.next(meter),
            lambda: self.errands.waits(meter),
        )
        made = self._open[meter] = _Open(dialogue, now)
        return made

    def _forget_silent(self, now: float) -> None:
        if now - self._forgotten_at < 1.0:
            return
        self._forgotten_at = now
        silent = [
            meter for meter, one in self._open.items()
            if now - one.used >= DIALOGUE_SECONDS and meter not in self._turns
        ]  # fmt: skip
        for meter in silent:
            self._close(meter)

    def _close(self, meter: bytes) -> None:
        """End a dialogue, in its own meter's turn or where nobody has that."""
        known = self._open.pop(meter, None)
        if known is not None:
            self._held.hold(meter, 0)
            known.dialogue.close()

    async def _in_thread(
        self, work: Callable[[Unpack[ArgumentTs]], ResultT], *arguments: *ArgumentTs
    ) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self.workers, work, *arguments)


def _announced(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            try:
                return int(value)
            except ValueError:
                return None
    return None
