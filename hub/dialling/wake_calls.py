# SPDX-License-Identifier: Apache-2.0
"""Whether the hub was asked to dial before its next poll, and how often that may be.

Whoever can publish at the broker can make the hub poll, and nothing else. So calls are counted: in
any `t` seconds the hub dials for fewer than 5 + t / 300 of them, which is 4 at once and 292 a day.
Calls that come before the hub has begun to dial are one; those beyond the count are dropped, and
the hub dials at its next poll. Nothing is remembered of a call, so one that is repeated does no
more than one that is new.
"""

import time
from collections.abc import Callable
from threading import Event, Lock
from typing import Final

from hub.token_bucket import TokenBucket

AT_ONCE: Final = 4
MINUTES_EACH: Final = 5
"""For so long one call counts."""


class WakeCalls:
    """The calls to one hub: `call` in one thread, the rest in the one that dials."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._bucket = TokenBucket(AT_ONCE * MINUTES_EACH, 1)
        self._lock, self._is_called, self._poked = Lock(), False, Event()

    def call(self) -> bool:
        """Ask the hub to dial at once; return whether it will for this call."""
        with self._lock:
            if self._is_called:
                return False  # it has not dialled for the last one yet
            self._bucket.fill(int(self._monotonic()))
            if self._bucket.is_empty:  # the bound that the module promises
                return False
            self._bucket.take(MINUTES_EACH)
            self._is_called = True
            self._poked.set()
            return True

    def take(self) -> bool:
        """Return whether the hub was called; from here on a call is another one."""
        with self._lock:
            was_called, self._is_called = self._is_called, False
            self._poked.clear()
            return was_called

    def wait(self, seconds: float) -> bool:
        """Wait for a call or a poke, so long at most; return whether the hub was called."""
        self._poked.wait(seconds)
        return self._is_called

    def poke(self) -> None:
        """Let whoever waits look whether it is to stop."""
        self._poked.set()
