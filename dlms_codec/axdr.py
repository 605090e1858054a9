# SPDX-License-Identifier: Apache-2.0
"""A-XDR (IEC 61334-6): a tag, and then the value as its type says.

    00                          nothing          01 n ..  array        02 n ..  structure
    05 06 0f 10 11 12 14 15     integers         03 boolean   16 enumeration   0d two digits
    09 n ..  octets             0a n ..  text    0c n ..  UTF-8        04 n ..  n bits
    17 18    floats             19 1a 1b date-time, date, time         13       compact array

A length n is one byte below 80, else 81 nn, 82 nnnn, ...: other ways to send it are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from struct import error as struct_error
from typing import Final

from dlms_codec.data import (
    DONT_CARE,
    Array,
    BitString,
    CompactArray,
    Data,
    Descriptor,
    DontCare,
    OctetString,
    Structure,
    TypeDescription,
    Utf8String,
    VisibleString,
)
from dlms_codec.datetimes import CosemMoment, Date, DateTime, Time
from dlms_codec.errors import EncodingError, LimitExceeded, MalformedDlms
from dlms_codec.numbers import INTEGERS, Float32, Float64, SizedInt
from dlms_codec.obis import Obis
from dlms_codec.options import DEFAULT_LIMITS, Limits

_CODES: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
NUMBERS: Final = {
    kind.tag: (
        kind,
        Struct(">" + (_CODES[kind.size] if kind.signed else _CODES[kind.size].upper())).unpack_from,
        kind.size,
    )
    for kind in INTEGERS
}
MOMENTS: Final[dict[int, type[CosemMoment]]] = {25: DateTime, 26: Date, 27: Time}
FLOATS: Final[dict[int, type[Float32 | Float64]]] = {23: Float32, 24: Float64}
TEXTS: Final[dict[int, type[VisibleString | Utf8String]]] = {10: VisibleString, 12: Utf8String}
_new_int = int.__new__
_new_tuple = tuple.__new__
_new_bytes = bytes.__new__


def decode_data(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Data:
    """Return the value that `data` is, all of it; raise `MalformedDlms` otherwise."""
    value, end = read_data(data, 0, limits=limits)
    if end != len(data):
        raise MalformedDlms(f"{len(data) - end} bytes behind the value", offset=end)
    return value


def read_data(
    data: bytes, at: int, *, limits: Limits = DEFAULT_LIMITS, bare_descriptors: bool = False
) -> tuple[Data, int]:
    """Return the value at `at` and where it ends.

    With `bare_descriptors`, a structure may begin with class, OBIS code and attribute without tags.
    """
    depth = limits.depth
    try:
        return _read_bare(data, at, depth) if bare_descriptors else _read(data, at, depth)
    except (IndexError, struct_error):
        raise MalformedDlms("cut short", offset=len(data)) from None


def _read(data: bytes, at: int, depth: int) -> tuple[Data, int]:
    tag = data[at]
    if tag == 9:
        size = data[at + 1]
        if size < 0x80:
            stop = at + 2 + size
            if stop > len(data):
                raise MalformedDlms("cut short", offset=len(data))
            return data[at + 2 : stop], stop
        size, begin, width = read_length(data, at + 1)
        stop = _within(data, begin + size)
        raw = data[begin:stop]
        return OctetString(raw, width) if width else raw, stop
    if tag in NUMBERS:
        kind, unpack, size = NUMBERS[tag]
        return _new_int(kind, unpack(data, at + 1)[0]), at + 1 + size
    if tag in (1, 2):
        count, at, width = read_length(data, at + 1)
        if count > len(data) - at:
            raise MalformedDlms("cut short", offset=len(data))
        if depth == 0:
            raise LimitExceeded("nested too deep", offset=at)
        values = []
        for _ in range(count):
            value, at = _read(data, at, depth - 1)
            values.append(value)
        return _items(tag, values, width), at
    return _read_rare(data, at, tag)


def _read_bare(data: bytes, at: int, depth: int) -> tuple[Data, int]:
    """Read as `_read` does, with a descriptor without tags at the beginning of a structure."""
    tag = data[at]
    if tag not in (1, 2):
        return _read(data, at, depth)
    count, at, width = read_length(data, at + 1)
    if count > len(data) - at:
        raise MalformedDlms("cut short", offset=len(data))
    if depth == 0:
        raise LimitExceeded("nested too deep", offset=at)
    values: list[Data] = []
    if tag == 2 and count >= 2 and _is_descriptor(data, at):
        class_id = int.from_bytes(data[at : at + 2], "big")
        values.append(Descriptor(class_id, Obis(data[at + 2 : at + 8]), data[at + 8]))
        at += 9
    for _ in range(count - len(values)):
        value, at = _read_bare(data, at, depth - 1)
        values.append(value)
    return _items(tag, values, width), at


def _is_descriptor(data: bytes, at: int) -> bool:
    """Whether class (below 256), OBIS code (of group F 255) and attribute may stand at `at`."""
    return data[at] == 0 and data[at + 1] != 0 and data[at + 7] == 0xFF and data[at + 2] < 16


def _items(tag: int, values: list[Data], width: int) -> Array | Structure:
    kind: type[Array] | type[Structure] = Structure if tag == 2 else Array
    return kind(values, width) if width else _new_tuple(kind, values)


def _read_rare(data: bytes, at: int, tag: int) -> tuple[Data, int]:
    if tag == 0:
        return None, at + 1
    if tag in TEXTS:
        size, begin, width = read_length(data, at + 1)
        stop = _within(data, begin + size)
        return TEXTS[tag](data[begin:stop], width), stop
    if tag in MOMENTS:
        stop = _within(data, at + 1 + MOMENTS[tag].size)
        return MOMENTS[tag](data[at + 1 : stop]), stop
    if tag in FLOATS:
        stop = _within(data, at + 1 + FLOATS[tag].size)
        return FLOATS[tag](data[at + 1 : stop]), stop
    if tag == 4:
        count, begin, width = read_length(data, at + 1)
        stop = _within(data, begin + (count + 7) // 8)
        return BitString(count, data[begin:stop], width), stop
    if tag == 19:
        return _read_compact(data, at)
    if tag == 255:
        return DONT_CARE, at + 1
    raise MalformedDlms(f"no data type has tag {tag}", offset=at)


def _within(data: bytes, stop: int) -> int:
    if stop > len(data):
        raise MalformedDlms("cut short", offset=len(data))
    return stop


def read_length(data: bytes, at: int) -> tuple[int, int, int]:
    """Return a length, where it ends, and its width if that is not the shortest, else 0."""
    first = data[at]
    if first < 0x80:
        return first, at + 1, 0
    width = first & 0x7F
    if not 1 <= width <= 4:
        raise MalformedDlms(f"a length of {width} bytes", offset=at)
    stop = _within(data, at + 1 + width)
    value = int.from_bytes(data[at + 1 : stop], "big")
    shortest = len(encode_length(value)) - 1 == width
    return value, stop, 0 if shortest else width


def encode_length(value: int, width: int = 0) -> bytes:
    """Return a length in the shortest way, or in `width` bytes behind the one that says so."""
    if not width:
        if value < 0x80:
            return bytes([value])
        width = (value.bit_length() + 7) // 8
    try:
        return bytes([0x80 | width]) + value.to_bytes(width, "big")
    except OverflowError:
        raise EncodingError(f"{value} does not fit a length of {width} bytes") from None


def encode_data(value: Data) -> bytes:
    """Return the bytes of a value; what was decoded comes out as it was."""
    if value is None:
        return b"\0"
    if type(value) is bytes:
        return b"\x09" + encode_length(len(value)) + value
    if isinstance(value, SizedInt | CosemMoment | Float32 | Float64 | Descriptor):
        return value.encode()
    if isinstance(value, OctetString | VisibleString | Utf8String):
        return bytes([value.tag]) + encode_length(len(value), value.width) + value
    if isinstance(value, Array | Structure):
        head = bytes([value.tag]) + encode_length(len(value), value.width)
        return head + b"".join(map(encode_data, value))
    if isinstance(value, BitString):
        return b"\x04" + encode_length(value.count, value.width) + value.raw
    if isinstance(value, CompactArray):
        return b"\x13" + _encode_description(value.description) + encode_octets(value.content)
    if isinstance(value, DontCare):
        return b"\xff"
    raise EncodingError(f"{type(value).__name__} is no COSEM data")


def encode_byte(value: int) -> bytes:
    """Return a number of one byte; raise `EncodingError` for another."""
    if not 0 <= value < 256:
        raise EncodingError(f"{value} does not fit one byte")
    return bytes([value])


def encode_two(value: int) -> bytes:
    """Return a number of two bytes; raise `EncodingError` for another."""
    if not 0 <= value < 1 << 16:
        raise EncodingError(f"{value} does not fit two bytes")
    return value.to_bytes(2, "big")


def encode_octets(value: bytes) -> bytes:
    """Return a length and the octets."""
    return encode_length(len(value), getattr(value, "width", 0)) + value


# Compact arrays: a description of the type, then the content without tags.


def _read_compact(data: bytes, at: int) -> tuple[CompactArray, int]:
    description, begin = _read_description(data, at + 1, 8)
    size, begin, width = read_length(data, begin)
    stop = _within(data, begin + size)
    raw = data[begin:stop]
    array = CompactArray(description, OctetString(raw, width) if width else raw)
    for _ in elements_of(array, offset=begin):
        pass  # what does not add up is refused here, not when someone looks
    return array, stop


def _read_description(data: bytes, at: int, depth: int) -> tuple[TypeDescription, int]:
    tag = data[at]
    if depth == 0:
        raise LimitExceeded("nested too deep", offset=at)
    if tag == 1:
        count = int.from_bytes(data[at + 1 : _within(data, at + 3)], "big")
        inside, stop = _read_description(data, at + 3, depth - 1)
        return TypeDescription(tag, count, (inside,)), stop
    if tag == 2:
        count, at, width = read_length(data, at + 1)
        if count > len(data) - at:
            raise MalformedDlms("cut short", offset=len(data))
        members = []
        for _ in range(count):
            inside, at = _read_description(data, at, depth - 1)
            members.append(inside)
        return TypeDescription(tag, 0, tuple(members), width), at
    if tag in NUMBERS or tag in MOMENTS or tag in FLOATS or tag in TEXTS or tag in (0, 4, 9, 255):
        return TypeDescription(tag), at + 1
    raise MalformedDlms(f"no data type has tag {tag}", offset=at)


def _encode_description(description: TypeDescription) -> bytes:
    head = bytes([description.tag])
    if description.tag == 1:
        head += description.count.to_bytes(2, "big")
    elif description.tag == 2:
        head += encode_length(len(description.inside), description.width)
    return head + b"".join(map(_encode_description, description.inside))


def elements_of(array: CompactArray, *, offset: int = 0) -> Iterator[Data]:
    """Yield the elements of a compact array; raise `MalformedDlms` if they do not add up."""
    content, at = bytes(array.content), 0
    while at < len(content):
        try:
            value, stop = _read_untagged(content, at, array.description, [len(content)])
        except (IndexError, struct_error):
            raise MalformedDlms("cut short", offset=offset + len(content)) from None
        if stop == at:  # endlessly many of nothing
            raise MalformedDlms("elements without content", offset=offset)
        yield value
        at = stop


def _read_untagged(
    data: bytes, at: int, description: TypeDescription, budget: list[int]
) -> tuple[Data, int]:
    """Read a value without its tag; `budget` bounds how many values come out of so many bytes."""
    tag = description.tag
    if tag in (1, 2):
        kinds = description.inside * description.count if tag == 1 else description.inside
        values = []
        for kind in kinds:
            budget[0] -= 1
            if budget[0] < -256:
                raise LimitExceeded("more elements than bytes", offset=at)
            value, at = _read_untagged(data, at, kind, budget)
            values.append(value)
        return _items(tag, values, 0), at
    if tag in (4, 9, 10, 12):
        size, begin, _ = read_length(data, at)
        stop = _within(data, begin + ((size + 7) // 8 if tag == 4 else size))
    else:
        sized = NUMBERS[tag][2] if tag in NUMBERS else _sized(tag)
        stop = _within(data, at + sized)
    return _read(bytes([tag]) + data[at:stop], 0, 0)[0], stop


def _sized(tag: int) -> int:
    kind = MOMENTS.get(tag) or FLOATS.get(tag)
    return 0 if kind is None else kind.size
