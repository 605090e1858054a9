# SPDX-License-Identifier: Apache-2.0
"""The head end: carries questions to an applet in a hub, over TCP and the applet's own channel.

    SML question -> APDU -> SCP03 at level 33 -> frame -> TCP

Each conversation (`utility_server.hub_conversation`) selects the applet, opens a fresh secure
channel with the customer's keys, sends one command and closes. A hub that is still working on a
proof answers 9300: the same command is sent again, byte for byte, after waits that double, until
`patience_seconds` are over. Nothing else is retried. Hubs that dial out need no head end
(`utility_server.gateway`).
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import WireError
from protocols.secure_channel.conversation import CardPauses, Conversation, converse
from utility_server.errors import HeadEndError, HubRefused
from utility_server.hub_conversation import BUSY, HeadKeeper, HubConversations, refused

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 15.0
_CHUNK: Final = 1 << 16

ResultT = TypeVar("ResultT")


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
    heads: HeadKeeper | None = None
    """Without one, as for a concentrator that has no keys, no hub's log is looked at."""

    def ask(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        """Return what the applet answers; raise `HubRefused` for any other status than 9000.

        Waits for a hub that is busy, `patience_seconds` at most. Raises `HeadEndError` where the
        hub cannot be reached, `ChannelBroken` where it is not the customer's or somebody has
        altered what came, `HubPutBack` where its disclosure log does not go on from the kept head;
        then the answer, if there was one, is not returned.
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
        return self._converse(address, self.conversations.ask(enrolment, command))

    def replace_keys(self, address: Address, current: Enrolment, proposed: Enrolment) -> None:
        """Give the applet's channel new keys, by PUT KEY to its security domain.

        Nothing is sent if the hub has them already, from an attempt whose answer was lost. Raises
        as `ask`, and `HubRefused` where neither keys open the channel.
        """
        self._converse(address, self.conversations.replace_keys(current, proposed))

    def hold(self, address: Address, conversation: Conversation[ResultT]) -> ResultT:
        """Hold a conversation with the card of the hub at an address, in one connection.

        Raises what the conversation raises, `HeadEndError` where the hub cannot be reached or does
        not answer as a card does, `HubRefused` where it would have to be waited for.
        """
        return self._converse(address, conversation)

    @property
    def conversations(self) -> HubConversations:
        """What is said to hubs, whoever carries it."""
        return HubConversations(self.randomness, self.heads, self.timeout_seconds)

    def _converse(self, address: Address, conversation: Conversation[ResultT]) -> ResultT:
        with self._connection(address) as transmit:
            try:
                return converse(conversation, transmit)
            except CardPauses:
                raise refused(BUSY) from None
            except WireError as error:
                raise HeadEndError(f"{address}: {error}") from None

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
        except ConnectionRefusedError as error:
            raise HeadEndError(
                f"{address}: {error.strerror}; is `meterlet hub serve` running there?"
            ) from None
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
