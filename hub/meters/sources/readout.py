# SPDX-License-Identifier: Apache-2.0
"""Sign-on at an optical port: the readout of IEC 62056-21, asked for every so often.

    d0:///dev/ttyUSB0?mode=C&every=15min        asks at 300 baud, reads at the speed that is agreed
    d0:///dev/ttyUSB0?mode=D                    listens at 2400 baud: the meter sends by itself

Modes A and B are read as C is: the meter's identification says which one it speaks.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from hub.meters.sources.asking import Asking, asked
from hub.meters.sources.lines import FrameBits
from hub.meters.sources.ports import Port, PortOpener, settle
from meter_codecs.p1.dialogue import Action, Finished, ReadoutClient, Send, SetSpeed
from meter_codecs.p1.errors import P1Error

SILENCE: Final = 1.5
"""Seconds without a byte, after which the meter counts as silent."""
LONGEST_READOUT: Final = 600.0
"""Seconds that one readout takes at most: twenty thousand bytes at 300 baud."""
FRAME: Final = FrameBits(7, "E", 1)
PUSH_BAUD: Final = 2400
"""Of mode D."""


@dataclass(slots=True)
class OpticalReader:
    """Who asks at an optical port."""

    asking: Asking
    address: str = ""
    """Of the meter, where several are on the line."""
    fastest: int | None = None
    """Baud, of a head that is slower than the meter."""
    silence: float = SILENCE
    longest: float = LONGEST_READOUT

    async def round(self, port: Port) -> AsyncIterator[bytes]:
        """Ask once; yield the readout."""
        try:
            wire = await self._read_out(port)
        except (P1Error, TimeoutError) as error:
            self.asking.heard(f"{error or 'the readout does not end'}")
        else:
            yield wire

    async def _read_out(self, port: Port) -> bytes:
        client = ReadoutClient(self.address, fastest=self.fastest)
        await settle(port)
        end = monotonic() + self.longest
        actions = client.start()
        while True:
            wire = await _perform(port, actions)
            if wire is not None:
                return wire
            if monotonic() > end:
                raise TimeoutError("the readout does not end")
            data = await port.receive(self.silence)
            actions = client.receive(data) if data else client.timed_out()


async def _perform(port: Port, actions: list[Action]) -> bytes | None:
    """Do what the dialogue says; return the readout once it is there."""
    wire: bytes | None = None
    for action in actions:
        match action:
            case Send(data=data, pause=pause):
                await asyncio.sleep(pause)
                await port.send(data)
            case SetSpeed(baud=baud):
                await port.set_baud(baud)
            case Finished(telegram=telegram):
                wire = telegram.encode()
    return wire


def read_optical(
    opened: PortOpener, asking: Asking, *, address: str = "", fastest: int | None = None
) -> AsyncIterator[bytes]:
    """Yield the readouts of a meter, asked for every so often."""
    ReadoutClient(address)  # raises SessionError for an address that is none
    return asked(opened, OpticalReader(asking, address, fastest).round, asking)
