# SPDX-License-Identifier: Apache-2.0
"""Files that are on the disk when a call returns, and are replaced as a whole."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int | None = None) -> None:
    """Put a file in the place of one that may be there; raise `OSError` where that fails.

    The old one stays whole until the new one is on the disk, whatever happens in between. `mode`
    is the new one's; without, it is as new files are made.
    """
    partial = path.with_name(f".{path.name}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(partial, flags, 0o666 if mode is None else mode), "wb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # before its name: else a power cut leaves an empty file
    partial.replace(path)
    synchronise(path.parent)


def synchronise(path: Path) -> None:
    """Have a file's bytes, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
