# SPDX-License-Identifier: Apache-2.0
"""A serial line to a meter, for `DlmsClient`: an optical head, or RS-485.

line = await open_serial("/dev/ttyUSB0", 9600)
meter = DlmsClient(line, HdlcLink(16), ClientSettings())

Needs the optional dependency `pyserial`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from dlms_codec.errors import ConnectionLost

if TYPE_CHECKING:
    from serial import Serial

PATIENCE: Final = 0.2
"""How long a thread waits for the first byte, in seconds; so a line closes as fast."""


class SerialLine:
    """An open serial line."""

    def __init__(self, port: Serial) -> None:
        self._port = port
        self._reading: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Return the next bytes."""
        # A reading that was given up goes on in its thread: its bytes are for the next one.
        if self._reading is None:
            self._reading = asyncio.create_task(self._next())
        piece = await asyncio.shield(self._reading)
        self._reading = None
        return piece

    async def _next(self) -> bytes:
        while not (piece := await asyncio.to_thread(self._some)):
            pass
        return piece

    def _some(self) -> bytes:
        first: bytes = self._port.read(1)
        waiting: int = self._port.in_waiting if first else 0
        rest: bytes = self._port.read(waiting) if waiting else b""
        return first + rest

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        await asyncio.to_thread(self._port.write, data)

    async def close(self) -> None:
        """Close the line."""
        if self._reading is not None:
            self._reading.cancel()
        await asyncio.sleep(PATIENCE)  # the thread that reads sees it
        await asyncio.to_thread(self._port.close)


async def open_serial(
    device: str, baud: int = 9600, *, parity: str = "N", data_bits: int = 8
) -> SerialLine:
    """Return an open serial line; raise `ConnectionLost` where there is none.

    `parity` is N, E or O.
    """
    from serial import Serial  # optional, and slow to import

    try:
        port = await asyncio.to_thread(
            Serial, device, baud, data_bits, parity, timeout=PATIENCE, write_timeout=10
        )
    except (OSError, ValueError) as error:
        raise ConnectionLost(f"{device}: {error}") from None
    return SerialLine(port)
