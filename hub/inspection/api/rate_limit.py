# SPDX-License-Identifier: Apache-2.0
"""How often somebody may ask: a bucket of requests for each, which fills up again with time.

Whoever still has to wait is not pushed out by others: where there are `MOST_KEYS` such, all further
ones share a bucket.
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from hub.token_bucket import TokenBucket

MOST_KEYS: Final = 4096
_OTHERS: Final = "\0others"


@dataclass(slots=True)
class RateLimit:
    """So many requests at once, and so many a minute from then on; time is handed in."""

    burst: int
    per_minute: int
    _buckets: dict[str, TokenBucket] = field(default_factory=dict, repr=False)
    _dropped_at: int = field(default=-1, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self, key: str, now: int) -> int:
        """Return 0 and count a request, or return the seconds to wait until there is one."""
        with self._lock:
            full = key not in self._buckets and len(self._buckets) >= MOST_KEYS
            if full and now != self._dropped_at:  # once a second, however many ask
                self._drop_full(now)
            bucket = self._buckets.setdefault(
                self._key(key), TokenBucket(self.burst, self.per_minute)
            )
            bucket.fill(now)
            if not (wait := bucket.wait):
                bucket.take(1)
            return wait

    def _key(self, key: str) -> str:
        return key if key in self._buckets or len(self._buckets) < MOST_KEYS else _OTHERS

    def _drop_full(self, now: int) -> None:
        self._dropped_at = now
        for key, bucket in list(self._buckets.items()):
            bucket.fill(now)
            if bucket.is_full:
                del self._buckets[key]
