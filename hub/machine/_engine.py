# SPDX-License-Identifier: Apache-2.0
"""The engines that run applets, and what they may do.

Fuel alone bounds the Python runtime: the instructions are ours, and so is their price. A vendor's
own component may pick the slowest instructions there are, so those run with a clock as well
(which costs everybody's code a tenth, hence two engines).
"""

import atexit
import weakref
from typing import Final, Protocol, TypeVar

import wasmtime

from hub.machine.limits import MAX_STACK


class _Managed(Protocol):
    def close(self) -> None: ...


ManagedT = TypeVar("ManagedT", bound=_Managed)

CONFIGURATION: Final = {
    "consume_fuel": True,
    "max_wasm_stack": MAX_STACK,
    "wasm_threads": False,
    "wasm_memory64": False,
    "wasm_relaxed_simd": False,
    "cranelift_nan_canonicalization": True,
}
"""Everything that native code depends on; nothing in it may differ from one hub to another."""


def new_engine(*, interruptible: bool) -> wasmtime.Engine:
    """Return an engine; an interruptible one heeds `increment_epoch`."""
    config = wasmtime.Config()
    for name, value in CONFIGURATION.items():
        setattr(config, name, value)
    config.epoch_interruption = interruptible
    return closed_at_exit(wasmtime.Engine(config))


_open: Final["weakref.WeakSet[_Managed]"] = weakref.WeakSet()


def closed_at_exit(managed: ManagedT) -> ManagedT:
    """Return what wasmtime made; while modules are being torn down it could not free it."""
    _open.add(managed)
    return managed


@atexit.register
def _close() -> None:
    for managed in list(_open):
        managed.close()
