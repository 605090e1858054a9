# SPDX-License-Identifier: Apache-2.0
"""A component that imports what libraries export, put together when it is instantiated.

Each library is instantiated in the store of the applet that imports it: it burns that applet's
fuel, its calls to the platform arrive at that applet's host, and its memory goes with the applet's.
Between the two, values cross as wasmtime hands them over; their types are compared beforehand.

A library's interface has functions of numbers, truth values, texts and bytes, and nothing else: so
what a call carries can be counted before it is handed on. wasmtime has copied it by then: whoever
has not the fuel for that owes it, and more than `limits.MAX_CARRIED` is not handed on.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component

from hub.machine import contract, host_calls, limits
from hub.machine.errors import ContractBroken, FaultKind

Shape = tuple[str, ...]
"""The types of a function's parameters, and of its result at the end."""
Interfaces = Mapping[str, Mapping[str, Shape]]

Part = tuple[component.Component, Interfaces]
"""A compiled library, and what it exports."""

_PLAIN: Final[Mapping[type[component.ValType], str]] = {
    kind: kind.__name__.lower()
    for kind in (
        component.Bool, component.U8, component.U16, component.U32, component.U64, component.S8,
        component.S16, component.S32, component.S64, component.F32, component.F64,
        component.String,
    )
}  # fmt: skip


def exports_of(engine: wasmtime.Engine, compiled: component.Component) -> Interfaces:
    """Return the interfaces of a library; raise `ContractBroken` where one is none for libraries.

    A library may import the platform's interfaces, as an applet may, and nothing else.
    """
    contract.require_imports(engine, compiled, contract.PLATFORM)
    found: dict[str, dict[str, Shape]] = {}
    for name, item in contract.items_of(compiled.type.exports(engine)).items():
        if name.startswith(contract.PUBLIC):
            raise ContractBroken(f"a library cannot stand in for {name}")
        if isinstance(item, component.ValType):
            continue
        found[name] = shapes_of(engine, name, item)
    if not found:
        raise ContractBroken("the library exports no interface")
    return found


def shapes_of(engine: wasmtime.Engine, where: str, item: object) -> dict[str, Shape]:
    """Return the functions of an interface; raise `ContractBroken` for others than a library's."""
    if not isinstance(item, component.ComponentInstanceType):
        raise ContractBroken(f"{where} is not an interface")
    return {
        name: _shape(f"{where}: {name}", kind)
        for name, kind in contract.items_of(item.exports(engine)).items()
        if not isinstance(kind, component.ValType)
    }


def _shape(where: str, kind: object) -> Shape:
    if not isinstance(kind, component.FuncType):
        raise ContractBroken(f"{where} is not a function")
    result = kind.result
    parts = [_word(where, declared) for _, declared in kind.params]
    return (*parts, "none" if result is None else _word(where, result))


def _word(where: str, declared: component.ValType) -> str:
    if isinstance(declared, component.ListType) and isinstance(declared.element, component.U8):
        return "bytes"
    word = _PLAIN.get(type(declared))
    if word is None:
        raise ContractBroken(
            f"{where} carries more than numbers, truth values, texts and bytes: a library's"
            " function cannot"
        )
    return word


def require_imports(
    engine: wasmtime.Engine, compiled: component.Component, libraries: Sequence[Interfaces]
) -> None:
    """Return if the platform and `libraries` have all that a component imports.

    Raises `ContractBroken`, and names what is missing or has other types.
    """
    there: dict[str, Mapping[str, Shape]] = {}
    for interfaces in libraries:
        for name, functions in interfaces.items():
            if name in there:
                raise ContractBroken(f"two libraries export {name}")
            there[name] = functions
    rest = contract.require_imports(engine, compiled, contract.PLATFORM, others=there.keys())
    for name, item in rest.items():
        for function, shape in shapes_of(engine, f"import {name}", item).items():
            if there[name].get(function) != shape:
                raise ContractBroken(f"import {name}: the library has another {function}, or none")


def linked(
    store: wasmtime.Store,
    linker: component.Linker,
    libraries: Sequence[Part],
    behind: host_calls.Host,
) -> component.Linker:
    """Instantiate `libraries`; return a linker that has the platform and what they export."""
    new = component.Linker(linker.engine)
    host_calls.define_imports(new, contract.PLATFORM)
    for compiled, interfaces in libraries:
        instance = linker.instantiate(store, compiled)
        with new.root() as root:
            for name, functions in interfaces.items():
                with root.add_instance(name) as made:
                    for function, found in _functions(store, instance, name, functions):
                        behind.library_functions.append(found)
                        _define(made, function, len(behind.library_functions) - 1)
    return new


def _functions(
    store: wasmtime.Store, instance: component.Instance, name: str, functions: Mapping[str, Shape]
) -> Iterator[tuple[str, component.Func]]:
    outer = instance.get_export_index(store, name)
    for function in functions:
        inner = instance.get_export_index(store, function, outer)
        found = None if inner is None else instance.get_func(store, inner)
        assert found is not None, "exports were checked when the library was loaded"
        yield function, found


def _define(made: component.LinkerInstance, name: str, place: int) -> None:
    raw = name.encode()
    error = ffi.wasmtime_component_linker_instance_add_func(
        made.ptr(),
        ctypes.create_string_buffer(raw),
        len(raw),
        _pass_on,
        place,
        host_calls.NO_FINALIZER,
    )
    assert not error, f"{name} is defined twice"


@ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]
def _pass_on(
    place: int | None, context: Any, _type: Any, arguments: Any, count: int, results: Any, many: int
) -> int:
    """Call a library's function with what the applet has called its import with."""
    host = host_calls.host_of(context)
    refused = _paid(host, context, arguments, count)
    if refused:
        return refused
    function = host.library_functions[place or 0]
    trap = ffi.wasmtime_component_func_call(
        ctypes.byref(function._func), context, arguments, count, results, many
    )
    if trap:
        return ctypes.cast(trap, ctypes.c_void_p).value or 0
    refused = _paid(host, context, results, many)
    if refused:
        for index in range(many):  # nobody takes what is not handed over
            ffi.wasmtime_component_val_delete(ctypes.byref(results[index]))
            results[index].kind = ffi.WASMTIME_COMPONENT_BOOL.value
            results[index].of.boolean = False
    return refused


def _paid(host: host_calls.Host, context: Any, values: Any, count: int) -> int:
    """Take the fuel for values; return 0, or an error where it is too little or they too many."""
    try:
        size = host_calls.size_as_it_came(values, count)
        with host.answering_from(context):
            host.carried(limits.CALL_FUEL + limits.CALL_FUEL_BYTE * size)
        if size > limits.MAX_CARRIED:
            raise host.fault(
                FaultKind.TRAP,
                f"a call between applet and library carries at most {limits.MAX_CARRIED} bytes,"
                f" and this one {size}",
            )
    except BaseException as error:  # noqa: BLE001  (nothing may unwind through native frames)
        host.pending = error
        return host_calls.native_error(type(error).__name__)
    return 0
