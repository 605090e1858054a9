# SPDX-License-Identifier: Apache-2.0
"""How much of the hub one applet may have: so many commands and so much fuel a minute.

A command's own fuel bounds how long it may keep the others waiting; this bounds how often. Two
buckets fill at the manifest's rates; a command is let in while both hold something, and is charged
afterwards for what it burnt. So over any time t an applet burns at most t times its rate, and one
bucket and one command more, with what the engine copies for that command before the hub can ask for
fuel (`limits.MAX_COPIED`).
"""

from hub.token_bucket import TokenBucket


class Allowance:
    """One applet's buckets, each of a minute's worth; times are the hub's clock, in seconds."""

    def __init__(self, commands_per_minute: int, fuel_per_minute: int) -> None:
        self._commands = TokenBucket(commands_per_minute, commands_per_minute)
        self._fuel = TokenBucket(fuel_per_minute, fuel_per_minute)

    def admit(self, now: int) -> bool:
        """Count a command and return True, or return False if the applet has to wait."""
        self._commands.fill(now)
        self._fuel.fill(now)
        if self._commands.wait or self._fuel.is_empty:
            return False
        self._commands.take(1)
        return True

    def has_fuel(self, now: int) -> bool:
        """Return whether some fuel is left, without counting anything."""
        self._fuel.fill(now)
        return not self._fuel.is_empty

    def charge(self, fuel: int) -> None:
        """Take what a command burnt; the bucket may owe afterwards."""
        self._fuel.take(fuel)
