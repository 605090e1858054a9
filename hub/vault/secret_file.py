# SPDX-License-Identifier: Apache-2.0
"""Secrets in files of their own: mode 0600, apart from the database, written once."""

import os
import stat
from pathlib import Path

from hub.durable import synchronise
from hub.errors import HubError

LARGEST_SECRET = 1 << 20


class SecretFileError(HubError):
    """A secret's file is missing, readable by others, or not what it should be."""

    status_word = 0x6581  # memory failure


def write_secret(path: Path, secret: bytes) -> None:
    """Write `secret` to a new file at `path` with mode 0600, on the disk when this returns.

    An existing file is never overwritten: a key that is gone cannot be brought back.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SecretFileError(f"{path}: exists already and is not overwritten") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # cut off, too: half a key is none
        path.unlink()
        raise
    synchronise(path.parent)


def read_secret(path: Path, *, size: int | None = None) -> bytes:
    """Return what `path` holds; refuse a file that others may read or of another size."""
    try:
        # A pipe in its place must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SecretFileError(f"{path}: {error.strerror}") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise SecretFileError(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if facts.st_mode & 0o077:
            mode = stat.S_IMODE(facts.st_mode)
            raise SecretFileError(f"{path}: mode {mode:04o} lets others in; it must be 0600")
        secret = file.read(LARGEST_SECRET + 1)
    if len(secret) > LARGEST_SECRET or (size is not None and len(secret) != size):
        raise SecretFileError(f"{path}: {len(secret)} bytes, not {size}: not this kind of key")
    return secret
