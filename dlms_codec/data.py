# SPDX-License-Identifier: Apache-2.0
"""The data types of COSEM that are no numbers (DLMS UA 1000-2, clause 9.5).

An octet string is `bytes`. Texts are bytes too, since meters put other bytes into them; `text`
reads them. Lengths that were sent in more bytes than needed are kept in `width`, so that a value
encodes as it came: 0 is the shortest way, else the number of bytes that the length took.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from dlms_codec.errors import EncodingError
from dlms_codec.numbers import Float32, Float64, SizedInt
from dlms_codec.obis import Obis


class _Octets(bytes):
    """Octets with a width of their length."""

    tag: ClassVar[int]
    width: int = 0

    def __new__(cls, value: bytes, width: int = 0) -> Self:
        """Keep the width, if it is not the shortest."""
        made = super().__new__(cls, value)
        if width:
            object.__setattr__(made, "width", width)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} is fixed")

    def __repr__(self) -> str:
        more = f", width={self.width}" if self.width else ""
        return f"{type(self).__name__}({bytes(self)!r}{more})"


class OctetString(_Octets):
    """An octet string whose length was sent in more bytes than needed."""

    tag = 9


class VisibleString(_Octets):
    """A text, of ASCII as a rule."""

    tag = 10

    @property
    def text(self) -> str:
        """The text; bytes that are none are shown as Latin-1."""
        return self.decode("latin-1")


class Utf8String(_Octets):
    """A text in UTF-8."""

    tag = 12

    @property
    def text(self) -> str:
        """The text, with a mark for what is no UTF-8."""
        return self.decode("utf-8", "replace")


class _Items(tuple["Data", ...]):
    """Several values, with a width of their count."""

    tag: ClassVar[int]
    width: int = 0

    def __new__(cls, values: Iterable[Data] = (), width: int = 0) -> Self:
        """Keep the width, if it is not the shortest."""
        made = super().__new__(cls, values)
        if width:
            object.__setattr__(made, "width", width)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} is fixed")

    def __repr__(self) -> str:
        more = f", width={self.width}" if self.width else ""
        return f"{type(self).__name__}({tuple(self)!r}{more})"


class Array(_Items):
    """Values of one kind."""

    tag = 1


class Structure(_Items):
    """Values of different kinds."""

    tag = 2


@dataclass(frozen=True, slots=True)
class BitString:
    """Bits, the first one on the left; those that fill the last byte are kept."""

    count: int
    raw: bytes
    width: int = 0
    tag: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if len(self.raw) != (self.count + 7) // 8:
            raise EncodingError(f"{len(self.raw)} bytes for {self.count} bits")

    @property
    def bits(self) -> tuple[bool, ...]:
        """Each bit."""
        return tuple(bool(self.raw[i >> 3] & 0x80 >> (i & 7)) for i in range(self.count))


@dataclass(frozen=True, slots=True)
class DontCare:
    """The value that says nothing (255)."""

    tag: ClassVar[int] = 255


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Class, OBIS code and attribute that stand in a structure without data tags: a quirk."""

    class_id: int
    obis: Obis
    attribute: int

    def encode(self) -> bytes:
        """Return the nine bytes."""
        return self.class_id.to_bytes(2, "big") + self.obis.code + bytes([self.attribute])


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """What the elements of a compact array are: a tag, and what is inside of it."""

    tag: int
    count: int = 0
    """Of an array: its number of elements."""
    inside: tuple[TypeDescription, ...] = ()
    """Of an array: one; of a structure: one for each element."""
    width: int = 0


@dataclass(frozen=True, slots=True)
class CompactArray:
    """Values of one kind whose tags are sent once; `axdr.elements_of` unpacks them."""

    description: TypeDescription
    content: bytes
    tag: ClassVar[int] = 19


Data: TypeAlias = (
    SizedInt
    | bytes
    | Array
    | Structure
    | BitString
    | Float32
    | Float64
    | CompactArray
    | Descriptor
    | DontCare
    | None
)
"""Any value. `bytes` is an octet string, or a text, or one of `DateTime`, `Date` and `Time`."""

DONT_CARE: Final = DontCare()
