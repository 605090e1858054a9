# SPDX-License-Identifier: Apache-2.0
"""Frames of the SML transport protocol, version 1, whole or damaged.

1b 1b 1b 1b  01 01 01 01      start
...                           the SML file; each 1b 1b 1b 1b in it is sent twice
00 ...                        padding to a multiple of four bytes, 0 to 3
1b 1b 1b 1b  1a nn cc cc      end: padding count, CRC-16 of all bytes before it
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from sml_codec.crc import Crc
from sml_codec.errors import EncodingError

ESCAPE: Final = b"\x1b\x1b\x1b\x1b"
START: Final = ESCAPE + b"\x01\x01\x01\x01"
START_V2: Final = ESCAPE + b"\x02\x02\x02\x02"
END: Final = 0x1A


@dataclass(frozen=True, slots=True)
class Frame:
    """An intact frame: `wire` are its bytes, `payload` is the SML file in it."""

    offset: int
    wire: bytes
    payload: bytes
    padding: bytes
    crc: Crc

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual about the frame."""
        return ("padding 4",) if len(self.padding) > 3 else ()


class DamageKind(enum.Enum):
    """What happened to a frame."""

    BAD = "bad"
    """It is closed, but its checksum, length or padding is wrong, or it is too long."""
    TRUNCATED = "truncated"
    """The stream ended within it."""
    RESTART = "restart"
    """A new frame started within it."""
    VERSION_2 = "version 2"
    """It is of the transport protocol's version 2, which is not supported."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A frame that was begun and is not intact; `payload` is what its file may have been."""

    offset: int
    length: int
    kind: DamageKind
    reasons: tuple[str, ...]
    payload: bytes


Event: TypeAlias = Frame | Damage


def encode_frame(payload: bytes, *, crc: Crc = Crc.X25, padding: bytes | None = None) -> bytes:
    """Return an SML file in a frame.

    `padding` is for repeating what a meter sent; without it, zeros fill the frame up to a multiple
    of four. Raises `EncodingError` for padding that no receiver would take.
    """
    escaped = payload.replace(ESCAPE, ESCAPE + ESCAPE)
    if padding is None:
        padding = bytes(-len(escaped) % 4)
    elif len(padding) > 4 or (len(escaped) + len(padding)) % 4:
        raise EncodingError(f"{len(padding)} bytes are no padding for {len(escaped)}")
    frame = START + escaped + padding + ESCAPE + bytes([END, len(padding)])
    return frame + crc.of(frame).to_bytes(2, "big")
