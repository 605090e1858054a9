# SPDX-License-Identifier: Apache-2.0
"""Finds frames in a stream of bytes that may be damaged.

`FrameDecoder` takes the stream in pieces of any size. It finds every intact frame, whatever
happened between them, keeps at most one frame in memory and looks at each byte a bounded number of
times. It does no I/O.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import Final

from sml_codec import _make as make
from sml_codec.crc import REFLECTED, X25_RESIDUE, Crc
from sml_codec.frames import END, ESCAPE, START, START_V2, Damage, DamageKind, Event, Frame
from sml_codec.options import DEFAULT_LIMITS, Quirk, SmlLimits

RETRIES: Final = 8
"""How many starts within a damaged frame are tried; bounds the work on hostile bytes."""

_X25: Final = Crc.X25  # looked up once: members of an enum are slow to get at


class FrameDecoder:
    """Finds the frames in a stream.

    Feed it the bytes as they come; `close` says that no more will. The events are the same however
    the stream is cut.
    """

    def __init__(self, *, limits: SmlLimits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL) -> None:
        self._longest = limits.frame
        self._quirks = quirks
        self._buffer: bytes | bytearray = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._begin = 0  # where in the buffer the frame starts, or the search for one
        self._inside = False
        self._scan = 0  # no escape sequence of this frame lies between its start and here
        self._escaped: list[int] = []  # the literal escape sequences, from the frame's start
        self._events: list[Event] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the frames and the damage that they complete, in order."""
        if self._buffer:
            self._buffer += data
        else:
            self._buffer = bytes(data)
        while self._find_end() if self._inside else self._find_start():
            pass
        self._forget(self._begin)
        events, self._events = self._events, []
        return events

    def close(self) -> list[Event]:
        """End the stream; return the damage to the frame that it cuts off."""
        if self._inside:
            self._report(DamageKind.TRUNCATED, len(self._buffer), ("truncated",))
        self._forget(len(self._buffer))
        self._inside = False
        events, self._events = self._events, []
        return events

    def _forget(self, count: int) -> None:
        if isinstance(self._buffer, bytearray):
            del self._buffer[:count]
        else:
            self._buffer = bytearray(self._buffer[count:])
        self._offset += count
        self._scan -= count
        self._begin = 0

    def _find_start(self) -> bool:
        """Go to the next start of a frame; return whether there is one."""
        buffer, begin = self._buffer, self._begin
        start = buffer.find(START, begin)
        if start != begin and self._refuse_version_2(start):
            return True
        if start < 0:
            self._begin = max(begin, len(buffer) - len(START) + 1)
            return False
        self._begin = start
        self._scan = start + len(START)
        self._escaped = []
        self._inside = True
        return True

    def _refuse_version_2(self, end: int) -> bool:
        """Pass a start of version 2 before `end`; return whether there is one."""
        end = end if end >= 0 else len(self._buffer)
        start = self._buffer.find(START_V2, self._begin, end)
        if start < 0:
            return False
        reasons = ("transport protocol version 2",)
        place = self._offset + start
        self._events.append(Damage(place, len(START_V2), DamageKind.VERSION_2, reasons, b""))
        self._begin = start + len(START_V2)
        return True

    def _find_end(self) -> bool:
        """Go to the next escape sequence of the frame; return whether there is one."""
        buffer = self._buffer
        at = buffer.find(ESCAPE, self._scan)
        end = at + 8
        if at < 0 or end > len(buffer):
            self._scan = at if at >= 0 else max(self._scan, len(buffer) - len(ESCAPE) + 1)
            return len(buffer) - self._begin > self._longest and self._give_up()
        if end - self._begin > self._longest:
            return self._give_up()
        code = buffer[at + 4]
        if code == END:
            self._finish(end)
        elif code == 0x1B and buffer.startswith(ESCAPE, at + 4):
            self._escaped.append(at - self._begin)
            self._scan = end
        elif code == 1 and buffer.startswith(START, at):
            self._report(DamageKind.RESTART, at, ("restart",))
            self._begin = at
            self._inside = False
        else:
            self._scan = at + 1  # four of more than four: the sequence may start with the next byte
        return True

    def _give_up(self) -> bool:
        """Report a frame that is longer than allowed; go on with the last start within it."""
        end = self._begin + self._longest
        last = self._buffer.rfind(START, self._begin + 1, end)
        self._report(DamageKind.BAD, end, (f"longer than {self._longest} bytes",))
        self._begin = last if last >= 0 else end - len(START) + 1
        self._inside = False
        return True

    def _finish(self, end: int) -> None:
        """Check the frame that ends here."""
        buffer = self._buffer
        piece = buffer[self._begin : end]
        wire = piece if isinstance(piece, bytes) else bytes(piece)
        offset = self._offset + self._begin
        frame = _checked(wire, self._escaped, offset, self._quirks)
        if isinstance(frame, Frame):
            self._events.append(frame)
            intact = True
        else:
            intact = self._recover(wire, frame)
        # A frame cut short takes the start of the next for its own last bytes (and is even intact
        # if its checksum ends in 1b): the next may start up to three bytes before this end.
        self._begin = end if intact and wire[-1] != ESCAPE[0] else end - 3
        self._inside = False

    def _recover(self, wire: bytes, damage: Damage) -> bool:
        """Look for an intact frame in the tail of a damaged one; return whether there is one.

        If the damaged frame was cut off within an escape sequence, the start of the next looks like
        a literal: 1b1b1b1b (1b1b1b1b 01010101).
        """
        start = 0
        for _ in range(RETRIES):
            start = wire.find(START, start + 1)
            if start < 0:
                break
            frame = _checked(
                wire[start:], _literals(wire, start), damage.offset + start, self._quirks
            )
            if isinstance(frame, Frame):
                self._report(DamageKind.RESTART, self._begin + start, ("restart",))
                self._events.append(frame)
                return True
        self._events.append(damage)
        return False

    def _report(self, kind: DamageKind, end: int, reasons: tuple[str, ...]) -> None:
        wire = bytes(self._buffer[self._begin : end])
        payload = _unescaped(wire, self._escaped, len(wire))
        offset = self._offset + self._begin
        self._events.append(Damage(offset, len(wire), kind, reasons, payload))


