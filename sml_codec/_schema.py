# SPDX-License-Identifier: Apache-2.0
"""Which elements make up which message: the standard's tables, read in both directions.

A shape lifts an untyped element to a typed value and lowers it again. `BODIES` gives the shape of
each message body by its tag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from sml_codec import _make as make
from sml_codec import messages as m
from sml_codec._lowered import EmptyOctets, LoweredFields, SignedNumber
from sml_codec.elements import Element
from sml_codec.errors import EncodingError
from sml_codec.numbers import SizedInt
from sml_codec.obis import Obis
from sml_codec.options import Quirk


class ShapeError(Exception):
    """An element does not have the shape that its place requires; never leaves the package."""


class SmlShape:
    """One way to see an element."""

    def lift(self, element: Element, quirks: Quirk) -> Any:
        """Return the typed value; raise `ShapeError` if the element has another shape."""
        raise NotImplementedError

    def lower(self, value: Any) -> Element:
        """Return the element that `lift` makes `value` of; raise `EncodingError` if none does."""
        raise NotImplementedError


class Octets(SmlShape):
    """An octet string; left out, it is empty or (optional) None."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def lift(self, element: Element, quirks: Quirk) -> bytes | None:
        if isinstance(element, bytes):
            return element
        if element is None:
            return None if self.optional else b""
        raise ShapeError("not an octet string")

    def lower(self, value: bytes | None) -> Element:
        return value if self.optional else value or EmptyOctets()


class SmlNumber(SmlShape):
    """An integer of at most `size` bytes, or None.

    Whether the sender took it for signed is let pass, and so are values that fit only the other.
    """

    def __init__(self, size: int, *, signed: bool = False, optional: bool = True) -> None:
        self.size = size
        self.optional = optional
        self.signed = signed
        self.lowest = -(1 << 8 * size - 1)
        self.highest = (1 << 8 * size) - 1

    def lift(self, element: Element, quirks: Quirk) -> int | None:
        return None if element is None and self.optional else self.due(element)

    def due(self, element: Element) -> int:
        """Return the number, which must not be left out."""
        if isinstance(element, SizedInt) and self.lowest <= element <= self.highest:
            return int(element)
        raise ShapeError("not an integer of the size that is due")

    def lower(self, value: int | None) -> Element:
        """Return the number, marked if it is to be sent signed."""
        if value is None:
            return None
        if not self.lowest <= value <= self.highest:
            raise EncodingError(f"{value} is not within {self.lowest}..{self.highest}")
        return SignedNumber(value) if self.signed else value


class Boolean(SmlShape):
    """A boolean or None."""

    def lift(self, element: Element, quirks: Quirk) -> bool | None:
        if element is None or isinstance(element, bool):
            return element
        raise ShapeError("not a boolean")

    def lower(self, value: bool | None) -> Element:
        return value


class Name(SmlShape):
    """The OBIS code of an object."""

    def lift(self, element: Element, quirks: Quirk) -> Obis:
        if element is None or isinstance(element, bytes):
            return Obis(element or b"")
        raise ShapeError("not an object name")

    def lower(self, value: Obis) -> Element:
        """Return the octets of the code."""
        return value.code or EmptyOctets()


class Anything(SmlShape):
    """An SML_Value."""

    def lift(self, element: Element, quirks: Quirk) -> m.Value:
        if element is None and Quirk.MISSING_VALUE not in quirks:
            raise ShapeError("a value is missing")
        if isinstance(element, tuple) and Quirk.LIST_VALUE not in quirks:
            raise ShapeError("a value is a list")
        return element

    def lower(self, value: m.Value) -> Element:
        return value


class SmlTime(SmlShape):
    """SML_Time or None: a list of a choice and of what was chosen, or (quirk) only the latter."""

    def lift(self, element: Element, quirks: Quirk) -> m.Time | None:
        match element:
            case None:
                return None
            case (SizedInt() as choice, chosen):
                return _chosen(m.time_choice(int(choice)), chosen)
            case _ if Quirk.BARE_TIME in quirks:
                return _chosen(None, element)
            case _:
                raise ShapeError("not a time")

    def lower(self, value: m.Time | None) -> Element:
        """Return the choice and what was chosen."""
        if value is None:
            return None
        chosen: Element = SECONDS.lower(value.seconds)
        if value.local_offset is not None or value.season_offset is not None:
            chosen = (chosen, OFFSET.lower(value.local_offset), OFFSET.lower(value.season_offset))
        return chosen if value.choice is None else (int(value.choice), chosen)


