# SPDX-License-Identifier: Apache-2.0
import ctypes
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import _ffi as ffi

from hub.machine import contract
from hub.machine._abi import (
    BOOL,
    BYTES,
    S64,
    STRING,
    TEXT_BYTES,
    U32,
    Enumeration,
    Err,
    ListOf,
    Malformed,
    Ok,
    Option,
    Record,
    Result,
    Value,
    WitType,
)

COLOURS = Enumeration(("red", "green"))
PAIR = Record((("name", STRING), ("parts", ListOf(BYTES))))

SAMPLES: list[tuple[WitType, st.SearchStrategy[Any]]] = [
    (BOOL, st.booleans()),
    (S64, st.integers(-(2**63), 2**63 - 1)),
    (U32, st.integers(0, 2**32 - 1)),
    (STRING, st.text()),
    (BYTES, st.binary()),
    (TEXT_BYTES, st.binary()),
    (ListOf(TEXT_BYTES), st.lists(st.binary())),
    (COLOURS, st.sampled_from(COLOURS.names)),
    (ListOf(STRING), st.lists(st.text())),
    (ListOf(BYTES), st.lists(st.binary())),
    (Option(BYTES), st.none() | st.binary()),
    (PAIR, st.tuples(st.text(), st.lists(st.binary()))),
    (Result(None, COLOURS), st.just(Ok()) | st.builds(Err, st.sampled_from(COLOURS.names))),
    (
        Result(PAIR, STRING),
        st.builds(Ok, st.tuples(st.text(), st.lists(st.binary()))) | st.builds(Err, st.text()),
    ),
]


def passed(wit_type: WitType, value: object) -> object:
    native = Value(kind=ffi.WASMTIME_COMPONENT_BOOL.value)
    try:
        wit_type.lower(value, native)
        return wit_type.lift(native)
    finally:
        ffi.wasmtime_component_val_delete(ctypes.byref(native))


@given(data=st.data())
def test_what_is_lowered_is_lifted_again(data: st.DataObject) -> None:
    wit_type, values = data.draw(st.sampled_from(SAMPLES))
    value = data.draw(values)
    assert passed(wit_type, value) == value


@pytest.mark.parametrize(
    ("wit_type", "value"),
    [
        (BOOL, 1),
        (S64, 2**63),
        (S64, True),
        (S64, 1.0),
        (U32, -1),
        (STRING, b"bytes"),
        (STRING, "\ud800"),
        (BYTES, "text"),
        (BYTES, [1, 2]),
        (TEXT_BYTES, "text"),
        (COLOURS, "blue"),
        (ListOf(BYTES), [b"good", "bad"]),
        (Option(BYTES), "text"),
        (PAIR, ("name", [b"good", None])),
        (Result(PAIR, STRING), Ok(("name", [b"good", None]))),
        (Result(None, COLOURS), Err("blue")),
    ],
)
def test_another_value_is_refused_and_leaves_nothing_half_written(
    wit_type: WitType, value: object
) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        passed(wit_type, value)


def test_text_that_is_no_bytes_is_malformed() -> None:
    native = Value(kind=ffi.WASMTIME_COMPONENT_BOOL.value)
    STRING.lower("snow\N{SNOWMAN}", native)
    with pytest.raises(Malformed):
        TEXT_BYTES.lift(native)
    ffi.wasmtime_component_val_delete(ctypes.byref(native))


def parts(value: object) -> Iterator[object]:
    """Yield the types that a type or function is made of."""
    yield value
    for name in getattr(value, "__slots__", ()):
        part = getattr(value, name)
        for item in part if isinstance(part, tuple) else (part,):
            yield from parts(item[1] if isinstance(item, tuple) else item)


def test_text_for_bytes_reaches_every_place() -> None:
    def leaves(known: contract.Contract) -> list[object]:
        interfaces = (*known.imports.values(), *known.exports.values(), *known.optional.values())
        functions = [function for interface in interfaces for function in interface.values()]
        return [part for function in functions for part in parts(function)]

    public, private = leaves(contract.PLATFORM), leaves(contract.PYTHON)
    assert BYTES in public
    assert TEXT_BYTES not in public
    assert TEXT_BYTES in private
    assert BYTES not in private
    assert S64 in private


def test_lists_leave_no_memory_behind() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            return int(statm.read().split()[1])

    passed(BYTES, bytes(1_000_000))
    before = resident()
    for _ in range(20):
        passed(BYTES, bytes(1_000_000))
    assert resident() - before < 20_000  # pages; twenty leaks would be 160,000
