# SPDX-License-Identifier: Apache-2.0
"""How often a stranger may guess: after a few wrong passwords, each costs twice the wait.

Wrong ones are counted for each address that they come from, and for all together, so that many
addresses do not help. At most 1,024 addresses are kept; the oldest are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FREE: Final = 5
"""Wrong ones of one address before it waits."""
FREE_FOR_ALL: Final = 100
"""Wrong ones of all addresses before all wait."""
LONGEST_WAIT: Final = 900.0
FORGOTTEN: Final = 3600.0
"""After so many seconds without a wrong one, an address begins anew."""
MOST_ADDRESSES: Final = 1024
ALL: Final = ""


@dataclass(slots=True)
class _Count:
    wrong: int
    last: float


class WrongPasswords:
    """Counts wrong passwords; `now` is a clock that only goes on, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def must_wait(self, address: str) -> bool:
        """Whether nothing of this address is looked at now."""
        return self._waits(address, FREE) or self._waits(ALL, FREE_FOR_ALL)

    def wrong(self, address: str) -> None:
        """Count one."""
        for name in (address, ALL):
            count, now = self._counts.pop(name, None), self._now()
            if count is None or now - count.last > FORGOTTEN:
                count = _Count(0, now)
            count.wrong, count.last = count.wrong + 1, now
            self._counts[name] = count
        while len(self._counts) > MOST_ADDRESSES:
            oldest = next(name for name in self._counts if name != ALL)
            del self._counts[oldest]

    def right(self, address: str) -> None:
        """Forget the wrong ones of an address that knew the right one."""
        self._counts.pop(address, None)

    def _waits(self, name: str, free: int) -> bool:
        count = self._counts.get(name)
        if count is None or count.wrong < free:
            return False
        wait = min(LONGEST_WAIT, 2.0 ** min(count.wrong - free, 20))
        return self._now() < count.last + wait
