# SPDX-License-Identifier: Apache-2.0
"""How much of the hub one applet may have: so many commands and so much fuel a minute.

A command's own fuel bounds how long it may keep the others waiting; this bounds how often. Two
buckets fill at the manifest's rates; a command is let in while both hold something, and is charged
afterwards for what it burnt. So over any time t an applet burns at most t times its rate, and one
bucket and one command more.
"""

from typing import Final

__all__ = ["Allowance"]

MINUTE: Final = 60


class _Bucket:
    """Holds up to a minute's worth; levels are in sixtieths, so that seconds divide exactly."""

    def __init__(self, per_minute: int) -> None:
        self._rate = per_minute
        self.level = self._full = per_minute * MINUTE

    def fill(self, seconds: int) -> None:
        self.level = min(self._full, self.level + self._rate * seconds)

    def take(self, amount: int) -> None:
        self.level -= amount * MINUTE


class Allowance:
    """One applet's buckets; times are the hub's clock, in seconds."""

    def __init__(self, commands_per_minute: int, fuel_per_minute: int) -> None:
        self._commands, self._fuel = _Bucket(commands_per_minute), _Bucket(fuel_per_minute)
        self._filled: int | None = None

    def admit(self, now: int) -> bool:
        """Count a command and return True, or return False if the applet has to wait."""
        # A clock that is set back fills nothing; one that is set forward fills them once.
        elapsed = 0 if self._filled is None else max(0, now - self._filled)
        self._filled = now
        for bucket in (self._commands, self._fuel):
            bucket.fill(min(elapsed, MINUTE * MINUTE))
        if self._commands.level < MINUTE or self._fuel.level <= 0:
            return False
        self._commands.take(1)
        return True

    def charge(self, fuel: int) -> None:
        """Take what a command burnt; the bucket may owe afterwards."""
        self._fuel.take(fuel)
