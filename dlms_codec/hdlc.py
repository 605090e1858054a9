# SPDX-License-Identifier: Apache-2.0
"""HDLC frames as DLMS uses them (IEC 62056-46): format type 3, without bit stuffing.

    7e | a0 + 08 if more segments follow + length, 2 bytes | destination | source | control
       | HCS, 2 bytes | information | FCS, 2 bytes | 7e

Addresses have 1, 2 or 4 bytes; the lowest bit says which is the last. A frame without information
has no HCS. The flag that ends a frame may begin the next one.
"""

from __future__ import annotations

import enum
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dlms_codec._make import twin
from dlms_codec.crc import REFLECTED, RESIDUE, check_sequence
from dlms_codec.errors import EncodingError, MalformedDlms
from dlms_codec.frames import Damage, DamageKind

FLAG: Final = 0x7E
LONGEST: Final = 0x7FF
"""The most that the length of a frame can say; bounds what a decoder keeps."""


class FrameKind(enum.Enum):
    """What a frame is for, by its control field."""

    I = "I"  # noqa: E741  (the standard's name)
    RR = "RR"
    RNR = "RNR"
    SNRM = "SNRM"
    DISC = "DISC"
    UA = "UA"
    DM = "DM"
    FRMR = "FRMR"
    UI = "UI"
    UNKNOWN = "unknown"


_UNNUMBERED: Final = {
    0x83: FrameKind.SNRM, 0x43: FrameKind.DISC, 0x63: FrameKind.UA, 0x0F: FrameKind.DM,
    0x87: FrameKind.FRMR, 0x03: FrameKind.UI,
}  # fmt: skip


def kind_of(control: int) -> FrameKind:
    """Return what a control field says; the poll or final bit (10) is apart."""
    if not control & 1:
        return FrameKind.I
    if control & 3 == 1:
        return {1: FrameKind.RR, 5: FrameKind.RNR}.get(control & 0x0F, FrameKind.UNKNOWN)
    return _UNNUMBERED.get(control & 0xEF, FrameKind.UNKNOWN)


KINDS: Final = tuple(kind_of(control) for control in range(256))
UNNUMBERED: Final = {kind: control for control, kind in _UNNUMBERED.items()}


@dataclass(frozen=True, slots=True)
class HdlcFrame:
    """A frame whose length and checks are right; `wire` has its flags."""

    offset: int
    wire: bytes
    destination: bytes
    source: bytes
    control: int
    information: bytes
    segmented: bool
    """More segments of the same information follow."""

    @property
    def kind(self) -> FrameKind:
        """What it is for."""
        return KINDS[self.control]

    @property
    def final(self) -> bool:
        """The poll or final bit."""
        return bool(self.control & 0x10)

    @property
    def send_sequence(self) -> int:
        """N(S) of an information frame."""
        return self.control >> 1 & 7

    @property
    def receive_sequence(self) -> int:
        """N(R) of an information or supervisory frame."""
        return self.control >> 5


def encode_address(upper: int, lower: int | None = None) -> bytes:
    """Return a logical address (and a physical one) in the fewest bytes: 1, 2 or 4."""
    if lower is None and 0 <= upper < 0x80:
        return bytes([upper << 1 | 1])
    physical = lower or 0
    if not (0 <= upper < 0x4000 and 0 <= physical < 0x4000):
        raise EncodingError(f"no HDLC address: {upper}, {lower}")
    if upper < 0x80 and physical < 0x80 and lower is not None:
        return bytes([upper << 1, physical << 1 | 1])
    if lower is None:
        return bytes([upper >> 7 << 1, (upper & 0x7F) << 1 | 1])
    return bytes([
        upper >> 7 << 1, (upper & 0x7F) << 1, physical >> 7 << 1, (physical & 0x7F) << 1 | 1
    ])  # fmt: skip


def decode_address(raw: bytes) -> tuple[int, int | None]:
    """Return the logical and the physical address; None if it has one byte."""
    if len(raw) == 1:
        return raw[0] >> 1, None
    if len(raw) == 2:
        return raw[0] >> 1, raw[1] >> 1
    if len(raw) == 4:
        return raw[0] >> 1 << 7 | raw[1] >> 1, raw[2] >> 1 << 7 | raw[3] >> 1
    raise MalformedDlms(f"an address of {len(raw)} bytes", offset=0)


def encode_frame(
    destination: bytes,
    source: bytes,
    control: int,
    information: bytes = b"",
    *,
    segmented: bool = False,
) -> bytes:
    """Return a frame between its flags."""
    header = destination + source + bytes([control])
    length = 2 + len(header) + 2 + (len(information) + 2 if information else 0)
    if length > LONGEST:
        raise EncodingError(f"{length} bytes are too many for a frame")
    begin = (0xA000 | (0x800 if segmented else 0) | length).to_bytes(2, "big") + header
    if information:
        begin += check_sequence(begin) + information
    return b"\x7e" + begin + check_sequence(begin) + b"\x7e"


HdlcEvent: TypeAlias = HdlcFrame | Damage
_FrameTwin: Final = twin(HdlcFrame)