def _chosen(choice: m.TimeChoice | int | None, element: Element) -> m.Time:
    if isinstance(element, tuple):
        if len(element) != 3:
            raise ShapeError("not a local timestamp")
        seconds, local, season = element
        return make.time(choice, SECONDS.due(seconds), OFFSET.due(local), OFFSET.due(season))
    return make.time(choice, SECONDS.due(element), None, None)


class SmlListOf(SmlShape):
    """A list of any length whose elements have one shape; (optional) None."""

    def __init__(self, shape: SmlShape, *, optional: bool = False) -> None:
        self.shape = shape
        self.optional = optional

    def lift(self, element: Element, quirks: Quirk) -> tuple[Any, ...] | None:
        if isinstance(element, tuple):
            return tuple([self.shape.lift(each, quirks) for each in element])
        if element is None and self.optional:
            return None
        raise ShapeError("not a list")

    def lower(self, value: tuple[Any, ...] | None) -> Element:
        return None if value is None else tuple([self.shape.lower(each) for each in value])


QUICKLY: Final[Mapping[type[Any], Callable[..., Any]]] = {
    m.GetListRes: make.list_res,
    m.GetProfileListRes: make.profile_list_res,
    m.ListEntry: make.list_entry,
    m.OpenRes: make.open_res,
    m.PeriodEntry: make.period_entry,
}
"""How to make the dataclasses that meters send every second."""


def _by_name(cls: type[Any]) -> Callable[..., Any]:
    names = [field.name for field in fields(cls)]
    return lambda *values: cls(**dict(zip(names, values, strict=False)))


class SmlRecord(SmlShape):
    """A list whose elements are the fields of a dataclass, the last ones perhaps left out."""

    def __init__(
        self,
        cls: type[Any],
        *shapes: SmlShape,
        required: int,
        rest: bool = False,
        optional: bool = False,
    ) -> None:
        self.cls = cls
        self.make = QUICKLY.get(cls) or _by_name(cls)
        self.shapes = shapes
        self.names = [field.name for field in fields(cls)][: len(shapes) + rest]
        self.required = required
        self.rest = rest
        self.optional = optional

    def lift(self, element: Element, quirks: Quirk) -> Any:
        if element is None and self.optional:
            return None
        if not isinstance(element, tuple):
            raise ShapeError(f"{self.cls.__name__} is not a list")
        count = len(self.shapes)
        if len(element) != count:
            element = self._fitted(element, quirks)
        lifted = [
            shape.lift(each, quirks) for shape, each in zip(self.shapes, element, strict=False)
        ]
        if self.rest:
            lifted.append(element[count:])
        return self.make(*lifted)

    def _fitted(self, element: tuple[Element, ...], quirks: Quirk) -> tuple[Element, ...]:
        count = len(self.shapes)
        short = self.required <= len(element) < count and Quirk.SHORT_RECORD in quirks
        if not short and not (self.rest and len(element) > count):
            raise ShapeError(f"{self.cls.__name__} has {len(element)} fields")
        return element + (None,) * (count - len(element))

    def lower(self, value: Any) -> Element:
        """Return the fields."""
        if value is None and self.optional:
            return None
        if not isinstance(value, self.cls):
            raise EncodingError(f"a {self.cls.__name__} is due, not a {type(value).__name__}")
        elements = [
            shape.lower(getattr(value, name))
            for shape, name in zip(self.shapes, self.names, strict=False)
        ]
        if self.rest:
            return (*elements, *getattr(value, self.names[-1]))
        lowered = LoweredFields(elements)
        lowered.required = self.required
        return lowered


