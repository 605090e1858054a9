# SPDX-License-Identifier: Apache-2.0
"""Folders and files that are there whole or not at all, and that processes change in turn."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utility_server.errors import StoreError


@contextmanager
def new_folder(folder: Path, what: str) -> Iterator[None]:
    """Fill an empty or new folder; where that fails, nothing of it stays.

    `what` says for the message what is made in it. Raises `StoreError` for any other folder, and
    in the place of what the file system refuses.
    """
    existed = folder.exists()
    if existed and any(folder.iterdir()):
        raise StoreError(f"{folder}: not empty; {what} is made in a folder of its own")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if existed:
            folder.mkdir(mode=0o700, exist_ok=True)
        if isinstance(error, OSError):
            raise StoreError(f"{error.filename or folder}: {error.strerror}") from error
        raise


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Run the block while no other process is in such a block on this folder.

    For files that are read, changed and put back. The lock ends with the process at the latest.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of one that may be there; raise `StoreError` where that fails.

    The old one stays whole until the new one is on the disk, whatever happens in between.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before its name: else a power cut leaves an empty file
        partial.replace(path)
        _synchronise(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None


def _synchronise(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
