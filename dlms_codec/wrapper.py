# SPDX-License-Identifier: Apache-2.0
"""The wrapper of TCP and UDP (IEC 62056-47).

0001 | source, 2 bytes | destination, 2 bytes | length, 2 bytes | APDU
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from dlms_codec.errors import EncodingError
from dlms_codec.frames import Damage, DamageKind

VERSION: Final = b"\x00\x01"
HEADER: Final = 8


@dataclass(frozen=True, slots=True)
class WrapperFrame:
    """A wrapper and its APDU."""

    offset: int
    wire: bytes
    source: int
    destination: int
    apdu: bytes


WrapperEvent: TypeAlias = WrapperFrame | Damage


def encode_wrapper(source: int, destination: int, apdu: bytes) -> bytes:
    """Return an APDU in its wrapper."""
    if not (0 <= source <= 0xFFFF and 0 <= destination <= 0xFFFF and len(apdu) <= 0xFFFF):
        raise EncodingError("addresses and length of a wrapper have two bytes each")
    head = b"".join(number.to_bytes(2, "big") for number in (source, destination, len(apdu)))
    return VERSION + head + apdu


class WrapperDecoder:
    """Takes the wrappers out of a stream; keeps at most one of them.

    Where no wrapper begins, the next bytes that could begin one are looked for.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._lost = 0  # bytes that are of no wrapper

    def feed(self, data: bytes) -> list[WrapperEvent]:
        """Take the next bytes; return the wrappers and the damage that they complete, in order."""
        buffer = self._buffer
        buffer += data
        events: list[WrapperEvent] = []
        at = 0
        while True:
            start = buffer.find(VERSION, at)
            if start < 0:
                start = len(buffer) - (len(buffer) > at and buffer[-1] == VERSION[0])
            self._lost += start - at
            at = start
            if len(buffer) - at < HEADER:
                break
            if self._lost:
                events.append(self._noise(at))
            length = int.from_bytes(buffer[at + 6 : at + 8], "big")
            stop = at + HEADER + length
            if stop > len(buffer):
                break
            events.append(
                WrapperFrame(
                    self._offset + at,
                    bytes(buffer[at:stop]),
                    int.from_bytes(buffer[at + 2 : at + 4], "big"),
                    int.from_bytes(buffer[at + 4 : at + 6], "big"),
                    bytes(buffer[at + HEADER : stop]),
                )
            )
            at = stop
        del buffer[:at]
        self._offset += at
        return events

    def close(self) -> list[WrapperEvent]:
        """End the stream; return what it cuts off."""
        events: list[WrapperEvent] = []
        if self._lost:
            events.append(self._noise(0))
        if self._buffer:
            kind, size = DamageKind.TRUNCATED, len(self._buffer)
            events.append(Damage(self._offset, size, kind, "runs past the end"))
        self._offset += len(self._buffer)
        self._buffer.clear()
        return events

    def _noise(self, at: int) -> Damage:
        lost, self._lost = self._lost, 0
        return Damage(self._offset + at - lost, lost, DamageKind.BAD, "no wrapper begins here")
