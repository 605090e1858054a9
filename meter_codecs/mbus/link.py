# SPDX-License-Identifier: Apache-2.0
"""Frames of the wireless link (EN 13757-4), with their checksums or without.

    L C M M A A A A A A | payload           L counts what follows it, without checksums

    format A    the first 10 bytes, then every 16, each with a CRC        (L counts no CRC)
    format B    the first 126 bytes with a CRC, the rest with another     (L counts the CRCs)
    bare        none: the receiver has checked and removed them, a few all but the last

In mode C a frame begins with 54 cd (format A) or 54 3d (format B). Mode T sends each half byte as
six bits (`encode_three_of_six`); in mode S the radio itself undoes the Manchester code.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from meter_codecs.mbus.address import Address, decode_link_address
from meter_codecs.mbus.crc import crc16
from meter_codecs.mbus.errors import ChecksumMismatch, CutOff, EncodingError, MalformedMbus

SND_NR: Final = 0x44
"""Sends values and expects no reply."""
SND_IR: Final = 0x46
"""Sends its address for installation."""

_FIRST: Final = 10
_HALF: Final = 126
_MODE_C: Final = {b"\x54\xcd": "A", b"\x54\x3d": "B"}


class FrameFormat(enum.Enum):
    """How the checksums lie in a frame."""

    A = "A"
    B = "B"
    BARE = "bare"


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """A frame of the radio link; `payload` begins with its CI byte."""

    control: int
    address: Address
    payload: bytes
    frame_format: FrameFormat = FrameFormat.BARE
    preamble: bytes = b""
    """The two bytes that begin a frame of mode C, if the receiver hands them on."""

    def encode(self) -> bytes:
        """Return the frame's bytes, checksums included."""
        content = bytes([self.control]) + self.address.encode_link() + self.payload
        size = len(content)
        if self.frame_format is FrameFormat.B:
            size += 2 if size + 1 <= _HALF else 4
        if size > 255:
            raise EncodingError(f"{len(self.payload)} bytes do not fit into a frame")
        return self.preamble + _seal(bytes([size]) + content, self.frame_format)


def _crc(block: bytes) -> bytes:
    return crc16(block).to_bytes(2, "big")


def _blocks(data: bytes, frame_format: FrameFormat) -> list[bytes]:
    """Cut a frame without checksums into what each of them covers."""
    if frame_format is FrameFormat.A:
        return [data[:_FIRST], *(data[at : at + 16] for at in range(_FIRST, len(data), 16))]
    return [data[:_HALF]] + ([data[_HALF:]] if len(data) > _HALF else [])


def _seal(data: bytes, frame_format: FrameFormat) -> bytes:
    if frame_format is FrameFormat.BARE:
        return data
    return b"".join(block + _crc(block) for block in _blocks(data, frame_format))


def _open_a(wire: bytes) -> bytes:
    """Return a frame of format A without its checksums, which must be right."""
    parts: list[bytes] = []
    at = 0
    while at < len(wire):
        end = min(at + (16 if at else _FIRST), len(wire) - 2)
        if _crc(wire[at:end]) != wire[end : end + 2]:
            raise ChecksumMismatch(f"block {len(parts) + 1}", offset=end)
        parts.append(wire[at:end])
        at = end + 2
    return b"".join(parts)


def _open_b(wire: bytes) -> bytes | None:
    """Return a frame of format B without its checksums; None if they are not there."""
    if len(wire) in (_HALF + 3, _HALF + 4):
        return None  # no room for a byte of the second part
    first = wire[: _HALF + 2]
    parts = [first, wire[_HALF + 2 :]] if len(wire) > _HALF + 2 else [first]
    if any(_crc(part[:-2]) != part[-2:] for part in parts):
        return None
    return b"".join(part[:-2] for part in parts)


def decode_link(wire: bytes) -> LinkFrame:
    """Return the one frame that `wire` is.

    Raises `ChecksumMismatch` for checksums that are there and wrong, `CutOff` for a frame that ends
    too early, `MalformedMbus` for anything else that is no frame.
    """
    preamble = wire[:2] if wire[:2] in _MODE_C and len(wire) != wire[0] + 1 else b""
    rest = wire[2:] if preamble else wire
    size = len(rest)
    if size <= _FIRST:
        raise MalformedMbus(f"{size} bytes are no frame", offset=len(wire))
    if rest[0] < _FIRST:
        raise MalformedMbus(f"the length {rest[0]} has no room for a payload", offset=len(preamble))
    format_a = rest[0] + 1 + 2 * (1 + (rest[0] - 9 + 15) // 16)
    if size == format_a:
        data, frame_format = _open_a(rest), FrameFormat.A
    elif size == rest[0] + 1:
        opened = _open_b(rest) if size > _FIRST + 2 else None
        if opened is None and _MODE_C.get(preamble) == "B":
            raise ChecksumMismatch("frame of format B", offset=len(wire) - 2)
        data = rest if opened is None else opened
        frame_format = FrameFormat.BARE if opened is None else FrameFormat.B
    else:
        # The first checksum tells that the others are there, too: a bare frame has none.
        is_a = size > _FIRST + 2 and _crc(rest[:_FIRST]) == rest[_FIRST : _FIRST + 2]
        whole = format_a if is_a else rest[0] + 1
        error = CutOff if size < whole else MalformedMbus
        raise error(f"the length says {whole} bytes, {size} are there", offset=len(preamble))
    address = decode_link_address(data[2:_FIRST])
    return LinkFrame(data[1], address, data[_FIRST:], frame_format, preamble)


def without_last_checksum(frame: LinkFrame) -> LinkFrame | None:
    """Return a bare frame without the CRC of its last block, if it ends with one; else None.

    Some receivers take out the CRCs of format A but the last, and count its two bytes in the
    length. One in 65536 frames ends so by chance: only who cannot read all of it may ask.
    """
    if frame.frame_format is not FrameFormat.BARE or len(frame.payload) < 3:
        return None
    payload, checksum = frame.payload[:-2], frame.payload[-2:]
    if _crc(payload[(len(payload) - 1) // 16 * 16 :]) != checksum:
        return None
    return replace(frame, payload=payload)


_SIX: Final = bytes.fromhex("160d0e0b1c191a132c25262334313229")
_HALF_BYTES: Final = {code: half for half, code in enumerate(_SIX)}


def encode_three_of_six(data: bytes) -> bytes:
    """Return the bits of mode T: six for each half byte, three of them set; filled with zeros."""
    bits = "".join(f"{_SIX[byte >> 4]:06b}{_SIX[byte & 15]:06b}" for byte in data)
    bits += "0" * (-len(bits) % 8)
    return int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:]


def decode_three_of_six(chips: bytes) -> bytes:
    """Return the bytes of the bits of mode T; raise `MalformedMbus` for six that mean nothing."""
    bits = "".join(f"{byte:08b}" for byte in chips)
    data = bytearray()
    for at in range(0, len(bits) - 11, 12):
        high = _HALF_BYTES.get(int(bits[at : at + 6], 2))
        low = _HALF_BYTES.get(int(bits[at + 6 : at + 12], 2))
        if high is None or low is None:
            raise MalformedMbus("six bits that mean nothing", offset=at // 8)
        data.append(high << 4 | low)
    return bytes(data)
