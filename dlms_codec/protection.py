# SPDX-License-Identifier: Apache-2.0
"""Protected messages as they stand on the wire (DLMS UA 1000-2, clause 9.2.7).

    db or dc | length | system title | length | protected text          general
    21 28 c8 ... d7                  | length | protected text          one for each service

    protected text   security control | counter, 4 bytes | text | tag, 12 bytes, if authenticated

Security control: low four bits the suite, 10 authenticated, 20 enciphered, 40 broadcast key,
80 compressed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from dlms_codec._make import twin
from dlms_codec.axdr import encode_length, encode_octets
from dlms_codec.errors import EncodingError, MalformedDlms
from dlms_codec.reader import Reader

AUTHENTICATED: Final = 0x10
ENCRYPTED: Final = 0x20
BROADCAST_KEY: Final = 0x40
COMPRESSED: Final = 0x80
TAG_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class ProtectedText:
    """What a key is needed for, and the counter that makes it one of its kind."""

    control: int
    counter: int
    text: bytes = field(repr=False)
    """Enciphered, if the security control says so, else plain."""
    tag: bytes = b""
    width: int = 0
    """Of the length in front of it, where it was not sent in the shortest way."""

    def __post_init__(self) -> None:
        if not 0 <= self.control < 256 or not 0 <= self.counter < 1 << 32:
            raise EncodingError("security control has one byte, a counter four")
        if len(self.tag) != (TAG_SIZE if self.authenticated else 0):
            raise EncodingError(f"a tag of {len(self.tag)} bytes")

    @property
    def suite(self) -> int:
        """0: AES-128; 1: AES-128 with P-256; 2: AES-256 with P-384. Some meters say it wrongly."""
        return self.control & 0x0F

    @property
    def authenticated(self) -> bool:
        """Whether there is a tag."""
        return bool(self.control & AUTHENTICATED)

    @property
    def encrypted(self) -> bool:
        """Whether the text is enciphered."""
        return bool(self.control & ENCRYPTED)

    @property
    def broadcast(self) -> bool:
        """Whether the key for broadcasts was used."""
        return bool(self.control & BROADCAST_KEY)

    @property
    def compressed(self) -> bool:
        """Whether the text was compressed before it was enciphered."""
        return bool(self.control & COMPRESSED)

    def encode(self) -> bytes:
        """Return it with its length."""
        head = bytes([self.control]) + self.counter.to_bytes(4, "big")
        body = head + self.text + self.tag
        return encode_length(len(body), self.width) + body

    @classmethod
    def read(cls, reader: Reader) -> ProtectedText:
        """Return what a reader finds, with its length in front."""
        size, width = reader.wide_length()
        start = reader.at
        body = reader.take(size)
        tagged = TAG_SIZE if body and body[0] & AUTHENTICATED else 0
        stop = len(body) - tagged
        if stop < 5:
            raise MalformedDlms(f"{size} bytes of a protected text", offset=start)
        made: Any = _TextTwin()
        made.control = body[0]
        made.counter = int.from_bytes(body[1:5], "big")
        made.text = body[5:stop]
        made.tag = body[stop:]
        made.width = width
        made.__class__ = ProtectedText
        protected: ProtectedText = made
        return protected


_TextTwin: Final = twin(ProtectedText)


@dataclass(frozen=True, slots=True)
class GeneralCiphered:
    """A message that is protected as a whole and says who sent it: general-glo or general-ded."""

    system_title: bytes
    protected: ProtectedText
    dedicated: bool = False
    """With the key of this association instead of the global one."""
    GLOBAL_TAG: ClassVar[int] = 0xDB
    DEDICATED_TAG: ClassVar[int] = 0xDC

    def encode(self) -> bytes:
        """Return the APDU."""
        tag = self.DEDICATED_TAG if self.dedicated else self.GLOBAL_TAG
        return bytes([tag]) + encode_octets(self.system_title) + self.protected.encode()

    @classmethod
    def decode(cls, apdu: bytes) -> GeneralCiphered:
        """Return what an APDU is."""
        tag = apdu[0] if apdu else -1
        if tag not in (0xDB, 0xDC):
            raise MalformedDlms("no general ciphering", offset=0)
        reader = Reader(apdu, 1)
        title = reader.octets()
        if len(title) not in (0, 8):
            raise MalformedDlms(f"a system title of {len(title)} bytes", offset=1)
        protected = ProtectedText.read(reader)
        reader.end()
        return cls(title, protected, tag == cls.DEDICATED_TAG)


SERVICES: Final = {
    0x21: ("glo", "initiate-request"), 0x28: ("glo", "initiate-response"),
    0x2E: ("glo", "confirmed-service-error"),
    0x41: ("ded", "initiate-request"), 0x48: ("ded", "initiate-response"),
    0x4E: ("ded", "confirmed-service-error"),
    0xC8: ("glo", "get-request"), 0xC9: ("glo", "set-request"),
    0xCA: ("glo", "event-notification-request"), 0xCB: ("glo", "action-request"),
    0xCC: ("glo", "get-response"), 0xCD: ("glo", "set-response"), 0xCF: ("glo", "action-response"),
    0xD0: ("ded", "get-request"), 0xD1: ("ded", "set-request"),
    0xD2: ("ded", "event-notification-request"), 0xD3: ("ded", "action-request"),
    0xD4: ("ded", "get-response"), 0xD5: ("ded", "set-response"), 0xD7: ("ded", "action-response"),
}  # fmt: skip
"""Tags of services that are protected one by one: with which key, and which service."""

PLAIN_TAGS: Final = {
    "initiate-request": 0x01, "initiate-response": 0x08, "confirmed-service-error": 0x0E,
    "get-request": 0xC0, "set-request": 0xC1, "event-notification-request": 0xC2,
    "action-request": 0xC3, "get-response": 0xC4, "set-response": 0xC5, "action-response": 0xC7,
}  # fmt: skip

PROTECTED_TAGS: Final = {
    (key, PLAIN_TAGS[service]): tag for tag, (key, service) in SERVICES.items()
}
"""The tag of a service that is protected, by the key and the tag that it has in plain."""


@dataclass(frozen=True, slots=True)
class ServiceCiphered:
    """A service that is protected; who sent it is known from the association."""

    tag: int
    protected: ProtectedText

    def __post_init__(self) -> None:
        if self.tag not in SERVICES:
            raise EncodingError(f"no protected service has tag {self.tag}")

    @property
    def dedicated(self) -> bool:
        """Whether the key is that of this association."""
        return SERVICES[self.tag][0] == "ded"

    @property
    def name(self) -> str:
        """What it is, as `glo-get-request`."""
        return "-".join(SERVICES[self.tag])

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes([self.tag]) + self.protected.encode()

    @classmethod
    def decode(cls, apdu: bytes) -> ServiceCiphered:
        """Return what an APDU is."""
        reader = Reader(apdu)
        tag = reader.uint(1)
        if tag not in SERVICES:
            raise MalformedDlms("no protected service", offset=0)
        protected = ProtectedText.read(reader)
        reader.end()
        return cls(tag, protected)


@dataclass(frozen=True, slots=True)
class GeneralCiphering:
    """A message between two parties that may have agreed on its key (general-ciphering, dd).

    Its key information is kept as it stands; its text cannot be read with a global key unless
    `key_information` is empty or names one.
    """

    transaction_id: bytes
    originator: bytes
    recipient: bytes
    date_time: bytes
    other: bytes
    key_information: bytes
    protected: ProtectedText
    TAG: ClassVar[int] = 0xDD

    def encode(self) -> bytes:
        """Return the APDU."""
        names = (self.transaction_id, self.originator, self.recipient, self.date_time, self.other)
        head = b"".join(map(encode_octets, names))
        info = b"\x01" + self.key_information if self.key_information else b"\0"
        return bytes([self.TAG]) + head + info + self.protected.encode()

    @classmethod
    def decode(cls, apdu: bytes) -> GeneralCiphering:
        """Return what an APDU is."""
        reader = Reader(apdu)
        reader.tag(cls.TAG, "general ciphering")
        names = [reader.octets() for _ in range(5)]
        information = _read_key_information(reader) if reader.flag() else b""
        protected = ProtectedText.read(reader)
        reader.end()
        return cls(names[0], names[1], names[2], names[3], names[4], information, protected)


def _read_key_information(reader: Reader) -> bytes:
    start = reader.at
    choice = reader.uint(1)
    if choice == 0:  # identified: which key
        reader.uint(1)
    elif choice == 1:  # wrapped: by which key, and the wrapped one
        reader.uint(1)
        reader.octets()
    elif choice == 2:  # agreed: parameters and ciphered data
        reader.octets()
        reader.octets()
    else:
        raise MalformedDlms(f"key information of kind {choice}", offset=start)
    return reader.data[start : reader.at]
