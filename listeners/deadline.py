# SPDX-License-Identifier: Apache-2.0
"""The one limit of time that a connection has at a moment."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Deadline:
    """Ends a connection, unless what is waited for comes in time."""

    end: Callable[[], object]
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def is_set(self) -> bool:
        """Whether there is a limit now."""
        return self._timer is not None

    def within(self, seconds: float | None) -> None:
        """Wait so long from now, in the place of what was waited for; None: there is no limit."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.end)
