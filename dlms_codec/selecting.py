# SPDX-License-Identifier: Apache-2.0
"""Parts of a profile: rows by number, or by a range of their times (DLMS UA 1000-1, 4.3.6).

    selector 1   range:   capture object | from | to | columns
    selector 2   entries: first row | last row (0: the last) | first column | last column (0: last)

A capture object is an attribute of an object, and which element of it (0: all of it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dlms_codec.apdus.addressing import SelectiveAccess
from dlms_codec.data import Array, Data, Structure
from dlms_codec.datetimes import DateTime
from dlms_codec.errors import MalformedDlms
from dlms_codec.numbers import Int8, SizedInt, UInt16, UInt32
from dlms_codec.obis import Obis

RANGE: Final = 1
ENTRIES: Final = 2


@dataclass(frozen=True, slots=True)
class CaptureObject:
    """What a column of a profile holds."""

    class_id: int
    obis: Obis
    attribute: int
    element: int = 0

    def data(self) -> Structure:
        """Return it as a value."""
        return Structure(
            (
                UInt16(self.class_id),
                self.obis.code,
                Int8(self.attribute),
                UInt16(self.element),
            )
        )

    @classmethod
    def of(cls, value: Data) -> CaptureObject:
        """Return the one that a value is; raise `MalformedDlms` if it is none."""
        if isinstance(value, Structure) and len(value) == 4:
            class_id, code, attribute, element = value
            if (
                isinstance(class_id, SizedInt)
                and isinstance(code, bytes)
                and len(code) == 6
                and isinstance(attribute, SizedInt)
                and isinstance(element, SizedInt)
            ):
                return cls(int(class_id), Obis(bytes(code)), int(attribute), int(element))
        raise MalformedDlms("not a capture object", offset=0)


CLOCK: Final = CaptureObject(8, Obis.parse("0-0:1.0.0"), 2)
"""The time of a row."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Rows by number, from 1; 0 as the last means all that follow. Columns likewise."""

    first: int = 1
    last: int = 0
    first_column: int = 1
    last_column: int = 0

    def access(self) -> SelectiveAccess:
        """Return how a request says so."""
        return SelectiveAccess(
            ENTRIES,
            Structure(
                (
                    UInt32(self.first),
                    UInt32(self.last),
                    UInt16(self.first_column),
                    UInt16(self.last_column),
                )
            ),
        )


@dataclass(frozen=True, slots=True)
class Range:
    """Rows by what stands in a column, as a rule their times; both ends belong to it."""

    begin: Data
    end: Data
    by: CaptureObject = CLOCK
    columns: tuple[CaptureObject, ...] = ()
    """None: all of them."""

    def access(self) -> SelectiveAccess:
        """Return how a request says so; times go as octets, which all meters take."""
        columns = Array(column.data() for column in self.columns)
        ends = (_octets(self.begin), _octets(self.end))
        return SelectiveAccess(RANGE, Structure((self.by.data(), *ends, columns)))


def _octets(value: Data) -> Data:
    return bytes(value) if isinstance(value, DateTime) else value


def selection(access: SelectiveAccess | None) -> Range | Entries:
    """Return the part that a request names; raise `MalformedDlms` if it names none."""
    if access is None:
        return Entries()
    value = access.parameters
    if isinstance(value, Structure) and len(value) == 4:
        if access.selector == RANGE and isinstance(value[3], Array):
            columns = tuple(CaptureObject.of(column) for column in value[3])
            return Range(value[1], value[2], CaptureObject.of(value[0]), columns)
        numbers = [int(number) for number in value if isinstance(number, SizedInt)]
        if access.selector == ENTRIES and len(numbers) == 4 and min(numbers) >= 0:
            return Entries(*numbers)
    raise MalformedDlms("not a part of a profile", offset=0)
