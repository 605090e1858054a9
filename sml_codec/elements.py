# SPDX-License-Identifier: Apache-2.0
"""Type-length fields, and the untyped trees they make up.

Every SML element starts with a type-length field (TL) of one byte or more:

     7   6 5 4   3 2 1 0
    +---+-------+---------+    type 0 octet string   4 boolean   5 integer   6 unsigned   7 list
    | + | type  | length  |    +    one more byte follows, with four more bits of length
    +---+-------+---------+

The length counts the TL itself and the bytes after it; for a list it counts elements instead. `01`
(an octet string with nothing in it) is an optional element left out. `00` ends a message.

An element is None (left out), a bool, bytes, an integer or a tuple of elements. Integers keep their
signedness and size (`numbers`). What else distinguishes two encodings of one element (TLs longer
than needed, a padded status) is not part of it; `encode` takes it from a template.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from sml_codec._lowered import EmptyOctets, LoweredFields, SignedNumber
from sml_codec.errors import EncodingError, LimitExceeded, MalformedSml
from sml_codec.numbers import INTEGERS, UNSIGNEDS, SizedInt, sized
from sml_codec.options import DEFAULT_LIMITS, Limits, Quirk

Element: TypeAlias = "bool | bytes | int | tuple[Element, ...] | None"

OCTETS: Final = 0x00
BOOLEAN: Final = 0x40
INTEGER: Final = 0x50
UNSIGNED: Final = 0x60
LIST: Final = 0x70

TRUE: Final = b"\x01"
MISSING: Final = b"\x01"
EMPTY_OCTETS: Final = b"\x80\x02"
"""The shortest octet string that is there, but empty: `01` would mean that it is left out."""


class ElementReader:
    """A cursor over encoded elements, which it checks against limits and quirks."""

    __slots__ = ("data", "depth", "end", "limits", "offset", "quirks")

    def __init__(
        self,
        data: bytes,
        offset: int = 0,
        *,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
    ) -> None:
        self.data = data
        self.offset = offset
        self.end = len(data)
        self.limits = limits
        self.quirks = quirks
        self.depth = 0

    def field(self) -> tuple[int, int]:
        """Read a TL; return its type and how many bytes (of a list: elements) follow."""
        data = self.data
        start = offset = self.offset
        if offset >= self.end:
            raise MalformedSml("ends within an element", offset=offset)
        byte = data[offset]
        kind = byte & 0x70
        length = byte & 0x0F
        offset += 1
        while byte & 0x80:
            if offset >= self.end:
                raise MalformedSml("ends within a type-length field", offset=offset)
            byte = data[offset]
            if byte & 0x70 and not (byte & 0x70 == kind and Quirk.REPEATED_TYPE in self.quirks):
                raise MalformedSml(f"type-length field goes on with 0x{byte:02x}", offset=offset)
            if offset - start > 7:
                raise MalformedSml("type-length field of more than 8 bytes", offset=start)
            length = length << 4 | byte & 0x0F
            offset += 1
        self.offset = offset
        if kind == LIST:
            if length > self.limits.elements:
                raise LimitExceeded(f"list of {length} elements", offset=start)
            if length > self.end - offset:
                raise MalformedSml(
                    f"list of {length} elements reaches beyond the end", offset=start
                )
            return kind, length
        length -= offset - start
        if length < 0:
            raise MalformedSml("length shorter than its own field", offset=start)
        if length > self.end - offset:
            raise MalformedSml(f"element of {length} bytes reaches beyond the end", offset=start)
        return kind, length

    def element(self) -> Element:
        """Read one element with everything in it."""
        start = self.offset
        kind, length = self.field()
        if kind == LIST:
            return self._list(length, start)
        offset = self.offset
        self.offset = offset + length
        if kind == OCTETS:
            if length > self.limits.octets:
                raise LimitExceeded(f"octet string of {length} bytes", offset=start)
            if length == 0 and offset - start == 1:
                return None
            return self.data[offset : offset + length]
        if kind in (UNSIGNED, INTEGER):
            if not 0 < length <= 8:
                raise MalformedSml(f"integer of {length} bytes", offset=start)
            signed = kind == INTEGER
            number = int.from_bytes(self.data[offset : offset + length], "big", signed=signed)
            return int.__new__((INTEGERS if signed else UNSIGNEDS)[length - 1], number)
        if kind == BOOLEAN:
            if length != 1:
                raise MalformedSml(f"boolean of {length} bytes", offset=start)
            return self.data[offset] != 0
        raise MalformedSml(f"reserved type 0x{kind:02x}", offset=start)

    def _list(self, length: int, start: int) -> tuple[Element, ...]:
        self.depth += 1
        if self.depth > self.limits.depth:
            raise LimitExceeded(f"lists nested more than {self.limits.depth} deep", offset=start)
        elements = tuple([self.element() for _ in range(length)])
        self.depth -= 1
        return elements


def encode(element: Element, template: ElementReader | None = None) -> bytes:
    """Return `element` in its shortest form, or in that of the `template` where the two agree.

    The template is a reader at the element that a sender once sent in this place. Its TL bytes and
    integer widths are kept wherever they can hold the value.
    """
    chunks: list[bytes] = []
    _write(chunks, element, template)
    return b"".join(chunks)


def type_length(kind: int, count: int) -> bytes:
    """Return the shortest TL for `count` bytes after it, or for a list of `count` elements."""
    size = 1
    while count + (0 if kind == LIST else size) >= 16**size:
        size += 1
    length = count + (0 if kind == LIST else size)
    nibbles = [length >> 4 * place & 0x0F for place in reversed(range(size))]
    tail = [nibble | 0x80 for nibble in nibbles[1:-1]] + nibbles[1:][-1:]
    return bytes([kind | nibbles[0] | (0x80 if size > 1 else 0), *tail])


def _write(chunks: list[bytes], element: Element, template: ElementReader | None) -> None:
    if template is None:
        _write_plain(chunks, element)
        return
    start = template.offset
    kind, length = template.field()
    head = template.data[start : template.offset]
    if kind == LIST:
        _write_list(chunks, element, template, head, length)
        return
    body = template.data[template.offset : template.offset + length]
    template.offset += length
    same = _in_form_of(element, kind, head, body)
    if same is None:
        _write_plain(chunks, element)
    else:
        chunks.append(head + same)


def _write_list(
    chunks: list[bytes], element: Element, template: ElementReader, head: bytes, count: int
) -> None:
    """Write what takes the place of a list: its elements in their old form, if as many."""
    elements = element if isinstance(element, tuple) else ()
    if isinstance(element, LoweredFields) and element.may_end_after(count):
        elements = elements[:count]  # the sender leaves out what is missing at the end
    if not isinstance(element, tuple) or len(elements) != count:
        for _ in range(count):
            _skip(template)
        _write_plain(chunks, element)
        return
    chunks.append(head)
    for child in elements:
        _write(chunks, child, template)


def _in_form_of(element: Element, kind: int, head: bytes, body: bytes) -> bytes | None:
    """Return what follows `head` in the place of `body` if that can hold `element`, else None."""
    if element is None:
        return body if head == MISSING else None
    if isinstance(element, bool):
        return (body if bool(body[0]) is element else None) if kind == BOOLEAN else None
    if isinstance(element, SizedInt):  # before int, as what is an int to a compiler is no more
        same = element.signed == (kind == INTEGER) and element.size == len(body)
        return element.encode() if same and kind in (INTEGER, UNSIGNED) else None
    if isinstance(element, int):
        if kind not in (INTEGER, UNSIGNED):
            return None
        signed = kind == INTEGER
        try:
            return int(element).to_bytes(len(body), "big", signed=signed)
        except OverflowError:
            return None
    if isinstance(element, bytes) and kind == OCTETS and len(element) == len(body):
        kept = element or isinstance(element, EmptyOctets) or head != MISSING
        return element if kept else None
    return None


def _write_plain(chunks: list[bytes], element: Element) -> None:
    """Append the shortest form of `element`."""
    if element is None:
        chunks.append(MISSING)
    elif isinstance(element, bool):
        chunks.append(b"\x42" + (TRUE if element else b"\x00"))
    elif isinstance(element, SizedInt):
        kind = INTEGER if element.signed else UNSIGNED
        chunks.append(bytes([kind | element.size + 1]) + element.encode())
    elif isinstance(element, SignedNumber):
        _write_plain(chunks, sized(int(element), signed=True))
    elif isinstance(element, int):
        _write_plain(chunks, sized(element))
    elif isinstance(element, bytes):
        if element:
            chunks.append(type_length(OCTETS, len(element)) + element)
        else:
            chunks.append(MISSING if isinstance(element, EmptyOctets) else EMPTY_OCTETS)
    elif isinstance(element, tuple):
        chunks.append(type_length(LIST, len(element)))
        for child in element:
            _write_plain(chunks, child)
    else:
        raise EncodingError(f"SML cannot carry a {type(element).__name__}")


def _skip(reader: ElementReader) -> None:
    kind, length = reader.field()
    if kind == LIST:
        for _ in range(length):
            _skip(reader)
    else:
        reader.offset += length
