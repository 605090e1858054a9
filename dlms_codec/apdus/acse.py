# SPDX-License-Identifier: Apache-2.0
"""How an association begins and ends: AARQ, AARE, RLRQ, RLRE, in BER (DLMS UA 1000-2, 9.4.2).

    60 AARQ   a1 context  a6 system title  8a 8b ac authentication  be user information
    61 AARE   a1 context  a2 result  a3 why  a4 system title  88 89 aa authentication  be ...
    62 RLRQ   80 reason  be ...
    63 RLRE   80 reason  be ...

Fields stand in the order of the standard and lengths are as short as can be: anything else is
refused. Fields that have no name here are kept as they stand.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from dlms_codec.axdr import encode_byte, encode_length
from dlms_codec.errors import MalformedDlms
from dlms_codec.reader import Reader

_CONTEXT: Final = bytes.fromhex("60857405 0801")
_MECHANISM: Final = bytes.fromhex("60857405 0802")


class Context(enum.IntEnum):
    """How objects are named, and whether messages may be protected."""

    LOGICAL_NAMES = 1
    SHORT_NAMES = 2
    LOGICAL_NAMES_CIPHERED = 3
    SHORT_NAMES_CIPHERED = 4


class Mechanism(enum.IntEnum):
    """How one end proves who it is."""

    LOWEST = 0
    LOW = 1
    HIGH = 2
    MD5 = 3
    SHA1 = 4
    GMAC = 5
    SHA256 = 6
    ECDSA = 7


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Why an association was refused, and by whom: 1 the service user, 2 the provider."""

    source: int
    code: int


Fields = Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Aarq:
    """A client asks for an association."""

    context: int
    user_information: bytes | None = field(default=None, repr=False)
    """The proposal, which may hold a key."""
    system_title: bytes | None = None
    acse_requirements: int | None = None
    """The bits of the field; 80 asks for authentication."""
    mechanism: int | None = None
    authentication: bytes | None = field(default=None, repr=False)
    """A password or a challenge."""
    user_id: int | None = None
    others: tuple[tuple[int, bytes], ...] = ()
    """Fields that have no name here, by their tags."""
    tag: ClassVar[int] = 0x60

    def encode(self) -> bytes:
        """Return the APDU."""
        return _encode(
            self.tag,
            (
                (0xA1, _oid(_CONTEXT, self.context, explicit=True)),
                (0xA6, _wrapped(4, self.system_title)),
                (0xA9, None if self.user_id is None else _integer(self.user_id)),
                (0x8A, _bits(self.acse_requirements)),
                (0x8B, _oid(_MECHANISM, self.mechanism)),
                (0xAC, _wrapped(0x80, self.authentication)),
                (0xBE, _wrapped(4, self.user_information)),
                *self.others,
            ),
        )


@dataclass(frozen=True, slots=True)
class Aare:
    """A meter grants an association, or refuses it."""

    context: int
    result: int
    """0 accepted, 1 rejected for good, 2 rejected for now."""
    diagnostic: Diagnostic
    user_information: bytes | None = None
    system_title: bytes | None = None
    acse_requirements: int | None = None
    mechanism: int | None = None
    authentication: bytes | None = field(default=None, repr=False)
    """A challenge."""
    others: tuple[tuple[int, bytes], ...] = ()
    tag: ClassVar[int] = 0x61

    def encode(self) -> bytes:
        """Return the APDU."""
        why = _integer(self.diagnostic.code)
        return _encode(
            self.tag,
            (
                (0xA1, _oid(_CONTEXT, self.context, explicit=True)),
                (0xA2, _integer(self.result)),
                (0xA3, _tlv(0xA0 | self.diagnostic.source, why)),
                (0xA4, _wrapped(4, self.system_title)),
                (0x88, _bits(self.acse_requirements)),
                (0x89, _oid(_MECHANISM, self.mechanism)),
                (0xAA, _wrapped(0x80, self.authentication)),
                (0xBE, _wrapped(4, self.user_information)),
                *self.others,
            ),
        )


@dataclass(frozen=True, slots=True)
class Rlrq:
    """A client ends an association."""

    reason: int | None = None
    user_information: bytes | None = None
    tag: ClassVar[int] = 0x62

    def encode(self) -> bytes:
        """Return the APDU."""
        return _encode_release(self.tag, self.reason, self.user_information)


@dataclass(frozen=True, slots=True)
class Rlre:
    """A meter agrees that an association ends."""

    reason: int | None = None
    user_information: bytes | None = None
    tag: ClassVar[int] = 0x63

    def encode(self) -> bytes:
        """Return the APDU."""
        return _encode_release(self.tag, self.reason, self.user_information)


def _encode_release(tag: int, reason: int | None, information: bytes | None) -> bytes:
    code = None if reason is None else encode_byte(reason)
    return _encode(tag, ((0x80, code), (0xBE, _wrapped(4, information))))


