# SPDX-License-Identifier: Apache-2.0
"""The Python runtime: made once by componentize-py, compiled once by wasmtime, then mapped.

    sources -> [componentize-py: runs the guest's imports, takes a snapshot]
            -> [wasmtime: WebAssembly to native code]     runtime-KEY-VERSION.cwasm

KEY covers everything that either depends on, but for componentize-py's VERSION: a hub that has
been given its runtime does without the builder. Native code runs with all our rights: `_cache`
sees to it that it is what was written.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from wasmtime import Engine, WasmtimeError, component

from hub.machine import _cache
from hub.machine._engine import CONFIGURATION, closed_at_exit
from hub.machine.contract import python_wit
from hub.machine.errors import CacheRefused, RuntimeNotBuilt

_MACHINE: Final = Path(__file__).resolve().parent
_ROOT: Final = _MACHINE.parent.parent
WIT: Final = _MACHINE / "wit" / "platform.wit"
WORLD: Final = "python-runtime"
PROGRAM: Final = "applets.sdk.guest.runtime_guest"
BUILDER: Final = "componentize-py"
BUILDER_MODULE: Final = "componentize_py"
PACKAGES: Final = ("applets/sdk", "protocols/iso7816", "protocols/platform", "sml_codec")
"""What the snapshot holds beside the standard library."""
NATIVE_ONLY: Final = frozenset({"asking.py", "testing.py", "wit.py"})
STEPS: Final = ("snapshot Python", "compile to native code", "write the cache")
TICK: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the build is."""

    step: str
    index: int
    steps: int
    seconds: float
    """Since this step began."""
    done: bool = False


ValueT = TypeVar("ValueT")
Report = Callable[[Progress], None]


def load_runtime(
    engine: Engine, directory: Path, report: Report | None = None
) -> tuple[component.Component, str]:
    """Return the compiled runtime and its name, building it if the cache has none.

    Another process that builds the same is waited for. Raises `RuntimeNotBuilt`, `CacheRefused`.
    """
    _cache.prepare(directory)
    native = _find(directory)
    if native is None:
        with _cache.locked(directory):
            native = _find(directory) or _build(engine, directory, report or (lambda _: None))
            _cache.forget_unused(directory)
    return load_native(engine, native), native.stem


def _find(directory: Path) -> Path | None:
    version = _version(BUILDER) or "*"
    return next(iter(sorted(directory.glob(f"runtime-{_key()}-{version}.cwasm"))), None)


def load_native(engine: Engine, path: Path) -> component.Component:
    """Return the component whose native code `write_native` wrote; raise `CacheRefused`."""
    _cache.check(path)
    try:
        return closed_at_exit(component.Component.deserialize_file(engine, str(path)))
    except WasmtimeError as error:
        raise CacheRefused(f"{path}: {error}; delete it to build it again") from error


def write_native(compiled: component.Component, path: Path) -> None:
    """Note the component's native code in the cache."""
    _cache.write(path, compiled.serialize())


def _sources() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            if path.name not in NATIVE_ONLY:
                yield path.relative_to(_ROOT).as_posix(), path


def _key() -> str:
    digest = hashlib.sha256()
    versions = [f"{name} {_version(name)}" for name in ("wasmtime", "tzdata")]
    for part in (*versions, *_cpu(), repr(CONFIGURATION), WORLD, PROGRAM):
        digest.update(f"{part}\0".encode())
    for name, path in (*_sources(), (WIT.name, WIT)):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> Iterator[str]:
    """Yield what native code depends on: wasmtime uses what this very processor can do."""
    yield from (sys.platform, platform.machine())
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        yield next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _build(engine: Engine, directory: Path, report: Report) -> Path:
    version = _version(BUILDER)
    if version is None:
        raise RuntimeNotBuilt(
            "the applet machine has not been built on this computer, and componentize-py, which"
            " builds it, is not installed"
        ) from ModuleNotFoundError(BUILDER, name=BUILDER_MODULE)
    native = directory / f"runtime-{_key()}-{version}.cwasm"
    with tempfile.TemporaryDirectory(dir=directory, prefix=".build-") as scratch:
        stage, wasm = Path(scratch, "stage"), Path(scratch, "runtime.wasm")
        _stage(stage)
        wit = Path(scratch, "python.wit")
        wit.write_text(python_wit(WIT.read_text(encoding="utf-8")), encoding="utf-8")
        _timed(0, report, lambda: _componentize(stage, wit, wasm))
        compiled = _timed(
            1, report, lambda: closed_at_exit(component.Component(engine, wasm.read_bytes()))
        )
        _timed(2, report, lambda: write_native(compiled, native))
    return native


def _stage(stage: Path) -> None:
    """Lay out what the snapshot is taken of, and nothing else, for componentize-py to see."""
    for name, path in _sources():
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for parent in ("applets", "protocols"):
        (stage / parent / "__init__.py").touch()
    zones = importlib.util.find_spec("tzdata")
    if zones is None or zones.origin is None:
        raise RuntimeNotBuilt("tzdata, which the applet machine embeds, is not installed")
    shutil.copytree(
        Path(zones.origin).parent, stage / "tzdata", ignore=shutil.ignore_patterns("__pycache__")
    )


def _componentize(stage: Path, wit: Path, wasm: Path) -> None:
    program = "import sys; from componentize_py import script; sys.exit(script())"
    command = [sys.executable, "-c", program, "--quiet", "--wit-path", str(wit), "--world", WORLD]
    command += ["componentize", "--stub-wasi", "--python-path", str(stage)]
    command += [PROGRAM, "--output", str(wasm)]
    # A virtual environment's packages would be offered to the snapshot.
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(  # noqa: S603  (our own interpreter, our own arguments)
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not wasm.exists():
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise RuntimeNotBuilt("componentize-py failed: " + "\n".join(lines[:40]))


def _timed(index: int, report: Report, work: Callable[[], ValueT]) -> ValueT:
    """Run `work` in a thread, and tell from this one how long it has been going on."""
    started = time.monotonic()

    def progress(*, done: bool = False) -> Progress:
        return Progress(STEPS[index], index, len(STEPS), time.monotonic() - started, done)

    with ThreadPoolExecutor(max_workers=1) as executor:
        running = executor.submit(work)
        while not running.done():
            report(progress())
            wait([running], timeout=TICK)
    report(progress(done=True))
    return running.result()
