# SPDX-License-Identifier: Apache-2.0
"""A folder of files that are run as code: written whole, and checked before they are used.

A file is only taken if it and its folder belong to this user, nobody else may write to them, and
its SHA-256 is what was noted when it was written. (Who can write as this user can do worse.)
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hub.machine.errors import CacheRefused

UNUSED_DAYS: Final = 30
KEPT_RUNTIMES: Final = 4
"""Of other releases, or in other environments; some 40 MB each."""
KEPT: Final = (".cwasm", ".image")
NOTE: Final = ".sha256"


def default_directory() -> Path:
    """Return `$XDG_CACHE_HOME/meterlet`, by default `~/.cache/meterlet`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "meterlet"


def prepare(directory: Path) -> None:
    """Make the folder if it is not there; raise `CacheRefused` if it is not ours alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacheRefused(f"{directory}: {error.strerror}") from error
    _require_private(directory)


def write(path: Path, content: bytes | bytearray) -> None:
    """Write a file and its note, each with mode 0600 and so that nobody ever sees half of it."""
    _write_whole(path.with_suffix(NOTE), hashlib.sha256(content).hexdigest().encode())
    _write_whole(path, content)


def check(path: Path) -> None:
    """Return if the file is what `write` wrote; raise `CacheRefused` otherwise."""
    note = path.with_suffix(NOTE)
    for file in (path, note):
        _require_private(file)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest.encode() != note.read_bytes():
        raise CacheRefused(f"{path}: changed since it was written; delete it to build it again")
    os.utime(path)


def forget_unused(directory: Path) -> None:
    """Delete what has not been used for a month, and all runtimes but those used last."""

    def last_use(path: Path) -> float:
        return path.stat().st_mtime

    oldest = time.time() - UNUSED_DAYS * 86_400
    files = [path for path in directory.iterdir() if path.suffix in KEPT]
    files.sort(key=last_use)
    runtimes = [path for path in files if path.name.startswith("runtime-")]
    for path in files:
        if last_use(path) < oldest or path in runtimes[:-KEPT_RUNTIMES]:
            path.unlink(missing_ok=True)
            path.with_suffix(NOTE).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes from building the same at the same time."""
    with (directory / "build.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_whole(path: Path, content: bytes | bytearray) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _require_private(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError as error:
        raise CacheRefused(f"{path}: {error.strerror}") from error
    if stat.S_ISLNK(status.st_mode):
        raise CacheRefused(f"{path}: is a symbolic link")
    if status.st_uid != os.geteuid():
        raise CacheRefused(f"{path}: belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheRefused(f"{path}: others may write to it (mode {status.st_mode & 0o777:03o})")