class Tupel(SmlShape):
    """SML_TupelEntry: 23 elements, of which quantities take three each."""

    WIDTHS: Final = (1, 1, 1, 3, 3, 3, 1, 3, 3, 3, 1)

    def lift(self, element: Element, quirks: Quirk) -> m.TupelEntry:
        if not isinstance(element, tuple) or len(element) != sum(self.WIDTHS):
            raise ShapeError("not a tupel entry")
        parts, rest = [], element
        for width in self.WIDTHS:
            parts.append(rest[0] if width == 1 else rest[:3])
            rest = rest[width:]
        lifted: m.TupelEntry = TUPEL_PARTS.lift(tuple(parts), quirks)
        return lifted

    def lower(self, value: m.TupelEntry) -> Element:
        """Return the 23 elements."""
        elements: list[Element] = []
        parts = TUPEL_PARTS.lower(value)
        assert isinstance(parts, tuple)
        for part, width in zip(parts, self.WIDTHS, strict=True):
            elements += part if width == 3 and isinstance(part, tuple) else (part,)
        return tuple(elements)


class Plain(SmlShape):
    """An SML_Value in its place in a parameter tree."""

    def lift(self, element: Element, quirks: Quirk) -> m.PlainValue:
        """Return the value, wrapped."""
        return m.PlainValue(VALUE.lift(element, quirks))

    def lower(self, value: m.PlainValue) -> Element:
        """Return the value itself."""
        return value.value


class SmlParameter(SmlShape):
    """SML_ProcParValue or None: a list of a choice and of what was chosen."""

    def lift(self, element: Element, quirks: Quirk) -> m.ProcParValue | None:
        """Return what was chosen."""
        match element:
            case None:
                return None
            case (SizedInt() as choice, chosen) if choice in PARAMETERS:
                value: m.ProcParValue | None = PARAMETERS[choice][1].lift(chosen, quirks)
                if value is not None:
                    return value
        raise ShapeError("not a parameter value")

    def lower(self, value: m.ProcParValue | None) -> Element:
        """Return the choice and what was chosen."""
        if value is None:
            return None
        for choice, (cls, shape) in PARAMETERS.items():
            if isinstance(value, cls):
                return choice, shape.lower(value)
        raise EncodingError(f"no parameter holds a {type(value).__name__}")


OCTETS: Final = Octets()
OPTIONAL: Final = Octets(optional=True)
BOOL: Final = Boolean()
NAME: Final = Name()
VALUE: Final = Anything()
TIME: Final = SmlTime()
SECONDS: Final = SmlNumber(4, optional=False)
OFFSET: Final = SmlNumber(2, signed=True, optional=False)
UNIT: Final = SmlNumber(1)
SCALER: Final = SmlNumber(1, signed=True)
STATUS: Final = SmlNumber(8)
U8: Final = SmlNumber(1)
U32: Final = SmlNumber(4)
CLASS_ID: Final = SmlNumber(2, signed=True, optional=False)
VERSION: Final = SmlNumber(2, signed=True)

LIST_ENTRY: Final = SmlRecord(
    m.ListEntry, NAME, STATUS, TIME, UNIT, SCALER, VALUE, OPTIONAL, required=6
)
PERIOD_ENTRY: Final = SmlRecord(m.PeriodEntry, NAME, UNIT, SCALER, VALUE, OPTIONAL, required=4)
QUANTITY: Final = SmlRecord(m.Quantity, UNIT, SCALER, SmlNumber(8, signed=True), required=3)
TUPEL_PARTS: Final = SmlRecord(
    m.TupelEntry, OCTETS, TIME, STATUS, QUANTITY, QUANTITY, QUANTITY, OPTIONAL,
    QUANTITY, QUANTITY, QUANTITY, OPTIONAL, required=11,
)  # fmt: skip

PARAMETERS: Final[Mapping[int, tuple[type[Any], SmlShape]]] = {
    1: (m.PlainValue, Plain()),
    2: (m.PeriodEntry, PERIOD_ENTRY),
    3: (m.TupelEntry, Tupel()),
    4: (m.Time, TIME),
    5: (m.ListEntry, LIST_ENTRY),
}


def _tree(*, optional: bool) -> SmlRecord:
    """Return the shape of SML_Tree, which contains itself."""
    children = SmlListOf(OCTETS, optional=True)
    tree = SmlRecord(m.Tree, OCTETS, SmlParameter(), children, required=1, optional=optional)
    children.shape = tree if not optional else TREE
    return tree


