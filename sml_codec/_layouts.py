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
from collections.abc import Mapping
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
    Body,
    CloseRes,
    GetListRes,
    GetProfileListRes,
    ListEntry,
    Message,
    OpenRes,
    PeriodEntry,
    TimeChoice,
    time_choice,
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
_from_bytes: Final = int.from_bytes


class NoLayout(Exception):
    """A message that cannot be learned; never leaves this module."""


class _TimePlan:
    """Where a time goes, where its seconds are, and what does not change about it."""

    __slots__ = ("choice", "local_offset", "season_offset", "seconds", "slot")

    def __init__(
        self,
        slot: int,
        seconds: int,
        choice: TimeChoice | int | None,
        local_offset: int | None,
        season_offset: int | None,
    ) -> None:
        self.slot = slot
        self.seconds = seconds
        self.choice = choice
        self.local_offset = local_offset
        self.season_offset = season_offset


class _EntryPlan:
    """Where the values of a list entry or period entry are, and what does not change about it."""

    __slots__ = (
        "index", "kind", "obis", "scaler", "seconds", "status", "time", "unit", "value",
    )  # fmt: skip

    def __init__(self, index: int, none: int) -> None:
        self.index = index
        self.obis: Any = None
        self.unit: Any = None
        self.scaler: Any = None
        self.status = self.time = self.seconds = self.value = none
        self.kind: type[SizedInt] | None = None


class _Plan:
    """Walks through a message and notes where its values stand.

    A value's slot is its place among the unpacked ones. Constants, and what is made of several
    values, have negative slots: they follow the values, and are counted from the end.
    """

    def __init__(self, wire: bytes, record: Record, quirks: Quirk) -> None:
        self.wire = wire
        self.quirks = quirks
        self.reader = Reader(wire)
        self.mask = bytearray(b"\xff" * len(wire))
        self.format = ">"
        self.packed = 0  # so many bytes of the message does `format` cover
        self.count = 0
        self.constants: list[Any] = []
        self.joins: list[tuple[int, int, int]] = []
        self.times: list[_TimePlan] = []
        self.entries: list[_EntryPlan] = []
        self.none = self.constant(None)
        self.reader.field()
        self.head = (self.octets(optional=False), self.number()[0], self.number()[0])
        self.reader.field()
        self.reader.element()  # the tag
        _, length = self.reader.field()
        slots = [self.slot(shape) for shape in record.shapes[:length]]
        self.fields = slots + [self.none] * (len(record.shapes) - length)
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
        if record not in (LIST_ENTRY, PERIOD_ENTRY) or self.entries:
            raise NoLayout
        for index in range(self.reader.field()[1]):
            length = self.reader.field()[1]
            plan = _EntryPlan(index, self.none)
            plan.obis = self.constant_of(NAME)
            if record is LIST_ENTRY:
                plan.status = self.slot(STATUS)
                plan.time, plan.seconds = self.time()
            plan.unit, plan.scaler = self.constant_of(UNIT), self.constant_of(SCALER)
            plan.value, plan.kind = self.value()
            if length == len(record.shapes) and not self.is_missing():
                raise NoLayout  # a signature is never the same twice
            self.entries.append(plan)
        return self.none

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
        choice: TimeChoice | int | None = None
        peek = self.reader.data[self.reader.offset]
        if peek == 0x72:
            self.reader.field()
            choice = time_choice(self.constant_element())
            peek = self.reader.data[self.reader.offset]
        local = season = None
        is_local = peek == 0x73
        if is_local:
            self.reader.field()
        seconds, _ = self.number()
        if is_local:
            local, season = self.constant_element(), self.constant_element()
        slot = self.constant(None)
        self.times.append(_TimePlan(slot, seconds, choice, local, season))
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


