# SPDX-License-Identifier: Apache-2.0
"""SML messages and files <-> bytes.

    SML file = message, message, ...        from an Open to a Close, without transport framing

    76               SML_Message, a list of six
       0x ..         transaction id
       62 ..         group
       62 ..         abort on error
       72 63 tt tt   body: a list of its tag
          7n ..      and its fields
       63 cc cc      checksum of all bytes before this field
       00            end of message

`decode_file` is strict: it returns every message or raises. `read_file` is for what meters really
send: it returns the messages whose checksum is right and says what else it saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from threading import get_ident
from typing import Final

from sml_codec import _make as make
from sml_codec._layouts import SmlLayout, learn
from sml_codec._schema import BODIES, TAGS, ShapeError
from sml_codec.crc import REFLECTED, Crc
from sml_codec.elements import LIST, Element, ElementReader, encode
from sml_codec.errors import ChecksumMismatch, EncodingError, MalformedSml, SmlError
from sml_codec.files import SmlFile
from sml_codec.messages import Body, GetListRes, Message, UnknownBody
from sml_codec.numbers import SizedInt, Unsigned16
from sml_codec.options import DEFAULT_LIMITS, Limits, Quirk
from sml_codec.quirks import SignFaults, corrected_list

MOST_KINDS: Final = 16
"""Of how many kinds of messages (by tag and first fields) layouts are remembered."""

MOST_LAYOUTS: Final = 64
"""How many layouts of a kind are remembered, and tried before a message is decoded with care."""


class FileReader:
    """Reads SML files, faster the more alike they are.

    It learns the layout of the messages it sees. One reader for each meter is best.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
        sign_faults: SignFaults | None = None,
    ) -> None:
        """`sign_faults` says which DZG meters have the fault, instead of `Quirk.DZG_SIGN`."""
        self._limits = limits
        self._quirks = quirks if sign_faults is None else quirks & ~Quirk.DZG_SIGN
        self._sign_faults = sign_faults
        self._layouts: dict[bytes, list[SmlLayout]] = {}
        self._met: set[tuple[bytes, int]] = set()
        self._last: SmlLayout | None = None

    def read(self, data: bytes) -> SmlFile:
        """Return what an SML file, perhaps damaged, contains; never raises."""
        messages: list[Message] = []
        rejected: list[Message] = []
        error: SmlError | None = None
        reflected = data.translate(REFLECTED)
        end = len(data.rstrip(b"\0"))
        offset = 0
        while offset < end:
            message = self._read_alike(data, reflected, offset)
            if message is not None:
                messages.append(message)
                offset += len(message.wire)
                continue
            reader = ElementReader(data, offset, limits=self._limits, quirks=self._quirks)
            try:
                message, intact = _message(reader)
            except MalformedSml as reason:
                error = reason
                break
            if intact:
                messages.append(message)
                self._learn(message)
            else:
                rejected.append(message)
            offset = reader.offset
        if self._sign_faults is not None:
            messages = [_with_signs(message, self._sign_faults) for message in messages]
        return make.sml_file(tuple(messages), tuple(rejected), error, data[offset:])

    def _read_alike(self, data: bytes, reflected: bytes, offset: int) -> Message | None:
        """Return the next message if it has a layout that is known, else None.

        The layout that followed the last one the time before is tried first.
        """
        last = self._last
        guess = None if last is None else last.follower
        message = None if guess is None else guess.decode(data, reflected, offset)
        if message is not None:
            self._last = guess
            return message
        layouts = self._layouts.get(_kind(data, offset), [])
        for place, layout in enumerate(layouts):
            message = layout.decode(data, reflected, offset)
            if message is not None:
                layouts.insert(0, layouts.pop(place))
                self._last = layout
                if last is not None:
                    last.follower = layout
                return message
        return None

    def _learn(self, message: Message) -> None:
        """Remember the layout of a message, if messages like it keep coming."""
        wire = message.wire.lstrip(b"\0")
        kind = _kind(wire, 0)
        if (kind, len(wire)) not in self._met:
            if len(self._met) == MOST_KINDS * MOST_LAYOUTS:
                self._met.clear()
            self._met.add((kind, len(wire)))
            return
        layout = learn(wire, message, self._quirks)
        if layout is None:
            return
        if len(self._layouts) == MOST_KINDS:
            self._layouts.clear()
        layouts = self._layouts.setdefault(kind, [])
        layouts.insert(0, layout)
        del layouts[MOST_LAYOUTS:]


def _with_signs(message: Message, faults: SignFaults) -> Message:
    body = message.body
    return (
        replace(message, body=faults.corrected(body)) if isinstance(body, GetListRes) else message
    )


def _kind(data: bytes, offset: int) -> bytes:
    """Return how the tag of a message and the fields after it are written, as a rule."""
    tag = offset + 6 + data[offset + 1] if offset + 1 < len(data) else 0
    return data[tag : tag + 6]


