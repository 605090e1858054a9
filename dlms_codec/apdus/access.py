# SPDX-License-Identifier: Apache-2.0
"""ACCESS: reading, writing and invoking in one message (DLMS UA 1000-2, clause 9.3.9).

    d9 | invoke id, 4 bytes | date-time | count, what is asked for | count, data
    da | invoke id, 4 bytes | date-time | 00, or 01 and what was asked | count, data | results

What is asked for: 01 get, 02 set, 03 action, 04 get a part, 05 set a part. Each has its data, null
where there are none. A result says which of the three it was, and how it went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from dlms_codec.apdus.addressing import (
    AccessResult,
    ActionResult,
    Attribute,
    Method,
    SelectiveAccess,
    block_number,
    encode_list,
    read_access_result,
    read_action_result,
)
from dlms_codec.axdr import encode_data, encode_octets
from dlms_codec.data import Data
from dlms_codec.errors import EncodingError, MalformedDlms
from dlms_codec.reader import Reader

GET: Final = 1
SET: Final = 2
ACTION: Final = 3


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that is asked for: GET or SET of an attribute, ACTION of a method."""

    kind: int
    target: Attribute | Method

    def __post_init__(self) -> None:
        right = {GET: Attribute, SET: Attribute, ACTION: Method}.get(self.kind)
        if right is None or not isinstance(self.target, right):
            raise EncodingError(f"access of kind {self.kind} to {type(self.target).__name__}")

    def encode(self) -> bytes:
        """Return what is asked for."""
        if isinstance(self.target, Method):
            return bytes([self.kind]) + self.target.encode()
        access = self.target.access
        if access is None:
            return bytes([self.kind]) + self.target.encode_plain()
        part = bytes([access.selector]) + encode_data(access.parameters)
        return bytes([self.kind + 3]) + self.target.encode_plain() + part

    @classmethod
    def read(cls, reader: Reader) -> Access:
        """Return what is asked for here."""
        start, form = reader.at, reader.uint(1)
        if form == ACTION:
            return cls(ACTION, Method.read(reader))
        if form in (GET, SET):
            return cls(form, Attribute.read_plain(reader))
        if form in (GET + 3, SET + 3):
            plain = Attribute.read_plain(reader)
            access = SelectiveAccess(reader.uint(1), reader.value())
            return cls(form - 3, Attribute(plain.class_id, plain.obis, plain.attribute, access))
        raise MalformedDlms(f"access of form {form}", offset=start)


@dataclass(frozen=True, slots=True)
class AccessOutcome:
    """How one of them went."""

    kind: int
    result: AccessResult | ActionResult | int

    def encode(self) -> bytes:
        """Return the outcome."""
        return bytes([self.kind, self.result])

    @classmethod
    def read(cls, reader: Reader) -> AccessOutcome:
        """Return the outcome that stands here."""
        start, kind = reader.at, reader.uint(1)
        if kind not in (GET, SET, ACTION):
            raise MalformedDlms(f"outcome of form {kind}", offset=start)
        read = read_action_result if kind == ACTION else read_access_result
        return cls(kind, read(reader))


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """Asks for several things, in their order."""

    invoke: int
    time: bytes
    """A date-time of 12 bytes, or nothing."""
    accesses: tuple[Access, ...]
    data: tuple[Data, ...]
    """One for each: what is written or handed over, null for GET."""
    tag: ClassVar[int] = 0xD9

    def encode(self) -> bytes:
        """Return the APDU."""
        return b"".join((
            bytes([self.tag]),
            block_number(self.invoke),
            encode_octets(self.time),
            encode_list(access.encode() for access in self.accesses),
            encode_list(map(encode_data, self.data)),
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccessResponse:
    """Answers each of them."""

    invoke: int
    time: bytes
    accesses: tuple[Access, ...] | None
    """What was asked for, if the meter repeats it."""
    data: tuple[Data, ...]
    """One for each: what was read or came back, null where there is nothing."""
    outcomes: tuple[AccessOutcome, ...]
    tag: ClassVar[int] = 0xDA

    def encode(self) -> bytes:
        """Return the APDU."""
        asked = b"\0"
        if self.accesses is not None:
            asked = b"\x01" + encode_list(access.encode() for access in self.accesses)
        return b"".join((
            bytes([self.tag]),
            block_number(self.invoke),
            encode_octets(self.time),
            asked,
            encode_list(map(encode_data, self.data)),
            encode_list(outcome.encode() for outcome in self.outcomes),
        ))  # fmt: skip


AnyAccess: TypeAlias = AccessRequest | AccessResponse


def read_access_request(reader: Reader) -> AccessRequest:
    """Return the request whose tag was read."""
    invoke, time = reader.uint(4), reader.octets()
    accesses = _accesses(reader)
    return AccessRequest(invoke, time, accesses, _values(reader))


def read_access_response(reader: Reader) -> AccessResponse:
    """Return the response whose tag was read."""
    invoke, time = reader.uint(4), reader.octets()
    accesses = _accesses(reader) if reader.flag() else None
    values = _values(reader)
    outcomes = tuple(AccessOutcome.read(reader) for _ in range(reader.count()))
    return AccessResponse(invoke, time, accesses, values, outcomes)


def _accesses(reader: Reader) -> tuple[Access, ...]:
    return tuple(Access.read(reader) for _ in range(reader.count()))


def _values(reader: Reader) -> tuple[Data, ...]:
    return tuple(reader.value() for _ in range(reader.count()))
