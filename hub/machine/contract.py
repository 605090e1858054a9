# SPDX-License-Identifier: Apache-2.0
"""The contract of `wit/platform.wit`, in the machine's own types.

A component may import any of `IMPORTS` and must export all of `APPLET`. `require` refuses any
other when it is loaded, down to the types: at run time nothing is guessed. A test holds these
tables against the WIT file by way of the runtime that is built from it.
"""

from collections.abc import Mapping
from typing import Any, Final

from wasmtime import Engine, component

from hub.machine._abi import (
    BOOL,
    BYTES,
    S64,
    STRING,
    U32,
    Enumeration,
    Function,
    ListOf,
    Option,
    Record,
    Result,
)
from hub.machine.errors import ContractBroken, Refusal

__all__ = ["APPLET", "APPLET_INTERFACE", "IMPORTS", "PYTHON", "PYTHON_INTERFACE", "require"]

_PACKAGE: Final = "meterlet:platform/{}@0.1.0"

APPLET_INTERFACE: Final = _PACKAGE.format("applet")
PYTHON_INTERFACE: Final = _PACKAGE.format("python")

_REFUSAL: Final = Enumeration(tuple(refusal.value for refusal in Refusal))
_OPENED: Final = Record(
    (("value", S64), ("opening", BYTES), ("certified-days", ListOf(BYTES)), ("digest", BYTES))
)
_GRID: Final = Record((("zone", STRING), ("slot-minutes", U32)))
_SLOTS: Final = Record((("starts", BYTES), ("states", BYTES)))
_USE: Final = Record((("starts", BYTES), ("watt-hours", BYTES), ("states", BYTES)))
_PERIOD: Final = (STRING, S64, S64)
_TYPES: Final = _PACKAGE.format("types")

IMPORTS: Final[Mapping[str, Mapping[str, Function]]] = {
    _PACKAGE.format("statements"): {
        "open-linear": Function((*_PERIOD, BYTES, BYTES), Result(_OPENED, _REFUSAL)),
    },
    _PACKAGE.format("calendar"): {
        "grid": Function((), _GRID),
        "slots": Function(_PERIOD, Result(_SLOTS, _REFUSAL)),
    },
    _PACKAGE.format("store"): {
        "get": Function((BYTES,), Option(BYTES)),
        "put": Function((BYTES, BYTES), Result(None, _REFUSAL)),
        "delete": Function((BYTES,)),
        "keys": Function((), ListOf(BYTES)),
    },
    _PACKAGE.format("clock"): {"now": Function((), S64)},
    _PACKAGE.format("signatures"): {"verify-ed25519": Function((BYTES, BYTES, BYTES), BOOL)},
    _PACKAGE.format("log"): {"write": Function((STRING,))},
    _PACKAGE.format("readings"): {"read": Function(_PERIOD, Result(_USE, _REFUSAL))},
    _PACKAGE.format("outputs"): {"set": Function((STRING, BYTES), Result(None, _REFUSAL))},
}
"""What the platform offers: interface, function, types."""

APPLET: Final[Mapping[str, Function]] = {
    "install": Function((BYTES,), Result(BYTES, STRING)),
    "select": Function((), Result(BYTES, STRING)),
    "process": Function((BYTES,), Result(BYTES, STRING)),
    "deselect": Function((), Result(None, STRING)),
    "update": Function((), Result(None, STRING)),
    "uninstall": Function((), Result(BYTES, STRING)),
}
PYTHON: Final[Mapping[str, Function]] = {
    "compile": Function((BYTES,), Result(STRING, STRING)),
    "load": Function((STRING, STRING), Result(STRING, STRING)),
}


def require(engine: Engine, compiled: component.Component, *, python: bool = False) -> None:
    """Return if the component fits the contract; raise `ContractBroken` and name what does not."""
    for name, item in _items(compiled.type.imports(engine)).items():
        if name == _TYPES:
            continue
        if name not in IMPORTS:
            raise ContractBroken(f"the component imports {name}, which the platform has not")
        _require_functions(engine, f"import {name}", item, IMPORTS[name], all_of_them=False)
    exports = _items(compiled.type.exports(engine))
    wanted = {APPLET_INTERFACE: APPLET} | ({PYTHON_INTERFACE: PYTHON} if python else {})
    for name, functions in wanted.items():
        if name not in exports:
            raise ContractBroken(f"the component does not export {name}")
        _require_functions(engine, f"export {name}", exports[name], functions, all_of_them=True)


def _require_functions(
    engine: Engine,
    where: str,
    item: object,
    functions: Mapping[str, Function],
    *,
    all_of_them: bool,
) -> None:
    if not isinstance(item, component.ComponentInstanceType):
        raise ContractBroken(f"{where} is not an interface")
    declared = _items(item.exports(engine))
    for name, kind in declared.items():
        if isinstance(kind, component.ValType):
            continue  # a name for a type, which counts where it is used
        if not (
            isinstance(kind, component.FuncType)
            and name in functions
            and functions[name].matches(kind)
        ):
            raise ContractBroken(f"{where}: {name} is not the platform's")
    if all_of_them and not functions.keys() <= declared.keys():
        missing = ", ".join(sorted(functions.keys() - declared.keys()))
        raise ContractBroken(f"{where}: {missing} is missing")


def _items(externs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {name: extern.ty for name, extern in externs.items()}
    except TypeError as error:
        raise ContractBroken(
            f"the component uses a type that the platform has not: {error}"
        ) from None
