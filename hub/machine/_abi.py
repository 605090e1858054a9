# SPDX-License-Identifier: Apache-2.0
"""Values across the component's edge, as wasmtime's C interface lays them out.

wasmtime's own conversion asks for every function's type at every call and walks a list of bytes
one ctypes object at a time: 0.6 µs a byte, 120 ms for a bill. Here the types are the contract's,
known beforehand, and bytes move by slices. `require` holds a component to these types when it is
loaded, so that nothing needs to be guessed when it calls.

Lowering writes into a value whose memory wasmtime then owns; lifting copies out and frees nothing.
"""

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from wasmtime import _ffi as ffi
from wasmtime import component

Value = ffi.wasmtime_component_val
"""The C interface's tagged union."""

_SIZE: Final = ctypes.sizeof(Value)
_KIND_AT: Final = Value.kind.offset
_BYTE_AT: Final = Value.of.offset


class Malformed(ValueError):
    """A component wrote a value that means nothing."""


class WitType(Protocol):
    """A type of the contract."""

    def lower(self, value: Any, into: Value) -> None:
        """Write `value` for the component; raise `TypeError` or `ValueError` if it is another."""

    def lift(self, value: Value) -> Any:
        """Return what the component wrote; raise `Malformed` if it means nothing."""

    def matches(self, declared: component.ValType | None) -> bool:
        """Return whether a component that declares this type means the same."""


@dataclass(frozen=True, slots=True)
class Ok:
    """A result's good case."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Err:
    """A result's bad case."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class _Scalar:
    kind: int
    field: str
    least: int
    most: int
    declared: type[component.ValType]

    def lower(self, value: Any, into: Value) -> None:
        if type(value) is not int or not self.least <= value <= self.most:
            raise ValueError(f"{value!r} does not fit {self.field}")
        into.kind = self.kind
        setattr(into.of, self.field, value)

    def lift(self, value: Value) -> int:
        return int(getattr(value.of, self.field))

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, self.declared)


class _Bool:
    def lower(self, value: Any, into: Value) -> None:
        if type(value) is not bool:
            raise TypeError(f"{value!r} is not a bool")
        into.kind = ffi.WASMTIME_COMPONENT_BOOL.value
        into.of.boolean = value

    def lift(self, value: Value) -> bool:
        return bool(value.of.boolean)

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.Bool)


def _new_name(text: bytes) -> ffi.wasm_byte_vec_t:
    vector = ffi.wasm_byte_vec_t()
    ffi.wasm_byte_vec_new_uninitialized(ctypes.byref(vector), len(text))
    ctypes.memmove(vector.data, text, len(text))
    return vector


class _String:
    def lower(self, value: Any, into: Value) -> None:
        into.of.string = _new_name(value.encode())
        into.kind = ffi.WASMTIME_COMPONENT_STRING.value

    def lift(self, value: Value) -> str:
        return ctypes.string_at(value.of.string.data, value.of.string.size).decode()

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.String)


class _Bytes:
    """`list<u8>`: each byte is a tagged union of its own, so bytes move by strided slices."""

    def lower(self, value: Any, into: Value) -> None:
        if not isinstance(value, bytes):
            raise TypeError(f"expected bytes, not {type(value).__name__}")
        spread = bytearray(_SIZE * len(value))
        spread[_KIND_AT::_SIZE] = bytes((ffi.WASMTIME_COMPONENT_U8.value,)) * len(value)
        spread[_BYTE_AT::_SIZE] = value
        items = ffi.wasmtime_component_vallist_t()
        ffi.wasmtime_component_vallist_new_uninit(ctypes.byref(items), len(value))
        if value:
            ctypes.memmove(
                items.data, (ctypes.c_char * len(spread)).from_buffer(spread), len(spread)
            )
        into.of.list = items
        into.kind = ffi.WASMTIME_COMPONENT_LIST.value

    def lift(self, value: Value) -> bytes:
        items = value.of.list
        if not items.size:
            return b""
        end = items.size * _SIZE
        return bytes(ctypes.cast(items.data, ctypes.POINTER(ctypes.c_char))[_BYTE_AT:end:_SIZE])

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.ListType) and isinstance(
            declared.element, component.U8
        )


class _TextBytes(_String):
    """Bytes as a `string` of the characters U+0000 to U+00FF, each for a byte.

    For the Python runtime alone. Text crosses twenty times faster than `list<u8>`, which
    wasmtime's C interface takes apart; and componentize-py 0.25 never frees a `list<u8>` that
    Python hands out.
    """

    def lower(self, value: Any, into: Value) -> None:
        if not isinstance(value, bytes):
            raise TypeError(f"expected bytes, not {type(value).__name__}")
        super().lower(value.decode("latin-1"), into)

    def lift(self, value: Value) -> bytes:  # type: ignore[override]
        try:
            return super().lift(value).encode("latin-1")
        except UnicodeEncodeError:
            raise Malformed("a character that is no byte") from None


BOOL: Final[WitType] = _Bool()
TEXT_BYTES: Final[WitType] = _TextBytes()
STRING: Final[WitType] = _String()
BYTES: Final[WitType] = _Bytes()
S64: Final[WitType] = _Scalar(
    ffi.WASMTIME_COMPONENT_S64.value, "s64", -(2**63), 2**63 - 1, component.S64
)
U32: Final[WitType] = _Scalar(ffi.WASMTIME_COMPONENT_U32.value, "u32", 0, 2**32 - 1, component.U32)


