# SPDX-License-Identifier: Apache-2.0
"""Files that are on the disk when a call returns, and are replaced as a whole."""

import os
from pathlib import Path

from utility_server.errors import StoreError


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
        synchronise(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None


def synchronise(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
