# SPDX-License-Identifier: Apache-2.0
"""Two clocks: the meter's count of seconds, which only goes on, and the hub's clock on the wall.

Most meters send no time of day but a count of the seconds since they were put up. A reading is
stamped with the hub's clock, and the count says whether that clock has stepped since the reading
before: both have to go on by the same time. While they do not agree, nothing is stamped.

    count   1000  1010  1020  1030  1040  ...  1930
    clock     :00   :10   :20  +1 h  +1 h ...  +1 h       a step of the clock
    stamp     :00   :10   :20   -     -   ...  +1 h       believed once it has stood for 15 minutes

A step of more than an hour is never believed by itself: the days that it skips would be certified
as empty. The resident sets the clock right, or accepts what was set aside.

A count that falls is of a meter that was without power: it begins anew. A count that does not go on
by seconds at all is no clock, and is not asked again.
"""

from dataclasses import dataclass
from typing import Final

TOLERANCE_SECONDS: Final = 30
"""By how much the two may differ between two telegrams: a line may hold one back."""
DRIFT: Final = 1000
"""And by one second in so many: meters' clocks are bad ones."""
BELIEVED_AFTER_SECONDS: Final = 900
LARGEST_BELIEVED_SECONDS: Final = 3660
"""An hour of daylight saving, kept by mistake, and a minute."""


@dataclass(frozen=True, slots=True)
class ClockAnchor:
    """Both clocks at one moment."""

    count: int
    time: int


@dataclass(slots=True)
class TwoClocks:
    """Compares the meter's count of seconds with the hub's clock."""

    anchor: ClockAnchor | None = None
    """Where both stood when a telegram was last stamped."""
    _doubt: ClockAnchor | None = None
    """Where both stood when they began to disagree."""
    _is_no_clock: bool = False
    """Whether the count does not go on by seconds."""

    def stamp(self, count: int, now: int) -> str | None:
        """Say what is wrong with the moment `now`; None: a telegram may be stamped with it."""
        anchor, here = self.anchor, ClockAnchor(count, now)
        if anchor is None or self._is_no_clock or count < anchor.count:
            self.anchor, self._doubt = here, None
            return None
        difference = _difference(anchor, here)
        if not difference:
            self.anchor, self._doubt = here, None
            return None
        if self._doubt is None or count < self._doubt.count:
            self._doubt = here
        stood = max(count - self._doubt.count, now - self._doubt.time)
        if stood >= BELIEVED_AFTER_SECONDS:
            self._is_no_clock = bool(_difference(self._doubt, here))
            if self._is_no_clock or abs(difference) <= LARGEST_BELIEVED_SECONDS:
                self.anchor, self._doubt = here, None
                return None
        ahead = "ahead of" if difference > 0 else "behind"
        return f"the hub's clock is {abs(difference):,} s {ahead} the meter's count of seconds"


def _difference(one: ClockAnchor, other: ClockAnchor) -> int:
    """Return by how much the wall's clock went on too far; 0 where both agree."""
    counted, passed = other.count - one.count, other.time - one.time
    difference = passed - counted
    return 0 if abs(difference) <= TOLERANCE_SECONDS + counted // DRIFT else difference
