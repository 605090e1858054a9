# SPDX-License-Identifier: Apache-2.0
"""How often somebody may ask: a bucket of requests that fills up again with time."""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

__all__ = ["RateLimit"]

MOST_KEYS: Final = 4096
THOUSAND: Final = 1000


@dataclass(slots=True)
class RateLimit:
    """So many requests at once, and so many a minute from then on; time is handed in."""

    burst: int
    per_minute: int
    _left: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict, repr=False)
    """Thousandths of a request that are left, and when that was."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self, key: str, now: int) -> int:
        """Return 0 and count a request, or return the seconds to wait until there is one."""
        with self._lock:
            left = self._refilled(key, now)
            if left < THOUSAND:
                self._put(key, left, now)
                return self._seconds(THOUSAND - left)
            self._put(key, left - THOUSAND, now)
            return 0

    def wait(self, key: str, now: int) -> int:
        """Return the seconds until a request would be let through, without counting one."""
        with self._lock:
            left = self._refilled(key, now)
        return 0 if left >= THOUSAND else self._seconds(THOUSAND - left)

    def _seconds(self, missing: int) -> int:
        return max(1, -(-missing * 60 // (self.per_minute * THOUSAND)))

    def _refilled(self, key: str, now: int) -> int:
        left, since = self._left.get(key, (self.burst * THOUSAND, now))
        gained = max(0, now - since) * self.per_minute * THOUSAND // 60
        return min(self.burst * THOUSAND, left + gained)

    def _put(self, key: str, left: int, now: int) -> None:
        self._left[key] = (left, now)
        self._left.move_to_end(key)
        while len(self._left) > MOST_KEYS:  # who floods us with names forgets the oldest
            self._left.popitem(last=False)
