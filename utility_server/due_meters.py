# SPDX-License-Identifier: Apache-2.0
"""For which meters something is due, as it was read of late: hubs poll by the thousand."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

REFRESH_SECONDS: Final = 1.0
"""How old the list may be."""
REFRESH_SHARE: Final = 20
"""Reading it takes at most one part in so many of the time."""


@dataclass(slots=True)
class DueMeters:
    """A list that is read again once it is old; several threads may ask."""

    read: Callable[[], frozenset[bytes]]
    monotonic: Callable[[], float]
    _meters: frozenset[bytes] = frozenset()
    _fresh_until: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __contains__(self, meter: bytes) -> bool:
        """Whether something was due for a meter when the list was read."""
        return meter in self._meters

    def is_fresh(self) -> bool:
        """Whether it was read of late."""
        return self.monotonic() < self._fresh_until

    def refresh(self) -> None:
        """Read it, unless another thread just has."""
        with self._lock:
            began = self.monotonic()
            if began >= self._fresh_until:
                self._meters = self.read()
                took = self.monotonic() - began
                self._fresh_until = began + max(REFRESH_SECONDS, REFRESH_SHARE * took)

    def drop(self, meter: bytes) -> None:
        """Note that nothing is due for a meter any more."""
        with self._lock:
            self._meters -= {meter}
