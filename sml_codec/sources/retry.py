# SPDX-License-Identifier: Apache-2.0
"""A source that is opened again whenever it breaks or ends: a cable pulled, a bridge restarted.

open ... bytes ... broken | 1 s | open | 2 s | open | 4 s | open ... bytes ... broken | 1 s | ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Interruption:
    """A source has broken or ended, and will be opened again."""

    reason: str
    delay: float
    """After how many seconds."""
    attempts: int
    """How many times it broke since bytes last came, this time included."""


def _nobody(_: Interruption) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to wait before a source is opened again, in seconds: twice as long each time."""

    first: float = 1.0
    longest: float = 60.0
    from_start: bool = False
    """Whether to wait even for a source that could never be opened; else its error is raised."""
    heard: Callable[[Interruption], None] = _nobody
    """Hears of each interruption."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)


async def reconnecting(
    opened: Callable[[], AsyncIterator[bytes]], retry: Retry
) -> AsyncIterator[bytes]:
    """Yield what a source sends, and open it again whenever it breaks or ends.

    Raises OSError where it cannot be opened the first time, unless `retry` waits for that, too.
    """
    attempts, has_begun = 0, retry.from_start
    while True:
        reason = "it ended"
        try:
            async for piece in opened():
                attempts, has_begun = 0, True
                yield piece
            has_begun = True  # it was opened, and ended
        except OSError as error:
            if not has_begun:
                raise
            reason = error.strerror or str(error)
        delay = min(retry.first * 2 ** min(attempts, 30), retry.longest)
        attempts += 1
        retry.heard(Interruption(reason, delay, attempts))
        await retry.sleep(delay)