class HdlcDecoder:
    """Finds the frames in a stream of bytes that may be damaged.

    Feed it the bytes as they come; `close` says that no more will. The events are the same however
    the stream is cut. It keeps at most one frame.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0  # of the buffer's first byte in the stream

    def feed(self, data: bytes) -> list[HdlcEvent]:
        """Take the next bytes; return the frames and the damage that they complete, in order."""
        return self._search(self._buffer + data if self._buffer else bytes(data), closing=False)

    def close(self) -> list[HdlcEvent]:
        """End the stream; return what it cuts off."""
        events = self._search(self._buffer, closing=True)
        self._offset += len(self._buffer)
        self._buffer = b""
        return events

    def _search(self, buffer: bytes, *, closing: bool) -> list[HdlcEvent]:
        events: list[HdlcEvent] = []
        at, end = 0, len(buffer)
        while True:
            at = buffer.find(b"\x7e", at)
            if at < 0:
                at = end
                break
            if end - at < 3:
                if closing:
                    at = end
                break
            if buffer[at + 1] & 0xF0 != 0xA0:
                at += 1
                continue
            found = self._frame(buffer, at)
            if found is None:  # not all of it is here
                if not closing:
                    break
                events.append(
                    Damage(self._offset + at, end - at, DamageKind.TRUNCATED, "runs past the end")
                )
                at += 1
            elif isinstance(found, HdlcFrame):
                events.append(found)
                at += len(found.wire) - 1
            else:
                events.append(found)
                at += 1
        self._buffer = buffer[at:]
        self._offset += at
        return events

    def _frame(self, buffer: bytes, at: int) -> HdlcEvent | None:
        """Return the frame whose flag is at `at`, what is wrong with it, or None for more bytes."""
        length = (buffer[at + 1] & 7) << 8 | buffer[at + 2]
        stop = at + 1 + length
        try:
            destination = _address_end(buffer, at + 3)
            source = _address_end(buffer, destination) if destination > 0 else -1
        except IndexError:
            return None
        if source < 0:
            return self._bad(at, length, "address")
        header = source + 3  # control and HCS, or FCS
        if stop < header or header < stop < header + 3:
            return self._bad(at, length, "length")
        if len(buffer) < header:
            return None
        # Checked as soon as it is here: a flag within other bytes does not hold up what follows.
        register = crc_hqx(buffer[at + 1 : header].translate(REFLECTED), 0xFFFF)
        if register != RESIDUE:
            return self._bad(at, length, "FCS" if stop == header else "HCS")
        if len(buffer) <= stop:
            return None
        if buffer[stop] != FLAG:
            return self._bad(at, length, "no flag where the length says")
        if (
            stop != header
            and crc_hqx(buffer[header:stop].translate(REFLECTED), register) != RESIDUE
        ):
            return self._bad(at, length, "FCS")
        made: Any = _FrameTwin()
        made.offset = self._offset + at
        made.wire = buffer[at : stop + 1]
        made.destination = buffer[at + 3 : destination]
        made.source = buffer[destination:source]
        made.control = buffer[source]
        made.information = buffer[header : stop - 2] if stop != header else b""
        made.segmented = bool(buffer[at + 1] & 8)
        made.__class__ = HdlcFrame
        frame: HdlcFrame = made
        return frame

    def _bad(self, at: int, length: int, reason: str) -> Damage:
        return Damage(self._offset + at, length + 2, DamageKind.BAD, reason)


def _address_end(buffer: bytes, at: int) -> int:
    """Return where an address ends; -1 if it has another size than 1, 2 or 4 bytes.

    Raises IndexError if it is not all there.
    """
    if buffer[at] & 1:
        return at + 1
    if buffer[at + 1] & 1:
        return at + 2
    return -1 if buffer[at + 2] & 1 or not buffer[at + 3] & 1 else at + 4


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """What SNRM and UA negotiate: the longest information, and the window, both ways."""

    longest_sent: int = 128
    longest_received: int = 128
    window_sent: int = 1
    window_received: int = 1

    def encode(self) -> bytes:
        """Return the information field."""
        return (
            b"\x81\x80\x14"
            + b"\x05\x02" + self.longest_sent.to_bytes(2, "big")
            + b"\x06\x02" + self.longest_received.to_bytes(2, "big")
            + b"\x07\x04" + self.window_sent.to_bytes(4, "big")
            + b"\x08\x04" + self.window_received.to_bytes(4, "big")
        )  # fmt: skip

    @classmethod
    def decode(cls, information: bytes) -> LinkParameters:
        """Return what an information field says; what it leaves out has its default."""
        if not information:
            return cls()
        if information[:2] != b"\x81\x80" or len(information) < 3:
            raise MalformedDlms("not the parameters of a link", offset=0)
        if information[2] != len(information) - 3:
            raise MalformedDlms("length of the parameters", offset=2)
        values, at = {5: 128, 6: 128, 7: 1, 8: 1}, 3
        while at < len(information):
            name, size = information[at], information[at + 1] if at + 1 < len(information) else 0
            stop = at + 2 + size
            if name not in values or not 1 <= size <= 4 or stop > len(information):
                raise MalformedDlms("parameter of a link", offset=at)
            values[name] = int.from_bytes(information[at + 2 : stop], "big")
            at = stop
        return cls(values[5], values[6], values[7], values[8])
