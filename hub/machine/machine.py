# SPDX-License-Identifier: Apache-2.0
"""The machine: engines, the compiled runtime, and what has been compiled for it.

One machine serves all applets of a process. What it holds is code; state belongs to instances.

    bundle of Python sources   -> compiled inside the runtime to an image, which each instance loads
    bundle of a component      -> checked against the contract, compiled by wasmtime
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import wasmtime
from wasmtime import component

from hub.machine import _cache, _composition, contract, limits
from hub.machine import python_runtime as runtime
from hub.machine._clock import TICK_SECONDS, EngineClock
from hub.machine._composition import Part
from hub.machine._engine import closed_at_exit, new_engine
from hub.machine._running import Program, Running
from hub.machine.bundle import COMPONENT_FILE, Bundle
from hub.machine.errors import AppletFault, ContractBroken, FaultKind
from hub.machine.host_calls import Host, define_imports
from hub.machine.instance import AppletInstance, run_guarded
from hub.machine.library import COMPONENT_FILE as LIBRARY_FILE
from hub.machine.library import Library
from hub.machine.manifest import Runtime
from hub.machine.meter import WorkMeter
from protocols.platform.services import Platform

COMPILE_MEMORY: Final = 256 << 20
_REBUILD: Final = (
    "the component was built for version 0.1 of the platform, where `open-linear` opened a sum:"
    " build it again, with `open-amounts`"
)


class AppletMachine:
    """Runs applets."""

    def __init__(
        self, engine: wasmtime.Engine, python: component.Component, name: str, cache: Path
    ) -> None:
        """Use `open`."""
        self._python = Program(contract.PYTHON, engine, _linker(engine, contract.PYTHON), python)
        self._python_name, self._cache = name, cache
        self._programs: dict[bytes, Program] = {}
        self._vendors: tuple[wasmtime.Engine, component.Linker, EngineClock] | None = None
        self._compiling = threading.Lock()

    @classmethod
    def open(
        cls,
        cache_directory: Path | None = None,
        progress: Callable[[runtime.Progress], None] | None = None,
    ) -> Self:
        """Return the machine, built first if the cache has none for this computer (some 15 s).

        `progress` is called some times a second while it is being built. Raises
        `RuntimeNotBuilt`, `CacheRefused`.
        """
        cache = cache_directory or _cache.default_directory()
        engine = new_engine(interruptible=False)
        compiled, name = runtime.load_runtime(engine, cache, progress)
        contract.require(engine, compiled, contract.PYTHON)
        return cls(engine, compiled, name, cache)

    def instance(
        self, bundle: Bundle, platform: Platform, meter: WorkMeter | None = None
    ) -> AppletInstance:
        """Return the applet of `bundle`, asleep, with `platform` behind it.

        `meter` is what the platform's services charge for their work.
        """
        return AppletInstance(bundle, lambda: self._program(bundle), platform, meter)

    def compile(self, bundle: Bundle) -> None:
        """Compile the bundle now, so that its first start is quick.

        Raises `AppletFault` BAD_CODE where it does not compile or breaks the contract.
        """
        self._program(bundle)

    def _program(self, bundle: Bundle) -> Program:
        with self._compiling:
            if bundle.digest not in self._programs:
                python = bundle.manifest.code.runtime is Runtime.PYTHON
                compiled = (
                    self._compile_python(bundle) if python else self._compile_component(bundle)
                )
                self._programs[bundle.digest] = compiled
            return self._programs[bundle.digest]

    def _compile_python(self, bundle: Bundle) -> Program:
        module = f"{bundle.manifest.code.package}.applet"
        path = self._cached(bundle.digest, "image")
        if path.exists():
            _cache.check(path)
            image = path.read_text()
        else:
            image = self._compile_sources(bundle, module)
            _cache.write(path, image.encode())
        return replace(self._python, image=image, module=module)

    def _compile_sources(self, bundle: Bundle, module: str) -> str:
        image = self._run(bundle, limits.COMPILE_FUEL, "compile", _sources(bundle))
        return self._run(bundle, limits.START_FUEL, "load", image, module)

    def _run(self, bundle: Bundle, fuel: int, name: str, *arguments: object) -> str:
        """Call into the runtime, in an instance of its own that has no platform."""
        behind = Host(bundle.manifest, None)
        behind.begin(answering=False)
        running = Running(self._python, behind, COMPILE_MEMORY, fuel)
        try:
            answer = run_guarded(running, FaultKind.BAD_CODE, name, *arguments)
        finally:
            running.close()
        assert isinstance(answer, str)
        return answer

    def _compile_component(self, bundle: Bundle) -> Program:
        if self._vendors is None:
            new = new_engine(interruptible=True)
            self._vendors = new, _linker(new, contract.PLATFORM), EngineClock(new)
        engine, linker, clock = self._vendors
        try:
            libraries = tuple(self._compile_library(engine, one) for one in bundle.libraries)
            known = [exports for _, exports in libraries]

            def require(compiled: component.Component) -> None:
                _composition.require_imports(engine, compiled, known)
                others = [name for exports in known for name in exports]
                contract.require(engine, compiled, others=others)

            path = self._cached(bundle.digest, "cwasm")
            compiled = _native(engine, path, bundle.files[COMPONENT_FILE], require)
        except (wasmtime.WasmtimeError, ContractBroken) as error:
            reason = _REBUILD if "open-linear" in str(error) else str(error)
            raise AppletFault(bundle.manifest.name, FaultKind.BAD_CODE, reason) from error
        ticks = round(limits.MAX_SECONDS / TICK_SECONDS)
        return Program(
            contract.PLATFORM,
            engine,
            linker,
            compiled,
            clock=clock,
            ticks=ticks,
            libraries=libraries,
        )

    def _compile_library(self, engine: wasmtime.Engine, library: Library) -> Part:
        def require(compiled: component.Component) -> None:
            _composition.exports_of(engine, compiled)

        path = self._cached(library.digest, "cwasm")
        compiled = _native(engine, path, library.files[LIBRARY_FILE], require)
        return compiled, _composition.exports_of(engine, compiled)

    def _cached(self, digest: bytes, suffix: str) -> Path:
        """Return where what is compiled for this very runtime is kept."""
        name = hashlib.sha256(self._python_name.encode() + b"\0" + digest).hexdigest()[:32]
        return self._cache / f"applet-{name}.{suffix}"


def _native(
    engine: wasmtime.Engine,
    path: Path,
    code: bytes,
    require: Callable[[component.Component], None],
) -> component.Component:
    """Return a component as native code, kept at `path`, if `require` does not raise."""
    if path.exists():
        compiled = runtime.load_native(engine, path)
        require(compiled)
    else:
        compiled = closed_at_exit(component.Component(engine, code))
        require(compiled)
        runtime.write_native(compiled, path)
    return compiled


def _linker(engine: wasmtime.Engine, known: contract.Contract) -> component.Linker:
    linker = closed_at_exit(component.Linker(engine))
    define_imports(linker, known)
    return linker


def _sources(bundle: Bundle) -> bytes:
    files = bundle.sources
    parts = [part for path in sorted(files) for part in (path.encode(), files[path])]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
