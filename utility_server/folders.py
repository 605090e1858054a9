# SPDX-License-Identifier: Apache-2.0
"""Folders that are made whole or not at all, and files in them that processes change in turn."""

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
