# SPDX-License-Identifier: Apache-2.0
"""The part of CBOR that a tariff document needs, in its one deterministic form.

Integers of up to 64 bits, byte strings, UTF-8 text, arrays, and maps whose keys are integers or
text, as RFC 8949 section 4.2.1 ("core deterministic encoding") writes them: shortest heads,
definite lengths, keys in the order of their encodings. `decode` takes nothing else, so that a
value has one encoding and a document one digest. Written here rather than borrowed because it
runs inside the applet machine too, where a general decoder (tags, big numbers, dates, regular
expressions) would be attack surface without a use.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from tariffs.errors import MalformedTariff

__all__ = ["Value", "decode", "encode"]

Value: TypeAlias = "int | bytes | str | Sequence[Value] | Mapping[int | str, Value]"

MAX_DEPTH: Final = 16
UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP = range(6)


def encode(value: Value) -> bytes:
    """Return the one encoding of `value`."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Value) -> None:
    if isinstance(value, bool):
        raise TypeError("a truth value has no encoding here")
    if isinstance(value, int):
        out += _head(UNSIGNED, value) if value >= 0 else _head(NEGATIVE, -1 - value)
    elif isinstance(value, bytes):
        out += _head(BYTES, len(value)) + value
    elif isinstance(value, str):
        text = value.encode()
        out += _head(TEXT, len(text)) + text
    elif isinstance(value, Mapping):
        out += _head(MAP, len(value))
        for key, item in sorted((encode(key), item) for key, item in value.items()):
            out += key
            _write(out, item)
    else:
        out += _head(ARRAY, len(value))
        for item in value:
            _write(out, item)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | extra]) + argument.to_bytes(size, "big")
    raise MalformedTariff("an integer exceeds 64 bits")


def decode(data: bytes) -> Value:
    """Return the value that `data` encodes; raise `MalformedTariff` for any other bytes."""
    cursor = _Cursor(data)
    value = cursor.value(MAX_DEPTH)
    if cursor.offset != len(data):
        raise MalformedTariff(f"document: bytes after its end (at byte {cursor.offset})")
    return value


class _Cursor:
    """Reads items in order and never past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def _take(self, size: int) -> bytes:
        start, end = self.offset, self.offset + size
        if end > len(self._data):
            raise MalformedTariff(f"document: cut short (at byte {len(self._data)})")
        self.offset = end
        return self._data[start:end]

    def _refuse(self, reason: str, offset: int) -> MalformedTariff:
        return MalformedTariff(f"document: {reason} (at byte {offset})")

    def _head(self) -> tuple[int, int]:
        start = self.offset
        initial = self._take(1)[0]
        major, low = initial >> 5, initial & 31
        if low < 24:
            return major, low
        if low > 27:
            raise self._refuse("indefinite length or reserved head", start)
        size = 1 << low - 24
        argument = int.from_bytes(self._take(size), "big")
        if argument < (24 if size == 1 else 1 << 4 * size):
            raise self._refuse("not the shortest encoding", start)
        return major, argument

    def value(self, depth: int) -> Value:
        start = self.offset
        major, argument = self._head()
        if major == UNSIGNED:
            return argument
        if major == NEGATIVE:
            return -1 - argument
        if major == BYTES:
            return self._take(argument)
        if major == TEXT:
            return self._text(argument, start)
        if not depth:
            raise self._refuse("nested too deeply", start)
        if major == ARRAY:
            return [self.value(depth - 1) for _ in range(self._count(argument, start))]
        if major == MAP:
            return self._map(self._count(argument, start), depth - 1)
        raise self._refuse("tags, floats and simple values have no place here", start)

    def _text(self, size: int, start: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise self._refuse("text is not UTF-8", start) from error

    def _count(self, count: int, start: int) -> int:
        if count > len(self._data) - self.offset:  # an item takes a byte at least
            raise self._refuse("more items than bytes", start)
        return count

    def _map(self, count: int, depth: int) -> dict[int | str, Value]:
        items: dict[int | str, Value] = {}
        last = b""
        for _ in range(count):
            start = self.offset
            key = self.value(0)
            if not isinstance(key, int | str):
                raise self._refuse("a key is neither a number nor text", start)
            encoded = self._data[start : self.offset]
            if encoded <= last:
                raise self._refuse("keys repeated or out of order", start)
            last = encoded
            items[key] = self.value(depth)
        return items
