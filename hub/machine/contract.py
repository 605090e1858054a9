# SPDX-License-Identifier: Apache-2.0
"""The contract of `wit/platform.wit`, in the machine's own types.

A component may import any of `PLATFORM.imports`, must export all of the functions of `exports` and
may export an interface of `optional`, then as a whole. `require` refuses any other when it is
loaded, down to the types: at run time nothing is guessed. A test holds
these tables against the WIT file by way of the runtime that is built from it.

The Python runtime has the same contract under another name, `PYTHON`, in which bytes cross as text
(`_abi.TEXT_BYTES` says why); its WIT is made from the public one by `python_wit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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

__all__ = ["PLATFORM", "PYTHON", "Contract", "python_wit", "require"]

PUBLIC: Final = "meterlet:platform"
PRIVATE: Final = "meterlet:python"
VERSION: Final = "@0.1.0"

_REFUSAL: Final = Enumeration(tuple(refusal.value for refusal in Refusal))
_OPENED: Final = Record(
    (("value", S64), ("opening", BYTES), ("certified-days", ListOf(BYTES)), ("digest", BYTES))
)
_OPENED_AMOUNTS: Final = Record(
    (("values", BYTES), ("proof", BYTES), ("certified-days", ListOf(BYTES)))
)
_GRID: Final = Record((("zone", STRING), ("slot-minutes", U32)))
_SLOTS: Final = Record((("starts", BYTES), ("states", BYTES)))
_USE: Final = Record((("starts", BYTES), ("watt-hours", BYTES), ("states", BYTES)))
_PERIOD: Final = (STRING, S64, S64)
_IMPORTS: Final[Mapping[str, Mapping[str, Function]]] = {
    "statements": {
        "open-linear": Function((*_PERIOD, BYTES, BYTES), Result(_OPENED, _REFUSAL)),
        "open-amounts": Function((*_PERIOD, BYTES, BYTES), Result(_OPENED_AMOUNTS, _REFUSAL)),
    },
    "aggregation": {
        "tell-keys": Function((BYTES,), Result(BYTES, _REFUSAL)),
        "contribute": Function((BYTES, BYTES), Result(BYTES, _REFUSAL)),
        "agree": Function((BYTES,), Result(BYTES, _REFUSAL)),
        "open-sum": Function((BYTES, BYTES), Result(BYTES, _REFUSAL)),
        "show-points": Function((BYTES,), Result(BYTES, _REFUSAL)),
        "show-key": Function((BYTES, BYTES), Result(BYTES, _REFUSAL)),
    },
    "calendar": {
        "grid": Function((), _GRID),
        "slots": Function(_PERIOD, Result(_SLOTS, _REFUSAL)),
    },
    "store": {
        "get": Function((BYTES,), Option(BYTES)),
        "put": Function((BYTES, BYTES), Result(None, _REFUSAL)),
        "delete": Function((BYTES,)),
        "keys": Function((), ListOf(BYTES)),
    },
    "transactions": {
        "begin": Function((), Result(None, _REFUSAL)),
        "commit": Function((), Result(None, _REFUSAL)),
        "abort": Function((), Result(None, _REFUSAL)),
    },
    "peers": {"call": Function((BYTES, U32, BYTES), Result(BYTES, _REFUSAL))},
    "clock": {"now": Function((), S64)},
    "signatures": {"verify-ed25519": Function((BYTES, BYTES, BYTES), BOOL)},
    "log": {"write": Function((STRING,))},
    "readings": {"read": Function(_PERIOD, Result(_USE, _REFUSAL))},
    "outputs": {"set": Function((STRING, BYTES), Result(None, _REFUSAL))},
}
_APPLET: Final[Mapping[str, Function]] = {
    "install": Function((BYTES,), Result(BYTES, STRING)),
    "select": Function((), Result(BYTES, STRING)),
    "process": Function((BYTES,), Result(BYTES, STRING)),
    "deselect": Function((), Result(None, STRING)),
    "update": Function((), Result(None, STRING)),
    "uninstall": Function((), Result(BYTES, STRING)),
}
_SHARING: Final[Mapping[str, Function]] = {
    "grants": Function((BYTES, U32), Result(BOOL, STRING)),
    "serve": Function((BYTES, U32, BYTES), Result(BYTES, STRING)),
}
_PYTHON: Final[Mapping[str, Function]] = {
    "compile": Function((BYTES,), Result(STRING, STRING)),
    "load": Function((STRING, STRING), Result(STRING, STRING)),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """What a component may import and must export: interface, function, types."""

    package: str
    imports: Mapping[str, Mapping[str, Function]]
    exports: Mapping[str, Mapping[str, Function]]
    optional: Mapping[str, Mapping[str, Function]] = field(default_factory=dict)
    """What it may leave out."""

    def interface_of(self, function: str) -> tuple[str, Function]:
        """Return the exported interface that has a function of this name, and its types."""
        for interface, functions in (*self.exports.items(), *self.optional.items()):
            if function in functions:
                return interface, functions[function]
        raise KeyError(function)


def _qualified(
    package: str, interfaces: Mapping[str, Mapping[str, Function]]
) -> dict[str, Mapping[str, Function]]:
    return {f"{package}/{name}{VERSION}": table for name, table in interfaces.items()}


def _as_text(table: Mapping[str, Function]) -> dict[str, Function]:
    return {name: function.as_text() for name, function in table.items()}


PLATFORM: Final = Contract(
    PUBLIC,
    _qualified(PUBLIC, _IMPORTS),
    _qualified(PUBLIC, {"applet": _APPLET}),
    _qualified(PUBLIC, {"sharing": _SHARING}),
)
"""For components of any language."""
PYTHON: Final = Contract(
    PRIVATE,
    _qualified(PRIVATE, {name: _as_text(table) for name, table in _IMPORTS.items()}),
    _qualified(
        PRIVATE,
        {
            "applet": _as_text(_APPLET),
            "sharing": _as_text(_SHARING),
            "python": _as_text(_PYTHON),
        },
    ),
)
"""For the Python runtime."""


def python_wit(platform_wit: str) -> str:
    """Return the Python runtime's WIT: the platform's, with text for bytes."""
    return platform_wit.replace(PUBLIC, PRIVATE).replace("list<u8>", "string")


def require(engine: Engine, compiled: component.Component, contract: Contract = PLATFORM) -> None:
    """Return if the component fits the contract; raise `ContractBroken` and name what does not."""
    for name, item in _items(compiled.type.imports(engine)).items():
        if name == f"{contract.package}/types{VERSION}":
            continue
        if name not in contract.imports:
            raise ContractBroken(f"the component imports {name}, which the platform has not")
        _require_functions(
            engine, f"import {name}", item, contract.imports[name], all_of_them=False
        )
    exports = _items(compiled.type.exports(engine))
    for name, functions in contract.exports.items():
        if name not in exports:
            raise ContractBroken(f"the component does not export {name}")
        _require_functions(engine, f"export {name}", exports[name], functions, all_of_them=True)
    for name, functions in contract.optional.items():
        if name in exports:
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
