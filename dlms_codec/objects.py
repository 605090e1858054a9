# SPDX-License-Identifier: Apache-2.0
"""What a client of a server may see: a table of objects, whose values are asked for when read.

    table = ObjectTable([
        register("1-0:1.8.0", lambda: UInt32(4408736), scaler=0, unit=30),
        clock(lambda: DateTime.of(datetime.now(zone))),
        profile("1-0:99.1.0", columns, rows, seconds=900),
    ])

What is not in its table does not exist for a client. A function that cannot give a value raises
`AccessRefused`. Functions are called one at a time, and must be quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final, TypeAlias

from dlms_codec.apdus.action import NoParameters
from dlms_codec.apdus.addressing import AccessResult, Attribute, Method, SelectiveAccess
from dlms_codec.data import Array, Data, Structure
from dlms_codec.datetimes import DateTime, as_date_time
from dlms_codec.errors import AccessRefused, EncodingError, MalformedDlms
from dlms_codec.numbers import Boolean, Enum, Int8, Int16, SizedInt, UInt8, UInt16, UInt32
from dlms_codec.obis import Obis
from dlms_codec.selecting import CaptureObject, Entries, Range, selection

Read: TypeAlias = Callable[[SelectiveAccess | None], Data]
Write: TypeAlias = Callable[[Data], None]
Invoke: TypeAlias = Callable[[Data | NoParameters], Data]
Row: TypeAlias = Sequence[Data]
Rows: TypeAlias = Callable[[Range | Entries], Iterable[Row]]
"""Returns the rows of a part of a profile, oldest first, with all columns."""

MOST_ROWS: Final = 50_000
"""How many rows one request may take."""


@dataclass(frozen=True, slots=True)
class Member:
    """An attribute: how it is read and written; None: it is not."""

    read: Read | None = None
    write: Write | None = None
    selectors: tuple[int, ...] = ()
    """By which parts of it can be asked for."""

    @property
    def access(self) -> int:
        """The access mode: 1 may be read, 2 written, 3 both."""
        return (self.read is not None) + 2 * (self.write is not None)


@dataclass(frozen=True, slots=True)
class CosemObject:
    """An object: its class, its name, and its attributes and methods by their numbers."""

    class_id: int
    obis: Obis
    attributes: Mapping[int, Member]
    methods: Mapping[int, Invoke] = field(default_factory=dict)
    version: int = 0

    def list_entry(self) -> Structure:
        """Return what an association's list of objects says about it."""
        attributes = {1: Member(read=lambda _: self.obis.code), **self.attributes}
        rights = (
            Structure((
                Int8(number),
                Enum(member.access),
                Array(map(Int8, member.selectors)) if member.selectors else None,
            ))
            for number, member in sorted(attributes.items())
        )  # fmt: skip
        methods = (Structure((Int8(number), Enum(1))) for number in sorted(self.methods))
        access = Structure((Array(rights), Array(methods)))
        return Structure((UInt16(self.class_id), UInt8(self.version), self.obis.code, access))


