# SPDX-License-Identifier: Apache-2.0
"""A serial line with an optical head (IEC 62056-21 optics; SML meters send 9600 8N1 unasked).

Needs the optional dependency `pyserial`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from serial import Serial

PATIENCE: Final = 0.2
"""How long a read waits for the first byte, in seconds; also how fast the source can be closed."""


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A device and its speed; always 8 data bits, no parity, one stop bit."""

    device: str
    baud: int = 9600

    @classmethod
    def parse(cls, address: str) -> Self:
        """Return the line at `serial:///dev/ttyUSB0?baud=9600`; raise ValueError for another."""
        parts = urlsplit(address)
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        if parts.scheme != "serial" or not parts.path or set(options) - {"baud"}:
            raise ValueError(f"{address}: not serial:///device?baud=number")
        return cls(parts.path, int(options.get("baud", ["9600"])[0]))


async def read_serial(line: SerialLine) -> AsyncIterator[bytes]:
    """Yield what comes over a serial line until it breaks.

    Raises OSError (pyserial's SerialException is one) where it cannot be opened or breaks,
    ImportError without pyserial.
    """
    from serial import Serial  # optional, and slow to import

    with await asyncio.to_thread(Serial, line.device, line.baud, timeout=PATIENCE) as port:
        while True:
            if piece := await asyncio.to_thread(_read, port):
                yield piece


def _read(port: Serial) -> bytes:
    """Wait for a byte, then take what came with it."""
    first: bytes = port.read(1)
    waiting: int = port.in_waiting if first else 0
    rest: bytes = port.read(waiting) if waiting else b""
    return first + rest
