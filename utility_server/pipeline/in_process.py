# SPDX-License-Identifier: Apache-2.0
"""The queue with its worker and sweeper as threads of one process: what one machine needs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from applets.billing.messages import BillQuestion
from utility_server.errors import QueueUnreachable
from utility_server.pipeline.outages import Fewer, Told
from utility_server.pipeline.queue import LocalQueue, Queue
from utility_server.pipeline.sweeper import PATIENCE_SECONDS, Sweeper
from utility_server.pipeline.worker import Worker
from utility_server.retail.utility import Utility

ENTERED_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who receives answers says here that one is kept."""

    queue: Queue
    told: Told

    def answered(self, question: BillQuestion) -> None:
        """Put a question whose answer is kept into the queue; what fails, the sweeper finds.

        Of a queue in this process it waits a little for what comes of it: the hub that has just
        answered then gets its invoice in the same session.
        """
        nonce = question.about.nonce
        try:
            self.queue.publish([nonce])
            if isinstance(self.queue, LocalQueue):
                self.queue.wait_for(nonce, ENTERED_SECONDS)
        except QueueUnreachable as error:
            self.told("waits", {"why": str(error)})


@contextmanager
def verifying(
    utility: Utility, queue: Queue, told: Told, *, works: bool = True
) -> Iterator[Callable[[BillQuestion], None]]:
    """Run the threads that the block needs; yield what is to be told of each kept answer.

    With `works` a worker verifies and enters here; else workers elsewhere do, and only what the
    queue has lost is put back here.
    """
    stopping, told = threading.Event(), Fewer(told)
    patience = 0 if isinstance(queue, LocalQueue) else PATIENCE_SECONDS
    sweeper = Sweeper(utility, queue, told, patience_seconds=patience)
    work = [sweeper.run]
    if works:
        work.append(Worker(utility, queue, told=told, sleep=stopping.wait).run)
    threads = [threading.Thread(target=one, args=(stopping,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    try:
        yield Receiver(queue, told).answered
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
