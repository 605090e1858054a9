# SPDX-License-Identifier: Apache-2.0
"""Asking every so often, for as long as the line is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from hub.meters.sources.ports import Port, PortOpener

USUAL_INTERVAL: Final = 900
"""Seconds between two rounds of questions, where nobody says others."""


def _nobody(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Asking:
    """How often meters are asked."""

    every: float = USUAL_INTERVAL
    """Seconds from the beginning of a round of questions to that of the next."""
    rounds: int | None = None
    """End after so many; None: go on for ever."""
    heard: Callable[[str], None] = _nobody
    """Hears of each meter that did not answer as it should, and why."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)


async def asked(
    opened: PortOpener, rounds: Callable[[Port], AsyncIterator[bytes]], asking: Asking
) -> AsyncIterator[bytes]:
    """Yield what `rounds` brings of an open line, every so often; first nothing: it is open."""
    port = await opened()
    try:
        yield b""  # what breaks from now on is opened again
        done = 0
        while True:
            begun = monotonic()
            async for piece in rounds(port):
                yield piece
            done += 1
            if asking.rounds is not None and done >= asking.rounds:
                return
            await asking.sleep(max(0.0, asking.every - (monotonic() - begun)))
    finally:
        await port.close()
