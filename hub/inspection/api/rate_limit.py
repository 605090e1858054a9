# SPDX-License-Identifier: Apache-2.0
"""How often somebody may ask: a bucket of requests for each, which fills up again with time."""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from hub.token_bucket import TokenBucket

MOST_KEYS: Final = 4096


@dataclass(slots=True)
class RateLimit:
    """So many requests at once, and so many a minute from then on; time is handed in."""

    burst: int
    per_minute: int
    _buckets: OrderedDict[str, TokenBucket] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self, key: str, now: int) -> int:
        """Return 0 and count a request, or return the seconds to wait until there is one."""
        with self._lock:
            bucket = self._buckets.setdefault(key, TokenBucket(self.burst, self.per_minute))
            self._buckets.move_to_end(key)
            while len(self._buckets) > MOST_KEYS:  # who floods us with names forgets the oldest
                self._buckets.popitem(last=False)
            bucket.fill(now)
            if not (wait := bucket.wait):
                bucket.take(1)
            return wait

    def wait(self, key: str, now: int) -> int:
        """Return the seconds until a request would be let through, without counting one."""
        with self._lock:
            if (bucket := self._buckets.get(key)) is None:
                return 0
            bucket.fill(now)
            return bucket.wait
