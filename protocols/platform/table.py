# SPDX-License-Identifier: Apache-2.0
"""The rows as a table: what each call carries, whatever carries it across.

`IMPORTS` are the interfaces that the hub offers, one for each field of `Platform`; `EXPORTS` are
those of a component. `writer` and `reader` turn Python's values into what crosses, and back: a
record into the tuple of its fields, integers into bytes; what a side makes of bytes and text is
its own affair (`Leaves`).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from inspect import getdoc
from types import FunctionType, NoneType
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin, get_type_hints

from protocols.platform.errors import Refusal, Refused
from protocols.platform.rows import ROWS, Leaf, Row, Size
from protocols.platform.services import AppletExports, Platform, PythonExports, SharingExports

__all__ = [
    "EXPORTS",
    "IMPORTS",
    "CallParameter",
    "Kind",
    "Leaves",
    "ListType",
    "OptionType",
    "PlatformCall",
    "PlatformInterface",
    "RecordType",
    "kebab",
    "pack",
    "reader",
    "unpack",
    "writer",
]


def kebab(name: str) -> str:
    """Return a name of Python's as WIT spells it."""
    return name.replace("_", "-")


_LEAVES: Final = {str: Leaf.STRING, int: Leaf.S64, bool: Leaf.BOOL, bytes: Leaf.BYTES}


@dataclass(frozen=True, slots=True)
class ListType:
    """`list<T>`; in Python a list or a tuple."""

    element: "Kind"
    container: type


@dataclass(frozen=True, slots=True)
class OptionType:
    """`option<T>`."""

    some: "Kind"


@dataclass(frozen=True, slots=True)
class RecordType:
    """A value class and its fields; the class may name the record, as `record`."""

    value_class: type
    fields: tuple[tuple[str, "Kind"], ...]

    @property
    def wit_fields(self) -> tuple[tuple[str, "Kind"], ...]:
        """The fields by their names in WIT."""
        return tuple((kebab(name), kind) for name, kind in self.fields)


Kind: TypeAlias = Leaf | ListType | OptionType | RecordType


@dataclass(frozen=True, slots=True)
class CallParameter:
    """A parameter of a call."""

    name: str
    kind: Kind
    size: Size | None


@dataclass(frozen=True, slots=True)
class PlatformCall:
    """One call: a method of the interface's service."""

    interface: str
    method: str
    parameters: tuple[CallParameter, ...]
    result: Kind | None
    error: str | None
    """What says that it failed: `refusal`, or a `string` for the developer; None: it cannot."""
    row: Row
    doc: str

    @property
    def name(self) -> str:
        """The function's name in WIT."""
        return kebab(self.method)


@dataclass(frozen=True, slots=True)
class PlatformInterface:
    """A service's calls."""

    name: str
    service: type
    calls: tuple[PlatformCall, ...]

    @classmethod
    def of(cls, name: str, service: type, error: str = "refusal") -> "PlatformInterface":
        """Read a service's methods; raise `TypeError` for a type that cannot cross."""
        calls = tuple(
            _call(name, method, error)
            for method in vars(service).values()
            if isinstance(method, FunctionType) and not method.__name__.startswith("_")
        )
        return cls(name, service, calls)


def _call(interface: str, method: FunctionType, error: str) -> PlatformCall:
    hints = get_type_hints(method, include_extras=True)
    result, row = hints.pop("return"), ROWS.get(method, Row())
    return PlatformCall(
        interface,
        method.__name__,
        tuple(_parameter(name, hint) for name, hint in hints.items()),
        None if result is NoneType else kind_of(result),
        error if row.refusals or error != "refusal" else None,
        row,
        getdoc(method) or "",
    )


def _parameter(name: str, hint: Any) -> CallParameter:
    marks = getattr(hint, "__metadata__", ())
    return CallParameter(
        name, kind_of(hint), next((mark for mark in marks if isinstance(mark, Size)), None)
    )


def kind_of(hint: Any) -> Kind:
    """Return what a value of this annotation is as it crosses; raise `TypeError` if it cannot."""
    if get_origin(hint) is Annotated:
        leaves = [mark for mark in hint.__metadata__ if isinstance(mark, Leaf)]
        return leaves[0] if leaves else kind_of(hint.__origin__)
    if hint in _LEAVES:
        return _LEAVES[hint]
    arguments = get_args(hint)
    if NoneType in arguments:
        return OptionType(kind_of(arguments[0]))
    if arguments:
        element = kind_of(arguments[0])
        return Leaf.PACKED if element is Leaf.S64 else ListType(element, get_origin(hint))
    hints = get_type_hints(hint, include_extras=True)
    return RecordType(hint, tuple((one.name, kind_of(hints[one.name])) for one in fields(hint)))


IMPORTS: Final = tuple(
    PlatformInterface.of(name, service) for name, service in get_type_hints(Platform).items()
)
EXPORTS: Final = tuple(
    PlatformInterface.of(name, service, "string")
    for name, service in (
        ("applet", AppletExports),
        ("sharing", SharingExports),
        ("python", PythonExports),
    )
)

Convert: TypeAlias = Callable[[Any], Any]
Leaves: TypeAlias = Mapping[Leaf, Convert]
"""How one side converts leaves; those that are left out cross as they are."""


def pack(values: tuple[int, ...]) -> bytes:
    """Return integers, little-endian, 8 bytes each; raise `struct.error` if one has more bits."""
    return struct.pack(f"<{len(values)}q", *values)


def unpack(packed: bytes) -> tuple[int, ...]:
    """Return what `pack` packed; raise `Refused` (MALFORMED) if it did not."""
    if len(packed) % 8:
        raise Refused(Refusal.MALFORMED, "integers are packed in 8 bytes each")
    return struct.unpack(f"<{len(packed) // 8}q", packed)


def writer(kind: Kind | None, leaves: Leaves) -> Convert:
    """Return what makes, of a value, what crosses."""
    match kind:
        case RecordType():
            parts = [(name, writer(part, leaves)) for name, part in kind.fields]
            return lambda value: tuple(write(getattr(value, name)) for name, write in parts)
        case _:
            return _converter(kind, leaves)


def reader(kind: Kind | None, leaves: Leaves) -> Convert:
    """Return what makes a value of what has crossed: of a record, of an object's attributes."""
    match kind:
        case RecordType():
            parts = [(name, reader(part, leaves)) for name, part in kind.fields]
            return lambda value: kind.value_class(
                *(read(getattr(value, name)) for name, read in parts)
            )
        case _:
            return _converter(kind, leaves)


def _converter(kind: Kind | None, leaves: Leaves) -> Convert:
    match kind:
        case ListType():
            convert = _converter(kind.element, leaves)
            return lambda values: kind.container(map(convert, values))
        case OptionType():
            convert = _converter(kind.some, leaves)
            return lambda value: None if value is None else convert(value)
        case Leaf() if kind in leaves:
            return leaves[kind]
        case _:
            return _same


def _same(value: Any) -> Any:
    return value
