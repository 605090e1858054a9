# SPDX-License-Identifier: Apache-2.0
"""Integers that know how SML sends them: Unsigned8 .. Unsigned64, Integer8 .. Integer64.

An SML value says whether it is signed and how many bytes it has. A value that was decoded is one of
these, so that it encodes as it came; they are `int` in every other way. A plain `int` is also a
value: it is sent in the fewest bytes, unsigned unless negative.
"""

from __future__ import annotations

from typing import ClassVar, Final, Self

from sml_codec.errors import EncodingError


class SizedInt(int):
    """An integer of a given signedness and size; raises `EncodingError` where it does not fit."""

    __slots__ = ()
    signed: ClassVar[bool]
    size: ClassVar[int]

    def __init_subclass__(cls, *, signed: bool, size: int) -> None:
        cls.signed, cls.size = signed, size

    def __new__(cls, value: int) -> Self:
        """Check the value."""
        try:
            int(value).to_bytes(cls.size, "big", signed=cls.signed)
        except OverflowError:
            raise EncodingError(f"{value} does not fit {cls.__name__}") from None
        return super().__new__(cls, value)

    def encode(self) -> bytes:
        """Return the bytes of the number, big-endian."""
        return int(self).to_bytes(self.size, "big", signed=self.signed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"

    def __str__(self) -> str:
        return int.__repr__(self)


class Unsigned8(SizedInt, signed=False, size=1):
    """An unsigned integer of 1 byte."""

    __slots__ = ()


class Unsigned16(SizedInt, signed=False, size=2):
    """An unsigned integer of 2 bytes."""

    __slots__ = ()


class Unsigned24(SizedInt, signed=False, size=3):
    """An unsigned integer of 3 bytes."""

    __slots__ = ()


class Unsigned32(SizedInt, signed=False, size=4):
    """An unsigned integer of 4 bytes."""

    __slots__ = ()


class Unsigned40(SizedInt, signed=False, size=5):
    """An unsigned integer of 5 bytes."""

    __slots__ = ()


class Unsigned48(SizedInt, signed=False, size=6):
    """An unsigned integer of 6 bytes."""

    __slots__ = ()


class Unsigned56(SizedInt, signed=False, size=7):
    """An unsigned integer of 7 bytes."""

    __slots__ = ()


class Unsigned64(SizedInt, signed=False, size=8):
    """An unsigned integer of 8 bytes."""

    __slots__ = ()


class Integer8(SizedInt, signed=True, size=1):
    """A signed integer of 1 byte."""

    __slots__ = ()


class Integer16(SizedInt, signed=True, size=2):
    """A signed integer of 2 bytes."""

    __slots__ = ()


class Integer24(SizedInt, signed=True, size=3):
    """A signed integer of 3 bytes."""

    __slots__ = ()


class Integer32(SizedInt, signed=True, size=4):
    """A signed integer of 4 bytes."""

    __slots__ = ()


class Integer40(SizedInt, signed=True, size=5):
    """A signed integer of 5 bytes."""

    __slots__ = ()


class Integer48(SizedInt, signed=True, size=6):
    """A signed integer of 6 bytes."""

    __slots__ = ()


class Integer56(SizedInt, signed=True, size=7):
    """A signed integer of 7 bytes."""

    __slots__ = ()


class Integer64(SizedInt, signed=True, size=8):
    """A signed integer of 8 bytes."""

    __slots__ = ()


UNSIGNEDS: Final[tuple[type[SizedInt], ...]] = (
    Unsigned8, Unsigned16, Unsigned24, Unsigned32, Unsigned40, Unsigned48, Unsigned56, Unsigned64,
)  # fmt: skip
"""The unsigned types, from one byte to eight."""

INTEGERS: Final[tuple[type[SizedInt], ...]] = (
    Integer8, Integer16, Integer24, Integer32, Integer40, Integer48, Integer56, Integer64,
)  # fmt: skip
"""The signed types, from one byte to eight."""


def sized(value: int, *, signed: bool | None = None) -> SizedInt:
    """Return `value` in the fewest bytes; unsigned unless negative or told otherwise."""
    if isinstance(value, SizedInt):
        return value
    if signed is None:
        signed = value < 0
    bits = (value if value >= 0 else ~value).bit_length() + signed
    size = max(1, (bits + 7) // 8)
    if size > 8:
        raise EncodingError(f"{value} needs more than 64 bits")
    return (INTEGERS if signed else UNSIGNEDS)[size - 1](value)
