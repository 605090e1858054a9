# SPDX-License-Identifier: Apache-2.0
"""What may lie between the link and the records (EN 13757-4, -7, OMS volume 2).

8c..8f  extended link layer   CC ACC [M M A A A A A A] [session number, CRC]
90      authentication and    size, FCL, [MCL] [key information] [counter] [MAC] [length]
        fragmentation
72 ...  transport, long       number, manufacturer, version, type, access, status, configuration
7a ...  transport, short      access, status, configuration
78 ...  transport, none
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meter_codecs.mbus.address import Address, decode_header_address
from meter_codecs.mbus.errors import MalformedMbus

ELL_SHORT: Final = 0x8C
ELL_SESSION: Final = 0x8D
ELL_LONG: Final = 0x8E
ELL_LONG_SESSION: Final = 0x8F
AFL: Final = 0x90

LONG_HEADER: Final = frozenset(
    {0x5B, 0x60, 0x6B, 0x6C, 0x6D, 0x6F, 0x72, 0x75, 0x7C, 0x7E, 0x80, 0x8B}
)
SHORT_HEADER: Final = frozenset({0x5A, 0x61, 0x6A, 0x6E, 0x74, 0x7A, 0x7B, 0x7D, 0x7F, 0x8A})
FIXED: Final = 0x73
COMPACT_LONG: Final = 0x73
"""In a wireless frame; on the wire 73 is the fixed data structure."""
COMPACT: Final = 0x79
COMPACT_SHORT: Final = 0x7B
RECORDS: Final = frozenset({0x51, 0x5A, 0x5B, 0x72, 0x78, 0x7A})
"""Whose content are records."""
FORMATS: Final = frozenset({0x69, 0x6A, 0x6B})
"""Whose content is the format of a compact frame."""

APPLICATION_ERROR: Final = frozenset({0x6E, 0x6F, 0x70})
APPLICATION_ERRORS: Final = {
    0: "unspecified", 1: "CI not known", 2: "too long", 3: "too many records",
    4: "a record ends too early", 5: "more than 10 DIFEs", 6: "more than 10 VIFEs",
    8: "too busy", 9: "too many readouts",
}  # fmt: skip
"""What a meter says that it cannot do."""

MODES: Final = {
    0: "not enciphered", 1: "a manufacturer's own", 2: "DES-CBC without date",
    3: "DES-CBC with date", 4: "AES-CBC with a vector of zeros", 5: "AES-CBC",
    7: "AES-CBC with derived keys", 8: "AES-CTR with CMAC", 9: "AES-GCM", 10: "AES-CCM",
    13: "TLS", 15: "a manufacturer's own",
}  # fmt: skip
"""What a configuration's security mode stands for."""

CONTENTS: Final = {
    0x50: "application reset", 0x51: "data for a meter", 0x52: "selection of a meter",
    0x54: "request of a selection", 0x5A: "command", 0x5B: "command", 0x5C: "synchronised action",
    0x60: "DLMS for a meter", 0x61: "DLMS for a meter", 0x66: "application error",
    0x6C: "clock synchronisation", 0x6D: "clock synchronisation", 0x6E: "application error",
    0x6F: "application error", 0x70: "application error", 0x71: "alarm status",
    0x74: "alarm status", 0x75: "alarm status", 0x76: "records, most significant byte first",
    0x77: "fixed data, most significant byte first", 0x7C: "DLMS", 0x7D: "DLMS", 0x7E: "reserved",
    0x7F: "reserved", 0x80: "transport without content", 0x81: "network layer",
    0x83: "network management", 0x86: "extended link layer of variable size",
    0x8A: "transport without content", 0x8B: "transport without content",
}  # fmt: skip
"""What other CI bytes announce."""


def content_name(ci: int) -> str:
    """Return what a CI byte announces, in words."""
    if 0xA0 <= ci <= 0xB7:
        return "a manufacturer's own"
    if ci <= 0x1F:
        return "DLMS in segments"
    if 0xB8 <= ci <= 0xBF:
        return "a change of speed"
    return CONTENTS.get(ci, "unknown")


@dataclass(frozen=True, slots=True)
class Header:
    """A transport header; `address` is the meter's own if the header is a long one."""

    access: int
    status: int
    configuration: int
    address: Address | None = None
    extension: bytes = b""
    """More of configuration: of mode 7 a byte, of mode 10 two and the message counter."""

    @property
    def mode(self) -> int:
        """The security mode."""
        return self.configuration >> 8 & 0x1F

    @property
    def counter(self) -> int | None:
        """The message counter, which mode 10 has here."""
        return int.from_bytes(self.extension[2:], "little") if self.mode == AES_CCM else None

    @property
    def blocks(self) -> int:
        """How many blocks of 16 bytes are enciphered."""
        return self.configuration >> 4 & 0x0F

    def encode(self) -> bytes:
        """Return the header's bytes."""
        return (
            (self.address.encode_header() if self.address else b"")
            + bytes([self.access, self.status])
            + self.configuration.to_bytes(2, "little")
            + self.extension
        )


