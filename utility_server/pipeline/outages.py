# SPDX-License-Identifier: Apache-2.0
"""While a database or a queue is not reached: longer and longer pauses, fewer and fewer lines."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

LONGEST_PAUSE_SECONDS: Final = 15.0
LONGEST_SILENCE_SECONDS: Final = 600.0
_FIRST_SILENCE_SECONDS: Final = 2.0
_MOST_REASONS: Final = 64
_REPEATED: Final = ("waits", "failed")

Told = Callable[[str, Mapping[str, object]], None]
"""Gets an event's name and facts; no secrets, no readings."""


def pause(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row: 1, 2, 4, at most 15."""
    return min(LONGEST_PAUSE_SECONDS, 2.0 ** (min(failures, 10) - 1))


@dataclass(slots=True)
class Fewer:
    """Passes events on, and why something waits or fails less often each time it is the same."""

    told: Told = field(repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    _silences: dict[object, tuple[float, float]] = field(default_factory=dict)
    """By event, reason and of whom: until when it is not told again, and how long that was."""

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        """Pass an event on, unless it says again why something waits or fails."""
        if event not in _REPEATED:
            self.told(event, facts)
            return
        why = (event, *(str(facts.get(name)) for name in ("why", "nonce", "meter")))
        now = self.monotonic()
        until, silence = self._silences.pop(why, (now, 0.0))
        if now >= until:
            # Not said for longer than it would have been kept back: it is another outage.
            is_new = not silence or now - until > silence
            silence = (
                _FIRST_SILENCE_SECONDS if is_new else min(2 * silence, LONGEST_SILENCE_SECONDS)
            )
            until = now + silence
            self.told(event, facts)
        self._silences[why] = until, silence
        if len(self._silences) > _MOST_REASONS:
            del self._silences[next(iter(self._silences))]
