# SPDX-License-Identifier: Apache-2.0
"""Asking a meter for its readout, without I/O: both ends of IEC 62056-21, modes A, B and C.

    reader                                  meter
    /?00112233! CR LF  --->                                 at 300 baud, seven bits, even parity
                       <---  /XXX5identification CR LF
    ACK 0 5 0 CR LF    --->                                 mode C: take speed 5, read out
                       <---  STX lines ! CR LF ETX BCC      at 9600 baud
    NAK                --->                                 if the block check is wrong
                       <---  the same again

In mode B the meter changes its speed unasked, in mode A nobody does. The character after the three
letters says which speed, and so which mode. A meter in mode D sends by itself, at 2400 baud:
`StreamDecoder` reads it.

Each end takes bytes and returns what is to be done, in order: `Send`, `SetSpeed`, `Finished`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from meter_codecs.p1.errors import ChecksumMismatch, MalformedP1, SessionError
from meter_codecs.p1.telegram import Framing, Telegram, read_telegram

FIRST_SPEED: Final = 300
MODE_C: Final = {
    "0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200,
}  # fmt: skip
MODE_B: Final = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19200}

ACK: Final = b"\x06"
NAK: Final = b"\x15"
TRIES: Final = 3
"""How often a reader asks, and how often it takes a block with a wrong check."""
LONGEST: Final = 65536

_IDENTIFICATION: Final = re.compile(rb"/([A-Za-z]{3})(.)?[^\r\n]{0,60}\r\n")
_REQUEST: Final = re.compile(rb"/\?([0-9A-Za-z ]{0,32})!\r\n")
_ACKNOWLEDGEMENT: Final = re.compile(rb"\x060([0-9])0\r\n")
_REPEAT: Final = re.compile(NAK)
_BLOCK: Final = re.compile(rb"\x02[^\x03]*\x03.", re.DOTALL)
_PLAIN: Final = re.compile(rb"(?:[^\x02\n]*\n)*?!\r\n")


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes, `pause` seconds after the last ones came."""

    data: bytes
    pause: float = 0.2