AES_CCM: Final = 10
EXTENSIONS: Final = {7: 1, 8: 1, 9: 1, AES_CCM: 6, 13: 1}
"""By how many bytes the configuration of a mode goes on."""


def read_header(ci: int, data: bytes, at: int) -> tuple[Header | None, int]:
    """Return the header that a CI byte asks for, and where it ends."""
    address = None
    if ci in LONG_HEADER:
        _need(data, at, 8, "a long header")
        address = decode_header_address(data[at : at + 8])
        at += 8
    elif ci not in SHORT_HEADER:
        return None, at
    _need(data, at, 4, "a header")
    access, status, low, high = data[at : at + 4]
    at += 4
    extension = b""
    if size := EXTENSIONS.get(high & 0x1F, 0):
        _need(data, at, size, "the configuration")
        extension = data[at : at + size]
        at += size
    return Header(access, status, low | high << 8, address, extension), at


def _need(data: bytes, at: int, size: int, what: str) -> None:
    if len(data) - at < size:
        raise MalformedMbus(f"end within {what}", offset=len(data))


@dataclass(frozen=True, slots=True)
class ExtendedLink:
    """The extended link layer."""

    ci: int
    control: int
    access: int
    peer: bytes = b""
    """Manufacturer and address of the other side (8e, 8f), eight bytes."""
    session: int | None = None
    """Time, session and kind of enciphering (8d, 8f)."""

    @property
    def encryption(self) -> int:
        """0: none, 1: AES-CTR, others are reserved."""
        return 0 if self.session is None else self.session >> 29

    def encode(self) -> bytes:
        """Return the layer's bytes, without the CRC that may follow."""
        session = b"" if self.session is None else self.session.to_bytes(4, "little")
        return bytes([self.ci, self.control, self.access]) + self.peer + session


def read_extended_link(data: bytes, at: int) -> tuple[ExtendedLink, int]:
    """Return the layer that begins with the CI byte at `at`, and where it ends."""
    ci = data[at]
    long, session = ci in (ELL_LONG, ELL_LONG_SESSION), ci in (ELL_SESSION, ELL_LONG_SESSION)
    _need(data, at, 3 + 8 * long + 4 * session, "the extended link layer")
    control, access = data[at + 1], data[at + 2]
    at += 3
    peer = data[at : at + 8] if long else b""
    at += len(peer)
    number = int.from_bytes(data[at : at + 4], "little") if session else None
    return ExtendedLink(ci, control, access, peer, number), at + 4 * session


_RESERVED: Final = 0x8100  # of a fragment's control field
_MAC_SIZES: Final = {3: 2, 4: 4, 5: 8, 6: 12, 7: 16, 8: 12}


@dataclass(frozen=True, slots=True)
class Authentication:
    """The authentication and fragmentation layer."""

    fragment: int
    """The fragment's control field (FCL)."""
    control: int | None = None
    key_information: int | None = None
    counter: int | None = None
    mac: bytes | None = None
    length: int | None = None

    @property
    def is_fragment(self) -> bool:
        """Whether this is a part of a longer message."""
        return bool(self.fragment & 0x4000) or self.fragment & 0xFF > 1

    def authenticated(self) -> bytes:
        """Return what the MAC covers of this layer."""
        return (
            _bytes(self.control, 1)
            + (_bytes(self.key_information, 2) if (self.control or 0) & 0x10 else b"")
            + _bytes(self.counter, 4)
            + _bytes(self.length, 2)
        )

    def encode(self) -> bytes:
        """Return the layer's bytes."""
        content = (
            self.fragment.to_bytes(2, "little")
            + _bytes(self.control, 1)
            + _bytes(self.key_information, 2)
            + _bytes(self.counter, 4)
            + (self.mac or b"")
            + _bytes(self.length, 2)
        )
        return bytes([AFL, len(content)]) + content


def _bytes(number: int | None, size: int) -> bytes:
    return b"" if number is None else number.to_bytes(size, "little")


def read_authentication(data: bytes, at: int) -> tuple[Authentication, int]:
    """Return the layer that begins with the CI byte at `at`, and where it ends."""
    _need(data, at, 4, "the authentication layer")
    end = at + 2 + data[at + 1]
    _need(data, at, end - at, "the authentication layer")
    fragment = int.from_bytes(data[at + 2 : at + 4], "little")
    if fragment & _RESERVED:
        raise MalformedMbus("reserved bits of the authentication layer are set", offset=at + 3)
    at += 4

    def number(present: int, size: int) -> int | None:
        nonlocal at
        if not present:
            return None
        at += size
        return int.from_bytes(data[at - size : at], "little")

    control = number(fragment & 0x2000, 1)
    information = number(fragment & 0x0200, 2)
    counter = number(fragment & 0x0800, 4)
    mac = None
    if fragment & 0x0400:
        size = _MAC_SIZES.get((control or 0) & 0x0F, end - at - (2 if fragment & 0x1000 else 0))
        size = max(size, 0)  # no room: the end will not fit
        mac = data[at : at + size]
        at += size
    length = number(fragment & 0x1000, 2)
    if at != end:
        raise MalformedMbus("the authentication layer is not as long as it says", offset=end)
    return Authentication(fragment, control, information, counter, mac, length), at
