# SPDX-License-Identifier: Apache-2.0
"""What both ends agree on when an association begins (DLMS UA 1000-2, clause 9.4.5).

01 | dedicated key | response allowed | quality | 06 | 5f 1f 04 00 conformance | longest APDU
08 | quality | 06 | 5f 1f 04 00 conformance | longest APDU | 0007, or fa00 for short names
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Final

from dlms_codec.axdr import encode_octets, encode_two
from dlms_codec.errors import EncodingError, MalformedDlms
from dlms_codec.reader import Reader

DLMS_VERSION: Final = 6
LOGICAL_NAMES: Final = 7
"""The name of the meter where objects go by logical names."""
SHORT_NAMES: Final = 0xFA00

_CONFORMANCE: Final = b"\x5f\x1f\x04\x00"


class Conformance(enum.IntFlag):
    """Services that an end can do; bit 0 of the standard is the highest of 24."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    DELTA_VALUE_ENCODING = 1 << 17
    ATTRIBUTE_0_WITH_SET = 1 << 15
    PRIORITY_MANAGEMENT = 1 << 14
    ATTRIBUTE_0_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1

    @property
    def bit_numbers(self) -> tuple[int, ...]:
        """The numbers of the bits that are set, as the standard counts them."""
        return tuple(bit for bit in range(24) if int(self) >> (23 - bit) & 1)


@dataclass(frozen=True, slots=True)
class InitiateRequest:
    """What a client proposes."""

    conformance: Conformance
    longest: int
    """The longest APDU that it takes, in bytes; 0: no limit."""
    dedicated_key: bytes | None = field(default=None, repr=False)
    response_allowed: bool | None = None
    """None: not said, which means yes."""
    quality: int | None = None
    version: int = DLMS_VERSION
    tag: ClassVar[int] = 0x01

    def encode(self) -> bytes:
        """Return the APDU."""
        key, allowed = self.dedicated_key, self.response_allowed
        return b"".join((
            bytes([self.tag]),
            b"\0" if key is None else b"\x01" + encode_octets(key),
            b"\0" if allowed is None else bytes([1, allowed]),
            _encode_quality(self.quality),
            bytes([self.version]),
            _encode_conformance(self.conformance, self.longest),
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """What a meter agrees to."""

    conformance: Conformance
    longest: int
    name: int = LOGICAL_NAMES
    quality: int | None = None
    version: int = DLMS_VERSION
    tag: ClassVar[int] = 0x08

    def encode(self) -> bytes:
        """Return the APDU."""
        return b"".join((
            bytes([self.tag]),
            _encode_quality(self.quality),
            bytes([self.version]),
            _encode_conformance(self.conformance, self.longest),
            encode_two(self.name),
        ))  # fmt: skip


def read_initiate_request(reader: Reader) -> InitiateRequest:
    """Return the request whose tag was read."""
    key = reader.octets() if reader.flag() else None
    says_allowed = reader.flag()
    allowed = reader.flag() if says_allowed else None
    quality = reader.uint(1) if reader.flag() else None
    version = reader.uint(1)
    conformance, longest = _read_conformance(reader)
    return InitiateRequest(conformance, longest, key, allowed, quality, version)


def read_initiate_response(reader: Reader) -> InitiateResponse:
    """Return the response whose tag was read."""
    quality = reader.uint(1) if reader.flag() else None
    version = reader.uint(1)
    conformance, longest = _read_conformance(reader)
    return InitiateResponse(conformance, longest, reader.uint(2), quality, version)


def _encode_quality(quality: int | None) -> bytes:
    return b"\0" if quality is None else bytes([1, quality & 0xFF])


def _encode_conformance(conformance: Conformance, longest: int) -> bytes:
    if not 0 <= int(conformance) < 1 << 24:
        raise EncodingError("conformance has 24 bits")
    return _CONFORMANCE + int(conformance).to_bytes(3, "big") + encode_two(longest)


def _read_conformance(reader: Reader) -> tuple[Conformance, int]:
    start = reader.at
    if reader.take(4) != _CONFORMANCE:
        raise MalformedDlms("no conformance block", offset=start)
    return Conformance(reader.uint(3)), reader.uint(2)
