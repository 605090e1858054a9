# SPDX-License-Identifier: Apache-2.0
"""How a server gets messages and answers them: over HDLC, or in the wrapper. Without I/O.

A link has one client at a time, and keeps at most one message of it and one answer. What it is not
to answer (damaged frames, frames for others, clients that did not open the link) is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeAlias

from dlms_codec.assembly import LLC_RESPONSE, strip_llc
from dlms_codec.errors import MalformedDlms
from dlms_codec.frames import Damage
from dlms_codec.hdlc import (
    UNNUMBERED,
    FrameKind,
    HdlcDecoder,
    HdlcFrame,
    LinkParameters,
    decode_address,
    encode_frame,
)
from dlms_codec.link import LONGEST_INFORMATION, POLL, check_parameters, cut
from dlms_codec.wrapper import WrapperDecoder, encode_wrapper


class Session(Protocol):
    """What answers the messages of one client."""

    def answer(self, apdu: bytes) -> bytes:
        """Return the answer to a message; empty if it has none."""


OpenSession: TypeAlias = Callable[[int, int], Session | None]
"""Returns a session for the addresses of a client and a server; None: there is no such server."""

LONGEST_REQUEST: Final = 1 << 16
DEFAULT_PARAMETERS: Final = LinkParameters(LONGEST_INFORMATION, LONGEST_INFORMATION, 1, 1)


class ServerLink(Protocol):
    """What carries the messages of one connection."""

    def receive(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield what is to be sent, one answer at a time.

        Raises `MalformedDlms` where the connection is not worth keeping.
        """


class WrapperServerLink:
    """A server's side of the wrapper."""

    def __init__(self, opens: OpenSession) -> None:
        self._opens = opens
        self._decoder = WrapperDecoder()
        self._session: Session | None = None
        self._addresses: tuple[int, int] | None = None

    def receive(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield the answers."""
        for event in self._decoder.feed(piece):
            if isinstance(event, Damage):
                raise MalformedDlms(event.reason, offset=event.offset)
            addresses = (event.source, event.destination)
            if addresses != self._addresses:  # another client: it has nothing of the last one
                self._addresses, self._session = addresses, self._opens(*addresses)
            if self._session is not None and (answer := self._session.answer(event.apdu)):
                yield encode_wrapper(event.destination, event.source, answer)


class HdlcServerLink:
    """A server's side of HDLC, with windows of one frame.

    `physical` is this device's address on its line; None: it is alone there.
    """

    def __init__(
        self,
        opens: OpenSession,
        *,
        physical: int | None = None,
        parameters: LinkParameters = DEFAULT_PARAMETERS,
        longest: int = LONGEST_REQUEST,
    ) -> None:
        check_parameters(parameters)
        self._opens = opens
        self._physical = physical
        self._parameters = parameters
        self._longest = longest
        self._decoder = HdlcDecoder()
        self._forget()

    def _forget(self) -> None:
        self._session: Session | None = None
        self._client = self._server = b""
        self._sent = self._received = 0  # V(S) and V(R)
        self._longest_sent = 128
        self._request: list[bytes] = []
        self._size = 0
        self._pieces: list[bytes] = []  # of the answer, the next one first
        self._last = b""

    def receive(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield the frames that answer."""
        for event in self._decoder.feed(piece):
            if isinstance(event, HdlcFrame) and (frame := self._answer(event)):
                yield frame

    def _answer(self, frame: HdlcFrame) -> bytes:
        kind = frame.kind
        if kind is FrameKind.SNRM:
            return self._begin(frame)
        if self._session is None or (frame.source, frame.destination) != (
            self._client,
            self._server,
        ):
            # Only the one who speaks with us is told; others learn nothing from silence.
            asks = kind is FrameKind.DISC or (kind is FrameKind.I and self._session is None)
            return self._unnumbered(frame, FrameKind.DM) if asks and self._is_here(frame) else b""
        if kind is FrameKind.DISC:
            self._forget()
            return self._unnumbered(frame, FrameKind.UA)
        if kind is FrameKind.I:
            return self._information(frame, self._session)
        if kind is FrameKind.RR:
            return self._next_piece(frame)
        return b""

    def _is_here(self, frame: HdlcFrame) -> bool:
        physical = decode_address(frame.destination)[1]
        return self._physical is None or physical in (None, self._physical)

    def _begin(self, frame: HdlcFrame) -> bytes:
        try:
            asked = LinkParameters.decode(frame.information)
        except MalformedDlms:
            return b""
        server, client = decode_address(frame.destination)[0], decode_address(frame.source)[0]
        session = self._opens(client, server) if self._is_here(frame) else None
        if session is None or len(frame.source) != 1:
            return b""
        self._forget()
        self._session, self._client, self._server = session, frame.source, frame.destination
        # Each end sends no more than the other takes.
        self._longest_sent = max(32, min(self._parameters.longest_sent, asked.longest_received))
        agreed = LinkParameters(
            self._longest_sent, max(32, min(self._parameters.longest_received, asked.longest_sent))
        )
        return self._unnumbered(frame, FrameKind.UA, agreed.encode())

    def _information(self, frame: HdlcFrame, session: Session) -> bytes:
        if frame.send_sequence == (self._received - 1) % 8:
            return self._last  # the answer was lost: it is sent again, nothing is done twice
        if frame.send_sequence != self._received:
            return b""
        self._received = (self._received + 1) % 8
        self._pieces = []
        self._request.append(frame.information)
        self._size += len(frame.information)
        if self._size > self._longest:
            self._forget()
            return self._unnumbered(frame, FrameKind.DM)
        if frame.segmented:
            return self._ready()
        request, self._request, self._size = b"".join(self._request), [], 0
        answer = session.answer(strip_llc(request))
        if not answer:
            return self._ready()
        self._pieces = cut(LLC_RESPONSE + answer, self._longest_sent)
        return self._send_piece()

    def _next_piece(self, frame: HdlcFrame) -> bytes:
        if frame.receive_sequence == self._sent and self._pieces:
            return self._send_piece()
        if frame.receive_sequence == (self._sent - 1) % 8:
            return self._last
        return self._ready()

    def _send_piece(self) -> bytes:
        piece = self._pieces.pop(0)
        control = self._received << 5 | POLL | self._sent << 1
        self._sent = (self._sent + 1) % 8
        self._last = encode_frame(
            self._client, self._server, control, piece, segmented=bool(self._pieces)
        )
        return self._last

    def _ready(self) -> bytes:
        control = self._received << 5 | POLL | 1
        self._last = encode_frame(self._client, self._server, control)
        return self._last

    @staticmethod
    def _unnumbered(frame: HdlcFrame, kind: FrameKind, information: bytes = b"") -> bytes:
        control = UNNUMBERED[kind] | POLL
        return encode_frame(frame.source, frame.destination, control, information)
