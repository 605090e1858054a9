# SPDX-License-Identifier: Apache-2.0
"""Serial lines, with speed, data bits, parity and stop bits: what each kind of meter uses.

serial:///dev/ttyUSB0?baud=2400&frame=8E1       8 data bits, even parity, 1 stop bit
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from hub.meters.recognition import MeterKind

FASTEST: Final = 4_000_000
SLOWEST: Final = 50
_FRAME: Final = re.compile(r"([78])([NEO])([12])")


@dataclass(frozen=True, slots=True)
class FrameBits:
    """The bits around a byte, written as `8N1`, `8E1` or `7E1`."""

    data: int = 8
    parity: str = "N"
    stop: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return those that a text says; raise ValueError for another text."""
        match = _FRAME.fullmatch(text)
        if match is None:
            raise ValueError(f"frame={text}: write it as 8N1, 8E1 or 7E1")
        return cls(int(match[1]), match[2], int(match[3]))

    def __str__(self) -> str:
        return f"{self.data}{self.parity}{self.stop}"


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A serial device, its speed, and the bits around a byte."""

    device: str
    baud: int = 9600
    frame: FrameBits = FrameBits()


_BUS: Final = (2400, FrameBits(8, "E", 1))
USUAL: Final[Mapping[MeterKind | None, tuple[int, FrameBits]]] = {
    None: (9600, FrameBits()),
    MeterKind.SML: (9600, FrameBits()),
    MeterKind.P1: (115_200, FrameBits()),
    MeterKind.DLMS_HDLC: _BUS,
    MeterKind.DLMS_MBUS: _BUS,
    MeterKind.DLMS_WRAPPER: (9600, FrameBits()),
    MeterKind.MBUS: _BUS,
    MeterKind.WIRELESS: (38_400, FrameBits()),
    MeterKind.CURRENT_COST: (57_600, FrameBits()),
}
"""Speed and bits of each kind, where nobody says others. P1 before DSMR 4 is 9600 7E1."""


def line_of(
    device: str, options: Mapping[str, str], usual: tuple[int, FrameBits] = USUAL[None]
) -> LineSettings:
    """Return a line with the `baud` and `frame` of an address, or the usual ones."""
    baud, frame = usual
    if "baud" in options:
        baud = speed_of(options["baud"])
    if "frame" in options:
        frame = FrameBits.parse(options["frame"])
    if not device.startswith("/"):
        raise ValueError("a serial line is written with three slashes, as serial:///dev/ttyUSB0")
    return LineSettings(device, baud, frame)


def speed_of(text: str) -> int:
    """Return the speed that a text says; raise ValueError for none."""
    if not re.fullmatch(r"\d{2,7}", text, re.ASCII) or not SLOWEST <= int(text) <= FASTEST:
        raise ValueError(f"baud={text}: a speed is a number such as 9600")
    return int(text)
