# SPDX-License-Identifier: Apache-2.0
"""The values in a push, by the ways meters lay them out; no meter's name is asked.

    [code, value, [scaler, unit]]            Aidon, Iskraemeco: arrays or structures of these
    code, value, [scaler, unit], code, ...   Austria, Kamstrup, Landis+Gyr: one after the other,
                                             with or without scalers, behind a version or a clock
    [[class, code, attribute, index], ...], value, value, ...     the push's own list of objects
    [class, code, attribute, value]          a descriptor
    [class code attribute, value]            Czech: the descriptor without data tags
    value, value, ...                        no codes: the position counts (`index`)

A value between these that has no code is left out, as long as others have one: `body` has it. Six
octets behind a code cannot be told from another code, and are left out, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from dlms_codec._make import twin
from dlms_codec.apdus.notifications import DataNotification
from dlms_codec.axdr import elements_of
from dlms_codec.data import (
    Array,
    CompactArray,
    Data,
    Descriptor,
    Structure,
    Utf8String,
    VisibleString,
)
from dlms_codec.datetimes import DateTime, as_date_time
from dlms_codec.numbers import Bcd, Boolean, Enum, Float32, Float64, Int8, SizedInt, UInt16
from dlms_codec.obis import Obis
from dlms_codec.options import Limits, Quirk
from dlms_codec.units import UNIT_SYMBOLS

CLOCK_GROUPS: Final = (1, 0, 0)
"""Groups C, D and E of a clock: A-B:1.0.0."""
LAST_MEDIUM: Final = 15
"""The highest group A that there is; it tells codes from other six octets, such as digits."""
PUSH_SETUP: Final = 40
NO_UNIT: Final = 255


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value of a push is, as far as the meter or a profile says."""

    obis: Obis | None = None
    scaler: int | None = None
    """The power of ten that the number is to be multiplied by."""
    unit: int | None = None
    """The code of the unit."""
    index: int | None = None
    """Where among the leaves of the body it stands, if the meter sends no code."""
    class_id: int | None = None
    attribute: int | None = None
    profile: str | None = None
    """The profile that added something that the meter did not send."""


_MeaningTwin: Final = twin(Meaning)


def _meaning(
    obis: Obis | None,
    scaler: int | None,
    unit: int | None,
    class_id: int | None,
    attribute: int | None,
) -> Meaning:
    made: Any = _MeaningTwin()
    made.obis = obis
    made.scaler = scaler
    made.unit = unit
    made.index = None
    made.class_id = class_id
    made.attribute = attribute
    made.profile = None
    made.__class__ = Meaning
    meaning: Meaning = made
    return meaning


class PushValue(NamedTuple):
    """A value and what it is."""

    meaning: Meaning
    value: Data

    @property
    def obis(self) -> Obis | None:
        """What it is a measure of; None if nothing says so."""
        return self.meaning.obis

    @property
    def unit_symbol(self) -> str | None:
        """The symbol of its unit; None if none was sent, "" if it counts."""
        unit = self.meaning.unit
        return None if unit is None else UNIT_SYMBOLS.get(unit, f"unit {unit}")

    @property
    def number(self) -> Decimal | None:
        """The number as it was sent, before scaling; None if it is none."""
        return as_number(self.value)

    @property
    def scaled(self) -> Decimal | None:
        """The number in its unit, exactly; None if it is none or no scaler is known."""
        number, scaler = self.number, self.meaning.scaler
        if number is None or scaler is None or not number.is_finite():
            return None
        sign, digits, exponent = number.as_tuple()
        return Decimal((sign, digits, int(exponent) + scaler))

    @property
    def time(self) -> DateTime | None:
        """The date and time that it is, if it is one."""
        return as_date_time(self.value)


def as_number(value: Data) -> Decimal | None:
    """Return a value as an exact number; None if it is no quantity."""
    if isinstance(value, Bcd):
        return None if value.digits is None else Decimal(value.digits)
    if isinstance(value, SizedInt) and not isinstance(value, Boolean | Enum):
        return Decimal(int(value))
    if isinstance(value, Float32 | Float64):
        return Decimal(value.value)
    return None


@dataclass(frozen=True, slots=True)
class Push:
    """A push that was read: when it was made and what it says."""

    wire: bytes
    """The APDU."""
    time: DateTime | None
    """That of the notification, or else of the clock among its values."""
    values: tuple[PushValue, ...]
    profile: str | None
    """The profile that added what was not sent, if one did."""
    limits: Limits
    quirks: Quirk

    @property
    def invoke(self) -> int:
        """Invoke id and priority, four bytes."""
        return int.from_bytes(self.wire[1:5], "big")

    @property
    def notification(self) -> DataNotification:
        """All that the APDU holds."""
        return DataNotification.decode(self.wire, limits=self.limits, quirks=self.quirks)

    @property
    def body(self) -> Data:
        """The value that it carries, whole."""
        return self.notification.body