class ObjectTable:
    """The objects that a client may use."""

    def __init__(self, objects: Iterable[CosemObject]) -> None:
        self._objects: dict[Obis, CosemObject] = {}
        for found in objects:
            if found.obis in self._objects:
                raise EncodingError(f"two objects are called {found.obis}")
            self._objects[found.obis] = found

    def __iter__(self) -> Iterator[CosemObject]:
        return iter(self._objects.values())

    def read(self, attribute: Attribute) -> Data:
        """Return a value; raise `AccessRefused` if there is none for this client."""
        found = self._find(attribute.class_id, attribute.obis)
        if attribute.attribute == 1 and attribute.access is None:
            return found.obis.code
        member = found.attributes.get(attribute.attribute)
        if member is None or member.read is None:
            raise AccessRefused(AccessResult.READ_WRITE_DENIED)
        if attribute.access is not None and attribute.access.selector not in member.selectors:
            raise AccessRefused(AccessResult.SCOPE_OF_ACCESS_VIOLATED)
        return member.read(attribute.access)

    def write(self, attribute: Attribute, value: Data) -> None:
        """Write a value; raise `AccessRefused` if this client may not, or it is none."""
        member = self._find(attribute.class_id, attribute.obis).attributes.get(attribute.attribute)
        if member is None or member.write is None:
            raise AccessRefused(AccessResult.READ_WRITE_DENIED)
        if attribute.access is not None:
            raise AccessRefused(AccessResult.SCOPE_OF_ACCESS_VIOLATED)
        member.write(value)

    def invoke(self, method: Method, parameters: Data | NoParameters) -> Data:
        """Do what a method does; raise `AccessRefused` if this client may not."""
        action = self._find(method.class_id, method.obis).methods.get(method.method)
        if action is None:
            raise AccessRefused(AccessResult.READ_WRITE_DENIED)
        return action(parameters)

    def _find(self, class_id: int, obis: Obis) -> CosemObject:
        found = self._objects.get(obis)
        if found is None:
            raise AccessRefused(AccessResult.OBJECT_UNDEFINED)
        if found.class_id != class_id:
            raise AccessRefused(AccessResult.OBJECT_CLASS_INCONSISTENT)
        return found


Value: TypeAlias = Callable[[], Data]


def constant(value: Data) -> Member:
    """Return an attribute that is always the same."""
    return Member(read=lambda _: value)


def computed(value: Value, write: Write | None = None) -> Member:
    """Return an attribute that is asked for when it is read."""
    return Member(read=lambda _: value(), write=write)


def data(obis: str, value: Value, write: Write | None = None) -> CosemObject:
    """Return an object of class 1: a value without a unit."""
    return CosemObject(1, Obis.parse(obis), {2: computed(value, write)})


def register(obis: str, value: Value, *, scaler: int, unit: int) -> CosemObject:
    """Return an object of class 3: a value, its power of ten, and its unit."""
    scale = Structure((Int8(scaler), Enum(unit)))
    return CosemObject(3, Obis.parse(obis), {2: computed(value), 3: constant(scale)})


def extended_register(
    obis: str,
    value: Value,
    captured: Callable[[], DateTime],
    *,
    scaler: int,
    unit: int,
    status: Value = lambda: None,
) -> CosemObject:
    """Return an object of class 4: a register with its state and when it was captured."""
    attributes = {
        2: computed(value),
        3: constant(Structure((Int8(scaler), Enum(unit)))),
        4: computed(status),
        5: computed(lambda: bytes(captured())),
    }
    return CosemObject(4, Obis.parse(obis), attributes)


def clock(
    now: Callable[[], DateTime],
    set_clock: Callable[[DateTime], None] | None = None,
    *,
    obis: str = "0-0:1.0.0",
) -> CosemObject:
    """Return the clock, class 8; it can be set if there is a function for it."""

    def write(value: Data) -> None:
        moment = as_date_time(value)
        if moment is None or set_clock is None:
            raise AccessRefused(AccessResult.TYPE_UNMATCHED)
        set_clock(moment)

    never = bytes.fromhex("ffffffffffffffffff800000")
    attributes = {
        2: computed(lambda: bytes(now()), write if set_clock is not None else None),
        3: computed(lambda: Int16(now().deviation or 0)),
        4: computed(lambda: UInt8(now().status or 0)),
        5: constant(never),
        6: constant(never),
        7: constant(Int8(60)),
        8: constant(Boolean(0)),
        9: constant(Enum(1)),
    }
    return CosemObject(8, Obis.parse(obis), attributes)


