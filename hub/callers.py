# SPDX-License-Identifier: Apache-2.0
"""How often a caller on the network may connect, and how long it waits after it was wrong.

Callers are told apart by their source (`hub.network_source`). Only a wrong answer is held back:
whoever has the right key never waits, whatever others from the same source do.

    connections   `BURST` at once and `CONNECTIONS_A_MINUTE` from then on; one that authenticates is
                  given back
    wrong         half a second, then 1 s, 2 s, ... up to `LONGEST_DELAY`, over all connections of a
                  source; forgotten `FORGET_SECONDS` after the last

So many sources are told apart. A source of which there is still something to remember is never
pushed out by others: where all are such, further ones share one record.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hub.token_bucket import TokenBucket

BURST: Final = 60
CONNECTIONS_A_MINUTE: Final = 60
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
FORGET_SECONDS: Final = 600
MOST_SOURCES: Final = 1024


def _bucket() -> TokenBucket:
    return TokenBucket(BURST, CONNECTIONS_A_MINUTE)


@dataclass(slots=True)
class _Caller:
    """What is remembered of one source; times are seconds of a clock that never goes back."""

    connections: TokenBucket = field(default_factory=_bucket)
    last_connected: int = 0
    wrong: int = 0
    last_wrong: int = 0

    def is_over(self, now: int) -> bool:
        """Whether a new record would say the same."""
        refilled = now - self.last_connected >= 60 * BURST // CONNECTIONS_A_MINUTE
        return refilled and now - self.last_wrong >= FORGET_SECONDS


class Callers:
    """The sources that call, and those from which recipients have authenticated before."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = set(known)
        self._callers: dict[str, _Caller] = {}
        self._others = _Caller()
        self._dropped_at = -1

    def is_known(self, source: str) -> bool:
        """Whether a recipient has authenticated from there before."""
        return source in self._known

    def may_connect(self, source: str, now: int) -> bool:
        """Count a connection; False where the source has had too many."""
        caller = self._caller(source, now)
        caller.connections.fill(now)
        if caller.connections.wait:
            return False
        caller.connections.take(1)
        caller.last_connected = now
        return True

    def authenticated(self, source: str, now: int) -> bool:
        """Take in that a recipient has authenticated; return whether its source is a new one."""
        caller = self._caller(source, now)
        caller.connections.take(-1)
        caller.connections.fill(now)
        caller.wrong = 0
        is_new = source not in self._known
        self._known.add(source)
        return is_new

    def went_wrong(self, source: str, now: int) -> float:
        """Count a wrong authentication; return for how many seconds its answer is held back."""
        caller = self._caller(source, now)
        if now - caller.last_wrong >= FORGET_SECONDS:
            caller.wrong = 0
        caller.wrong, caller.last_wrong = caller.wrong + 1, now
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(caller.wrong - 1, 16))

    def _caller(self, source: str, now: int) -> _Caller:
        if (caller := self._callers.get(source)) is not None:
            return caller
        if len(self._callers) >= MOST_SOURCES and now != self._dropped_at:
            self._dropped_at = now  # looked through once a second, however many call
            for name in [name for name, one in self._callers.items() if one.is_over(now)]:
                del self._callers[name]
        if len(self._callers) >= MOST_SOURCES and source not in self._known:
            return self._others
        caller = self._callers[source] = _Caller(last_wrong=now - FORGET_SECONDS)
        return caller
