# SPDX-License-Identifier: Apache-2.0
"""A TCP connection: serial servers, gateways and simulated meters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

PIECE: Final = 1 << 16


async def read_tcp(
    host: str, port: int, *, retry_seconds: float | None = None
) -> AsyncIterator[bytes]:
    """Yield what comes over a connection until the other end closes it.

    With `retry_seconds` the source never ends: it connects again after so long, whatever happened.
    Without, it raises OSError where the connection fails.
    """
    while True:
        try:
            async for piece in _connection(host, port):
                yield piece
        except OSError:
            if retry_seconds is None:
                raise
        if retry_seconds is None:
            return
        await asyncio.sleep(retry_seconds)


async def _connection(host: str, port: int) -> AsyncIterator[bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while piece := await reader.read(PIECE):
            yield piece
    finally:
        writer.close()
