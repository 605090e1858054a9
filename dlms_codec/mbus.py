# SPDX-License-Identifier: Apache-2.0
"""M-Bus frames that carry DLMS (EN 13757-1, annex on transport; Austrian and Luxembourg meters).

    68 L L 68 | C | A | CI | source and destination access point, 2 bytes | piece | sum | 16

L counts from C on; above 255 it wraps. CI counts the segments in its low four bits; 10 marks the
last. Short frames (10 C A sum 16) and e5 are found, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from dlms_codec.errors import EncodingError
from dlms_codec.frames import Damage, DamageKind

LAST_SEGMENT: Final = 0x10
_START: Final = re.compile(b"[\x10\x68\xe5]").search


@dataclass(frozen=True, slots=True)
class MbusFrame:
    """A frame whose sum is right; of a short one, `piece` is empty and `ci` is None."""

    offset: int
    wire: bytes
    control: int | None
    address: int | None
    ci: int | None
    source: int | None
    destination: int | None
    piece: bytes

    @property
    def carries_dlms(self) -> bool:
        """Whether it is a segment of a DLMS message, not M-Bus data."""
        return self.ci is not None and self.ci < 0x20 and self.source is not None

    @property
    def segment(self) -> int:
        """The number of its segment."""
        return (self.ci or 0) & 0x0F

    @property
    def last(self) -> bool:
        """Whether no more segments follow."""
        return bool((self.ci or 0) & LAST_SEGMENT)


MbusEvent: TypeAlias = MbusFrame | Damage


def encode_mbus(
    control: int, address: int, ci: int, piece: bytes, *, source: int = 1, destination: int = 1
) -> bytes:
    """Return a long frame with a segment of a DLMS message."""
    body = bytes([control, address, ci, source, destination]) + piece
    if len(body) > 257:
        raise EncodingError(f"{len(body)} bytes are too many for an M-Bus frame")
    length = len(body) & 0xFF
    return bytes([0x68, length, length, 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])


class MbusDecoder:
    """Finds the frames in a stream of bytes that may be damaged; keeps at most one frame."""

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0

    def feed(self, data: bytes) -> list[MbusEvent]:
        """Take the next bytes; return the frames and the damage that they complete, in order."""
        return self._search(self._buffer + data, closing=False)

    def close(self) -> list[MbusEvent]:
        """End the stream; return what it cuts off."""
        events = self._search(self._buffer, closing=True)
        self._offset += len(self._buffer)
        self._buffer = b""
        return events

    def _search(self, buffer: bytes, *, closing: bool) -> list[MbusEvent]:
        events: list[MbusEvent] = []
        at, end = 0, len(buffer)
        while (start := _START(buffer, at)) is not None:
            at = start.start()
            first = buffer[at]
            if first == 0xE5:
                events.append(self._short(at, buffer[at : at + 1]))
                at += 1
                continue
            found = self._frame(buffer, at)
            if found is None:
                if not closing:
                    break
                if first == 0x68 and buffer[at + 1 : at + 2] == buffer[at + 2 : at + 3]:
                    kind, size = DamageKind.TRUNCATED, end - at
                    events.append(Damage(self._offset + at, size, kind, "runs past the end"))
                at += 1
            elif isinstance(found, MbusFrame):
                events.append(found)
                at += len(found.wire)
            else:
                if found.length:
                    events.append(found)
                at += 1
        else:
            at = end
        self._buffer = buffer[at:]
        self._offset += at
        return events

    def _short(self, at: int, wire: bytes) -> MbusFrame:
        control, address = (wire[1], wire[2]) if len(wire) == 5 else (None, None)
        return MbusFrame(self._offset + at, wire, control, address, None, None, None, b"")

    def _frame(self, buffer: bytes, at: int) -> MbusEvent | None:
        """Return the frame at `at`, what is wrong with it (of no length: noise), or None."""
        noise = Damage(self._offset + at, 0, DamageKind.BAD, "no frame begins here")
        if buffer[at] == 0x10:
            wire = buffer[at : at + 5]
            if len(wire) < 5:
                return None
            right = wire[4] == 0x16 and (wire[1] + wire[2]) & 0xFF == wire[3]
            return self._short(at, wire) if right else noise
        head = buffer[at : at + 4]
        if (len(head) > 2 and head[1] != head[2]) or (len(head) > 3 and head[3] != 0x68):
            return noise
        if len(head) < 4:
            return None
        length = head[1] if head[1] > 2 else head[1] + 256  # C, A and CI at least
        stop = at + 4 + length
        if stop + 2 > len(buffer):
            return None
        body = buffer[at + 4 : stop]
        if buffer[stop + 1] == 0x16 and sum(body) & 0xFF == buffer[stop]:
            return self._long(buffer, at, body, stop + 2)
        return Damage(self._offset + at, length + 6, DamageKind.BAD, "checksum")

    def _long(self, buffer: bytes, at: int, body: bytes, stop: int) -> MbusFrame:
        has_points = len(body) >= 5
        return MbusFrame(
            self._offset + at,
            buffer[at:stop],
            body[0],
            body[1],
            body[2],
            body[3] if has_points else None,
            body[4] if has_points else None,
            body[5:],
        )
