# SPDX-License-Identifier: Apache-2.0
"""How long a caller on the network waits after it was wrong, and where recipients call from.

Callers are told apart by their source (`hub.network_source`). The answer to a wrong authentication
is held back for half a second, then 1 s, 2 s, ... up to `LONGEST_DELAY`, over all connections of a
source; that is forgotten `FORGET_SECONDS` after the last. A right one never waits, whatever others
from the same source do. So whoever guesses is slowed down and nobody is locked out: who does not
wait for the answer gains speed, and at a key of 128 bits no speed helps.

`MOST_SOURCES` are told apart. One that was wrong is pushed out by no other: where all are such,
further ones are counted together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
FORGET_SECONDS: Final = 600
MOST_SOURCES: Final = 1024


@dataclass(slots=True)
class _Mistakes:
    """How often a source was wrong, and when last: seconds of a clock that never goes back."""

    count: int = 0
    last: int = 0


class Callers:
    """The sources that were wrong, and those from which recipients have authenticated before."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = set(known)
        self._mistakes: dict[str, _Mistakes] = {}
        self._of_others = _Mistakes()
        self._dropped_at = -1

    def know(self, sources: Iterable[str]) -> None:
        """Take in sources from which recipients have authenticated before."""
        self._known.update(sources)

    def is_known(self, source: str) -> bool:
        """Whether a recipient has authenticated from there before."""
        return source in self._known

    def authenticated(self, source: str) -> bool:
        """Take in that a recipient has authenticated; return whether its source is a new one."""
        self._mistakes.pop(source, None)
        is_new = source not in self._known
        self._known.add(source)
        return is_new

    def went_wrong(self, source: str, now: int) -> float:
        """Count a wrong authentication; return for how many seconds its answer is held back."""
        mistakes = self._mistakes_of(source, now)
        if now - mistakes.last >= FORGET_SECONDS:
            mistakes.count = 0
        mistakes.count, mistakes.last = mistakes.count + 1, now
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(mistakes.count - 1, 16))

    def _mistakes_of(self, source: str, now: int) -> _Mistakes:
        if (mistakes := self._mistakes.get(source)) is not None:
            return mistakes
        if len(self._mistakes) >= MOST_SOURCES and now != self._dropped_at:
            self._dropped_at = now  # looked through once a second, however many call
            self._mistakes = {
                name: one for name, one in self._mistakes.items() if now - one.last < FORGET_SECONDS
            }
        if len(self._mistakes) >= MOST_SOURCES:
            return self._of_others
        return self._mistakes.setdefault(source, _Mistakes())
