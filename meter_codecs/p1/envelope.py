# SPDX-License-Identifier: Apache-2.0
"""The frame around an enciphered telegram, as Luxembourg's meters send it.

    db | 08 | system title, 8 | length | security | counter, 4 | ciphertext | tag, 12

It is the general-glo-ciphering of DLMS: security 30 says enciphered and authenticated, 20
enciphered, 10 authenticated; its low nibble is the suite. The length counts all after itself.
`ciphering` opens and makes these frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from meter_codecs.p1.errors import EncodingError, MalformedP1

START: Final = b"\xdb\x08"
TITLE: Final = slice(2, 10)
LENGTH_AT: Final = 10
AUTHENTICATED: Final = 0x10
ENCIPHERED: Final = 0x20
TAG_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class Ciphering:
    """How a telegram was enciphered; `is_authenticated` is None where no tag was checked."""

    system_title: bytes
    security: int
    counter: int
    is_authenticated: bool | None
    length_octets: int
    trailer: bytes
    """What followed the telegram inside, a line end as a rule."""


class Opened(NamedTuple):
    """What is inside a frame; `is_authenticated` is None where nothing could say who made it."""

    plain: bytes
    is_authenticated: bool | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """An enciphered telegram, still closed."""

    system_title: bytes
    security: int
    counter: int
    content: bytes
    tag: bytes
    length_octets: int = 3
    """How many bytes the length takes: 1, 2 or 3."""

    def encode(self) -> bytes:
        """Return the frame; raise `EncodingError` for one that cannot be."""
        body = bytes([self.security]) + self.counter.to_bytes(4, "big") + self.content + self.tag
        if len(self.system_title) != 8:
            raise EncodingError("a system title has 8 bytes")
        size = len(body)
        if size > (0x7F, 0xFF, 0xFFFF)[self.length_octets - 1]:
            raise EncodingError(f"{size} bytes do not fit a length of {self.length_octets} bytes")
        length = size.to_bytes(max(1, self.length_octets - 1), "big")
        prefix = b"" if self.length_octets == 1 else bytes([0x7F + self.length_octets])
        return START + self.system_title + prefix + length + body

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """Return the frame that fills `data` exactly; raise `MalformedP1` otherwise."""
        size = measure(data, 0)
        if size != len(data):
            raise MalformedP1("not exactly one enciphered frame", offset=0)
        octets = _octets(data[LENGTH_AT])
        at = LENGTH_AT + octets
        security, counter = data[at], int.from_bytes(data[at + 1 : at + 5], "big")
        end = size - TAG_SIZE if security & AUTHENTICATED else size
        return cls(data[TITLE], security, counter, data[at + 5 : end], data[end:], octets)


def _octets(first: int) -> int:
    return 1 if first < 0x80 else first - 0x7F


def measure(data: bytes | bytearray, begin: int) -> int | None:
    """Return how long the frame at `begin` is: 0 if none is there, None if not known yet."""
    have = len(data) - begin
    if have <= LENGTH_AT:
        return None
    octets = _octets(data[begin + LENGTH_AT])
    if octets > 3:
        return 0
    at = LENGTH_AT + octets
    if have <= at:
        return None
    first = begin + LENGTH_AT
    size = data[first] if octets == 1 else int.from_bytes(data[first + 1 : begin + at], "big")
    security = data[begin + at]
    # Suites 0 to 2; keys of their own for broadcast and compression are not in P1.
    if security & 0xF0 not in {0x10, 0x20, 0x30} or security & 0x0F > 2:
        return 0
    least = 5 + (TAG_SIZE if security & AUTHENTICATED else 0)
    return at + size if size > least else 0