def _checked(wire: bytes, escaped: list[int], offset: int, quirks: Quirk) -> Event:
    """Return the frame, or what is wrong with it."""
    crc: Crc | None = None
    if crc_hqx(wire.translate(REFLECTED), 0xFFFF) == X25_RESIDUE:
        crc = _X25
    elif Crc.KERMIT.of(wire[:-2]).to_bytes(2, "big") == wire[-2:] and Quirk.KERMIT_CRC in quirks:
        crc = Crc.KERMIT
    payload = _unescaped(wire, escaped, len(wire) - 8) if escaped else wire[8:-8]
    padding = wire[-3]
    content = len(payload) - padding
    most = 3 if padding < 4 or Quirk.PADDING_4 not in quirks else 4
    if crc is not None and len(wire) % 4 == 0 and padding <= most and content >= 0:
        return make.frame(offset, wire, payload[:content], payload[content:], crc)
    reasons = []
    if crc is None:
        reasons.append("frame crc")
    if len(wire) % 4:
        reasons.append(f"length {len(wire)} not multiple of 4")
    if padding > most or content < 0:
        reasons.append(f"padding {padding}")
    return Damage(offset, len(wire), DamageKind.BAD, tuple(reasons), payload)


def _unescaped(wire: bytes, escaped: list[int], end: int) -> bytes:
    """Return what lies between the start of a frame and `end`, literal escapes once."""
    if not escaped:
        return wire[len(START) : end]
    parts, begin = [], len(START)
    for at in escaped:
        parts.append(wire[begin:at])
        begin = at + len(ESCAPE)
    parts.append(wire[begin:end])
    return b"".join(parts)


def _literals(wire: bytes, start: int) -> list[int]:
    """Return where the literal escape sequences of the frame at `start` stand, from there."""
    found, scan = [], start + len(START)
    while (at := wire.find(ESCAPE, scan)) >= 0:
        literal = wire.startswith(ESCAPE, at + len(ESCAPE))
        if literal:
            found.append(at - start)
        scan = at + (2 * len(ESCAPE) if literal else 1)
    return found
