# SPDX-License-Identifier: Apache-2.0
"""The head end: carries questions to an applet in a hub, over TCP and the applet's own channel.

    SML question -> APDU -> SCP03 at level 33 -> frame -> TCP

Each conversation selects the applet, opens a fresh secure channel with the customer's keys, sends
one command and closes. A hub that is still working on a proof answers 9300: the same command is
sent again, byte for byte, after waits that double, until `patience_seconds` are over. Nothing else
is retried.

Before the command the hub shows that its disclosure log goes on from the head that was kept; a hub
that was put back to an older state is asked nothing. After it, the hub shows the new head, which is
kept, and gets it back signed (`protocols.log_head`).
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from protocols.certified_span import (
    P1_DAYS,
    CertifiedSpanError,
    decode_span,
    span_in_words,
)
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import MAX_LE, CommandApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import WireError
from protocols.log_head import (
    CLA as LOG_CLA,
)
from protocols.log_head import (
    INS as LOG_INS,
)
from protocols.log_head import (
    LENGTH_SIZE,
    P1_KEEP,
    P1_SHOW,
    Countersigned,
    LogHead,
    LogHeadError,
    ShownHead,
)
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.put_key import put_static_keys
from protocols.told_outputs import NOT_SET
from utility_server.errors import ChannelBroken, HeadEndError, HubPutBack, HubRefused

HOST_CHALLENGE_SIZE: Final = 8
BUSY: Final = 0x9300
INCOMPLETE: Final = 0x6A83
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 15.0
_CHUNK: Final = 1 << 16

_MEANINGS: Final = {
    NOT_SET: "not set: the applet has never set this output",
    0x6400: "the applet failed; nothing was kept",
    0x6700: "wrong length",
    0x6982: "it may not tell: the resident has not consented to it, or not for these days; ask the"
    " resident, the reasons stay at home",
    0x6983: "asked too often",
    0x6985: "it may not tell: the resident's consents do not allow it, the state was gone on from"
    " before, or the days are a former resident's; the resident's log says which",
    0x6A80: "the question is not one it takes",
    0x6A81: "not supported there; for a bill: the hub has no feed-in register",
    0x6A82: "there is no such applet",
    INCOMPLETE: "days of the period are not certified yet",
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


class HeadKeeper(Protocol):
    """Keeps how far each hub's disclosure log has come."""

    def find(self, meter: bytes) -> LogHead | None:
        """Return the newest head of a meter's hub, None where none was kept."""

    def keep(self, meter: bytes, head: LogHead) -> Countersigned:
        """Keep a newer head and return it signed."""


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
        with self._connection(address) as transmit:
            client = CardClient(transmit)
            try:
                client.select(enrolment.applet)
                self._open(client, enrolment)
                kept = None if self.heads is None else self.heads.find(enrolment.meter)
                if kept is not None:
                    kept = self._follow(client, enrolment.meter, kept)
                response = client.send(command)
                if self.heads is not None:
                    head = self._follow(client, enrolment.meter, kept)
                    if head is not None:
                        client.send(
                            log_command(P1_KEEP, self.heads.keep(enrolment.meter, head).encode())
                        )
                days = self._certified(client, enrolment) if response.sw == INCOMPLETE else ""
            except CardRefused as refused:
                raise _refused(refused.sw) from None
            except RemoteChannelError as error:
                raise ChannelBroken(f"channel: {error}") from None
            except WireError as error:
                raise HeadEndError(f"{address}: {error}") from None
        if not response.is_success:
            raise _refused(response.sw, days)
        return response.data

    @staticmethod
    def _certified(client: CardClient, enrolment: Enrolment) -> str:
        """Return which days are certified, in words; nothing where the hub does not say."""
        told = client.send(log_command(P1_DAYS, enrolment.register))
        try:
            return span_in_words(decode_span(told.data)) if told.is_success else ""
        except CertifiedSpanError:
            return ""

    def replace_keys(self, address: Address, current: Enrolment, proposed: Enrolment) -> None:
        """Give the applet's channel new keys, by PUT KEY to its security domain.

        Nothing is sent if the hub has them already, from an attempt whose answer was lost. Raises
        as `ask`, and `HubRefused` where neither keys open the channel.
        """
        with self._connection(address) as transmit:
            client = CardClient(transmit)
            try:
                client.select(current.security_domain)
                try:
                    self._open(client, proposed)
                except (CardRefused, ChannelBroken):
                    client.select(current.security_domain)
                    self._open(client, current)
                    put_static_keys(
                        client, proposed.key_version, proposed.keys, replaces=current.key_version
                    )
            except CardRefused as refused:
                raise _refused(refused.sw) from None
            except RemoteChannelError as error:
                raise ChannelBroken(f"channel: {error}") from None
            except WireError as error:
                raise HeadEndError(f"{address}: {error}") from None

    def _open(self, client: CardClient, enrolment: Enrolment) -> None:
        challenge = self.randomness(HOST_CHALLENGE_SIZE)
        try:
            client.open_scp03(enrolment.keys, challenge, key_version=enrolment.key_version)
        except RemoteChannelError as error:
            # A hub answers as if to wrong keys where it has not the applet: it tells no stranger.
            reason = f"channel: {error}; or the applet is not on this hub any more"
            raise ChannelBroken(reason) from None

    def _follow(self, client: CardClient, meter: bytes, kept: LogHead | None) -> LogHead | None:
        """Return the hub's head, which follows the kept one; raise `HubPutBack` otherwise.

        None for a hub of release 0.1, which shows none.
        """
        deadline = time.monotonic() + self.timeout_seconds
        while True:
            known = b"" if kept is None else kept.length.to_bytes(LENGTH_SIZE, "big")
            response = client.send(log_command(P1_SHOW, known))
            try:
                if not response.is_success and kept is None:
                    return None
                if not response.is_success:
                    raise LogHeadError("the hub does not show its log, as it did before")
                shown = ShownHead.decode(response.data)
                if kept is None:
                    return shown.head
                kept = shown.after(kept)
            except LogHeadError as error:
                raise HubPutBack(meter, str(error)) from None
            if kept.length == shown.head.length:
                return kept
            if time.monotonic() >= deadline:  # a log without end must not hold us for ever
                raise TimeoutError("timed out")

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


def log_command(p1: int, data: bytes) -> CommandApdu:
    """Return a command about the log, to the platform."""
    return CommandApdu(LOG_CLA, LOG_INS, p1, 0, data, le=MAX_LE, extended=True)


def _refused(status_word: int, more: str = "") -> HubRefused:
    meaning = _MEANINGS.get(status_word, "see the hub's log")
    return HubRefused(status_word, f"{meaning}: {more}" if more else meaning)
