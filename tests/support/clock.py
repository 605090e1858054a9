# SPDX-License-Identifier: Apache-2.0
"""The time, at will."""

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Stands at a moment, at first this one, until a test changes it."""

    now: int = field(default_factory=lambda: int(time.time()))

    def __call__(self) -> int:
        return self.now
