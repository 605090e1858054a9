# SPDX-License-Identifier: Apache-2.0
"""The rows as a table: what each call carries, whatever carries it across.

`IMPORTS` are the interfaces that the hub offers, one for each field of `Platform`; `EXPORTS` are
those of a component. `writer` and `reader` turn Python's values into what crosses, and back: a
record into the tuple of its fields, integers into bytes. What else a side makes of bytes and text
is its own affair (`Leaves`).
"""

import enum
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import getdoc
from types import FunctionType, NoneType
from typing import Any, Final, TypeAlias, get_type_hints

from protocols.platform.errors import Refusal, Refused
from protocols.platform.rows import ROWS, Needs, Size
from protocols.platform.services import U32, AppletExports, Platform, PythonExports, SharingExports


class Leaf(enum.Enum):
    """A type that is no record, as WIT spells it; and what tells it from another of Python's."""

    STRING = "string"
    S64 = "s64"
    U32 = "u32"
    BOOL = "bool"
    BYTES = "list<u8>"
    PACKED = "list<u8>: integers"
    OPTION = "option<list<u8>>"
    LIST = "list<list<u8>>"
    TUPLE = "list<list<u8>>: a tuple"

    @property
    def wit(self) -> str:
        """The type in WIT."""
        return self.value.partition(":")[0]


_LEAVES: Final[Mapping[Any, Leaf]] = {
    str: Leaf.STRING,
    int: Leaf.S64,
    U32: Leaf.U32,
    bool: Leaf.BOOL,
    bytes: Leaf.BYTES,
    Sequence[int]: Leaf.PACKED,
    tuple[int, ...]: Leaf.PACKED,
    bytes | None: Leaf.OPTION,
    list[bytes]: Leaf.LIST,
    tuple[bytes, ...]: Leaf.TUPLE,
}


@dataclass(frozen=True, slots=True)
class RecordType:
    """A value class and its fields."""

    value_class: type
    fields: tuple[tuple[str, Leaf], ...]


Kind: TypeAlias = Leaf | RecordType | None


@dataclass(frozen=True, slots=True)
class PlatformCall:
    """One call: a method of the interface's service."""

    interface: str
    method: str
    parameters: Mapping[str, Leaf]
    sizes: Mapping[str, Size]
    result: Kind
    error: str | None
    """What says that it failed: `refusal`, or a `string` for the developer; None: it cannot."""
    refusals: tuple[Refusal, ...]
    needs: Needs
    doc: str


@dataclass(frozen=True, slots=True)
class PlatformInterface:
    """A service's calls, by their names in WIT."""

    name: str
    service: type
    calls: Mapping[str, PlatformCall]

    @classmethod
    def of(cls, name: str, service: type, error: str | None = None) -> "PlatformInterface":
        """Read a service's methods; raise `KeyError` for a type that cannot cross."""
        methods = [method for method in vars(service).values() if isinstance(method, FunctionType)]
        rows = [method for method in methods if not method.__name__.startswith("_")]
        calls = {kebab(row.__name__): _call(name, row, error) for row in rows}
        return cls(name, service, calls)


def kebab(name: str) -> str:
    """Return a name of Python's as WIT spells it."""
    return name.replace("_", "-")


def _call(interface: str, method: FunctionType, error: str | None) -> PlatformCall:
    plain, marked = get_type_hints(method), get_type_hints(method, include_extras=True)
    marks = {name: getattr(hint, "__metadata__", (None,))[0] for name, hint in marked.items()}
    sizes = {name: mark for name, mark in marks.items() if isinstance(mark, Size)}
    leaves = {
        name: _LEAVES[plain[name] if name in sizes else hint]
        for name, hint in marked.items()
        if name != "return"
    }
    refusals, needs = ROWS.get(method, ((), Needs.NOTHING))
    return PlatformCall(
        interface,
        method.__name__,
        leaves,
        sizes,
        _result(marked["return"]),
        "refusal" if refusals else error,
        refusals,
        needs,
        getdoc(method) or "",
    )


def _result(hint: Any) -> Kind:
    if hint is NoneType or hint in _LEAVES:
        return _LEAVES.get(hint)
    hints = get_type_hints(hint, include_extras=True)
    parts = tuple((field.name, _LEAVES[hints[field.name]]) for field in fields(hint))
    return RecordType(hint, parts)


IMPORTS: Final = tuple(
    PlatformInterface.of(name, service) for name, service in get_type_hints(Platform).items()
)
EXPORTS: Final = (
    PlatformInterface.of("applet", AppletExports, "string"),
    PlatformInterface.of("sharing", SharingExports, "string"),
    PlatformInterface.of("python", PythonExports, "string"),
)

Convert: TypeAlias = Callable[[Any], Any]
Leaves: TypeAlias = Mapping[Leaf, Convert]
"""How one side converts leaves; those that are left out cross as they are."""


def pack(values: Sequence[int]) -> bytes:
    """Return integers, little-endian, 8 bytes each; raise `struct.error` if one has more bits."""
    return struct.pack(f"<{len(values)}q", *values)


def unpack(packed: bytes) -> tuple[int, ...]:
    """Return what `pack` packed; raise `Refused` (MALFORMED) if it did not."""
    if len(packed) % 8:
        raise Refused(Refusal.MALFORMED, "integers are packed in 8 bytes each")
    return struct.unpack(f"<{len(packed) // 8}q", packed)


def writer(kind: Kind, leaves: Leaves) -> Convert:
    """Return what makes, of a value, what crosses."""
    if not isinstance(kind, RecordType):
        return leaves.get(kind, _same) if kind else _same
    parts = [(name, leaves.get(leaf, _same)) for name, leaf in kind.fields]
    return lambda value: tuple(write(getattr(value, name)) for name, write in parts)


def reader(kind: Kind, leaves: Leaves) -> Convert:
    """Return what makes a value of what has crossed: of a record, of an object's attributes."""
    if not isinstance(kind, RecordType):
        return leaves.get(kind, _same) if kind else _same
    parts = [(name, leaves.get(leaf, _same)) for name, leaf in kind.fields]
    return lambda value: kind.value_class(*(read(getattr(value, name)) for name, read in parts))


def _same(value: Any) -> Any:
    return value
