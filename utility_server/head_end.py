# SPDX-License-Identifier: Apache-2.0
"""The head end: carries questions to an applet in a hub, over TCP and the applet's own channel.

    SML question -> APDU -> SCP03 at level 33 -> frame -> TCP

Each conversation selects the applet, opens a fresh secure channel with the customer's keys, sends
one command and closes. A hub that is still working on a proof answers 9300: the same command is
sent again, byte for byte, after waits that double, until `patience_seconds` are over. Nothing else
is retried.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import WireError
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient
from utility_server.errors import ChannelBroken, HeadEndError, HubRefused

HOST_CHALLENGE_SIZE: Final = 8
BUSY: Final = 0x9300
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 15.0
_CHUNK: Final = 1 << 16

_MEANINGS: Final = {
    0x6400: "the applet failed; nothing was kept",
    0x6700: "wrong length",
    0x6982: "the security status does not allow it",
    0x6983: "asked too often",
    0x6985: "the resident's consent does not allow it",
    0x6A80: "the question is not one it takes",
    0x6A81: "not supported there; for a bill: the hub has no feed-in register",
    0x6A82: "there is no such applet",
    0x6A83: "days of the period are not certified yet",
    0x6A84: "more than the consent or the memory allows",
    0x6A88: "not found",
    0x6D00: "no such instruction",
    0x6E00: "no such class",
    BUSY: "it is still working on the answer; ask again later",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a hub listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address written as HOST:PORT; raise `HeadEndError` otherwise."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isascii() or not port.isdigit():
            raise HeadEndError(f"{text!r}: write the hub's address as HOST:PORT")
        if not 0 < int(port) < 1 << 16:
            raise HeadEndError(f"{text!r}: there is no port {port}")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Traffic:
    """Bytes on the wire so far, framing and protection included."""

    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class HeadEnd:
    """Asks hubs on behalf of one recipient."""

    randomness: Callable[[int], bytes] = field(repr=False)
    timeout_seconds: float = 60.0
    """How long a hub may take to connect, and then for each whole answer."""
    patience_seconds: float = 300.0
    """How long a hub may work on one answer."""
    traffic: Traffic = field(default_factory=Traffic)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def ask(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        """Return what the applet answers; raise `HubRefused` for any other status than 9000.

        Waits for a hub that is busy, `patience_seconds` at most. Raises `HeadEndError` where the
        hub cannot be reached, `ChannelBroken` where it is not the customer's or somebody has
        altered what came.
        """
        wait, left = FIRST_WAIT_SECONDS, self.patience_seconds
        while True:
            try:
                return self._ask_once(address, enrolment, command)
            except HubRefused as refused:
                if refused.status_word != BUSY or left <= 0:
                    raise
            # The connection is closed meanwhile: others want its place.
            self.sleep(min(wait, left))
            left -= wait
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _ask_once(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        with self._connection(address) as transmit:
            client = CardClient(transmit)
            try:
                client.select(enrolment.applet)
                client.open_scp03(
                    enrolment.keys,
                    self.randomness(HOST_CHALLENGE_SIZE),
                    key_version=enrolment.key_version,
                )
                response = client.send(command)
            except CardRefused as refused:
                raise _refused(refused.sw) from None
            except RemoteChannelError as error:
                raise ChannelBroken(f"channel: {error}") from None
            except WireError as error:
                raise HeadEndError(f"{address}: {error}") from None
        if not response.is_success:
            raise _refused(response.sw)
        return response.data

    def relay(self, address: Address, applet: bytes, command: CommandApdu) -> bytes:
        """Return what an applet answers to a command that protects itself: no channel, no keys.

        Raises `HubRefused` for any other status than 9000, `HeadEndError` where the hub cannot be
        reached or does not answer as a card does.
        """
        with self._connection(address) as transmit:
            client = CardClient(transmit)
            try:
                client.select(applet)
                response = client.send(command)
            except CardRefused as refused:
                raise _refused(refused.sw) from None
            except WireError as error:
                raise HeadEndError(f"{address}: {error}") from None
        if not response.is_success:
            raise _refused(response.sw)
        return response.data

    @contextmanager
    def _connection(self, address: Address) -> Iterator[Callable[[bytes], bytes]]:
        try:
            with socket.create_connection(
                (address.host, address.port), self.timeout_seconds
            ) as line:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield _Line(line, self.traffic, address, self.timeout_seconds).transmit
        except UnicodeError:
            raise HeadEndError(f"{address}: no host can have that name") from None
        except OSError as error:
            raise HeadEndError(f"{address}: {error.strerror or error}") from None


@dataclass(slots=True)
class _Line:
    line: socket.socket
    traffic: Traffic
    address: Address
    timeout_seconds: float
    _frames: ApduFrameDecoder = field(default_factory=ApduFrameDecoder)

    def transmit(self, apdu: bytes) -> bytes:
        frame = encode_frame(apdu)
        # For the whole answer: one that drips in byte by byte must not hold us for ever.
        deadline = time.monotonic() + self.timeout_seconds
        self.line.settimeout(self.timeout_seconds)
        self.line.sendall(frame)
        self.traffic.sent += len(frame)
        answers: list[bytes] = []
        while not answers:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.line.settimeout(left)
            chunk = self.line.recv(_CHUNK)
            if not chunk:
                raise HeadEndError(f"{self.address}: the hub hung up")
            self.traffic.received += len(chunk)
            answers = self._frames.feed(chunk)
        if len(answers) > 1:
            raise HeadEndError(f"{self.address}: more answers than questions")
        return answers[0]


def _refused(status_word: int) -> HubRefused:
    return HubRefused(status_word, _MEANINGS.get(status_word, "see the hub's log"))
