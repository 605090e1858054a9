# SPDX-License-Identifier: Apache-2.0
"""Layouts: what one message teaches about the next.

A meter sends the same message again and again; only the values change, and between them the bytes
stay the same. A layout remembers those bytes and where the values stand. Whether a message has the
layout is then one comparison under a mask, and its values come out in one `struct` call:

    message    76 05 00f1a2c3 62 00 62 00 72 63 0701 77 01 0b 0a01.. .. 63 c1c2 00
    mask       ff ff 00000000 ff 00 ff 00 ff ff ffff ff ff ff 0000.. .. ff 0000 ff

A layout is learned from a message that the careful decoder took, and holds only for messages that
it would take in the same way: all type-length fields, tags, OBIS codes, units and scalers are among
the bytes compared. What has no layout (booleans, trees, requests) goes the careful way each time.

Objects are immutable, so a list entry whose bytes are those of the message before is that entry.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from operator import itemgetter
from struct import Struct, calcsize
from typing import Any, Final

from sml_codec import _make as make
from sml_codec._schema import (
    BODIES,
    LIST_ENTRY,
    NAME,
    PATH,
    PERIOD_ENTRY,
    SCALER,
    STATUS,
    TAGS,
    TIME,
    UNIT,
    ListOf,
    Number,
    Octets,
    Record,
    Shape,
)
from sml_codec.crc import REFLECTED, Crc
from sml_codec.elements import INTEGER, MISSING, OCTETS, UNSIGNED, Reader
from sml_codec.messages import (
    GetListRes,
    ListEntry,
    Message,
    PeriodEntry,
    TimeChoice,
    UnknownBody,
)
from sml_codec.numbers import INTEGERS, UNSIGNEDS, SizedInt
from sml_codec.options import Quirk
from sml_codec.quirks import corrected_list, may_be_faulty

LONGEST: Final = 4096
"""Messages longer than this, in bytes, are not learned."""

CHECKSUM_FIELD: Final = 0x63
"""The field of a checksum of two bytes."""

_FORMATS: Final = {1: "B", 2: "H", 3: "BH", 4: "I", 5: "BI", 6: "HI", 7: "BHI", 8: "Q"}
_new_int: Final = int.__new__


class NoLayout(Exception):
    """A message that cannot be learned; never leaves this module."""


class Layout:
    """The form of one message, and how to read another of the same form."""

    def __init__(self, wire: bytes, message: Message, quirks: Quirk) -> None:
        """Learn from a message and its bytes; raise `NoLayout` where that is not possible."""
        plan = _Plan(wire)
        plan.message(BODIES[TAGS[type(message.body)]])
        self.length = len(wire)
        self.mask = int.from_bytes(plan.mask, "big")
        self.skeleton = int.from_bytes(wire, "big") & self.mask
        self.unpack = Struct(plan.format).unpack_from
        self.constants = plan.constants
        self.joins = plan.joins
        self.times = plan.times
        self.entries = plan.entries
        self.entries_slot = plan.entries_slot
        self.read_entries = _READERS[plan.entry_type]
        self.body_fields = _getter(plan.body)
        self.make_body = plan.make_body
        self.same_body = (
            message.body if not plan.entries and max(plan.body) < 0 and not plan.times else None
        )
        self.transaction, self.group, self.abort = plan.head
        self.crc = message.crc
        self.is_x25 = message.crc is Crc.X25
        self.correct = (
            isinstance(message.body, GetListRes)
            and Quirk.DZG_SIGN in quirks
            and may_be_faulty(message.body)
        )
        self.last: tuple[list[Any], tuple[Any, ...]] = ([], ())

    def decode(self, data: bytes, reflected: bytes, start: int) -> Message | None:
        """Return the message at `start`; None unless it has this layout and the right checksum."""
        end = start + self.length
        wire = data[start:end]
        if int.from_bytes(wire, "big") & self.mask != self.skeleton:
            return None
        if self.is_x25:
            checksum = reflected[end - 3] << 8 | reflected[end - 2]
            if crc_hqx(reflected[start : end - 4], 0xFFFF) ^ 0xFFFF != checksum:
                return None
        elif self.crc.of(wire[:-4]) != int.from_bytes(wire[-3:-1], "big"):
            return None
        values = [*self.unpack(wire), *self.constants]
        for slot, bits, part in self.joins:
            values[slot] = values[slot] << bits | values[part]
        before, same = self.last
        for slot, seconds, choice, local, season in self.times:
            if before and values[seconds] == before[seconds]:
                values[slot] = before[slot]
            else:
                values[slot] = make.time(choice, values[seconds], local, season)
        if self.entries:
            values[self.entries_slot] = same = self.read_entries(self.entries, values, before, same)
        self.last = values, same
        body: Any = self.same_body or self.make_body(*self.body_fields(values))
        if self.correct:
            body = corrected_list(body)
        return make.message(
            values[self.transaction],
            values[self.group],
            values[self.abort],
            body,
            self.crc,
            wire,
        )


def learn(wire: bytes, message: Message, quirks: Quirk) -> Layout | None:
    """Return the layout of a message that the careful decoder made of `wire`, if it has one."""
    if len(wire) > LONGEST or isinstance(message.body, UnknownBody):
        return None
    try:
        layout = Layout(wire, message, quirks)
    except NoLayout:
        return None
    again = layout.decode(wire, wire.translate(REFLECTED), 0)
    return layout if again == message else None


def _list_entries(
    plan: list[tuple[Any, ...]], values: list[Any], before: list[Any], same: tuple[Any, ...]
) -> tuple[ListEntry, ...]:
    """Return the entries of a GetList response, those of the message before where still true."""
    entries: list[Any] = [*same] or [None] * len(plan)
    for index, obis, unit, scaler, status, seconds, time, slot, kind in plan:
        value = values[slot]
        if (
            same
            and value == before[slot]
            and values[status] == before[status]
            and values[seconds] == before[seconds]
        ):
            continue
        if kind is not None:
            value = _new_int(kind, value)
        entries[index] = make.list_entry(
            obis, values[status], values[time], unit, scaler, value, None
        )
    return tuple(entries)


def _period_entries(
    plan: list[tuple[Any, ...]], values: list[Any], before: list[Any], same: tuple[Any, ...]
) -> tuple[PeriodEntry, ...]:
    """Return the entries of a GetProfileList response in the same way."""
    entries: list[Any] = [*same] or [None] * len(plan)
    for index, obis, unit, scaler, slot, kind in plan:
        value = values[slot]
        if same and value == before[slot]:
            continue
        if kind is not None:
            value = _new_int(kind, value)
        entries[index] = make.period_entry(obis, unit, scaler, value, None)
    return tuple(entries)


_READERS: Final = {LIST_ENTRY: _list_entries, PERIOD_ENTRY: _period_entries}


class _Plan:
    """Walks through a message and notes where its values stand.

    A value's slot is its place among the unpacked ones. Constants, and what is made of several
    values, have negative slots: they follow the values, and are counted from the end.
    """

    def __init__(self, wire: bytes) -> None:
        self.reader = Reader(wire)
        self.mask = bytearray(b"\xff" * len(wire))
        self.format = ">"
        self.packed = 0  # so many bytes of the message does `format` cover
        self.count = 0
        self.constants: list[Any] = []
        self.joins: list[tuple[int, int, int]] = []
        self.times: list[tuple[int, int, TimeChoice | None, int | None, int | None]] = []
        self.entries: list[tuple[Any, ...]] = []
        self.entry_type: Record = LIST_ENTRY
        self.entries_slot = 0
        self.none = self.constant(None)

    def message(self, record: Record) -> None:
        """Plan a whole message with a body of this shape."""
        self.reader.field()
        self.head = (self.octets(optional=False), self.number()[0], self.number()[0])
        self.reader.field()
        self.reader.element()  # the tag
        _, length = self.reader.field()
        slots = [self.slot(shape) for shape in record.shapes[:length]]
        self.body = slots + [self.none] * (len(record.shapes) - length)
        self.make_body = record.make
        if self.reader.data[self.reader.offset] != CHECKSUM_FIELD:
            raise NoLayout
        self.mask[-3:-1] = bytes(2)

    def slot(self, shape: Shape) -> int:
        """Take the next element, which has this shape; return its slot."""
        if shape in (NAME, UNIT, SCALER, PATH):
            return self.constant(shape.lift(self.reader.element(), Quirk.ALL))
        if isinstance(shape, Octets):
            return self.octets(optional=shape.optional)
        if isinstance(shape, Number):
            return self.none if self.is_missing() else self.number()[0]
        if shape is TIME:
            return self.time()[0]
        if isinstance(shape, ListOf) and isinstance(shape.shape, Record):
            return self.list_of(shape.shape)
        raise NoLayout

    def list_of(self, record: Record) -> int:
        """Take a list of entries."""
        if record not in _READERS or self.entries_slot:
            raise NoLayout
        self.entry_type = record
        for index in range(self.reader.field()[1]):
            length = self.reader.field()[1]
            obis = self.constant_of(NAME)
            if record is LIST_ENTRY:
                status = self.slot(STATUS)
                time, seconds = self.time()
                keys: tuple[int, ...] = (status, seconds, time)
            else:
                keys = ()
            unit, scaler = self.constant_of(UNIT), self.constant_of(SCALER)
            value, kind = self.value()
            if length == len(record.shapes) and not self.is_missing():
                raise NoLayout  # a signature is never the same twice
            self.entries.append((index, obis, unit, scaler, *keys, value, kind))
        self.entries_slot = self.constant(())
        return self.entries_slot

    def value(self) -> tuple[int, type[SizedInt] | None]:
        """Take an SML_Value; return its slot and, of an integer, its type."""
        if self.is_missing():
            return self.none, None
        kind = self.reader.data[self.reader.offset] & 0x70
        if kind == OCTETS:
            return self.octets(optional=True), None
        return self.number()

    def time(self) -> tuple[int, int]:
        """Take an SML_Time; return its slot and that of its seconds."""
        if self.is_missing():
            return self.none, self.none
        choice: TimeChoice | None = None
        peek = self.reader.data[self.reader.offset]
        if peek == 0x72:
            self.reader.field()
            choice = TimeChoice(self.constant_element())
            peek = self.reader.data[self.reader.offset]
        local = season = None
        is_local = peek == 0x73
        if is_local:
            self.reader.field()
        seconds, _ = self.number()
        if is_local:
            local, season = self.constant_element(), self.constant_element()
        slot = self.constant(None)
        self.times.append((slot, seconds, choice, local, season))
        return slot, seconds

    def constant_element(self) -> int:
        """Take an integer that does not change from message to message."""
        element = self.reader.element()
        if not isinstance(element, SizedInt):
            raise NoLayout
        return int(element)

    def constant_of(self, shape: Shape) -> Any:
        """Take an element that does not change from message to message."""
        return shape.lift(self.reader.element(), Quirk.ALL)

    def is_missing(self) -> bool:
        """Take the next element if it is one left out."""
        missing = self.reader.data.startswith(MISSING, self.reader.offset)
        self.reader.offset += missing
        return missing

    def constant(self, value: object) -> int:
        """Return the slot of a new constant."""
        self.constants.insert(0, value)
        return -len(self.constants)

    def variable(self, code: str) -> int:
        """Take the next bytes for a value of their own; return its slot."""
        offset, length = self.reader.offset, calcsize(">" + code)
        self.reader.offset += length
        self.mask[offset : offset + length] = bytes(length)
        self.format += f"{offset - self.packed}x{code}"
        self.packed = offset + length
        self.count += 1
        return self.count - 1

    def number(self) -> tuple[int, type[SizedInt]]:
        """Take an integer; return its slot and its type."""
        kind, size = self.reader.field()
        if kind not in (INTEGER, UNSIGNED) or not 0 < size <= 8:
            raise NoLayout
        codes = _FORMATS[size]
        slot = self.variable(codes[0].lower() if kind == INTEGER else codes[0])
        for code in codes[1:]:  # struct knows no integers of 3, 5, 6 or 7 bytes
            self.joins.append((slot, 8 * calcsize(">" + code), self.variable(code)))
        return slot, (INTEGERS if kind == INTEGER else UNSIGNEDS)[size - 1]

    def octets(self, *, optional: bool) -> int:
        """Take an octet string; return its slot."""
        start = self.reader.offset
        kind, length = self.reader.field()
        if kind != OCTETS:
            raise NoLayout
        if length:
            return self.variable(f"{length}s")
        is_left_out = self.reader.offset - start == 1
        return self.none if optional and is_left_out else self.constant(b"")


def _getter(slots: list[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    if len(slots) == 1:
        slot = slots[0]
        return lambda values: (values[slot],)
    return itemgetter(*slots)
