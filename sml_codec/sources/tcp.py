# SPDX-License-Identifier: Apache-2.0
"""A TCP connection: serial servers, gateways and simulated meters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from sml_codec.sources.retry import Retry, reconnecting

PIECE: Final = 1 << 16


async def read_tcp(
    host: str, port: int, *, retry_seconds: float | None = None
) -> AsyncIterator[bytes]:
    """Yield what comes over a connection until the other end closes it.

    With `retry_seconds` the source never ends: it connects again after so long, whatever happened.
    Without, it raises OSError where the connection fails.
    """
    if retry_seconds is None:
        source = _connection(host, port)
    else:
        retry = Retry(retry_seconds, retry_seconds, from_start=True)
        source = reconnecting(lambda: _connection(host, port), retry)
    async for piece in source:
        yield piece


async def _connection(host: str, port: int) -> AsyncIterator[bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while piece := await reader.read(PIECE):
            yield piece
    finally:
        writer.close()