def decode_file(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
) -> list[Message]:
    """Return the messages of an SML file without transport framing.

    Raises `MalformedSml` or `ChecksumMismatch` unless `data` is messages with the right checksum
    and nothing else but zero bytes.
    """
    file = read_file(data, limits=limits, quirks=quirks)
    if file.rejected:
        offset = data.find(file.rejected[0].wire)
        raise ChecksumMismatch("message", offset=offset)
    if file.error is not None:
        raise file.error
    return list(file.messages)


def read_file(
    data: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
) -> SmlFile:
    """Return what an SML file, perhaps damaged, contains; never raises."""
    return shared_reader(limits, quirks, get_ident()).read(data)


@lru_cache(maxsize=8)
def shared_reader(limits: Limits, quirks: Quirk, thread: int) -> FileReader:
    """Return what this thread has learned so far from files read with these options."""
    return FileReader(limits=limits, quirks=quirks)


def encode_file(file: SmlFile | Iterable[Message]) -> bytes:
    """Return the messages one after the other: an SML file without transport framing.

    A file that was read keeps the zero bytes behind its messages.
    """
    messages, tail = (file.messages, file.tail) if isinstance(file, SmlFile) else (file, b"")
    return b"".join([encode_message(message) for message in messages]) + tail


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message, in the form it came in where that still holds its values.

    Raises `EncodingError` for a value that SML cannot carry.
    """
    body = message.body
    if isinstance(body, UnknownBody):
        tag, content = body.tag, body.element
    elif type(body) in TAGS:
        tag = TAGS[type(body)]
        content = BODIES[tag].lower(body)
    else:
        raise EncodingError(f"{type(body).__name__} is no message body")
    parts: tuple[Element, ...] = (
        message.transaction_id,
        message.group,
        message.abort_on_error,
        (tag, content),
    )
    if not message.wire:
        data = b"\x76" + b"".join([encode(part) for part in parts])
        return data + encode(Unsigned16(message.crc.of(data))) + b"\0"
    return _encode_like(message.wire, parts, message.crc)


def _encode_like(wire: bytes, parts: tuple[Element, ...], crc: Crc) -> bytes:
    """Return a message in the form of `wire`."""
    template = ElementReader(wire)
    while wire[template.offset] == 0:
        template.offset += 1
    start = template.offset
    template.field()
    data = wire[start : template.offset] + b"".join([encode(part, template) for part in parts])
    checksum = crc.of(data)
    return wire[:start] + data + encode(checksum, template) + b"\0"


def _message(reader: ElementReader) -> tuple[Message, bool]:
    """Read a message and the zero bytes before it; return it and whether its checksum is right."""
    data, before = reader.data, reader.offset
    while data[reader.offset] == 0:
        reader.offset += 1
    start = reader.offset
    _expect_list(reader, 6, "message")
    transaction = reader.element()
    group, abort = reader.element(), reader.element()
    _expect_list(reader, 2, "message body")
    tag, content = reader.element(), reader.element()
    checked = reader.offset
    checksum = reader.element()
    if not isinstance(checksum, SizedInt) or checksum.signed or not _is_checksum(checksum, reader):
        raise MalformedSml("no checksum where one is due", offset=checked)
    if reader.offset >= reader.end or data[reader.offset] != 0:
        raise MalformedSml("message does not end after its checksum", offset=reader.offset)
    reader.offset += 1
    if not isinstance(group, SizedInt) or not isinstance(abort, SizedInt):
        raise MalformedSml("group and abort-on-error must be integers", offset=start)
    if not isinstance(tag, SizedInt) or not isinstance(transaction, bytes | None):
        raise MalformedSml("transaction id and tag have other types", offset=start)
    crc = _matching(data[start:checked], checksum, reader.quirks)
    message = make.message(
        transaction or b"",
        int(group),
        int(abort),
        _body(tag, content, reader.quirks),
        crc or Crc.X25,
        data[before : reader.offset],
    )
    return message, crc is not None


def _expect_list(reader: ElementReader, length: int, what: str) -> None:
    start = reader.offset
    if reader.field() != (LIST, length):
        raise MalformedSml(f"no {what} starts with 0x{reader.data[start]:02x}", offset=start)


def _is_checksum(checksum: SizedInt, reader: ElementReader) -> bool:
    return checksum.size == 2 or (checksum.size == 1 and Quirk.SHORT_CHECKSUM in reader.quirks)


def _matching(data: bytes, checksum: int, quirks: Quirk) -> Crc | None:
    """Return the checksum that `data` has, or None if it has neither."""
    if Crc.X25.of(data) == checksum:
        return Crc.X25
    if Quirk.KERMIT_CRC in quirks and Crc.KERMIT.of(data) == checksum:
        return Crc.KERMIT
    return None


def _body(tag: int, content: Element, quirks: Quirk) -> Body:
    record = BODIES.get(tag)
    if record is None:
        return UnknownBody(int(tag), content)
    try:
        body: Body = record.lift(content, quirks)
    except ShapeError as reason:
        return UnknownBody(int(tag), content, str(reason))
    if isinstance(body, GetListRes) and Quirk.DZG_SIGN in quirks:
        return corrected_list(body)
    return body