@dataclass(frozen=True, slots=True)
class SetSpeed:
    """Change the line to this many baud, once all that was sent has left."""

    baud: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The meter has told everything."""

    telegram: Telegram


Action: TypeAlias = Send | SetSpeed | Finished


class _Phase(enum.Enum):
    IDENTIFICATION = "an identification"
    DATA = "data"
    OVER = "nothing more"


class ReadoutClient:
    """The reader's end of one readout.

    Do what `start` says, then what `receive` says to the bytes that come; call `timed_out` when
    none come for 1.5 seconds.
    """

    def __init__(
        self, address: str = "", *, fastest: int | None = None, longest: int = LONGEST
    ) -> None:
        """`address` is for several meters on a line, `fastest` for a line slower than the meter."""
        self._request = f"/?{address}!\r\n".encode("ascii", "replace")
        if _REQUEST.fullmatch(self._request) is None:
            raise SessionError(f"an address has letters and digits, 32 at most: {address!r}")
        self._fastest = fastest
        self._longest = longest
        self._phase = _Phase.IDENTIFICATION
        self._buffer = bytearray()
        self._head = b""
        self._sent = self._request
        self._tries = 1

    def start(self) -> list[Action]:
        """Return how to begin."""
        return [SetSpeed(FIRST_SPEED), Send(self._request, 0)]

    def receive(self, data: bytes) -> list[Action]:
        """Take bytes from the meter; raise `SessionError` if it does not keep to the rules."""
        if self._phase is _Phase.OVER:
            return []
        self._buffer += data
        actions: list[Action] = []
        if self._phase is _Phase.IDENTIFICATION:
            actions = self._identification()
        if self._phase is _Phase.DATA:
            actions += self._data()
        if len(self._buffer) > self._longest:
            raise SessionError(f"more than {self._longest} bytes came, and no end of the data")
        return actions

    def timed_out(self) -> list[Action]:
        """Return what to do when no bytes came in time; raise `SessionError` when it is no use."""
        if self._phase is _Phase.OVER:
            return []
        self._tries += 1
        if self._tries > TRIES:
            raise SessionError(f"the meter sent no end of {self._phase.value}, asked {TRIES} times")
        self._phase = _Phase.IDENTIFICATION
        self._buffer.clear()
        return self.start()

    def _identification(self) -> list[Action]:
        """Answer the identification; what comes before it, an echo perhaps, is passed."""
        match = _IDENTIFICATION.search(bytes(self._buffer))
        if match is None:
            return []
        self._head = match[0]
        del self._buffer[: match.end()]
        self._phase = _Phase.DATA
        character = (match[2] or b"").decode("latin-1")
        # A third letter in lower case says that the meter answers within 20 ms (6.3.2, item 12).
        pause = 0.02 if match[1][2:].islower() else 0.2
        if character in MODE_B:
            return [SetSpeed(MODE_B[character])]
        if character not in MODE_C:
            return []
        speed = max(
            (s for s in MODE_C.values() if s <= min(MODE_C[character], self._fastest or s)),
            default=FIRST_SPEED,
        )
        digit = next(digit for digit, baud in MODE_C.items() if baud == speed)
        self._sent = ACK + f"0{digit}0\r\n".encode()
        return [Send(self._sent, pause), SetSpeed(speed)]

    def _data(self) -> list[Action]:
        if self._buffer.startswith(self._sent):  # an optical head may echo what it sends
            del self._buffer[: len(self._sent)]
        match = _BLOCK.search(self._buffer) or _PLAIN.match(self._buffer)
        if match is None:
            return []
        wire = self._head + bytes(match[0])
        del self._buffer[: match.end()]
        try:
            telegram = read_telegram(wire.removesuffix(b"\r\n"))
        except (ChecksumMismatch, MalformedP1) as error:
            self._tries += 1
            if self._tries > TRIES:
                raise SessionError(f"{TRIES} blocks came, and none was whole: {error}") from error
            self._buffer.clear()
            self._sent = NAK
            return [Send(NAK)]
        self._phase = _Phase.OVER
        return [Finished(telegram), SetSpeed(FIRST_SPEED)]


class ReadoutServer:
    """The meter's end: answers readers with what `telegram` returns.

    Its identification's fourth character says the mode and the speed. A reader that asks for
    another address is not answered.
    """

    def __init__(self, telegram: Callable[[], Telegram], *, address: str = "") -> None:
        self._telegram = telegram
        self._address = address
        self._buffer = bytearray()
        self._block = b""

    def receive(self, data: bytes) -> list[Action]:
        """Take bytes from a reader; return what to do."""
        self._buffer += data
        actions: list[Action] = []
        while (found := self._answer()) is not None:
            actions += found
        del self._buffer[:-64]  # no request is longer
        return actions

    def _answer(self) -> list[Action] | None:
        """Answer the first thing in the buffer that is one; None if nothing is."""
        buffer = bytes(self._buffer)
        candidates = [p.search(buffer) for p in (_REQUEST, _ACKNOWLEDGEMENT, _REPEAT)]
        match = min((m for m in candidates if m), key=lambda m: m.start(), default=None)
        if match is None:
            return None
        del self._buffer[: match.end()]
        if match.re is _REQUEST:
            return self._begin(match[1].decode())
        if not self._block:
            return []
        if match.re is _ACKNOWLEDGEMENT:
            speed = MODE_C.get(match[1].decode(), FIRST_SPEED)
            return [SetSpeed(speed), Send(self._block)]
        return [Send(self._block)]

    def _begin(self, address: str) -> list[Action]:
        if address.lstrip("0") not in {"", self._address.lstrip("0")}:
            return []
        telegram = replace(self._telegram(), framing=Framing.BLOCK, acknowledgement="")
        wire = telegram.encode()
        head, _, _ = wire.partition(b"\x02")
        self._block = wire[len(head) :]
        character = telegram.identification[3:4]
        actions: list[Action] = [SetSpeed(FIRST_SPEED), Send(head)]
        if character in MODE_C:
            return actions
        if character in MODE_B:
            actions.append(SetSpeed(MODE_B[character]))
        return [*actions, Send(self._block)]
