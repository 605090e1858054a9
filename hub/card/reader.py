# SPDX-License-Identifier: Apache-2.0
"""The card in a virtual reader: vpcd's protocol over TCP (vsmartcard, virtualsmartcard/src/vpcd).

vpcd listens and the card connects to it. Either side sends two bytes of length, big-endian, then
as many bytes: an APDU or its answer, or one byte of control of which only the ATR's is answered:

    00 power off    01 power on    02 reset    04 "send the ATR"

Closing the connection is taking the card out.
"""

import enum
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hub.card.connection import Exchange
from hub.card.open import Card
from hub.errors import HubError

PORT: Final = 35963
_MAX_FRAME: Final = 0xFFFF
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class ReaderError(HubError):
    """The reader cannot be reached, or the card is in another one."""


class Control(enum.IntEnum):
    """What vpcd says in one byte."""

    OFF = 0
    ON = 1
    RESET = 2
    ATR = 4


def answer_to_reset(card: Card) -> bytes:
    """Return the ATR (ISO/IEC 7816-3, 8.2): T=1 alone, and what the card can do.

    The historical bytes say: selection by full and partial name, chaining, extended length,
    channels that either side assigns (ISO/IEC 7816-4, 12.1.1).
    """
    historical = bytes.fromhex("8073C021DF") + card.profile.historical
    interface = bytes.fromhex("130000 81 31 FE45")
    body = bytes((0xF0 | len(historical),)) + interface + historical
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes((check,))


class VirtualReader:
    """The card in vpcd's reader, from connecting to taking it out."""

    def __init__(
        self,
        card: Card,
        host: str = "localhost",
        port: int = PORT,
        *,
        observer: Callable[[Exchange], None] | None = None,
    ) -> None:
        """Put `card` into the vpcd at `host`; raise `ReaderError` if it is not there.

        `observer` is told of each APDU.
        """
        try:
            self._stream = socket.create_connection((host, port))
        except OSError as error:
            raise ReaderError(f"no reader (vpcd) at {host}:{port}: {error}") from error
        self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._atr = answer_to_reset(card)
        self._connection = card.connect()
        self._connection.observer = observer
        self._connection.max_answer = _MAX_FRAME - 2

    def run(self) -> None:
        """Answer until the reader goes away or `close` is called."""
        try:
            with self._stream:
                while (frame := _receive(self._stream)) is not None:
                    answer = self._answer(frame)
                    if answer is None:
                        continue
                    try:
                        self._stream.sendall(len(answer).to_bytes(2, "big") + answer)
                    except ConnectionError:
                        break  # the reader has gone before it was answered
        finally:
            self._connection.close()

    def close(self) -> None:
        """Take the card out, from any thread."""
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def _answer(self, frame: bytes) -> bytes | None:
        if len(frame) != 1:
            return self._connection.transmit(frame)
        if frame[0] == Control.ATR:
            return self._atr
        if frame[0] in {Control.OFF, Control.ON, Control.RESET}:
            self._connection.reset()
        return None


def _receive(stream: socket.socket) -> bytes | None:
    """Return the next frame, or None where the reader has gone."""
    head = _take(stream, 2)
    return None if head is None else _take(stream, int.from_bytes(head, "big"))


def _take(stream: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        if _QUICKACK is not None:
            # vpcd sends a frame in two segments and waits for the first one's acknowledgement.
            stream.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        try:
            piece = stream.recv(size - len(data))
        except ConnectionError:
            piece = b""
        if not piece:
            return None  # a frame that is cut off was never a command
        data += piece
    return data
