# SPDX-License-Identifier: Apache-2.0
"""The sweeper: answers that wait in the database for too long are put into the queue again.

So a queue that was lost, with all that it held, costs time and nothing else; and so does one that
was not reached when an answer came.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from utility_server.errors import QueueUnreachable, StoreError
from utility_server.pipeline.outages import Told, pause
from utility_server.pipeline.queue import Queue
from utility_server.retail.questions import Questions

SWEEP_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 60
"""An answer waits so long before it is put into the queue again."""
_AT_ONCE: Final = 1_000


class AskingUtility(Protocol):
    """What is used here of a `Utility`."""

    @property
    def questions(self) -> Questions:
        """What was asked for bills."""
        ...

    @property
    def now(self) -> Callable[[], int]:
        """The clock, in epoch seconds."""
        ...


@dataclass(slots=True)
class Sweeper:
    """Looks for what waits, every so often."""

    utility: AskingUtility
    queue: Queue
    told: Told = field(default=lambda _event, _facts: None, repr=False)
    patience_seconds: int = PATIENCE_SECONDS
    every_seconds: float = SWEEP_SECONDS

    def run(self, stopping: threading.Event) -> None:
        """Sweep until `stopping` is set, at the start too."""
        failures = 0
        while True:
            try:
                self.sweep()
                failures = 0
            except (StoreError, QueueUnreachable) as error:  # whatever it is, it may pass
                failures += 1
                self.told("waits", {"why": str(error)})
            except Exception as error:  # noqa: BLE001 - a sweeper that ended would sweep no more
                failures += 1
                self.told("failed", {"why": f"{type(error).__name__}: {error}"})
            if stopping.wait(max(self.every_seconds, pause(failures) if failures else 0.0)):
                return

    def sweep(self) -> int:
        """Put what waits into the queue again; return how many these were."""
        before = self.utility.now() - self.patience_seconds
        nonces = self.utility.questions.answered_before(before, _AT_ONCE)
        if nonces:
            self.queue.publish(nonces)
            self.told("swept", {"answers": len(nonces)})
        return len(nonces)
