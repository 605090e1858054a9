# SPDX-License-Identifier: Apache-2.0
"""Finds wired M-Bus frames in a stream of bytes that may be damaged.

`StreamDecoder` takes the stream in pieces of any size. It finds every intact frame, whatever
happened between them, and keeps at most one frame in memory. It does no I/O and has no clock: who
reads from a line calls `close` when it has been silent for too long.
"""

from __future__ import annotations

from meter_codecs.mbus.errors import MbusError
from meter_codecs.mbus.frames import (
    ACK,
    LONG,
    SHORT,
    STOP,
    Damage,
    DamageKind,
    Event,
    Received,
    decode_frame,
)

_WAIT = -1
_NONE = 0


class StreamDecoder:
    """Finds the frames in a stream; the events are the same however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._noise = 0  # bytes before the buffer that began no frame

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the frames and the damage that they complete, in order."""
        self._buffer += data
        return self._work(closing=False)

    def close(self) -> list[Event]:
        """End the stream, or note a silence; return what it cuts off."""
        events = self._work(closing=True)
        self._end_noise(events)
        return events

    @property
    def is_idle(self) -> bool:
        """Whether no frame is begun."""
        return not self._buffer

    def _work(self, *, closing: bool) -> list[Event]:
        events: list[Event] = []
        buffer, at = bytes(self._buffer), 0
        while at < len(buffer):
            size = _size(buffer, at, len(buffer))
            if size == _WAIT and not closing:
                break
            if size == _WAIT:
                at = self._cut_off(buffer, at, events)
            elif size == _NONE:
                self._noise += 1
                at += 1
            elif at + size > len(buffer):
                if not closing:
                    break
                at = self._cut_off(buffer, at, events)
            else:
                at = self._finish(buffer, at, size, events)
        del self._buffer[:at]
        self._offset += at
        return events

    def _finish(self, buffer: bytes, at: int, size: int, events: list[Event]) -> int:
        """Check the frame that is all there; return where to go on."""
        wire = buffer[at : at + size]
        try:
            frame = decode_frame(wire)
        except MbusError as error:
            return self._damaged(buffer, at, at + size, DamageKind.BAD, str(error), events)
        self._end_noise(events, at)
        events.append(Received(self._offset + at, frame, wire))
        return at + size

    def _cut_off(self, buffer: bytes, at: int, events: list[Event]) -> int:
        reason = f"cut off after {len(buffer) - at} bytes"
        return self._damaged(buffer, at, len(buffer), DamageKind.TRUNCATED, reason, events)

    def _damaged(
        self, buffer: bytes, at: int, end: int, kind: DamageKind, reason: str, events: list[Event]
    ) -> int:
        """Report the frame at `at`; return where the next may begin within it, or its end."""
        again = next((i for i in range(at + 1, end) if _is_start(buffer, i, end)), end)
        self._end_noise(events, at)
        events.append(Damage(self._offset + at, again - at, kind, reason))
        return again

    def _end_noise(self, events: list[Event], at: int = 0) -> None:
        if self._noise:
            offset = self._offset + at - self._noise
            reason = "no frame begins here"
            events.append(Damage(offset, self._noise, DamageKind.NOISE, reason))
            self._noise = 0


def _size(buffer: bytes, at: int, end: int) -> int:
    """Return the size of the frame that begins here, `_NONE` or `_WAIT` for more bytes."""
    first = buffer[at]
    if first == ACK:
        return 1
    if first == SHORT:
        return 5
    if first != LONG:
        return _NONE
    if at + 4 > end:
        # as far as it goes it must look like 68 L L 68
        return _NONE if at + 3 == end and buffer[at + 1] != buffer[at + 2] else _WAIT
    size = buffer[at + 1]
    return size + 6 if size == buffer[at + 2] and buffer[at + 3] == LONG and size >= 3 else _NONE


def _is_start(buffer: bytes, at: int, end: int) -> bool:
    """Whether a frame may begin within a damaged one, as far as the bytes before `end` tell."""
    first = buffer[at]
    if first == LONG:
        return _size(buffer, at, end) != _NONE
    if first != SHORT:
        return False
    if at + 5 > end:
        return True
    return buffer[at + 1] + buffer[at + 2] & 0xFF == buffer[at + 3] and buffer[at + 4] == STOP


def decode_stream(data: bytes) -> list[Event]:
    """Return the frames and the damage of a whole capture, in order."""
    decoder = StreamDecoder()
    return decoder.feed(data) + decoder.close()
