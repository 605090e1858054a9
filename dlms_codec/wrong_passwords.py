# SPDX-License-Identifier: Apache-2.0
"""How often a stranger may guess: after a few wrong passwords, each costs twice the wait.

Wrong ones are counted for each address that they come from, and for each client that they are tried
for, so that many addresses do not help. At most 1,024 are kept; the oldest are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FREE: Final = 5
"""Wrong ones of one address before it waits."""
FREE_OF_CLIENT: Final = 100
"""Wrong ones for one client, from all addresses, before all of them wait."""
LONGEST_WAIT: Final = 900.0
FORGOTTEN: Final = 3600.0
"""After so many seconds without a wrong one, an address begins anew."""
MOST_ADDRESSES: Final = 1024


@dataclass(frozen=True, slots=True)
class _Count:
    wrong: int
    last: float


class WrongPasswords:
    """Counts wrong passwords; `now` is a clock that only goes on, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._addresses: OrderedDict[str, _Count] = OrderedDict()
        self._clients: dict[int, _Count] = {}

    def must_wait(self, address: str, client: int) -> bool:
        """Whether nothing that comes from this address for this client is looked at now."""
        return self._waits(self._addresses.get(address), FREE) or self._waits(
            self._clients.get(client), FREE_OF_CLIENT
        )

    def wrong(self, address: str, client: int) -> None:
        """Count one."""
        self._addresses[address] = self._one_more(self._addresses.pop(address, None))
        self._clients[client] = self._one_more(self._clients.get(client))
        if len(self._addresses) > MOST_ADDRESSES:
            self._addresses.popitem(last=False)

    def right(self, address: str) -> None:
        """Forget the wrong ones of an address that knew the right one."""
        self._addresses.pop(address, None)

    def _one_more(self, count: _Count | None) -> _Count:
        now = self._now()
        if count is None or now - count.last > FORGOTTEN:
            return _Count(1, now)
        return _Count(count.wrong + 1, now)

    def _waits(self, count: _Count | None, free: int) -> bool:
        if count is None or count.wrong < free:
            return False
        wait = min(LONGEST_WAIT, 2.0 ** min(count.wrong - free, 20))
        return self._now() < count.last + wait
