# SPDX-License-Identifier: Apache-2.0
"""Deterministic CBOR: one encoding for each value, and no other byte is read.

Integers of up to 64 bits, byte strings, UTF-8 text, arrays, and maps whose keys are integers or
text, as RFC 8949 section 4.2.1 ("core deterministic encoding") writes them: shortest heads,
definite lengths, keys in the order of their encodings. Whatever is signed, hashed or sent is
written this way, so that a document has one digest.

Written here rather than borrowed because it runs inside the applet machine too. A general decoder
(tags, big numbers, dates, regular expressions) would be attack surface without a use there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

CborItem: TypeAlias = int | bytes | str
"""What a flat array holds; its integers are unsigned."""
CborValue: TypeAlias = "CborItem | Sequence[CborValue] | Mapping[Any, CborValue]"
"""A map's keys are `int | str`."""

MAX_DEPTH: Final = 16
"""How many arrays and maps may lie within each other."""

_POWERS: Final = (0, 1, 2, 2, 3, 3, 3, 3)
"""An argument of 1 to 8 bytes is written in 1, 2, 4 or 8: as a power of two."""
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)


class CborError(ValueError):
    """A value has no deterministic encoding, or bytes are none."""


def encode(value: CborValue) -> bytes:
    """Return the one encoding of `value`; raise `CborError`, or `TypeError` for another type."""
    out = bytearray()
    _write(out, value, MAX_DEPTH)
    return bytes(out)


def encode_array(items: Sequence[CborItem]) -> bytes:
    """Return the encoding of a flat array; raise as `encode` does."""
    out = bytearray()
    _write_head(out, _ARRAY, len(items))
    for item in items:
        _write(out, item, 0)
        if isinstance(item, int) and item < 0:
            raise CborError("a flat array holds no negative number")
    return bytes(out)


def _write(out: bytearray, value: CborValue, depth: int) -> None:
    if isinstance(value, bytes):
        _write_head(out, _BYTES, len(value))
        out += value
    elif isinstance(value, str):
        text = value.encode()
        _write_head(out, _TEXT, len(text))
        out += text
    elif isinstance(value, int):
        if isinstance(value, bool):
            raise TypeError("truth values have no encoding here")
        _write_head(out, *((_UNSIGNED, value) if value >= 0 else (_NEGATIVE, -1 - value)))
    elif not depth:
        raise CborError("nested too deeply")
    elif isinstance(value, Mapping):
        _write_head(out, _MAP, len(value))
        for key, item in sorted([(_key(key), item) for key, item in value.items()], key=_first):
            out += key
            _write(out, item, depth - 1)
    elif isinstance(value, Sequence):
        _write_head(out, _ARRAY, len(value))
        for item in value:
            _write(out, item, depth - 1)
    else:
        raise TypeError(f"{type(value).__name__} has no encoding here")


def _key(key: int | str) -> bytes:
    if not isinstance(key, int | str):
        raise TypeError("a key is neither a number nor text")
    return encode(key)


def _first(member: tuple[bytes, CborValue]) -> bytes:
    return member[0]


def _write_head(out: bytearray, major: int, argument: int) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
    elif argument < 1 << 64:
        power = _POWERS[(argument.bit_length() - 1) >> 3]
        out.append(major << 5 | 24 + power)
        out += argument.to_bytes(1 << power, "big")
    else:
        raise CborError("an integer exceeds 64 bits")


def decode(data: bytes) -> CborValue:
    """Return the value that `data` encodes; raise `CborError` for any other bytes.

    What it returns encodes to `data` again. Time and memory are proportional to the data's size.
    """
    cursor = _Cursor(data)
    value = cursor.value(MAX_DEPTH)
    if cursor.offset != len(data):
        raise cursor.refuse(f"{len(data) - cursor.offset} bytes follow after its end")
    return value


def decode_array(data: bytes) -> list[CborItem]:
    """Return the items of the flat array that `data` encodes; raise `CborError` otherwise."""
    value = decode(data)
    if not isinstance(value, list):
        raise CborError("not an array")
    for place, item in enumerate(value):
        if not isinstance(item, CborItem) or (isinstance(item, int) and item < 0):
            raise CborError(f"item {place}: neither a number from 0, nor bytes, nor text")
    return value


class _Cursor:
    """Reads items in order and never past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def refuse(self, reason: str, offset: int | None = None) -> CborError:
        return CborError(f"{reason} (at byte {self.offset if offset is None else offset})")

    def _take(self, size: int) -> bytes:
        start, end = self.offset, self.offset + size
        if end > len(self._data):
            missing = end - len(self._data)
            raise self.refuse(f"cut short, {missing} bytes are missing", len(self._data))
        self.offset = end
        return self._data[start:end]

    def _argument(self, low: int, start: int) -> int:
        if low > 27:
            raise self.refuse("indefinite length or reserved head", start)
        size = 1 << low - 24
        argument = int.from_bytes(self._take(size), "big")
        if argument < (24 if size == 1 else 1 << 4 * size):
            raise self.refuse("not the shortest form", start)
        return argument

    def value(self, depth: int) -> CborValue:
        data, start = self._data, self.offset
        initial = data[start] if start < len(data) else self._take(1)[0]
        self.offset = start + 1
        major, argument = initial >> 5, initial & 31
        if argument > 23:
            argument = self._argument(argument, start)
        if major == _UNSIGNED:
            return argument
        if major == _BYTES:
            begin = self.offset
            if begin + argument > len(data):
                return self._take(argument)  # which says how many are missing
            self.offset = begin + argument
            return data[begin : begin + argument]
        if major == _NEGATIVE:
            return -1 - argument
        if major == _TEXT:
            try:
                return self._take(argument).decode()
            except UnicodeDecodeError:
                raise self.refuse("text is not UTF-8", start) from None
        if major > _MAP:
            raise self.refuse(
                "neither number, bytes, text, array nor map: tags, floats and simple values have"
                " no place here",
                start,
            )
        if not depth:
            raise self.refuse("nested too deeply", start)
        if argument > len(self._data) - self.offset:  # an item takes a byte at least
            raise self.refuse("more items than bytes, some are missing", start)
        if major == _ARRAY:
            return [self.value(depth - 1) for _ in range(argument)]
        return self._map(argument, depth - 1)

    def _map(self, count: int, depth: int) -> dict[int | str, CborValue]:
        items: dict[int | str, CborValue] = {}
        last = b""
        for _ in range(count):
            start = self.offset
            key = self.value(0)
            if not isinstance(key, int | str):
                raise self.refuse("a key is neither a number nor text", start)
            encoded = self._data[start : self.offset]
            if encoded <= last:  # RFC 8949, 4.2.1: bytewise order, and so no key twice (5.6)
                raise self.refuse("keys repeated or out of order", start)
            last = encoded
            items[key] = self.value(depth)
        return items
