# SPDX-License-Identifier: Apache-2.0
"""What receivers of wireless M-Bus hand on, cut into frames: raw bytes, or a line for each.

    2e44...                     a frame, as bytes, with its checksums or without; L says how long
    b2E44931...                 CUL: `b`, for mode C perhaps `Y`, the frame, what was measured
    T1;1;1;...;0x2e449315...    rtl-wmbus: whether the checksums were right, and the frame
    2E449315...                 a frame as hex alone

A frame begins with its length, a control byte that meters send, and a maker's three letters.
Anything else is passed over, byte by byte, until one does.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from hub.meters.telegrams import LostBytes
from meter_codecs.mbus import MbusError, decode_link
from meter_codecs.mbus.crc import crc16
from meter_codecs.mbus.link import FrameFormat

CONTROLS: Final = frozenset({0x08, 0x44, 0x46, 0x47, 0x48})
"""RSP_UD, SND_NR, SND_IR, ACC_NR, ACC_DMD: what meters send."""
HEAD: Final = 10
SHORTEST_LENGTH: Final = 10
MODE_C: Final = (b"\x54\xcd", b"\x54\x3d")
LONGEST_FRAME: Final = 2 + 256 + 2 * 17
LINE_START: Final = 16
"""Bytes by which a line is told from a frame."""
LONGEST_LINE: Final = 2 * LONGEST_FRAME + 160
MOST_MEASURED: Final = 2
"""Bytes that a CUL puts behind a frame: signal strength and quality."""
_LINE: Final = re.compile(rb"[\x20-\x7e]*\r?\n")
_TEXT: Final = re.compile(rb"[\x20-\x7e]*\r?")
_HEX: Final = re.compile(rb"(?:b[Yy]?)?((?:[0-9A-Fa-f]{2}){11,})", re.ASCII)
_RTL: Final = re.compile(rb"[A-Z][0-9];([01]);([01]);[^\n]*;0x((?:[0-9A-Fa-f]{2}){11,})", re.ASCII)
_LINE_STARTS: Final = re.compile(
    rb"(?:b[Yy]?)?(?:54(?:[Cc][Dd]|3[Dd]))?[0-9A-Fa-f]{2}(?:08|4[4678])[0-9A-Fa-f]|[A-Z][0-9];[01]"
)

Frame = tuple[int, bytes]
"""Where a frame begins in the stream, and its bytes."""


@dataclass(slots=True)
class Cut:
    """What some bytes were cut into."""

    frames: list[Frame] = field(default_factory=list)
    lost: list[LostBytes] = field(default_factory=list)


def begins_frame(data: bytes) -> bool:
    """Whether bytes begin as a frame of a meter does; at least ten of them, or two more."""
    rest = data[2:] if data[:2] in MODE_C else data
    if len(rest) < HEAD or rest[0] < SHORTEST_LENGTH or rest[1] not in CONTROLS:
        return False
    maker = int.from_bytes(rest[2:4], "little") & 0x7FFF
    return all(1 <= maker >> shift & 31 <= 26 for shift in (0, 5, 10))


def is_line(data: bytes) -> bool:
    """Whether bytes begin with the line of a receiver."""
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    if match := _RTL.fullmatch(line):
        return begins_frame(bytes.fromhex(match[3].decode()))
    found = _HEX.fullmatch(line)
    return found is not None and begins_frame(bytes.fromhex(found[1].decode()))


def are_frames(data: bytes) -> bool:
    """Whether bytes begin with a frame whose checksum is right, or are whole frames, all of them.

    Frames without checksums are told by their lengths alone.
    """
    at = 0
    while at < len(data):
        head = data[at : at + LONGEST_FRAME]
        size = _size(head) if begins_frame(head) else None
        if size is None or size > len(head):
            return False
        try:
            if decode_link(head[:size]).frame_format is not FrameFormat.BARE:
                return True
        except MbusError:
            return False
        at += size
    return at > 0


def may_be_line(data: bytes) -> bool:
    """Whether bytes can still become the line of a receiver, which has not ended yet."""
    if b"\n" in data or len(data) >= LONGEST_LINE or not _TEXT.fullmatch(data):
        return False
    return len(data) < LINE_START or begins_line(data)


@dataclass(slots=True)
class FrameCutter:
    """Cuts a stream into frames, in pieces of any size; holds a line or a frame at most."""

    _buffer: bytearray = field(default_factory=bytearray)
    _offset: int = 0
    """Where the buffer begins in the stream."""
    _noise: int | None = None
    """Where bytes began that are no frame."""

    def feed(self, data: bytes) -> Cut:
        """Return the frames that these bytes complete."""
        cut = Cut()
        self._buffer += data
        while self._buffer and self._step(cut, is_last=False):
            pass
        return cut

    def close(self) -> Cut:
        """Return what is left at the end."""
        cut = Cut()
        while self._buffer and self._step(cut, is_last=True):
            pass
        self._tell_noise(cut)
        return cut

    def _step(self, cut: Cut, *, is_last: bool) -> bool:
        """Take a line, a frame or a byte of noise; False where more bytes have to come first."""
        head = bytes(self._buffer[:LONGEST_LINE])
        is_whole = is_last or len(head) == LONGEST_LINE
        text = _TEXT.match(head)
        assert text is not None  # it may be empty
        if text.end() == len(head) and not is_whole:
            if len(head) < LINE_START or begins_line(head):
                return False
        elif begins_line(head) and (line := _LINE.match(head) or (is_last and text)):
            self._take_line(cut, line[0])
            return True
        if head[:1] in b"\r\n":
            self._drop(1)
            return True
        if len(head) < HEAD + 2 and not is_last and _may_begin(head):
            return False
        if not begins_frame(head):
            self._noise = self._offset if self._noise is None else self._noise
            self._drop(1)
            return True
        size = _size(head)
        inner = None if _is_sealed(head) else _sealed_inside(head[:size])
        if inner is not None:  # what looked like a frame was noise: it has no checksum to say so
            self._noise = self._offset if self._noise is None else self._noise
            self._drop(inner)
            return True
        if size is None or size > len(head):
            if not is_last:
                return False
            size = len(head)  # cut off: decoding says so
        self._tell_noise(cut)
        cut.frames.append((self._offset, head[:size]))
        self._drop(size)
        return True

    def _take_line(self, cut: Cut, whole: bytes) -> None:
        self._tell_noise(cut)
        line = whole.rstrip(b"\r\n")
        rtl, plain = _RTL.fullmatch(line), _HEX.fullmatch(line)
        if rtl is not None and b"0" in (rtl[1], rtl[2]):
            cut.lost.append(LostBytes(self._offset, "the receiver says that its checksum is wrong"))
        elif rtl is not None:
            cut.frames.append((self._offset, bytes.fromhex(rtl[3].decode())))
        elif plain is not None:
            cut.frames.append((self._offset, _trimmed(bytes.fromhex(plain[1].decode()))))
        else:
            cut.lost.append(LostBytes(self._offset, "a line of a receiver that is no frame"))
        self._drop(len(whole))

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._offset += size

    def _tell_noise(self, cut: Cut) -> None:
        if self._noise is not None:
            count = self._offset - self._noise
            cut.lost.append(LostBytes(self._noise, f"{count} bytes that begin no frame"))
            self._noise = None


def begins_line(head: bytes) -> bool:
    """Whether bytes begin as the line of a receiver; of hex alone by its control byte, too."""
    start = head[:LINE_START].split(b"\n", 1)[0].rstrip(b"\r")
    return bool(_LINE_STARTS.match(start))


def _may_begin(head: bytes) -> bool:
    """Whether so few bytes can still become a frame."""
    rest = head[2:] if head[:2] in MODE_C else head
    if rest and rest[0] < SHORTEST_LENGTH:
        return False
    return len(rest) < 2 or rest[1] in CONTROLS


def _size(head: bytes) -> int | None:
    """Return how many bytes a frame has; None where more have to be seen first."""
    before = 2 if head[:2] in MODE_C else 0
    rest = head[before:]
    if len(rest) < HEAD + 2 and rest[0] + 1 > len(rest):
        return None
    if _is_sealed(head):
        blocks = 1 + (rest[0] - 9 + 15) // 16
        return before + rest[0] + 1 + 2 * blocks
    return before + rest[0] + 1


def _is_sealed(head: bytes) -> bool:
    """Whether the first block of a frame has a checksum of its own (format A)."""
    rest = head[2:] if head[:2] in MODE_C else head
    return len(rest) >= HEAD + 2 and crc16(rest[:HEAD]).to_bytes(2, "big") == rest[HEAD : HEAD + 2]


def _sealed_inside(data: bytes) -> int | None:
    """Return where in bytes the first frame of format A begins, behind their own beginning."""
    return next(
        (
            at
            for at in range(1, len(data) - HEAD - 1)
            if data[at] >= SHORTEST_LENGTH
            and data[at + 1] in CONTROLS
            and begins_frame(data[at : at + HEAD])
            and _is_sealed(data[at : at + HEAD + 2])
        ),
        None,
    )


def _trimmed(frame: bytes) -> bytes:
    """Return a frame without what a receiver has put behind it."""
    size = _size(frame) if begins_frame(frame) else None
    if size is not None and 0 < len(frame) - size <= MOST_MEASURED:
        return frame[:size]
    return frame