TREE: Final = _tree(optional=False)
OPTIONAL_TREE: Final = _tree(optional=True)
PATH: Final = SmlListOf(OCTETS)

_LOGIN: Final = (OPTIONAL, OPTIONAL, OPTIONAL)  # server id, username, password
_PROFILE_REQ: Final = (
    *_LOGIN, BOOL, TIME, TIME, PATH, SmlListOf(OCTETS, optional=True), OPTIONAL_TREE,
)  # fmt: skip
_COSEM_REQ: Final = (OPTIONAL, *_LOGIN, NAME, CLASS_ID, VERSION)
_COSEM_RES: Final = (OPTIONAL, OPTIONAL, NAME, CLASS_ID, VERSION)
_HEADER: Final = SmlRecord(m.ProfileHeader, NAME, UNIT, SCALER, required=3)
_CELL: Final = SmlRecord(m.ProfileValue, VALUE, OPTIONAL, required=1)
_ROW: Final = SmlRecord(m.ProfilePeriod, TIME, STATUS, SmlListOf(_CELL), OPTIONAL, required=3)

# fmt: off
BODIES: Final[Mapping[int, SmlRecord]] = {
    0x0100: SmlRecord(m.OpenReq, OPTIONAL, OCTETS, OCTETS, *_LOGIN, U8, required=3),
    0x0101: SmlRecord(m.OpenRes, OPTIONAL, OPTIONAL, OCTETS, OCTETS, TIME, U8, required=4),
    0x0200: SmlRecord(m.CloseReq, OPTIONAL, required=0),
    0x0201: SmlRecord(m.CloseRes, OPTIONAL, required=0),
    0x0300: SmlRecord(m.GetProfilePackReq, *_PROFILE_REQ, required=7),
    0x0301: SmlRecord(m.GetProfilePackRes, OCTETS, TIME, U32, PATH, SmlListOf(_HEADER),
        SmlListOf(_ROW), OPTIONAL, OPTIONAL, required=6,
    ),
    0x0400: SmlRecord(m.GetProfileListReq, *_PROFILE_REQ, required=7),
    0x0401: SmlRecord(m.GetProfileListRes, OCTETS, TIME, U32, PATH, TIME, STATUS,
        SmlListOf(PERIOD_ENTRY), OPTIONAL, OPTIONAL, required=7,
    ),
    0x0500: SmlRecord(m.GetProcParameterReq, *_LOGIN, PATH, OPTIONAL, required=4),
    0x0501: SmlRecord(m.GetProcParameterRes, OCTETS, PATH, TREE, required=3),
    0x0600: SmlRecord(m.SetProcParameterReq, *_LOGIN, PATH, TREE, required=5),
    0x0700: SmlRecord(m.GetListReq, OCTETS, *_LOGIN, OPTIONAL, required=1),
    0x0701: SmlRecord(m.GetListRes, OPTIONAL, OCTETS, OPTIONAL, TIME, SmlListOf(LIST_ENTRY),
        OPTIONAL, TIME, required=5,
    ),
    0x0800: SmlRecord(m.GetCosemReq, *_COSEM_REQ, required=6, rest=True),
    0x0801: SmlRecord(m.GetCosemRes, *_COSEM_RES, required=4, rest=True),
    0x0900: SmlRecord(m.SetCosemReq, *_COSEM_REQ, required=6, rest=True),
    0x0901: SmlRecord(m.SetCosemRes, *_COSEM_RES, required=4, rest=True),
    0x0A00: SmlRecord(m.ActionCosemReq, *_COSEM_REQ, required=6, rest=True),
    0x0A01: SmlRecord(m.ActionCosemRes, *_COSEM_RES, required=4, rest=True),
    0xFF01: SmlRecord(m.AttentionRes, OCTETS, OCTETS, OPTIONAL, OPTIONAL_TREE, required=2),
}
# fmt: on
"""The shape of each message body, by its tag."""

TAGS: Final[Mapping[type[Any], int]] = {record.cls: tag for tag, record in BODIES.items()}
"""The tag of each message body."""
