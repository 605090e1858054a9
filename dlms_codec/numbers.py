# SPDX-License-Identifier: Apache-2.0
"""Numbers that know how DLMS sends them: Int8 .. UInt64, Boolean, Enum, Bcd, Float32, Float64.

A number that was decoded is one of these, so that it encodes as it came. The integers are `int` in
every other way.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from dlms_codec.errors import EncodingError


class SizedInt(int):
    """An integer of a given tag, signedness and size; raises `EncodingError` if it does not fit."""

    __slots__ = ()
    tag: ClassVar[int]
    signed: ClassVar[bool]
    size: ClassVar[int]

    def __init_subclass__(cls, *, tag: int, signed: bool, size: int) -> None:
        cls.tag, cls.signed, cls.size = tag, signed, size

    def __new__(cls, value: int) -> Self:
        """Check the value."""
        try:
            int(value).to_bytes(cls.size, "big", signed=cls.signed)
        except OverflowError:
            raise EncodingError(f"{value} does not fit {cls.__name__}") from None
        return super().__new__(cls, value)

    def encode(self) -> bytes:
        """Return the tag and the number, big-endian."""
        return bytes([self.tag]) + int(self).to_bytes(self.size, "big", signed=self.signed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"

    def __str__(self) -> str:
        return int.__repr__(self)


class Int8(SizedInt, tag=15, signed=True, size=1):
    """integer."""

    __slots__ = ()


class Int16(SizedInt, tag=16, signed=True, size=2):
    """long."""

    __slots__ = ()


class Int32(SizedInt, tag=5, signed=True, size=4):
    """double-long."""

    __slots__ = ()


class Int64(SizedInt, tag=20, signed=True, size=8):
    """long64."""

    __slots__ = ()


class UInt8(SizedInt, tag=17, signed=False, size=1):
    """unsigned."""

    __slots__ = ()


class UInt16(SizedInt, tag=18, signed=False, size=2):
    """long-unsigned."""

    __slots__ = ()


class UInt32(SizedInt, tag=6, signed=False, size=4):
    """double-long-unsigned."""

    __slots__ = ()


class UInt64(SizedInt, tag=21, signed=False, size=8):
    """long64-unsigned."""

    __slots__ = ()


class Boolean(SizedInt, tag=3, signed=False, size=1):
    """A truth; the byte that says so is kept: any but zero is true."""

    __slots__ = ()


class Enum(SizedInt, tag=22, signed=False, size=1):
    """One of the choices of its attribute."""

    __slots__ = ()


class Bcd(SizedInt, tag=13, signed=False, size=1):
    """A byte of binary coded digits, as it was sent; `digits` reads it."""

    __slots__ = ()

    @property
    def digits(self) -> int | None:
        """The two digits as a number; None if one of them is above 9."""
        tens, ones = divmod(int(self), 16)
        return tens * 10 + ones if tens < 10 and ones < 10 else None


@dataclass(frozen=True, slots=True)
class Float32:
    """A number of single precision, kept as its four bytes: some of them are no number."""

    raw: bytes
    tag: ClassVar[int] = 23
    size: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if len(self.raw) != self.size:
            raise EncodingError(f"{len(self.raw)} bytes for {self.size}")

    @classmethod
    def of(cls, value: float) -> Self:
        """Return the nearest number of single precision."""
        return cls(struct.pack(">f", value))

    @property
    def value(self) -> float:
        """The number; infinite or not a number where that was sent."""
        number: float = struct.unpack(">f", self.raw)[0]
        return number

    def encode(self) -> bytes:
        """Return the tag and the bytes."""
        return bytes([self.tag]) + self.raw


@dataclass(frozen=True, slots=True)
class Float64:
    """A number of double precision, kept as its eight bytes."""

    raw: bytes
    tag: ClassVar[int] = 24
    size: ClassVar[int] = 8

    def __post_init__(self) -> None:
        if len(self.raw) != self.size:
            raise EncodingError(f"{len(self.raw)} bytes for {self.size}")

    @classmethod
    def of(cls, value: float) -> Self:
        """Return the number."""
        return cls(struct.pack(">d", value))

    @property
    def value(self) -> float:
        """The number; infinite or not a number where that was sent."""
        number: float = struct.unpack(">d", self.raw)[0]
        return number

    def encode(self) -> bytes:
        """Return the tag and the bytes."""
        return bytes([self.tag]) + self.raw


INTEGERS: Final[tuple[type[SizedInt], ...]] = (
    Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Boolean, Enum, Bcd,
)  # fmt: skip
"""All types that are integers on the wire."""
