# SPDX-License-Identifier: Apache-2.0
"""The worker: fetch answers, verify them together, one transaction, then acknowledge.

Killed at any point, what it had fetched comes again, to it or to another one; what it had entered
is not entered again. An error of ours (not of the answer) has the batch's answers tried one by one,
so that one that cannot be worked on holds up no other; after `MOST_DELIVERIES` tries it is set
aside. While the database is not reached, everything waits.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from utility_server.errors import QueueUnreachable, StoreBusy, StoreUnreachable
from utility_server.pipeline.outages import Told as Told
from utility_server.pipeline.outages import pause
from utility_server.pipeline.queue import MOST_DELIVERIES, RETRY_SECONDS, Delivery, Queue
from utility_server.retail.billing import BillingUtility
from utility_server.retail.entering import Entered, enter_answers

BATCH: Final = 32
WAIT_SECONDS: Final = 1.0


def _silent(_event: str, _facts: Mapping[str, object]) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Worker:
    """Works on one queue until it is stopped."""

    utility: BillingUtility
    queue: Queue
    batch: int = BATCH
    """So many answers at once at most: their proofs share one equation."""
    told: Told = field(default=_silent, repr=False)
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False)
    is_patient: bool = True
    """Whether it waits for a database or queue that is not reached, or raises the error."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many answers became what."""
    _outages: int = 0
    """So often in a row the database or the queue was not reached."""

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping` is set; the batch at hand is finished."""
        while not stopping.is_set():
            self.step(WAIT_SECONDS)

    def step(self, wait_seconds: float) -> int:
        """Work on one batch; return how many were fetched, 0 where it came to nothing.

        Raises nothing, if it is patient.
        """
        deliveries: Sequence[Delivery] = ()
        try:
            deliveries = self.queue.fetch(self.batch, wait_seconds)
            if deliveries:
                self._work_on(deliveries)
        except Exception as error:  # noqa: BLE001 - a worker that ended would leave all unverified
            with suppress(QueueUnreachable):
                # Those that are done already are passed over when they come again.
                self.queue.retry(deliveries, RETRY_SECONDS)
            self._wait_out(error, {})
            return 0
        return len(deliveries)

    def _work_on(self, deliveries: Sequence[Delivery]) -> None:
        try:
            entered = enter_answers(self.utility, [one.nonce for one in deliveries])
        except (StoreUnreachable, StoreBusy) as error:
            self.queue.retry(deliveries, RETRY_SECONDS)
            self._wait_out(error, {"answers": len(deliveries)})
        except QueueUnreachable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            if len(deliveries) > 1:
                for delivery in deliveries:
                    self._work_on([delivery])
            else:
                self._give_up_or_retry(deliveries[0], error)
        else:
            # Only now: before the commit a kill must have them come again.
            self.queue.acknowledge(deliveries)
            self._outages = 0
            for one in entered:
                self._tell(one)

    def _wait_out(self, error: Exception, facts: Mapping[str, object]) -> None:
        is_outage = isinstance(error, (QueueUnreachable, StoreUnreachable, StoreBusy))
        if not self.is_patient:
            raise error
        self._outages += 1
        why = str(error) if is_outage else f"{type(error).__name__}: {error}"
        self.told("waits" if is_outage else "failed", {"why": why, **facts})
        self.sleep(pause(self._outages))

    def _give_up_or_retry(self, delivery: Delivery, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        facts = {"nonce": delivery.nonce.hex(), "times": delivery.times, "why": reason}
        if delivery.times >= MOST_DELIVERIES:
            self.utility.questions.set_aside(delivery.nonce, reason)
            self.queue.set_aside(delivery, reason)
            self.counts["aside"] += 1
            self.told("set aside", facts)
        else:
            self.queue.retry([delivery], RETRY_SECONDS * 2 ** (delivery.times - 1))
            self.told("failed", facts)

    def _tell(self, one: Entered) -> None:
        self.counts[one.became] += 1
        facts: dict[str, object] = {"meter": one.meter.hex(), "entry": one.entry}
        if one.why:
            facts["why"] = one.why
        self.told(one.became, facts)
