# SPDX-License-Identifier: Apache-2.0
"""What services name: attributes and methods of objects, parts of them, and how it went."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from dlms_codec.axdr import encode_byte, encode_data, encode_length, encode_octets, encode_two
from dlms_codec.data import Data
from dlms_codec.errors import EncodingError, MalformedDlms
from dlms_codec.obis import Obis
from dlms_codec.reader import Reader


class AccessResult(enum.IntEnum):
    """How reading or writing an attribute went (data-access-result)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class ActionResult(enum.IntEnum):
    """How invoking a method went (action-result)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


@dataclass(frozen=True, slots=True)
class SelectiveAccess:
    """Which part of an attribute: of a profile, selector 1 is a range and 2 are entries."""

    selector: int
    parameters: Data


def _numbered(class_id: int, obis: Obis, number: int) -> bytes:
    """Return an attribute or method of an object; its number has a sign."""
    return (
        encode_two(class_id)
        + obis.code
        + encode_byte(number & 0xFF if -128 <= number < 0 else number)
    )


def _read_numbered(reader: Reader) -> tuple[int, Obis, int]:
    class_id, obis = reader.uint(2), Obis(reader.take(6))
    number = reader.uint(1)
    return class_id, obis, number - 256 if number > 127 else number


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an object, or a part of it."""

    class_id: int
    obis: Obis
    attribute: int
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        """Return the descriptor, and whether and what part."""
        if self.access is None:
            return self.encode_plain() + b"\0"
        part = bytes([1, self.access.selector]) + encode_data(self.access.parameters)
        return self.encode_plain() + part

    def encode_plain(self) -> bytes:
        """Return the descriptor without a word about a part."""
        return _numbered(self.class_id, self.obis, self.attribute)

    @classmethod
    def read(cls, reader: Reader) -> Attribute:
        """Return the descriptor that stands here, and its part."""
        plain = cls.read_plain(reader)
        if not reader.flag():
            return plain
        access = SelectiveAccess(reader.uint(1), reader.value())
        return cls(plain.class_id, plain.obis, plain.attribute, access)

    @classmethod
    def read_plain(cls, reader: Reader) -> Attribute:
        """Return the descriptor that stands here, where no part can be named."""
        return cls(*_read_numbered(reader))


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an object."""

    class_id: int
    obis: Obis
    method: int

    def encode(self) -> bytes:
        """Return the descriptor."""
        return _numbered(self.class_id, self.obis, self.method)

    @classmethod
    def read(cls, reader: Reader) -> Method:
        """Return the descriptor that stands here."""
        return cls(*_read_numbered(reader))


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was read."""

    data: Data


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is none; a number that the standard does not have stays a number."""

    result: AccessResult | int


@dataclass(frozen=True, slots=True)
class DataBlock:
    """A piece of a longer value, or list of values."""

    last: bool
    number: int
    piece: bytes

    def encode(self) -> bytes:
        """Return the block."""
        return bytes([self.last]) + _four(self.number) + encode_octets(self.piece)

    @classmethod
    def read(cls, reader: Reader) -> DataBlock:
        """Return the block that stands here."""
        return cls(reader.flag(), reader.uint(4), reader.octets())


def encode_result(result: Value | Failure) -> bytes:
    """Return a value, or why there is none."""
    if isinstance(result, Value):
        return b"\0" + encode_data(result.data)
    return b"\x01" + encode_byte(result.result)


def read_result(reader: Reader) -> Value | Failure:
    """Return the value that stands here, or why there is none."""
    return Failure(read_access_result(reader)) if reader.flag() else Value(reader.value())


def read_access_result(reader: Reader) -> AccessResult | int:
    """Return how reading or writing went."""
    code = reader.uint(1)
    return _ACCESS.get(code, code)


def read_action_result(reader: Reader) -> ActionResult | int:
    """Return how invoking went."""
    code = reader.uint(1)
    return _ACTION.get(code, code)


_ACCESS = {int(result): result for result in AccessResult}
_ACTION = {int(result): result for result in ActionResult}


def result_name(result: int) -> str:
    """Return the standard's name: `object-undefined`; `result-99` for one it does not have."""
    if isinstance(result, AccessResult | ActionResult):
        return result.name.lower().replace("_", "-")
    return f"result-{result}"


def encode_list(items: Iterable[bytes]) -> bytes:
    """Return how many items there are, and they."""
    items = list(items)
    return encode_length(len(items)) + b"".join(items)


def _four(value: int) -> bytes:
    if not 0 <= value < 1 << 32:
        raise EncodingError(f"{value} does not fit four bytes")
    return value.to_bytes(4, "big")


def head(tag: int, choice: int, invoke: int) -> bytes:
    """Return how a service begins: its tag, which form, invoke id and priority."""
    return bytes([tag, choice]) + encode_byte(invoke)


def block_number(value: int) -> bytes:
    """Return the number of a block."""
    return _four(value)


def unknown_form(service: str, form: int) -> MalformedDlms:
    """Return the error for a form of a service that the standard does not have."""
    return MalformedDlms(f"{service} of form {form}", offset=1)
