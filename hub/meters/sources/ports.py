# SPDX-License-Identifier: Apache-2.0
"""A line on which something can be asked: a serial port, or a bridge to one over TCP.

Every wait has a limit. What comes when nobody has asked is thrown away before the next question.
"""

import asyncio
import os
import termios
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from errno import EINVAL
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from hub.meters.sources.lines import FrameBits, LineSettings

if TYPE_CHECKING:
    from serial import Serial

PIECE: Final = 4096
CONNECT_SECONDS: Final = 10.0
SEND_SECONDS: Final = 10.0
PSEUDO: Final = "/dev/pts/"
"""Pseudo-terminals, as `socat` makes them for a line that is elsewhere: they have no parity."""
BITS_OF_A_BYTE: Final = 11
"""On the line, with its start bit, parity and stop bit."""


class Port(Protocol):
    """One end of a line that is open."""

    async def send(self, data: bytes) -> None:
        """Send bytes; raise OSError where the line is broken."""
        ...

    async def receive(self, seconds: float) -> bytes:
        """Return what comes first; nothing where so long nothing comes."""
        ...

    async def set_baud(self, baud: int) -> None:
        """Change the speed, once all that was sent has left."""
        ...

    async def close(self) -> None:
        """Give the line back."""
        ...


PortOpener = Callable[[], Awaitable[Port]]


async def settle(port: Port, most: int = PIECE) -> None:
    """Throw away what came unasked; a line that never stops is left as it is."""
    thrown = 0
    while thrown < most and (piece := await port.receive(0)):
        thrown += len(piece)


@dataclass(slots=True)
class SerialPort:
    """A serial line, with its speed."""

    port: "Serial"
    _left_at: float = 0.0
    """When the last byte that was sent will have left."""

    async def send(self, data: bytes) -> None:
        """Send bytes; raise OSError where the line is broken."""
        await asyncio.to_thread(self.port.write, data)
        needed = len(data) * BITS_OF_A_BYTE / self.port.baudrate
        self._left_at = max(self._left_at, monotonic()) + needed

    async def receive(self, seconds: float) -> bytes:
        """Return what comes first; nothing where so long nothing comes."""
        return await asyncio.to_thread(self._read, seconds)

    def _read(self, seconds: float) -> bytes:
        self.port.timeout = seconds
        first: bytes = self.port.read(1)
        waiting: int = min(self.port.in_waiting, PIECE) if first else 0
        rest: bytes = self.port.read(waiting) if waiting else b""
        return first + rest

    async def set_baud(self, baud: int) -> None:
        """Change the speed, once all that was sent has left."""
        if baud != self.port.baudrate:
            await asyncio.sleep(max(0.0, self._left_at - monotonic()))
            await asyncio.to_thread(self._change, baud)

    def _change(self, baud: int) -> None:
        try:
            self.port.baudrate = baud
        except (ValueError, termios.error) as error:
            raise OSError(EINVAL, f"the device has no {baud} baud") from error

    async def close(self) -> None:
        """Give the line back."""
        await asyncio.to_thread(self.port.close)


@dataclass(slots=True)
class TcpPort:
    """A bridge to a line; its speed is set at the bridge."""

    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def send(self, data: bytes) -> None:
        """Send bytes; raise OSError where the line is broken."""
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), SEND_SECONDS)

    async def receive(self, seconds: float) -> bytes:
        """Return what comes first; nothing where so long nothing comes."""
        try:
            piece = await asyncio.wait_for(self.reader.read(PIECE), max(seconds, 0.001))
        except TimeoutError:
            return b""
        if not piece:
            raise ConnectionResetError("the bridge has closed the connection")
        return piece

    async def set_baud(self, baud: int) -> None:
        """Do nothing: the bridge knows its speed."""

    async def close(self) -> None:
        """Give the line back."""
        self.writer.close()


def serial_opener(line: LineSettings) -> PortOpener:
    """Return what opens a serial line for asking."""

    async def opened() -> Port:
        return SerialPort(await asyncio.to_thread(open_serial, line, SEND_SECONDS))

    return opened


def tcp_opener(host: str, port: int) -> PortOpener:
    """Return what connects to a bridge."""

    async def opened() -> Port:
        connecting = asyncio.open_connection(host, port)
        return TcpPort(*await asyncio.wait_for(connecting, CONNECT_SECONDS))

    return opened


def open_serial(line: LineSettings, write_seconds: float | None = None) -> "Serial":
    """Open a serial line; raise OSError where it is not there or lacks the speed or frame."""
    from serial import Serial  # optional, and slow to import

    is_pseudo = os.path.realpath(line.device).startswith(PSEUDO)
    bits = FrameBits() if is_pseudo else line.frame  # the bridge behind it sets them
    settings: dict[str, Any] = {
        "bytesize": bits.data,
        "parity": bits.parity,
        "stopbits": bits.stop,
        "write_timeout": write_seconds,
    }
    try:
        return Serial(line.device, line.baud, **settings)
    except (ValueError, termios.error) as error:
        said = f"{line.baud} baud, {bits}: the device has no such setting"
        raise OSError(EINVAL, said, line.device) from error
