# SPDX-License-Identifier: Apache-2.0
"""A serial line that is heard: its meters speak by themselves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from hub.meters.sources.lines import LineSettings
from hub.meters.sources.ports import SerialPort, open_serial

PATIENCE: Final = 0.2
"""How long a read waits for the first byte, in seconds; also how fast the source can be closed."""


async def read_line(line: LineSettings) -> AsyncIterator[bytes]:
    """Yield what comes over a serial line until it breaks; raise OSError then."""
    port = SerialPort(await asyncio.to_thread(open_serial, line))
    try:
        while True:
            if piece := await port.receive(PATIENCE):
                yield piece
    finally:
        await port.close()
