# SPDX-License-Identifier: Apache-2.0
"""Turns at the hub, which does one thing at a time: whoever has had least of it is next.

Each piece of work is for somebody: an applet's commands are all for that applet, over however many
connections they come. What waits is let in by how much processor time it is for has had lately, not
in the order in which it came. So the commands of one applet never stand in a row before those of
another: who has had little waits for what is being worked on, and for nothing else.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final

HALF_LIFE_SECONDS: Final = 10.0
"""What somebody has had counts half after so long."""
MOST_KNOWN: Final = 256


@dataclass(slots=True)
class _Share:
    had: float = 0.0
    at: float = 0.0


@dataclass(slots=True)
class FairTurns:
    """The turns of one event loop; `spent` and `clock` are seconds, of processor and of wall."""

    spent: Callable[[], float] = time.process_time
    clock: Callable[[], float] = time.monotonic
    _shares: dict[Hashable, _Share] = field(default_factory=dict)
    _waiting: dict[int, tuple[Hashable, "asyncio.Future[None]"]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)
    _is_taken: bool = False

    @asynccontextmanager
    async def turn(self, whose: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and work in the block: nothing else is worked on meanwhile."""
        if self._is_taken:
            await self._wait(whose)
        self._is_taken = True
        before = self.spent()
        try:
            yield
        finally:
            share = self._share(whose)
            share.had += self.spent() - before
            self._pass_on()

    async def _wait(self, whose: Hashable) -> None:
        number, gate = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = whose, gate
        try:
            await gate
        except asyncio.CancelledError:
            if gate.done() and not gate.cancelled():
                self._pass_on()  # it was let in just then
            raise
        finally:
            self._waiting.pop(number, None)

    def _pass_on(self) -> None:
        """Let in who has had least; of those who have had the same, who has waited longest."""
        waiting = [
            (n, whose, gate) for n, (whose, gate) in self._waiting.items() if not gate.done()
        ]
        if not waiting:
            self._is_taken = False
            return
        _, _, gate = min(waiting, key=lambda one: (self._share(one[1]).had, one[0]))
        gate.set_result(None)  # the turn stays taken, for whom it was passed on to

    def _share(self, whose: Hashable) -> _Share:
        now = self.clock()
        share = self._shares.get(whose)
        if share is None:
            if len(self._shares) >= MOST_KNOWN:
                self._shares.pop(next(iter(self._shares)))
            share = self._shares[whose] = _Share(at=now)
        share.had *= 0.5 ** ((now - share.at) / HALF_LIFE_SECONDS)
        share.at = now
        return share
