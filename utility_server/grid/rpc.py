# SPDX-License-Identifier: Apache-2.0
"""Messages between MDMS and concentrator: frames on TCP, deterministic CBOR in them.

    frame     length (4 bytes, big-endian) ‖ CBOR [name, item, ...]
    request   one frame
    answer    any number of frames, the last of which is ["done"] or ["error", kind, why]

An answer comes item by item, so that neither end holds more of a batch than it must. Over TCP each
end has proved who it is, and what a frame holds is sealed (`pinned_line`); a socket in a folder of
this computer is protected by the folder. Each wait has an end, however slowly the other end goes.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from protocols.canonical import cbor
from utility_server.grid.concentrator.errors import ConcentratorRefused, LineError
from utility_server.grid.pinned_line import (
    CHALLENGE_SIZE,
    TAG_SIZE,
    WELCOME_SIZE,
    ClientGreeting,
    FrameSeals,
    LineKeys,
)
from utility_server.head_end import Address

LARGEST_FRAME: Final = 1 << 24
"""Room for the announcement of some 40,000 members."""
LARGEST_ANSWER: Final = 1 << 31
"""Bytes: twice what a concentrator keeps of contributions."""
GREETING_SECONDS: Final = 10
"""How long both ends may take to prove who they are."""
ANSWER_SECONDS: Final = 3600
"""How long a whole answer may take: as long as a round is open."""
_HEADER: Final = 4

Item = bytes | str | int
Message = tuple[str, tuple[Item, ...]]


def encode(name: str, *items: Item, seals: FrameSeals | None = None) -> bytes:
    """Return a message in its frame; raise `LineError` for one that is too long."""
    body = cbor.encode([name, *items])
    if len(body) > LARGEST_FRAME:
        raise LineError(f"{name}: {len(body)} bytes are more than a frame holds")
    body = body if seals is None else seals.seal(body)
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


def _decode_sealed(body: bytes, seals: FrameSeals | None) -> Message:
    return decode(body if seals is None else seals.open(body))


def _size(header: bytes, seals: FrameSeals | None) -> int:
    size = int.from_bytes(header, "big")
    if not 0 < size <= LARGEST_FRAME + (0 if seals is None else TAG_SIZE):
        raise LineError(f"a frame of {size} bytes, the limit is {LARGEST_FRAME}")
    return size


async def read_message(
    reader: asyncio.StreamReader,
    seals: FrameSeals | None = None,
    idle_seconds: float | None = None,
    frame_seconds: float | None = None,
) -> Message | None:
    """Return the next message, or None where the stream ends; raise `LineError` otherwise.

    Raises `TimeoutError` if it does not begin in `idle_seconds`, or is not whole `frame_seconds`
    after it has begun.
    """
    try:
        async with asyncio.timeout(idle_seconds):
            first = await reader.read(1)
        if not first:
            return None
        async with asyncio.timeout(frame_seconds):
            header = first + await reader.readexactly(_HEADER - 1)
            return _decode_sealed(await reader.readexactly(_size(header, seals)), seals)
    except asyncio.IncompleteReadError:
        raise LineError("the line ended within a message") from None


@dataclass(slots=True)
class _TimedSocket:
    """A blocking socket of which no read or write lasts beyond a deadline."""

    socket: socket.socket
    name: str
    clock: Callable[[], float] = time.monotonic
    deadline: float = field(default=float("inf"))

    def due_in(self, seconds: float) -> None:
        """Begin a step that may take so long in all, whatever the pace of its bytes."""
        self.deadline = self.clock() + seconds

    def send(self, data: bytes) -> None:
        """Send everything; raise `LineError` if it is not taken in time."""
        with _named(self.name):
            self._set_timeout()
            self.socket.sendall(data)

    def take(self, size: int) -> bytes:
        """Return so many bytes; raise `LineError` if they do not come in time."""
        parts = bytearray()
        while len(parts) < size:
            with _named(self.name):
                self._set_timeout()
                chunk = self.socket.recv(min(size - len(parts), 1 << 16))
            if not chunk:
                raise LineError(f"{self.name}: it hung up")
            parts += chunk
        return bytes(parts)

    def take_message(self, seals: FrameSeals | None = None) -> tuple[Message, int]:
        """Return the next message and how many bytes it took; raise `LineError`."""
        size = _size(self.take(_HEADER), seals)
        return _decode_sealed(self.take(size), seals), _HEADER + size

    def _set_timeout(self) -> None:
        left = self.deadline - self.clock()
        if left <= 0:
            raise TimeoutError("timed out")
        self.socket.settimeout(None if left == float("inf") else left)


def receive(peer: socket.socket, seconds: float) -> Message:
    """Return the next message of a socket, whole within so many seconds; else `LineError`."""
    timed = _TimedSocket(peer, "a peer")
    timed.due_in(seconds)
    return timed.take_message()[0]


class Connection:
    """The asking end: one request after the other."""

    def __init__(
        self, peer: _TimedSocket, step_seconds: float, seals: FrameSeals | None = None
    ) -> None:
        self._peer, self._step_seconds, self._seals = peer, step_seconds, seals
        self.sent = self.received = 0

    @classmethod
    @contextmanager
    def open(
        cls,
        address: Address,
        timeout_seconds: float,
        keys: LineKeys,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> Iterator[Self]:
        """Connect to the concentrator or trustee that holds the key it is known by.

        No message of an answer may take longer than the timeout. Raises `LineError`.
        """
        name = f"concentrator {address}"
        with _named(name):
            peer = socket.create_connection((address.host, address.port), timeout_seconds)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            timed = _TimedSocket(peer, name)
            timed.due_in(min(timeout_seconds, GREETING_SECONDS))
            yield cls(timed, timeout_seconds, _greet(timed, keys, randomness))

    @classmethod
    @contextmanager
    def open_local(cls, path: Path, timeout_seconds: float = ANSWER_SECONDS) -> Iterator[Self]:
        """Connect to a server of this computer at the path of its socket; raise `LineError`."""
        with socket.socket(socket.AF_UNIX) as peer:
            with _named(str(path)):
                peer.settimeout(timeout_seconds)
                peer.connect(str(path))
            yield cls(_TimedSocket(peer, str(path)), timeout_seconds)

    def ask(self, name: str, *items: Item) -> Iterator[Message]:
        """Yield the answer's messages, "done" as the last; raise `ConcentratorRefused`."""
        frame = encode(name, *items, seals=self._seals)
        self._peer.due_in(self._step_seconds)
        self._peer.send(frame)
        self.sent += len(frame)
        begun, came = self._peer.clock(), 0
        while True:
            # For each whole message: one that drips in byte by byte must not hold us for ever; nor
            # must an answer that never ends.
            left = begun + ANSWER_SECONDS - self._peer.clock()
            self._peer.due_in(min(self._step_seconds, left))
            (answer, parts), size = self._peer.take_message(self._seals)
            came += size
            self.received += size
            if came > LARGEST_ANSWER:
                raise LineError(f"{self._peer.name}: an answer of more than {LARGEST_ANSWER} bytes")
            match answer, parts:
                case "error", (str(kind), str(reason)):
                    raise ConcentratorRefused(reason, kind)
            yield answer, parts
            if answer == "done":
                return


def _greet(peer: _TimedSocket, keys: LineKeys, randomness: Callable[[int], bytes]) -> FrameSeals:
    """Return the seals of a line to the server that holds its pinned key; else `LineError`."""
    challenge = peer.take(CHALLENGE_SIZE)
    try:
        greeting = ClientGreeting.begin(keys, challenge, randomness)
    except LineError as error:
        raise LineError(f"{peer.name}: {error}") from None
    try:
        peer.send(greeting.proof)
        welcome = peer.take(WELCOME_SIZE)
    except LineError as error:
        raise LineError(f"{error}; does it know our public key, as its --operator?") from None
    try:
        return greeting.finish(welcome)
    except LineError as error:
        raise LineError(f"{peer.name}: {error}") from None


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LineError(f"{name}: {reason}") from None
