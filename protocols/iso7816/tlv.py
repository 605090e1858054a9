# SPDX-License-Identifier: Apache-2.0
"""BER-TLV as ISO/IEC 7816-4 (2020), 5.2.2, packs it, and the LV lists of GlobalPlatform.

    tag      1 to 3 bytes; the low five bits of the first are 1s where more follow
    length   00..7F, or 81 xx, 82 xx xx, 83 xx xx xx
    value    nodes again where bit 6 of the tag's first byte is set

One encoding per value: a length or tag that is longer than it need be is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from protocols.iso7816.errors import MalformedTlv

MAX_LENGTH: Final = 0xFFFFFF
_LONG_TAG: Final = 0x1F


class Cursor:
    """Reads bytes in order; nothing it hands out ever comes up short."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    @property
    def at_end(self) -> bool:
        """Whether every byte has been taken."""
        return self.offset == len(self._data)

    @property
    def rest(self) -> bytes:
        """The bytes not taken yet, without taking them."""
        return self._data[self.offset :]

    def rest_starts_with(self, prefix: bytes) -> bool:
        """Whether the bytes not taken yet begin so."""
        return self._data.startswith(prefix, self.offset)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; raise `MalformedTlv` where there are fewer."""
        end = self.offset + size
        if end > len(self._data):
            have = len(self._data) - self.offset
            raise MalformedTlv(f"{size} bytes announced, {have} present", offset=self.offset)
        piece, self.offset = self._data[self.offset : end], end
        return piece

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def length(self, *, strict: bool = True) -> int:
        """Return a BER length; `strict` refuses one that is longer than need be."""
        start = self.offset
        first = self.byte()
        if first < 0x80:
            return first
        if first not in {0x81, 0x82, 0x83}:
            raise MalformedTlv("no such form of length", offset=start)
        value = int.from_bytes(self.take(first - 0x80), "big")
        if strict and encode_length(value) != self._data[start : self.offset]:
            raise MalformedTlv("not the shortest length", offset=start)
        return value

    def tag(self) -> int:
        """Return a tag of one to three bytes as a number."""
        start = self.offset
        tag = self.byte()
        if tag & _LONG_TAG == _LONG_TAG:
            second = self.byte()
            tag = tag << 8 | second
            if second & 0x80:
                third = self.byte()
                tag = tag << 8 | third
                if third & 0x80 or second == 0x80:
                    raise MalformedTlv("not a tag of up to three bytes", offset=start)
            elif second < _LONG_TAG:
                raise MalformedTlv("not the shortest tag", offset=start)
        return tag


@dataclass(frozen=True, slots=True)
class Tlv:
    """One tag and its value, as ISO/IEC 7816-4 packs them."""

    tag: int
    value: bytes

    @property
    def is_constructed(self) -> bool:
        """Whether the value is made of nodes again."""
        return bool(self.tag >> 8 * (_tag_size(self.tag) - 1) & 0x20)

    def encode(self) -> bytes:
        """Return the shortest encoding, the only one `decode_all` takes."""
        tag = self.tag.to_bytes(_tag_size(self.tag), "big")
        return tag + encode_length(len(self.value)) + self.value

    @classmethod
    def of(cls, tag: int, children: Iterable["Tlv"]) -> Self:
        """Return the constructed node that holds `children`."""
        return cls(tag, b"".join(child.encode() for child in children))

    @classmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        """Yield the nodes that fill `data` exactly; raise `MalformedTlv` otherwise."""
        cursor = Cursor(data)
        while not cursor.at_end:
            tag = cursor.tag()
            yield cls(tag, cursor.take(cursor.length()))

    @classmethod
    def decode_map(cls, data: bytes) -> dict[int, bytes]:
        """Return values by tag; raise `MalformedTlv` where a tag comes twice."""
        values: dict[int, bytes] = {}
        for node in cls.decode_all(data):
            if node.tag in values:
                raise MalformedTlv(f"tag {node.tag:X} comes twice", offset=0)
            values[node.tag] = node.value
        return values


def _tag_size(tag: int) -> int:
    return max(1, (tag.bit_length() + 7) // 8)


def encode_length(length: int) -> bytes:
    """Return the shortest BER length, of at most three further bytes."""
    if length < 0x80:
        return bytes((length,))
    if length > MAX_LENGTH:
        raise MalformedTlv(f"{length} bytes are too long for a TLV", offset=0)
    size = (length.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def encode_lv(*fields: bytes) -> bytes:
    """Return `fields`, each after its length."""
    return b"".join(encode_length(len(field)) + field for field in fields)
