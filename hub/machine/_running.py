# SPDX-License-Identifier: Apache-2.0
"""A component at work: a store, an instance, and the host behind them.

Raw errors come out of here as wasmtime's; `AppletInstance` tells what they mean.
"""

import ctypes
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component

from hub.machine import host_calls as host
from hub.machine import limits
from hub.machine._abi import Function, Value
from hub.machine._clock import EngineClock
from hub.machine._composition import Part, linked
from hub.machine._engine import closed_at_exit
from hub.machine.contract import PLATFORM, Contract


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled component, and how to make it the applet's."""

    contract: Contract
    engine: wasmtime.Engine
    linker: component.Linker
    component: component.Component
    image: str | None = None
    """What the Python runtime is to load; None for a component of the vendor's own."""
    module: str = ""
    clock: EngineClock | None = None
    ticks: int = 0
    """How many ticks of the clock a call may take, if there is one."""
    libraries: tuple[Part, ...] = ()
    """Components that this one imports, and what they export."""


def _is_trap(text: str) -> bool:
    """Return whether the code itself failed; else wasmtime did not take what it handed over.

    How much had been copied by then is not told: it is paid for as the most that there may be. The
    cause stands last, behind names that the vendor has chosen.
    """
    return "wasm trap:" in text.rpartition("Caused by:")[2]


class Running:
    """An instance of a program."""

    def __init__(self, program: Program, behind: host.Host, memory_bytes: int, fuel: int) -> None:
        """Instantiate; raises `wasmtime.WasmtimeError` where memory or fuel does not suffice."""
        self.host = behind
        self._contract = program.contract
        self._clock, self._ticks = program.clock, program.ticks
        self._store = closed_at_exit(wasmtime.Store(program.engine))
        # The limit is each memory's: one a component, and together no larger than the applet's.
        parts = 1 + len(program.libraries)
        self._store.set_limits(
            memory_bytes // parts,
            table_elements=20_000,
            instances=40 * parts,
            tables=8 * parts,
            memories=parts,
        )
        self._context = self._store._context()
        self._attached = host.attach(self._context, behind)
        self._functions: dict[str, component.Func] = {}
        try:
            self.refuel(fuel)
            linker = program.linker
            if program.libraries:
                linker = linked(self._store, linker, program.libraries, behind)
            self._instance = linker.instantiate(self._store, program.component)
        except BaseException:
            behind.owed += self.fuel_used
            self.close()
            raise

    def refuel(self, fuel: int) -> None:
        """Fill the tank, and wind up the clock."""
        self._fuel = fuel
        self._store.set_fuel(fuel)
        if self._clock is not None:
            self._store.set_epoch_deadline(self._ticks)

    @property
    def fuel_left(self) -> int:
        """Of the last `refuel`."""
        return self._store.get_fuel()

    @property
    def fuel_used(self) -> int:
        """Since the last `refuel`."""
        return self._fuel - self.fuel_left

    def call(self, name: str, *arguments: Any) -> Any:
        """Call an export of the contract; raise `wasmtime.WasmtimeError` if it traps."""
        function, found = self._find(name)
        values = (Value * len(arguments))()
        result = Value(kind=ffi.WASMTIME_COMPONENT_BOOL.value)
        try:
            for kind, argument, value in zip(function.parameters, arguments, values, strict=True):
                kind.lower(argument, value)
            with nullcontext() if self._clock is None else self._clock.going():
                error = ffi.wasmtime_component_func_call(
                    ctypes.byref(found._func),
                    self._context,
                    values,
                    len(values),
                    ctypes.byref(result),
                    1,
                )
            if error:
                raised = wasmtime.WasmtimeError._from_ptr(error)
                if self.host.pending is None and not _is_trap(str(raised)):
                    self.host.owed += limits.CALL_FUEL_BYTE * limits.MAX_COPIED
                raise raised
            assert function.result is not None
            answer = function.result.lift(result)
            if self._contract is PLATFORM:  # bytes of others than Python cross one by one
                self.host.owed += limits.CALL_FUEL_BYTE * host.size_of(answer.value)
            return answer
        finally:
            for value in (*values, result):
                ffi.wasmtime_component_val_delete(ctypes.byref(value))

    def has(self, name: str) -> bool:
        """Return whether the component exports a function that it may leave out."""
        interface, _ = self._contract.interface_of(name)
        return self._instance.get_export_index(self._store, interface) is not None

    def _find(self, name: str) -> tuple[Function, component.Func]:
        interface, function = self._contract.interface_of(name)
        if name not in self._functions:
            outer = self._instance.get_export_index(self._store, interface)
            inner = self._instance.get_export_index(self._store, name, outer)
            assert inner is not None, "exports were checked when the component was loaded"
            found = self._instance.get_func(self._store, inner)
            assert found is not None
            self._functions[name] = found
        return function, self._functions[name]

    def close(self) -> None:
        """Give back the memory."""
        host.detach(self._attached)
        self._store.close()