def _fill(items: Any, types: Iterable[WitType], values: Sequence[Any]) -> None:
    # What has not been written yet must be something that can be freed.
    for index in range(len(values)):
        items[index].kind = ffi.WASMTIME_COMPONENT_BOOL.value
        items[index].of.boolean = False
    for index, (wit_type, value) in enumerate(zip(types, values, strict=False)):
        wit_type.lower(value, items[index])


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list<T>`; a Python list."""

    element: WitType

    def lower(self, value: Any, into: Value) -> None:
        items = ffi.wasmtime_component_vallist_t()
        ffi.wasmtime_component_vallist_new_uninit(ctypes.byref(items), len(value))
        into.of.list = items
        into.kind = ffi.WASMTIME_COMPONENT_LIST.value
        _fill(items.data, (self.element for _ in value), value)

    def lift(self, value: Value) -> list[Any]:
        items = value.of.list
        return [self.element.lift(items.data[index]) for index in range(items.size)]

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.ListType) and self.element.matches(declared.element)


@dataclass(frozen=True, slots=True)
class Record:
    """`record`; a tuple of the fields' values, in order."""

    fields: tuple[tuple[str, WitType], ...]

    def lower(self, value: Any, into: Value) -> None:
        entries = ffi.wasmtime_component_valrecord_t()
        ffi.wasmtime_component_valrecord_new_uninit(ctypes.byref(entries), len(self.fields))
        for index, (name, _) in enumerate(self.fields):
            entries.data[index].name = _new_name(name.encode())
        values = [entries.data[index].val for index in range(len(self.fields))]
        into.of.record = entries
        into.kind = ffi.WASMTIME_COMPONENT_RECORD.value
        _fill(values, (wit_type for _, wit_type in self.fields), value)

    def lift(self, value: Value) -> tuple[Any, ...]:
        entries = value.of.record.data
        return tuple(
            wit_type.lift(entries[index].val) for index, (_, wit_type) in enumerate(self.fields)
        )

    def matches(self, declared: component.ValType | None) -> bool:
        if not isinstance(declared, component.RecordType):
            return False
        theirs = declared.fields
        return len(theirs) == len(self.fields) and all(
            name == their_name and wit_type.matches(their_type)
            for (name, wit_type), (their_name, their_type) in zip(self.fields, theirs, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Enumeration:
    """`enum`; the case's name."""

    names: tuple[str, ...]

    def lower(self, value: Any, into: Value) -> None:
        if value not in self.names:
            raise ValueError(f"{value!r} is not one of {', '.join(self.names)}")
        into.of.enumeration = _new_name(value.encode())
        into.kind = ffi.WASMTIME_COMPONENT_ENUM.value

    def lift(self, value: Value) -> str:
        name = value.of.enumeration
        return ctypes.string_at(name.data, name.size).decode()

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.EnumType) and tuple(declared.names) == self.names


def _boxed(wit_type: WitType | None, value: Any) -> Any:
    if wit_type is None:
        return None
    inner = Value(kind=ffi.WASMTIME_COMPONENT_BOOL.value)
    try:
        wit_type.lower(value, inner)
    except BaseException:
        ffi.wasmtime_component_val_delete(ctypes.byref(inner))
        raise
    return ffi.wasmtime_component_val_new(ctypes.byref(inner))


@dataclass(frozen=True, slots=True)
class Option:
    """`option<T>`; None or the value."""

    some: WitType

    def lower(self, value: Any, into: Value) -> None:
        into.of.option = None if value is None else _boxed(self.some, value)
        into.kind = ffi.WASMTIME_COMPONENT_OPTION.value

    def lift(self, value: Value) -> Any:
        return self.some.lift(value.of.option.contents) if value.of.option else None

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.OptionType) and self.some.matches(declared.payload)


@dataclass(frozen=True, slots=True)
class Result:
    """`result<T, E>`; `Ok` or `Err`."""

    ok: WitType | None
    err: WitType | None

    def lower(self, value: Any, into: Value) -> None:
        boxed = _boxed(self.ok if isinstance(value, Ok) else self.err, value.value)
        into.of.result.is_ok = isinstance(value, Ok)
        into.of.result.val = boxed
        into.kind = ffi.WASMTIME_COMPONENT_RESULT.value

    def lift(self, value: Value) -> Ok | Err:
        case, wit_type = (Ok, self.ok) if value.of.result.is_ok else (Err, self.err)
        return case(None if wit_type is None else wit_type.lift(value.of.result.val.contents))

    def matches(self, declared: component.ValType | None) -> bool:
        return isinstance(declared, component.ResultType) and all(
            theirs is None if ours is None else ours.matches(theirs)
            for ours, theirs in ((self.ok, declared.ok), (self.err, declared.err))
        )


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the contract."""

    parameters: tuple[WitType, ...] = ()
    result: WitType | None = None

    def matches(self, declared: component.FuncType) -> bool:
        """Return whether a component that declares this function means the same."""
        theirs = [wit_type for _, wit_type in declared.params]
        return (
            len(theirs) == len(self.parameters)
            and all(
                ours.matches(their) for ours, their in zip(self.parameters, theirs, strict=True)
            )
            and (
                declared.result is None
                if self.result is None
                else self.result.matches(declared.result)
            )
        )
