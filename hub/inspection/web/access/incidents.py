# SPDX-License-Identifier: Apache-2.0
"""What happens at the door, in the hub's hash-chained log.

Sign-ins, sign-outs and changes are each an entry. Refusals could be made to come by the thousand
to fill the disk, so of those of one kind the 1st, 2nd, 4th, 8th, ... of a day are, each with the
count so far.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from hub.device import Device
from hub.errors import HubError

DOOR: Final = "door"
"""The kind of the log's entries about the pages."""
_DAY: Final = 86_400


@dataclass(slots=True)
class Incidents:
    """Writes to the log; safe to use from several threads."""

    open_device: Callable[[], Device]
    now: Callable[[], int]
    complain: Callable[[str], None]
    _counts: dict[str, int] = field(default_factory=dict)
    _day: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def happened(self, event: str, facts: Mapping[str, str | int]) -> None:
        """Put something that a resident did on record."""
        with self.open_device() as device:
            device.disclosure.log.append(self.now(), DOOR, {"event": event, **facts})

    def refused(self, event: str, facts: Mapping[str, str | int]) -> None:
        """Count a refusal, and put it on record where its count is a power of two.

        A hub that cannot write says so to the console: the refusal stands all the same.
        """
        with self._lock:
            today = self.now() // _DAY
            if today != self._day:
                self._day, self._counts = today, {}
            count = self._counts[event] = self._counts.get(event, 0) + 1
        if count & (count - 1):
            return
        try:
            self.happened(event, {**facts, "count": count})
        except (HubError, sqlite3.Error) as error:
            self.complain(f"not on record: {event}: {error}")
