# SPDX-License-Identifier: Apache-2.0
"""A file, or whatever can be read like one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

PIECE: Final = 1 << 16


async def read_file(path: str | Path, *, piece: int = PIECE) -> AsyncIterator[bytes]:
    """Yield the bytes of a file; raises OSError where it cannot be read."""
    with Path(path).open("rb") as file:
        while data := await asyncio.to_thread(file.read, piece):
            yield data