def profile(
    obis: str,
    columns: Sequence[CaptureObject],
    rows: Rows,
    *,
    seconds: int,
    in_use: Callable[[], int],
    most: int = MOST_ROWS,
) -> CosemObject:
    """Return an object of class 7: rows that were captured every so many seconds.

    `rows` is given the part that is asked for, and may return more rows than that: what does not
    belong to it is left out here.
    """
    columns = tuple(columns)

    def read(access: SelectiveAccess | None) -> Data:
        try:
            part = selection(access)
        except MalformedDlms:
            raise AccessRefused(AccessResult.TYPE_UNMATCHED) from None
        return Array(_selected(columns, rows(part), part, most))

    attributes = {
        2: Member(read=read, selectors=(1, 2)),
        3: constant(Array(column.data() for column in columns)),
        4: constant(UInt32(seconds)),
        5: constant(Enum(1)),
        6: constant(CaptureObject(0, Obis(bytes(6)), 0).data()),
        7: computed(lambda: UInt32(in_use())),
        8: constant(UInt32(most)),
    }
    return CosemObject(7, Obis.parse(obis), attributes, version=1)


def _selected(
    columns: tuple[CaptureObject, ...], rows: Iterable[Row], part: Range | Entries, most: int
) -> Iterator[Structure]:
    """Yield the rows and columns of a part."""
    if isinstance(part, Entries):
        if part.first < 1 or part.first_column < 1:
            raise AccessRefused(AccessResult.TYPE_UNMATCHED)
        chosen = range(len(columns))[part.first_column - 1 : part.last_column or None]
        found: Iterable[Row] = islice(rows, part.first - 1, part.last or None)
    else:
        if part.by not in columns or any(column not in columns for column in part.columns):
            raise AccessRefused(AccessResult.SCOPE_OF_ACCESS_VIOLATED)
        chosen = range(len(columns))
        if part.columns:
            wanted = [columns.index(column) for column in part.columns]
            found = _within(rows, columns.index(part.by), part)
            yield from (_row(row, wanted) for row in _at_most(found, most))
            return
        found = _within(rows, columns.index(part.by), part)
    yield from (_row(row, chosen) for row in _at_most(found, most))


def _row(row: Row, chosen: Iterable[int]) -> Structure:
    return Structure(row[index] for index in chosen)


def _at_most(rows: Iterable[Row], most: int) -> Iterator[Row]:
    for count, row in enumerate(rows):
        if count == most:
            raise AccessRefused(AccessResult.SCOPE_OF_ACCESS_VIOLATED)
        yield row


def _within(rows: Iterable[Row], index: int, part: Range) -> Iterator[Row]:
    """Yield the rows whose value in a column lies in a range."""
    begin, end = comparable(part.begin), comparable(part.end)
    if begin is None or end is None or isinstance(begin, datetime) != isinstance(end, datetime):
        raise AccessRefused(AccessResult.TYPE_UNMATCHED)
    for row in rows:
        value = comparable(row[index])
        if value is not None and _not_above(begin, value) and _not_above(value, end):
            yield row


def comparable(value: Data) -> int | datetime | None:
    """Return what a value is compared by: a number or a moment; None if it is neither."""
    if isinstance(value, SizedInt):
        return int(value)
    moment = as_date_time(value)
    return None if moment is None else moment.moment or moment.local


def _not_above(left: int | datetime, right: int | datetime) -> bool:
    if isinstance(left, datetime) and isinstance(right, datetime):
        # Where one of them does not say how far it is from UTC, both are the meter's local time.
        if (left.tzinfo is None) != (right.tzinfo is None):
            left, right = left.replace(tzinfo=None), right.replace(tzinfo=None)
        return left <= right
    if isinstance(left, datetime) or isinstance(right, datetime):
        return False
    return left <= right


def sap_assignment(devices: Mapping[int, bytes]) -> CosemObject:
    """Return an object of class 17: the logical devices here, by their addresses."""
    pairs = (Structure((UInt16(sap), name)) for sap, name in sorted(devices.items()))
    return CosemObject(17, Obis.parse("0-0:41.0.0"), {2: constant(Array(pairs))})
