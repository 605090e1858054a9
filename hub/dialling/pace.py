# SPDX-License-Identifier: Apache-2.0
"""After how many seconds a hub dials again.

    session ended      what the server has said (Retry-After), else `poll_seconds`
    breakdown          a wait that doubles from `FIRST_BACKOFF` to `LONGEST_BACKOFF`
    TLS refused        `poll_seconds`

Waits have jitter, so that a street of hubs does not come at once.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.remote_admin.agent import RetryPolicy, SessionEnd

POLL_SECONDS: Final = 900.0
LEAST_POLL_SECONDS: Final = 1.0
FIRST_BACKOFF: Final = 5.0
LONGEST_BACKOFF: Final = 3600.0
JITTER: Final = 0.1
"""A wait is up to so much longer than was said."""
KEEP_SECONDS: Final = 60.0
"""A connection is kept where the next session is so near."""
POLICY: Final = RetryPolicy(connections=1, connection_wait=2.0, sessions=4, session_wait=1.0)
"""Inside a session."""


@dataclass(slots=True)
class DialPace:
    """How often one hub dials one server."""

    poll_seconds: float = POLL_SECONDS
    """Where the server does not say."""
    uniform: Callable[[], float] = field(default=random.random, repr=False)
    """A number from 0 to 1 for the jitter; nothing secret hangs on it."""
    _failures: int = 0

    def after(self, end: SessionEnd, *, is_security: bool) -> float:
        """Take in how a session ended; return after how many seconds the next one is due."""
        if end.why and not is_security:
            self._failures += 1
            seconds = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 16))
            return seconds * (0.5 + self.uniform() / 2)
        self._failures = 0
        asked = self.poll_seconds if end.retry_after is None else float(end.retry_after)
        return max(asked, LEAST_POLL_SECONDS) * (1 + JITTER * self.uniform())
