# SPDX-License-Identifier: Apache-2.0
"""The cache holds native code: what is not exactly what was written there is not run."""

import os
import threading
import time
from pathlib import Path

import pytest
from wasmtime import component

from hub.machine import _cache
from hub.machine import (
    python_runtime as runtime,
)
from hub.machine._engine import new_engine
from hub.machine.errors import CacheRefused, RuntimeNotBuilt
from hub.machine.machine import AppletMachine
from hub.machine.python_runtime import Progress
from meterlet.extras import missing_extra
from tests.support.waiting import wait_until

SMALL = "(component)"


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A cache with a small component's native code in it."""
    directory = tmp_path / "cache"
    _cache.prepare(directory)
    engine = new_engine(interruptible=False)
    path = directory / "small.cwasm"
    runtime.write_native(component.Component(engine, SMALL), path)
    return path


def load(path: Path) -> None:
    runtime.load_native(new_engine(interruptible=False), path)


def test_what_was_written_is_loaded(cached: Path) -> None:
    load(cached)
    assert cached.stat().st_mode & 0o777 == 0o600
    assert cached.parent.stat().st_mode & 0o777 == 0o700


def test_a_flipped_bit_is_refused(cached: Path) -> None:
    code = bytearray(cached.read_bytes())
    code[len(code) // 2] ^= 1
    cached.write_bytes(code)
    with pytest.raises(CacheRefused, match="changed since it was written"):
        load(cached)


def test_a_file_without_its_note_is_refused(cached: Path) -> None:
    cached.with_suffix(".sha256").unlink()
    with pytest.raises(CacheRefused):
        load(cached)


@pytest.mark.parametrize("suffix", [".cwasm", ".sha256"])
def test_a_file_that_others_may_write_to_is_refused(cached: Path, suffix: str) -> None:
    cached.with_suffix(suffix).chmod(0o620)
    with pytest.raises(CacheRefused, match="others may write"):
        load(cached)


def test_a_folder_that_others_may_write_to_is_refused(cached: Path) -> None:
    cached.parent.chmod(0o777)
    with pytest.raises(CacheRefused, match="others may write"):
        AppletMachine.open(cached.parent)


def test_a_symbolic_link_is_refused(cached: Path) -> None:
    cached.rename(cached.with_suffix(".elsewhere"))
    cached.symlink_to(cached.with_suffix(".elsewhere"))
    with pytest.raises(CacheRefused, match="symbolic link"):
        load(cached)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(cached: Path) -> None:
    os.chown(cached, 12345, -1)
    with pytest.raises(CacheRefused, match="another user"):
        load(cached)


def test_code_for_another_engine_is_refused(cached: Path) -> None:
    with pytest.raises(CacheRefused, match="delete it"):
        runtime.load_native(new_engine(interruptible=True), cached)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheRefused, match="file"):
        AppletMachine.open(tmp_path / "file" / "cache")


def test_without_the_builder_the_error_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runtime._version
    monkeypatch.setattr(
        runtime, "_version", lambda name: None if name == runtime.BUILDER else version(name)
    )
    with pytest.raises(RuntimeNotBuilt, match="componentize-py") as refused:
        AppletMachine.open(tmp_path / "cache")
    assert missing_extra(refused.value) == "hub"


def test_a_runtime_that_was_built_elsewhere_needs_no_builder(
    machine: AppletMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = machine._python_name.split("-")[1]
    monkeypatch.setattr(runtime, "_key", lambda: key)
    version = runtime._version
    monkeypatch.setattr(
        runtime, "_version", lambda name: None if name == runtime.BUILDER else version(name)
    )
    AppletMachine.open()


def test_two_builders_take_turns(tmp_path: Path) -> None:
    _cache.prepare(tmp_path / "cache")
    order: list[str] = []

    def build(name: str) -> None:
        with _cache.locked(tmp_path / "cache"):
            order.append(f"{name} begins")
            time.sleep(0.05)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=build, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order in (
        ["a begins", "a ends", "b begins", "b ends"],
        ["b begins", "b ends", "a begins", "a ends"],
    )


def test_a_write_that_fails_leaves_nothing(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(cached.parent.iterdir())
    content = cached.read_bytes()

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        _cache.write(cached, b"new")
    assert sorted(cached.parent.iterdir()) == before
    assert cached.read_bytes() == content


def test_what_nobody_has_used_for_a_month_goes(cached: Path) -> None:
    old = time.time() - 40 * 86_400
    fresh = cached.with_name("fresh.image")
    _cache.write(fresh, b"fresh")
    os.utime(cached, (old, old))
    _cache.forget_unused(cached.parent)
    assert sorted(path.name for path in cached.parent.iterdir()) == ["fresh.image", "fresh.sha256"]


def test_of_many_runtimes_the_last_used_stay(cached: Path) -> None:
    for age in range(9):
        path = cached.with_name(f"runtime-{age}-0.25.1.cwasm")
        _cache.write(path, b"code")
        os.utime(path, (time.time() - age * 60, time.time() - age * 60))
    _cache.forget_unused(cached.parent)
    left = sorted(path.name for path in cached.parent.glob("runtime-*"))
    assert left == sorted(
        f"runtime-{age}-0.25.1{suffix}" for age in range(4) for suffix in (".cwasm", ".sha256")
    )
    load(cached)


def test_using_a_file_keeps_it(cached: Path) -> None:
    old = time.time() - 40 * 86_400
    os.utime(cached, (old, old))
    load(cached)
    _cache.forget_unused(cached.parent)
    assert cached.exists()


def test_the_key_covers_every_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [name for name, _ in runtime._sources()]
    assert "applets/sdk/applet.py" in names
    assert "applets/sdk/guest/runtime_guest.py" in names
    assert any(name.startswith("sml_codec/") for name in names)
    assert "applets/sdk/testing.py" not in names
    before = runtime._key()
    changed = tmp_path / "changed.py"
    changed.write_text("changed")
    monkeypatch.setattr(runtime, "_sources", lambda: iter([(name, changed) for name in names]))
    assert runtime._key() != before


def test_progress_is_told_while_a_step_lasts() -> None:
    told: list[Progress] = []
    runtime._timed(1, told.append, lambda: wait_until(lambda: len(told) == 2))
    assert [progress.done for progress in told] == [False] * (len(told) - 1) + [True]
    assert len(told) >= 3
    assert 0 <= told[0].seconds < told[1].seconds <= told[-1].seconds
    assert told[-1].step == "compile to native code"
