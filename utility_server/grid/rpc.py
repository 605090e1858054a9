# SPDX-License-Identifier: Apache-2.0
"""Messages between MDMS and concentrator: frames on TCP, deterministic CBOR in them.

    frame     length (4 bytes, big-endian) ‖ CBOR [name, item, ...]
    request   one frame
    answer    any number of frames, the last of which is ["done"] or ["error", kind, why]

An answer comes item by item, so that neither end holds more of a batch than it must.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocols.canonical import cbor
from utility_server.grid.concentrator.errors import ConcentratorRefused, LineError
from utility_server.head_end import Address

LARGEST_FRAME: Final = 1 << 24
"""Room for the announcement of some 40,000 members."""
_HEADER: Final = 4

Item = bytes | str | int
Message = tuple[str, tuple[Item, ...]]


def encode(name: str, *items: Item) -> bytes:
    """Return a message in its frame; raise `LineError` for one that is too long."""
    body = cbor.encode([name, *items])
    if len(body) > LARGEST_FRAME:
        raise LineError(f"{name}: {len(body)} bytes are more than a frame holds")
    return len(body).to_bytes(_HEADER, "big") + body


def decode(body: bytes) -> Message:
    """Return name and items; raise `LineError` for what is no message in its one encoding."""
    try:
        match cbor.decode(body):
            case [str(name), *items]:
                parts = tuple(item for item in items if isinstance(item, Item))
                if len(parts) == len(items):
                    return name, parts
    except cbor.CborError:
        pass
    raise LineError("what came is no message")


def _size(header: bytes) -> int:
    size = int.from_bytes(header, "big")
    if not 0 < size <= LARGEST_FRAME:
        raise LineError(f"a frame of {size} bytes, the limit is {LARGEST_FRAME}")
    return size


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """Return the next message, or None where the stream ends; raise `LineError` otherwise."""
    try:
        header = await reader.readexactly(_HEADER)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise LineError("the line ended within a message") from None
        return None
    try:
        return decode(await reader.readexactly(_size(header)))
    except asyncio.IncompleteReadError:
        raise LineError("the line ended within a message") from None


def receive(peer: socket.socket) -> Message:
    """Return the next message of a blocking socket; raise `LineError` if there is none."""
    return decode(_take(peer, _size(_take(peer, _HEADER, "a peer")), "a peer"))


def _take(peer: socket.socket, size: int, name: str) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        with _named(name):
            chunk = peer.recv(min(size - len(parts), 1 << 16))
        if not chunk:
            raise LineError(f"{name}: it hung up")
        parts += chunk
    return bytes(parts)


class Line:
    """The asking end: one request after the other."""

    def __init__(self, peer: socket.socket, name: str) -> None:
        self._peer, self._name = peer, name
        self.sent = self.received = 0

    @classmethod
    @contextmanager
    def open(cls, address: Address, timeout_seconds: float) -> Iterator["Line"]:
        """Connect to a concentrator; no part of an answer may take longer than the timeout.

        Raises `LineError`.
        """
        name = f"concentrator {address}"
        with _named(name):
            peer = socket.create_connection((address.host, address.port), timeout_seconds)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            yield cls(peer, name)

    @classmethod
    @contextmanager
    def open_local(cls, path: Path) -> Iterator["Line"]:
        """Connect to a server of this computer at the path of its socket; raise `LineError`."""
        with socket.socket(socket.AF_UNIX) as peer:
            with _named(str(path)):
                peer.connect(str(path))
            yield cls(peer, str(path))

    def ask(self, name: str, *items: Item) -> Iterator[Message]:
        """Yield the answer's messages, "done" as the last; raise `ConcentratorRefused`."""
        frame = encode(name, *items)
        with _named(self._name):
            self._peer.sendall(frame)
        self.sent += len(frame)
        while True:
            size = _size(self._take(_HEADER))
            answer, parts = decode(self._take(size))
            match answer, parts:
                case "error", (str(kind), str(reason)):
                    raise ConcentratorRefused(reason, kind)
            yield answer, parts
            if answer == "done":
                return

    def _take(self, size: int) -> bytes:
        self.received += size
        return _take(self._peer, size, self._name)


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LineError(f"{name}: {reason}") from None
