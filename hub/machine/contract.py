# SPDX-License-Identifier: Apache-2.0
"""The contract of `wit/platform.wit`, in the machine's own types.

A component may import any of `PLATFORM.imports`, must export all of the functions of `exports` and
may export an interface of `optional`, then as a whole. `require` refuses any other when it is
loaded, down to the types: at run time nothing is guessed. Types and WIT file are both made of the
rows of `protocols.platform`.

The Python runtime has the same contract under another name, `PYTHON`, in which bytes cross as text
(`_abi.TEXT_BYTES` says why); its WIT is made from the public one by `python_wit`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wasmtime import Engine, component

from hub.machine._abi import (
    BOOL,
    BYTES,
    S64,
    STRING,
    TEXT_BYTES,
    U32,
    Enumeration,
    Function,
    ListOf,
    Option,
    Record,
    Result,
    WitType,
)
from hub.machine.errors import ContractBroken
from protocols.platform.errors import Refusal
from protocols.platform.table import (
    EXPORTS,
    IMPORTS,
    Leaf,
    PlatformCall,
    PlatformInterface,
    RecordType,
    kebab,
)  # fmt: skip

PUBLIC: Final = "meterlet:platform"
PRIVATE: Final = "meterlet:python"
VERSION: Final = "@0.1.0"

_ERRORS: Final = {
    "refusal": Enumeration(tuple(refusal.value for refusal in Refusal)),
    "string": STRING,
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


def _tables(
    package: str, interfaces: Iterable[PlatformInterface]
) -> dict[str, Mapping[str, Function]]:
    raw = BYTES if package == PUBLIC else TEXT_BYTES
    types: dict[Leaf, WitType] = {
        Leaf.STRING: STRING, Leaf.S64: S64, Leaf.U32: U32, Leaf.BOOL: BOOL, Leaf.BYTES: raw,
        Leaf.PACKED: raw, Leaf.OPTION: Option(raw), Leaf.LIST: ListOf(raw), Leaf.TUPLE: ListOf(raw),
    }  # fmt: skip

    def function(call: PlatformCall) -> Function:
        result: WitType | None = None
        if isinstance(call.result, RecordType):
            parts = call.result.fields
            result = Record(tuple((kebab(name), types[leaf]) for name, leaf in parts))
        elif call.result is not None:
            result = types[call.result]
        if call.error is not None:
            result = Result(result, _ERRORS[call.error])
        return Function(tuple(types[leaf] for leaf in call.parameters.values()), result)

    return {
        f"{package}/{one.name}{VERSION}": {name: function(call) for name, call in one.calls.items()}
        for one in interfaces
    }


PLATFORM: Final = Contract(
    PUBLIC, _tables(PUBLIC, IMPORTS), _tables(PUBLIC, EXPORTS[:1]), _tables(PUBLIC, EXPORTS[1:2])
)
"""For components of any language: they export `applet`, and `sharing` if they like."""
PYTHON: Final = Contract(PRIVATE, _tables(PRIVATE, IMPORTS), _tables(PRIVATE, EXPORTS))
"""For the Python runtime."""


def python_wit(platform_wit: str) -> str:
    """Return the Python runtime's WIT: the platform's, with text for bytes."""
    return platform_wit.replace(PUBLIC, PRIVATE).replace("list<u8>", "string")


def require(
    engine: Engine,
    compiled: component.Component,
    contract: Contract = PLATFORM,
    *,
    others: Collection[str] = (),
) -> None:
    """Return if the component fits the contract; raise `ContractBroken` and name what does not.

    `others` are interfaces that it may import beside the contract's.
    """
    require_imports(engine, compiled, contract, others=others)
    exports = items_of(compiled.type.exports(engine))
    for name, functions in (*contract.exports.items(), *contract.optional.items()):
        if name in exports:
            _require_functions(engine, f"export {name}", exports[name], functions, all_of_them=True)
        elif name in contract.exports:
            raise ContractBroken(f"the component does not export {name}")


def require_imports(
    engine: Engine,
    compiled: component.Component,
    contract: Contract,
    *,
    others: Collection[str] = (),
) -> dict[str, object]:
    """Return what the component imports of `others`, if the contract has all the rest."""
    rest: dict[str, object] = {}
    for name, item in items_of(compiled.type.imports(engine)).items():
        if name == f"{contract.package}/types{VERSION}":
            continue
        if name in others:
            rest[name] = item
            continue
        if name not in contract.imports:
            raise ContractBroken(f"the component imports {name}, which the platform has not")
        _require_functions(
            engine, f"import {name}", item, contract.imports[name], all_of_them=False
        )
    return rest


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
    declared = items_of(item.exports(engine))
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


def items_of(externs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the types of imports or exports; raise `ContractBroken` for one there is none for."""
    try:
        return {name: extern.ty for name, extern in externs.items()}
    except TypeError as error:
        raise ContractBroken(
            f"the component uses a type that the platform has not: {error}"
        ) from None
