# SPDX-License-Identifier: Apache-2.0
"""Finds out where the values of a message stand, for `_layouts`."""

from __future__ import annotations

from dataclasses import dataclass
from struct import calcsize
from typing import Any, Final

from sml_codec._schema import (
    LIST_ENTRY,
    NAME,
    PATH,
    PERIOD_ENTRY,
    SCALER,
    SECONDS,
    STATUS,
    TIME,
    UNIT,
    Octets,
    SmlListOf,
    SmlNumber,
    SmlRecord,
    SmlShape,
)
from sml_codec.elements import INTEGER, MISSING, OCTETS, UNSIGNED, ElementReader
from sml_codec.messages import TimeChoice, time_choice
from sml_codec.numbers import INTEGERS, UNSIGNEDS, SizedInt
from sml_codec.options import Quirk

CHECKSUM_FIELD: Final = 0x63
"""The field of a checksum of two bytes."""

_FORMATS: Final = {1: "B", 2: "H", 3: "BH", 4: "I", 5: "BI", 6: "HI", 7: "BHI", 8: "Q"}


class NoLayout(Exception):
    """A message that cannot be learned; never leaves the package."""


@dataclass(slots=True)
class TimePlan:
    """Where a time goes, where its seconds are, and what does not change about it."""

    slot: int
    seconds: int
    choice: TimeChoice | int | None
    local_offset: int | None
    season_offset: int | None


class EntryPlan:
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


class SmlPlan:
    """Walks through a message and notes where its values stand.

    A value's slot is its place among the unpacked ones. Constants, and what is made of several
    values, have negative slots: they follow the values, and are counted from the end.
    """

    def __init__(self, wire: bytes, record: SmlRecord, quirks: Quirk) -> None:
        self.wire = wire
        self.quirks = quirks
        self.reader = ElementReader(wire)
        self.mask = bytearray(b"\xff" * len(wire))
        self.format = ">"
        self.packed = 0  # so many bytes of the message does `format` cover
        self.count = 0
        self.constants: list[Any] = []
        self.joins: list[tuple[int, int, int]] = []
        self.times: list[TimePlan] = []
        self.entries: list[EntryPlan] = []
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

    def slot(self, shape: SmlShape) -> int:
        """Take the next element, which has this shape; return its slot."""
        if shape in (NAME, UNIT, SCALER, PATH):
            return self.constant(shape.lift(self.reader.element(), Quirk.ALL))
        if isinstance(shape, Octets):
            return self.octets(optional=shape.optional)
        if isinstance(shape, SmlNumber):
            return self.none if self.is_missing() else self.number(shape.size)[0]
        if shape is TIME:
            return self.time()[0]
        if isinstance(shape, SmlListOf) and isinstance(shape.shape, SmlRecord):
            return self.list_of(shape.shape)
        raise NoLayout

    def list_of(self, record: SmlRecord) -> int:
        """Take a list of entries."""
        if record not in (LIST_ENTRY, PERIOD_ENTRY) or self.entries:
            raise NoLayout
        for index in range(self.reader.field()[1]):
            length = self.reader.field()[1]
            plan = EntryPlan(index, self.none)
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
        seconds, _ = self.number(SECONDS.size)
        if is_local:
            local, season = self.constant_element(), self.constant_element()
        slot = self.constant(None)
        self.times.append(TimePlan(slot, seconds, choice, local, season))
        return slot, seconds

    def constant_element(self) -> int:
        """Take an integer that does not change from message to message."""
        element = self.reader.element()
        if not isinstance(element, SizedInt):
            raise NoLayout
        return int(element)

    def constant_of(self, shape: SmlShape) -> Any:
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

    def number(self, most: int = 8) -> tuple[int, type[SizedInt]]:
        """Take an integer of at most so many bytes; return its slot and its type."""
        kind, size = self.reader.field()
        if kind not in (INTEGER, UNSIGNED) or not 0 < size <= most:
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
