# SPDX-License-Identifier: Apache-2.0
"""So much at once, and so much a minute from then on: the one rule behind every rate limit."""

from typing import Final

MINUTE: Final = 60
LONGEST: Final = 3_600
"""Seconds that one filling makes up for at most, however far the clock was set forward."""


class TokenBucket:
    """Full at first; levels are in sixtieths, so that seconds divide exactly."""

    def __init__(self, burst: int, per_minute: int) -> None:
        self._rate, self._filled = per_minute, 0
        self._level = self._full = burst * MINUTE

    def fill(self, now: int) -> None:
        """Fill for the time since the last filling; a clock that is set back fills nothing."""
        elapsed = min(max(0, now - self._filled), LONGEST)
        self._filled = now
        self._level = min(self._full, self._level + self._rate * elapsed)

    def take(self, amount: int) -> None:
        """Take something out; the bucket may owe afterwards."""
        self._level -= amount * MINUTE

    @property
    def is_full(self) -> bool:
        """Whether a new one would be just like it."""
        return self._level >= self._full

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, or something is owed."""
        return self._level <= 0

    @property
    def wait(self) -> int:
        """The seconds until one can be taken; 0 where that is now."""
        return max(0, -((self._level - MINUTE) // self._rate))
