# SPDX-License-Identifier: Apache-2.0
"""Finds messages in a stream of bytes that may be damaged.

`StreamDecoder` takes the stream in pieces of any size, and keeps at most one message in memory. It
does no I/O. The line runs at 57600 baud (CC128, EnviR; the Classic at 9600 or 2400), eight bits.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from meter_codecs.currentcost.errors import MalformedMessage
from meter_codecs.currentcost.message import Message, read_message

LONGEST: Final = 16384
"""The longest message that is waited for, unless the caller says otherwise."""

_START: Final = b"<msg>"
_END: Final = b"</msg>"


class DamageKind(enum.Enum):
    """How a message was damaged."""

    BAD = "bad"
    """It is whole, but is none."""
    HEADLESS = "headless"
    """Its beginning is missing."""
    TRUNCATED = "truncated"
    """The stream ends in it."""
    RESTART = "restart"
    """Another begins in it."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are part of a message and make none."""

    offset: int
    length: int
    kind: DamageKind
    reason: str


Event: TypeAlias = Message | Damage


class StreamDecoder:
    """Finds the messages of a stream.

    Feed it the bytes as they come; `close` says that no more will. The events are the same however
    the stream is cut.
    """

    def __init__(self, *, longest: int = LONGEST) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._scan = 0
        self._inside = False
        self._noise: int | None = None  # where bytes outside a message begin, but for blanks
        self._has_tags = False  # whether they have a bracket
        self._events: list[Event] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the messages and the damage that they complete, in order."""
        self._buffer += data
        while self._find_end() if self._inside else self._find_start():
            pass
        events, self._events = self._events, []
        return events

    def close(self) -> list[Event]:
        """End the stream; return what it cuts off."""
        size = len(self._buffer)
        if self._inside:
            self._damage(size, DamageKind.TRUNCATED, "the stream ends in it")
        else:
            self._pass(size)
            self._end_noise()
        self._inside = False
        events, self._events = self._events, []
        return events

    def _find_start(self) -> bool:
        """Go to the next start of a message; return whether there is one."""
        start = self._buffer.find(_START)
        if start < 0:
            self._pass(max(0, len(self._buffer) - len(_START) + 1))
            return False
        self._pass(start)
        self._end_noise()
        self._inside = True
        self._scan = len(_START)
        return True

    def _pass(self, count: int) -> None:
        """Go past bytes outside a message."""
        skipped = self._buffer[:count]
        rest = skipped.lstrip()
        if rest and self._noise is None:
            self._noise = self._offset + count - len(rest)
        self._has_tags = self._has_tags or b"<" in rest or b">" in rest
        self._forget(count)

    def _end_noise(self) -> None:
        if self._noise is not None and self._has_tags:
            length = self._offset - self._noise
            reason = "it begins inside a message"
            self._events.append(Damage(self._noise, length, DamageKind.HEADLESS, reason))
        self._noise = None
        self._has_tags = False

    def _find_end(self) -> bool:
        """Go to the end of the message; return whether it was there."""
        buffer = self._buffer
        close = buffer.find(_END, self._scan)
        limit = close if close >= 0 else len(buffer)
        again = buffer.find(_START, self._scan, limit)
        if again >= 0 and again + len(_START) <= self._longest:
            self._damage(again, DamageKind.RESTART, "another message begins in this one")
            return True
        end = close + len(_END)
        if close < 0 or end > self._longest:
            if limit > self._longest or close >= 0:
                reason = f"longer than {self._longest} bytes"
                self._damage(self._longest, DamageKind.BAD, reason)
                return True
            self._scan = max(self._scan, len(buffer) - len(_END) + 1)
            return False
        try:
            self._events.append(read_message(bytes(buffer[:end]), offset=self._offset))
        except MalformedMessage as error:
            self._damage(end, DamageKind.BAD, str(error))
            return True
        self._forget(end)
        self._inside = False
        return True

    def _damage(self, end: int, kind: DamageKind, reason: str) -> None:
        self._events.append(Damage(self._offset, end, kind, reason))
        self._forget(end)
        self._inside = False

    def _forget(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count
        self._scan = 0


def decode_stream(data: bytes, *, longest: int = LONGEST) -> list[Event]:
    """Return the messages of a whole capture, intact and damaged, in order."""
    decoder = StreamDecoder(longest=longest)
    return decoder.feed(data) + decoder.close()