class Layout:
    """The form of one message, and how to read another of the same form."""

    def __init__(self, plan: _Plan, message: Message) -> None:
        """Take over what a plan found out about a message."""
        self.plan = plan
        self.length = len(plan.wire)
        self.mask = int.from_bytes(plan.mask, "big")
        self.skeleton = int.from_bytes(plan.wire, "big") & self.mask
        self.unpack = Struct(plan.format).unpack_from
        self.constants = plan.constants
        self.joins = plan.joins
        self.times = plan.times
        self.head = plan.head
        self.crc = message.crc
        self.is_x25 = message.crc is Crc.X25
        self.before: list[Any] = []
        self.follower: Layout | None = None

    def decode(self, data: bytes, reflected: bytes, start: int) -> Message | None:
        """Return the message at `start`; None unless it has this layout and the right checksum."""
        end = start + self.length
        wire = data[start:end]
        if _from_bytes(wire, "big") & self.mask != self.skeleton:
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
        before = self.before
        for time in self.times:
            if before and values[time.seconds] == before[time.seconds]:
                values[time.slot] = before[time.slot]
            else:
                values[time.slot] = make.time(
                    time.choice, values[time.seconds], time.local_offset, time.season_offset
                )
        self.before = values
        body = self.body(values, before)
        transaction, group, abort = self.head
        return make.message(values[transaction], values[group], values[abort], body, self.crc, wire)

    def body(self, values: list[Any], before: list[Any]) -> Body:
        """Return the body made of these values; `before` are those of the message before."""
        raise NotImplementedError


class _OpenLayout(Layout):
    """Of an open response."""

    def body(self, values: list[Any], before: list[Any]) -> Body:
        a, b, c, d, e, f = self.plan.fields
        return make.open_res(values[a], values[b], values[c], values[d], values[e], values[f])


class _CloseLayout(Layout):
    """Of a close response without signature: always the same."""

    def __init__(self, plan: _Plan, message: Message) -> None:
        super().__init__(plan, message)
        if plan.fields != [plan.none]:
            raise NoLayout
        self.closing = message.body

    def body(self, values: list[Any], before: list[Any]) -> Body:
        return self.closing


class _ListLayout(Layout):
    """Of a GetList response."""

    def __init__(self, plan: _Plan, message: Message) -> None:
        super().__init__(plan, message)
        assert isinstance(message.body, GetListRes)
        self.entries = plan.entries
        self.same: list[ListEntry] = []
        self.correct = Quirk.DZG_SIGN in plan.quirks and may_be_faulty(message.body)

    def body(self, values: list[Any], before: list[Any]) -> Body:
        same = self.same
        entries = same.copy()
        for plan in self.entries:
            value = values[plan.value]
            if (
                same
                and value == before[plan.value]
                and values[plan.status] == before[plan.status]
                and values[plan.seconds] == before[plan.seconds]
            ):
                continue
            if plan.kind is not None:
                value = _new_int(plan.kind, value)
            entry = make.list_entry(
                plan.obis,
                values[plan.status],
                values[plan.time],
                plan.unit,
                plan.scaler,
                value,
                None,
            )
            if same:
                entries[plan.index] = entry
            else:
                entries.append(entry)
        self.same = entries
        a, b, c, d, _, f, g = self.plan.fields
        body = make.list_res(
            values[a], values[b], values[c], values[d], tuple(entries), values[f], values[g]
        )
        return corrected_list(body) if self.correct else body


class _ProfileLayout(Layout):
    """Of a GetProfileList response."""

    def __init__(self, plan: _Plan, message: Message) -> None:
        super().__init__(plan, message)
        self.entries = plan.entries
        self.same: list[PeriodEntry] = []

    def body(self, values: list[Any], before: list[Any]) -> Body:
        same = self.same
        entries = same.copy()
        for plan in self.entries:
            value = values[plan.value]
            if same and value == before[plan.value]:
                continue
            if plan.kind is not None:
                value = _new_int(plan.kind, value)
            entry = make.period_entry(plan.obis, plan.unit, plan.scaler, value, None)
            if same:
                entries[plan.index] = entry
            else:
                entries.append(entry)
        self.same = entries
        a, b, c, d, e, f, _, h, i = self.plan.fields
        return make.profile_list_res(
            values[a],
            values[b],
            values[c],
            values[d],
            values[e],
            values[f],
            tuple(entries),
            values[h],
            values[i],
        )


_LAYOUTS: Final[Mapping[type[Any], type[Layout]]] = {
    OpenRes: _OpenLayout,
    CloseRes: _CloseLayout,
    GetListRes: _ListLayout,
    GetProfileListRes: _ProfileLayout,
}


def learn(wire: bytes, message: Message, quirks: Quirk) -> Layout | None:
    """Return the layout of a message that the careful decoder made of `wire`, if it has one."""
    kind = _LAYOUTS.get(type(message.body))
    if kind is None or len(wire) > LONGEST:
        return None
    try:
        layout = kind(_Plan(wire, BODIES[TAGS[type(message.body)]], quirks), message)
    except NoLayout:
        return None
    again = layout.decode(wire, wire.translate(REFLECTED), 0)
    return layout if again == message else None
