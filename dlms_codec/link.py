# SPDX-License-Identifier: Apache-2.0
"""How a client's messages travel: over HDLC, or in the wrapper of TCP. Without I/O.

    link.open()          SNRM --->  <--- UA                       wrapper: nothing
    link.exchange(apdu)  I --->  <--- RR ... I --->  <--- I ...   one wrapper each way
    link.close()         DISC --->  <--- UA                       wrapper: nothing

Each is a generator: it yields what is to be sent and is sent what came, in pieces of any size.
Where it yields nothing, it waits for more. Frames that are damaged, or of others, are passed over:
the meter is asked again (`repeat`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, Protocol, TypeAlias, TypeVar

from dlms_codec.assembly import LLC_REQUEST, strip_llc
from dlms_codec.errors import ConnectionLost, EncodingError, LimitExceeded, MalformedDlms
from dlms_codec.frames import Damage
from dlms_codec.hdlc import (
    UNNUMBERED,
    FrameKind,
    HdlcDecoder,
    HdlcFrame,
    LinkParameters,
    decode_address,
    encode_address,
    encode_frame,
)
from dlms_codec.options import DEFAULT_LIMITS, Limits
from dlms_codec.wrapper import WrapperDecoder, encode_wrapper

T = TypeVar("T")
Steps: TypeAlias = Generator[bytes, bytes, T]
"""What is to be sent, what came, and the result."""

POLL: Final = 0x10
LONGEST_INFORMATION: Final = 2030
"""What fits a frame of 2,047 bytes beside the longest addresses."""
PLAIN_LINK: Final = LinkParameters()


class Link(Protocol):
    """What carries the messages of one client to one meter."""

    def open(self) -> Steps[None]:
        """Begin."""

    def exchange(self, apdu: bytes) -> Steps[bytes]:
        """Send a message and return what comes; send none if it is empty."""

    def close(self) -> Steps[None]:
        """End."""

    def repeat(self) -> bytes:
        """Return what was sent last, for a meter that may not have got it; empty: do not."""


class WrapperLink:
    """A client's side of the wrapper; TCP brings everything, so nothing is repeated."""

    def __init__(self, client: int, server: int = 1) -> None:
        self._client, self._server = client, server
        self._decoder = WrapperDecoder()
        self._waiting: list[bytes] = []

    def open(self) -> Steps[None]:
        """Begin: there is nothing to do."""
        yield from ()

    def exchange(self, apdu: bytes) -> Steps[bytes]:
        """Send a message and return what comes."""
        out = encode_wrapper(self._client, self._server, apdu) if apdu else b""
        while not self._waiting:
            piece = yield out
            out = b""
            for event in self._decoder.feed(piece):
                if isinstance(event, Damage):
                    raise MalformedDlms(event.reason, offset=event.offset)
                if (event.source, event.destination) == (self._server, self._client):
                    self._waiting.append(event.apdu)
        return self._waiting.pop(0)

    def close(self) -> Steps[None]:
        """End: there is nothing to do."""
        yield from ()

    def repeat(self) -> bytes:
        """Return nothing."""
        return b""