def _encode(tag: int, fields: Iterable[tuple[int, bytes | None]]) -> bytes:
    present = sorted(
        ((name, value) for name, value in fields if value is not None), key=lambda f: f[0] & 0x1F
    )
    return _tlv(tag, b"".join(_tlv(name, value) for name, value in present))


def _tlv(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + encode_length(len(value)) + value


def _integer(value: int) -> bytes:
    return b"\x02\x01" + encode_byte(value)


def _wrapped(tag: int, value: bytes | None) -> bytes | None:
    return None if value is None else _tlv(tag, value)


def _bits(value: int | None) -> bytes | None:
    return None if value is None else b"\x07" + encode_byte(value)


def _oid(prefix: bytes, arc: int | None, *, explicit: bool = False) -> bytes | None:
    if arc is None:
        return None
    return (b"\x06\x07" if explicit else b"") + prefix + encode_byte(arc)


# Decoding: fields that are as they should be get a name; then what encoding gives is compared.


def _fields(data: bytes) -> dict[int, bytes]:
    """Return the fields of an APDU by their tags."""
    reader = Reader(data)
    reader.uint(1)
    if reader.length() != len(data) - reader.at:
        raise MalformedDlms("length of the APDU", offset=1)
    fields: dict[int, bytes] = {}
    while reader.at < len(data):
        start = reader.at
        tag = reader.uint(1)
        if tag in fields or tag & 0x1F == 0x1F:
            raise MalformedDlms(f"field {tag:02x}", offset=start)
        fields[tag] = reader.take(reader.length())
    return fields


def _take_oid(fields: dict[int, bytes], tag: int, prefix: bytes, begin: bytes = b"") -> int | None:
    value = fields.get(tag, b"")
    if len(value) != len(begin + prefix) + 1 or not value.startswith(begin + prefix):
        return None
    del fields[tag]
    return value[-1]


def _take_wrapped(fields: dict[int, bytes], tag: int, inner: int) -> bytes | None:
    value = fields.get(tag)
    if not value or value[0] != inner:
        return None
    reader = Reader(value, 1)
    size, width = reader.wide_length()
    if width or size != len(value) - reader.at:
        return None
    del fields[tag]
    return reader.rest()


def _take_integer(fields: dict[int, bytes], tag: int, begin: bytes = b"\x02\x01") -> int | None:
    value = fields.get(tag, b"")
    if len(value) != len(begin) + 1 or not value.startswith(begin):
        return None
    del fields[tag]
    return value[-1]


def _exactly(made: Aarq | Aare | Rlrq | Rlre, data: bytes) -> None:
    if made.encode() != data:
        raise MalformedDlms("fields out of order, or not the shortest encoding", offset=0)


def decode_aarq(data: bytes) -> Aarq:
    """Return the request that an APDU is."""
    fields = _fields(data)
    context = _take_oid(fields, 0xA1, _CONTEXT, b"\x06\x07")
    if context is None:
        raise MalformedDlms("no application context of DLMS", offset=0)
    made = Aarq(
        context,
        _take_wrapped(fields, 0xBE, 4),
        _take_wrapped(fields, 0xA6, 4),
        _take_integer(fields, 0x8A, b"\x07"),
        _take_oid(fields, 0x8B, _MECHANISM),
        _take_wrapped(fields, 0xAC, 0x80),
        _take_integer(fields, 0xA9),
        tuple(fields.items()),
    )
    _exactly(made, data)
    return made


def decode_aare(data: bytes) -> Aare:
    """Return the response that an APDU is."""
    fields = _fields(data)
    context = _take_oid(fields, 0xA1, _CONTEXT, b"\x06\x07")
    result = _take_integer(fields, 0xA2)
    why = fields.pop(0xA3, b"")
    if context is None or result is None or len(why) != 5 or why[0] not in (0xA1, 0xA2):
        raise MalformedDlms("no context, result or reason of an association", offset=0)
    made = Aare(
        context,
        result,
        Diagnostic(why[0] & 0x1F, why[4]),
        _take_wrapped(fields, 0xBE, 4),
        _take_wrapped(fields, 0xA4, 4),
        _take_integer(fields, 0x88, b"\x07"),
        _take_oid(fields, 0x89, _MECHANISM),
        _take_wrapped(fields, 0xAA, 0x80),
        tuple(fields.items()),
    )
    _exactly(made, data)
    return made


def decode_rlrq(data: bytes) -> Rlrq:
    """Return the request that an APDU is."""
    made = Rlrq(*_release(data))
    _exactly(made, data)
    return made


def decode_rlre(data: bytes) -> Rlre:
    """Return the response that an APDU is."""
    made = Rlre(*_release(data))
    _exactly(made, data)
    return made


def _release(data: bytes) -> tuple[int | None, bytes | None]:
    fields = _fields(data)
    reason, information = _take_integer(fields, 0x80, b""), _take_wrapped(fields, 0xBE, 4)
    if fields:
        raise MalformedDlms(f"field {next(iter(fields)):02x} of a release", offset=0)
    return reason, information