def values_of(body: Data) -> tuple[PushValue, ...]:
    """Return the values of a push, with what was sent about them."""
    if isinstance(body, Array | Structure):
        coded = list(_coded(body))
        if coded:
            return tuple(coded)
    return tuple(PushValue(Meaning(index=i), leaf) for i, leaf in enumerate(leaves(body)))


def leaves(value: Data) -> Iterator[Data]:
    """Yield the values in a tree that are no arrays and no structures, in order."""
    if isinstance(value, Array | Structure):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, CompactArray):
        for item in elements_of(value):
            yield from leaves(item)
    else:
        yield value


def is_code(value: Data) -> bool:
    """Return whether octets can be an OBIS code."""
    return type(value) is bytes and len(value) == 6 and value[0] <= LAST_MEDIUM


def _coded(items: Array | Structure) -> Iterator[PushValue]:
    listed = _listed(items)
    if listed is not None:
        yield from listed
        return
    at, count = 0, len(items)
    while at < count:
        item = items[at]
        at += 1
        class_id: int | None = None
        attribute: int | None = None
        if isinstance(item, Descriptor):
            code: Obis | None = item.obis
            class_id, attribute = item.class_id, item.attribute
        elif isinstance(item, UInt16) and (named := _named(items[at - 1 : at + 3])) is not None:
            code, class_id, attribute = named.obis, named.class_id, named.attribute
            at += 2
        elif is_code(item) and isinstance(item, bytes):
            code = Obis(item)
        else:
            if isinstance(item, Array | Structure) and not _objects(item):
                yield from _coded(item)
            continue
        if at == count or _is_no_value(items[at]):
            continue
        value, scaler, unit = items[at], None, None
        at += 1
        if at < count and (found := scaler_unit(items[at])) is not None:
            (scaler, unit), at = found, at + 1
        yield PushValue(_meaning(code, scaler, unit, class_id, attribute), value)


def _named(items: tuple[Data, ...]) -> Meaning | None:
    """Return what class, code and attribute name, if a value is behind them."""
    if len(items) < 4 or not isinstance(items[0], UInt16) or not isinstance(items[2], Int8):
        return None
    class_id, code, attribute = items[:3]
    if not is_code(code) or not isinstance(code, bytes) or is_code(items[3]):
        return None
    assert isinstance(class_id, UInt16)
    assert isinstance(attribute, Int8)
    return Meaning(obis=Obis(code), class_id=int(class_id), attribute=int(attribute))


def _is_no_value(value: Data) -> bool:
    """Whether what stands behind a code is not its value: six octets, a scaler, more entries."""
    if isinstance(value, Array | Structure):
        return scaler_unit(value) is not None or next(_coded(value), None) is not None
    return isinstance(value, Descriptor) or (type(value) is bytes and len(value) == 6)


def scaler_unit(value: Data) -> tuple[int, int] | None:
    """Return scaler and unit, if a value is these."""
    if isinstance(value, Structure) and len(value) == 2:
        scaler, unit = value
        if isinstance(scaler, Int8) and isinstance(unit, Enum):
            return int(scaler), int(unit)
    return None


def _listed(items: Array | Structure) -> list[PushValue] | None:
    """Return the values of a push that begins with its list of objects; None if it does not."""
    known = _objects(items[0]) if items else []
    if not known:
        return None
    # The list is an object of its own, or stands in front of the objects.
    own = known[0].class_id == PUSH_SETUP and len(known) == len(items)
    values = items if own else items[1:]
    if len(values) != len(known):
        return None
    return [PushValue(meaning, value) for meaning, value in zip(known, values, strict=True)]


def _objects(value: Data) -> list[Meaning]:
    """Return the objects that a list of objects names; none if a value is no such list."""
    if not isinstance(value, Array):
        return []
    found = [object_of(entry) for entry in value]
    return [] if None in found else [entry for entry in found if entry is not None]


def object_of(entry: Data) -> Meaning | None:
    """Return what an entry [class, code, attribute, index, ...] of a list of objects names."""
    if not isinstance(entry, Structure) or len(entry) < 4:
        return None
    class_id, code, attribute, index = entry[:4]
    if not (isinstance(class_id, UInt16) and isinstance(attribute, Int8)):
        return None
    if not (isinstance(index, UInt16) and type(code) is bytes and len(code) == 6):
        return None
    return Meaning(obis=Obis(code), class_id=int(class_id), attribute=int(attribute))


def is_object_list(entry: PushValue) -> bool:
    """Return whether a value is the list of objects that a push begins with."""
    return entry.meaning.class_id == PUSH_SETUP and bool(_objects(entry.value))


def text_of(value: Data) -> str | None:
    """Return the text that a value is; of octets, if all of them are printable ASCII."""
    if isinstance(value, VisibleString | Utf8String):
        return value.text
    if type(value) is bytes and value and all(0x20 <= byte < 0x7F for byte in value):
        return value.decode("ascii")
    return None