class HdlcLink:
    """A client's side of HDLC, with windows of one frame.

    `physical` is the address of the device on its line, where there are several.
    """

    def __init__(
        self,
        client: int,
        server: int = 1,
        physical: int | None = None,
        *,
        parameters: LinkParameters = PLAIN_LINK,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not 0 < client < 0x80:
            raise EncodingError("a client's address is 1 to 127")
        check_parameters(parameters)
        self._client = encode_address(client)
        self._server = encode_address(server, physical)
        self._proposed = parameters
        self._longest_sent = parameters.longest_sent
        self._limits = limits
        self._decoder = HdlcDecoder()
        self._sent = self._received = 0  # V(S) and V(R)
        self._last = b""
        self._frames: list[HdlcFrame] = []

    def repeat(self) -> bytes:
        """Return the last frame."""
        return self._last

    def open(self) -> Steps[None]:
        """Begin the link, and agree on the longest information."""
        default = self._proposed == PLAIN_LINK
        frame = yield from self._send(
            UNNUMBERED[FrameKind.SNRM] | POLL, b"" if default else self._proposed.encode()
        )
        while frame.kind is not FrameKind.UA:
            self._check(frame)
            frame = yield from self._next(b"")
        answered = LinkParameters.decode(frame.information)
        self._longest_sent = max(1, min(self._proposed.longest_sent, answered.longest_received))
        self._sent = self._received = 0

    def close(self) -> Steps[None]:
        """End the link."""
        frame = yield from self._send(UNNUMBERED[FrameKind.DISC] | POLL, b"")
        while frame.kind not in (FrameKind.UA, FrameKind.DM):
            frame = yield from self._next(b"")

    def exchange(self, apdu: bytes) -> Steps[bytes]:
        """Send a message in segments and put together the segments of what comes."""
        out = b""
        if apdu:
            message = LLC_REQUEST + apdu
            pieces = cut(message, self._longest_sent)
            for piece in pieces[:-1]:
                yield from self._send_segment(piece)
            out = self._information(pieces[-1], segmented=False)
        collected: list[bytes] = []
        size = 0
        frame = yield from self._next(out)
        while True:
            self._check(frame)
            if frame.kind is not FrameKind.I or frame.send_sequence != self._received:
                frame = yield from self._next(b"")  # a repetition, or the end of an old exchange
                continue
            self._received = (self._received + 1) % 8
            collected.append(frame.information)
            size += len(frame.information)
            if size > self._limits.message:
                raise LimitExceeded(f"longer than {self._limits.message} bytes", offset=0)
            if not frame.segmented:
                return strip_llc(b"".join(collected))
            frame = yield from self._send(self._received << 5 | POLL | 1, b"")

    def _send_segment(self, piece: bytes) -> Steps[None]:
        """Send a segment and wait until the meter has it."""
        frame = yield from self._next(self._information(piece, segmented=True))
        while frame.kind is not FrameKind.RR or frame.receive_sequence != self._sent:
            self._check(frame)
            frame = yield from self._next(b"")

    def _information(self, piece: bytes, *, segmented: bool) -> bytes:
        control = self._received << 5 | POLL | self._sent << 1
        self._sent = (self._sent + 1) % 8
        return encode_frame(self._server, self._client, control, piece, segmented=segmented)

    def _send(self, control: int, information: bytes) -> Steps[HdlcFrame]:
        return self._next(encode_frame(self._server, self._client, control, information))

    def _next(self, out: bytes) -> Steps[HdlcFrame]:
        """Send a frame, if there is one, and return the next one for this client."""
        self._last = out or self._last
        while not self._frames:
            piece = yield out
            out = b""
            for event in self._decoder.feed(piece):
                if (
                    isinstance(event, HdlcFrame)
                    and event.destination == self._client
                    and decode_address(event.source)[0] == decode_address(self._server)[0]
                ):
                    self._frames.append(event)
        return self._frames.pop(0)

    @staticmethod
    def _check(frame: HdlcFrame) -> None:
        if frame.kind in (FrameKind.DM, FrameKind.FRMR):
            raise ConnectionLost(f"the meter ended the link ({frame.kind.value})")


def cut(message: bytes, size: int) -> list[bytes]:
    """Return a message in pieces of at most `size` bytes; one, if it is empty."""
    return [message[at : at + size] for at in range(0, len(message), size)] or [b""]


def check_parameters(parameters: LinkParameters) -> None:
    """Raise `EncodingError` for what this side cannot do."""
    longest = (parameters.longest_sent, parameters.longest_received)
    if not all(32 <= size <= LONGEST_INFORMATION for size in longest):
        raise EncodingError(f"information of a frame has 32 to {LONGEST_INFORMATION} bytes")
    if (parameters.window_sent, parameters.window_received) != (1, 1):
        raise EncodingError("windows have one frame here")
