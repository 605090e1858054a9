# SPDX-License-Identifier: Apache-2.0
"""Finds telegrams in a stream of bytes that may be damaged.

`StreamDecoder` takes the stream in pieces of any size. It finds every intact telegram, in the clear
or enciphered, keeps at most one in memory, and looks at each byte a bounded number of times. It
does no I/O.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from meter_codecs.p1.crc import from_seven_bits
from meter_codecs.p1.envelope import START as SEALED
from meter_codecs.p1.envelope import Ciphering, Envelope, Opened, measure
from meter_codecs.p1.errors import CannotDecipher, P1Error
from meter_codecs.p1.telegram import TURN, Telegram, read_telegram

LONGEST: Final = 65536
"""The longest frame that is waited for, unless the caller says otherwise."""

LONGEST_SEALED: Final = 8192
"""The longest enciphered frame; only its length says where it ends, and noise may say anything."""

CUT: Final = "the stream ends in it"
ANOTHER: Final = "another telegram begins in this one"

_START: Final = re.compile(rb"/[A-Za-z]{3}|\xdb\x08")
_AGAIN: Final = re.compile(rb"/[A-Za-z]{3}")
_CLOCK: Final = re.compile(rb"\n0-0:1\.0\.0(?:\*255)?\(")
_BLOCK: Final = re.compile(rb"[^\n]*\n(?:\x06[0-9A-Z]{3}\r\n)?\x02")
_KEEP: Final = 4
"""How many bytes a start may have that is not all there yet, or a turn, less one."""
_HEX: Final = frozenset(b"0123456789ABCDEFabcdef")
SLASH: Final = 0x2F
MARK: Final = 0x21  # !
_LINE_ENDS: Final = frozenset(b"\r\n")


class DamageKind(enum.Enum):
    """How a frame was damaged."""

    BAD = "bad"
    """It is whole, but its checksum or a line is wrong."""
    TRUNCATED = "truncated"
    """The stream ends in it."""
    RESTART = "restart"
    """Another begins in it."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that began like a telegram and are none."""

    offset: int
    length: int
    kind: DamageKind
    reason: str


@dataclass(frozen=True, slots=True)
class Undeciphered:
    """An enciphered telegram that stays closed; `is_forged` says that its tag is wrong."""

    offset: int
    length: int
    envelope: Envelope
    reason: str
    is_forged: bool


Event: TypeAlias = Telegram | Undeciphered | Damage


class Decipher(Protocol):
    """What opens enciphered telegrams: `ciphering.P1Keys`, or a vault that holds the keys."""

    def decipher(self, envelope: Envelope) -> Opened:
        """Return what is inside; raise `CannotDecipher` if it cannot be told."""
        ...


