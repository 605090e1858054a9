# SPDX-License-Identifier: Apache-2.0
"""Deterministic CBOR (RFC 8949, clause 4.2.1) of flat arrays.

Only what signed documents need: unsigned integers below 2^64, byte strings, UTF-8 text, and arrays
of these, with definite lengths in their shortest form. Any other byte is refused, so that there
is one encoding for each value.
"""

from collections.abc import Sequence
from typing import Final

__all__ = ["CborError", "Item", "decode_array", "encode_array"]

Item = int | bytes | str

_UNSIGNED: Final = 0
_BYTES: Final = 2
_TEXT: Final = 3
_ARRAY: Final = 4


class CborError(ValueError):
    """Bytes are not a flat array in deterministic CBOR."""


def encode_array(items: Sequence[Item]) -> bytes:
    """Return the array's encoding."""
    return _head(_ARRAY, len(items)) + b"".join(map(_encode, items))


def decode_array(data: bytes) -> list[Item]:
    """Return the items of the array that fills `data` exactly; raise `CborError` otherwise."""
    major, count, at = _read_head(data, 0)
    if major != _ARRAY:
        raise CborError("not an array")
    items: list[Item] = []
    for _ in range(count):  # ends at the first item that is not there, however large the count
        item, at = _read(data, at)
        items.append(item)
    if at != len(data):
        raise CborError(f"{len(data) - at} bytes follow the array")
    return items


def _encode(item: Item) -> bytes:
    match item:
        case int():
            return _head(_UNSIGNED, item)
        case bytes():
            return _head(_BYTES, len(item)) + item
        case str():
            text = item.encode()
            return _head(_TEXT, len(text)) + text


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise CborError(f"{number} does not fit into 64 bits")


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    first = _take(data, at, 1)[0]
    major, code = first >> 5, first & 31
    if code < 24:
        return major, code, at + 1
    if code > 27:
        raise CborError(f"byte {at}: not a definite length")
    size = 1 << code - 24
    number = int.from_bytes(_take(data, at + 1, size), "big")
    if _head(major, number) != data[at : at + 1 + size]:
        raise CborError(f"byte {at}: not the shortest form")
    return major, number, at + 1 + size


def _read(data: bytes, at: int) -> tuple[Item, int]:
    major, number, start = _read_head(data, at)
    if major == _UNSIGNED:
        return number, start
    if major not in (_BYTES, _TEXT):
        raise CborError(f"byte {at}: neither a number, nor bytes, nor text")
    content = _take(data, start, number)
    if major == _BYTES:
        return content, start + number
    try:
        return content.decode(), start + number
    except UnicodeDecodeError:
        raise CborError(f"byte {at}: not UTF-8") from None


def _take(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise CborError(f"byte {at}: {at + size - len(data)} bytes are missing")
    return data[at : at + size]