class StreamDecoder:
    """Finds the telegrams of a stream.

    Feed it the bytes as they come; `close` says that no more will. The events are the same however
    the stream is cut.
    """

    def __init__(
        self,
        *,
        keys: Decipher | None = None,
        longest: int = LONGEST,
        seven_bits: bool = False,
    ) -> None:
        """`seven_bits` is for a line of seven bits and even parity that is read with eight."""
        self._keys = keys
        self._longest = longest
        self._seven_bits = seven_bits
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._begin = 0  # where in the buffer a frame starts, or the search for one
        self._scan = 0  # no end of this frame lies before here
        self._inside = False
        self._closing = False
        self._events: list[Event] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the telegrams and the damage that they complete, in order."""
        self._buffer += from_seven_bits(data) if self._seven_bits else data
        return self._run()

    def close(self) -> list[Event]:
        """End the stream; return what it cuts off."""
        self._closing = True
        events = self._run()
        self._closing = False
        self._offset += len(self._buffer)
        self._buffer.clear()
        self._begin = 0
        self._inside = False
        return events

    def _run(self) -> list[Event]:
        while self._find_end() if self._inside else self._find_start():
            pass
        begin = self._begin
        del self._buffer[:begin]
        self._offset += begin
        self._scan = max(0, self._scan - begin)
        self._begin = 0
        events, self._events = self._events, []
        return events

    def _find_start(self) -> bool:
        """Go to the next start of a frame; return whether there is one."""
        match = _START.search(self._buffer, self._begin)
        if match is None:
            self._begin = max(self._begin, len(self._buffer) - _KEEP + 1)
            return False
        self._begin = match.start()
        self._scan = match.end()
        self._inside = True
        return True

    def _find_end(self) -> bool:
        """Go to the end of the frame; return whether it was there."""
        if self._buffer[self._begin] == SEALED[0]:
            return self._find_sealed_end()
        turn = TURN.search(self._buffer, self._scan)
        if turn is None:
            self._scan = max(self._scan, len(self._buffer) - _KEEP)
            return self._wait()
        if turn.end() - self._begin > self._longest:
            return self._give_up()
        if self._buffer[turn.end() - 1] != MARK:
            at = turn.start() + 1
            return self._damage(at, DamageKind.RESTART, ANOTHER, at)
        at = turn.end() - 1
        end = self._end_of_tail(at)
        if end is None:
            self._scan = turn.start()
            return self._wait()
        if self._buffer[end - 1] == SLASH and self._buffer[at + 1] not in _LINE_ENDS:
            return self._damage(end - 1, DamageKind.RESTART, ANOTHER, end - 1)
        if end - self._begin > self._longest:
            return self._give_up()
        return self._finish(end)

    def _end_of_tail(self, mark: int) -> int | None:
        """Return where the frame ends whose `!` is at `mark`; None if more bytes are needed."""
        buffer, size, at = self._buffer, len(self._buffer), mark + 1
        if _BLOCK.match(buffer, self._begin):
            end = at + (buffer[at : at + 1] == b"\r") + 3
            return end if end <= size else None
        while at < size and at < mark + 5 and buffer[at] in _HEX:
            at += 1
        if at == mark + 5:
            return at
        if at < size:  # what stands where a digit should is taken along, for the check to see it
            return at if buffer[at] in _LINE_ENDS else at + 1
        return at if self._closing and self._may_end(mark, at) else None

    def _may_end(self, mark: int, at: int) -> bool:
        """Whether a stream may end right after `!`: where the telegram is of a kind without CRC."""
        return at > mark + 1 or _CLOCK.search(self._buffer, self._begin, mark) is None

    def _finish(self, end: int) -> bool:
        """Check the frame that ends here."""
        buffer, begin = self._buffer, self._begin
        wire = bytes(buffer[begin:end])
        try:
            self._events.append(read_telegram(wire, offset=self._offset + begin))
        except P1Error as error:
            last = _last_start(wire)
            if last:
                self._damage(begin + last, DamageKind.RESTART, ANOTHER, begin + last)
                self._begin = begin + last
                return self._finish(end)
            return self._damage(end, DamageKind.BAD, getattr(error, "reason", str(error)), end)
        self._begin = end
        self._inside = False
        return True

    def _find_sealed_end(self) -> bool:
        """Go to the end of an enciphered frame; return whether it was there."""
        size = measure(self._buffer, self._begin)
        if size is None:
            return self._wait()
        if size == 0 or size > min(self._longest, LONGEST_SEALED):
            self._begin += 1  # it only looked like a frame
            self._inside = False
            return True
        begin, end = self._begin, self._begin + size
        header = self._buffer[begin : begin + 10]
        again = self._buffer.find(header, begin + 1, end)
        if again >= 0:
            return self._damage(
                again, DamageKind.RESTART, "another frame begins in this one", again
            )
        if end > len(self._buffer):
            if self._closing:  # noise may look like the start of one: what is behind it counts
                end = len(self._buffer)
                return self._damage(end, DamageKind.TRUNCATED, CUT, begin + 1)
            return False
        envelope = Envelope.decode(bytes(self._buffer[begin:end]))
        event = self._open(envelope, self._offset + begin, size)
        self._events.append(event)
        self._begin = end
        if isinstance(event, Undeciphered):  # if it was cut, the next one may begin near its end
            tails = (end - k for k in range(9, 0, -1) if self._buffer.endswith(header[:k], 0, end))
            self._begin = next(tails, end)
        self._inside = False
        return True

    def _open(self, envelope: Envelope, offset: int, length: int) -> Event:
        if self._keys is None:
            return Undeciphered(offset, length, envelope, "enciphered, and no key is given", False)
        try:
            opened = self._keys.decipher(envelope)
        except CannotDecipher as error:
            return Undeciphered(offset, length, envelope, error.reason, error.is_forged)
        try:
            return _unpack(opened, envelope, offset)
        except P1Error as error:
            reason = f"what is inside is no P1 telegram: {error}"
            if not opened.is_authenticated and not opened.plain.startswith(b"/"):
                reason = "the enciphering key is wrong, or the frame was damaged"
            return Undeciphered(offset, length, envelope, reason, False)

    def _wait(self) -> bool:
        """Wait for more of the frame; at the end of the stream it is cut off."""
        if len(self._buffer) - self._begin > self._longest:
            return self._give_up()
        if self._closing:
            end = len(self._buffer)
            return self._damage(end, DamageKind.TRUNCATED, CUT, end)
        return False

    def _give_up(self) -> bool:
        """Report a frame that is longer than allowed; go on with the last start within it."""
        end = self._begin + self._longest
        last = _last_start(bytes(self._buffer[self._begin : end]))
        resume = self._begin + last if last else end - _KEEP + 1
        reason = f"longer than {self._longest} bytes"
        return self._damage(resume, DamageKind.BAD, reason, resume)

    def _damage(self, end: int, kind: DamageKind, reason: str, resume: int) -> bool:
        begin = self._begin
        self._events.append(Damage(self._offset + begin, end - begin, kind, reason))
        self._begin = resume
        self._inside = False
        return True


def _last_start(wire: bytes) -> int:
    """Return where the last start within a frame is, 0 if there is none but its own."""
    found = 0
    for match in _AGAIN.finditer(wire, 1):
        found = match.start()
    return found


def _unpack(opened: Opened, envelope: Envelope, offset: int) -> Telegram:
    """Return the telegram inside; a line end may follow it."""
    inside = opened.plain.rstrip(b"\r\n\0")
    ciphering = Ciphering(
        envelope.system_title,
        envelope.security,
        envelope.counter,
        opened.is_authenticated,
        envelope.length_octets,
        opened.plain[len(inside) :],
    )
    return read_telegram(inside, offset=offset, ciphering=ciphering)


def decode_stream(
    data: bytes,
    *,
    keys: Decipher | None = None,
    longest: int = LONGEST,
    seven_bits: bool = False,
) -> list[Event]:
    """Return the telegrams of a whole capture, intact and damaged, in order."""
    decoder = StreamDecoder(keys=keys, longest=longest, seven_bits=seven_bits)
    return decoder.feed(data) + decoder.close()
