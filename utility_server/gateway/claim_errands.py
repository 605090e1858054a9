# SPDX-License-Identifier: Apache-2.0
"""What settlements and profiles ask hubs that dial, as runs over many customers have it kept.

An answer is kept before the hub is sent anything more; the run verifies and enters it. A hub whose
connection broke is asked the same question again, byte for byte, so that it counts it once.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from protocols.iso7816.errors import WireError
from protocols.remote_admin.server import Errand, Waits
from utility_server.due_meters import DueMeters
from utility_server.errors import HeadEndError, HubRefused, StoreError, UtilityError
from utility_server.gateway.errands import (
    FAILED_SECONDS,
    INCOMPLETE_SECONDS,
    PAUSE_SECONDS,
    POLL_SECONDS,
)
from utility_server.hub_conversation import HubConversations
from utility_server.retail.claim_runs import ClaimItem, ClaimItems
from utility_server.retail.claims import command_of, saying_what_to_do
from utility_server.retail.utility import Utility


@dataclass(slots=True)
class ClaimErrands:
    """The settlements and profiles of one utility, for hubs that dial."""

    utility: Utility
    items: ClaimItems
    poll_seconds: int = POLL_SECONDS
    failed: Callable[[ClaimItem, UtilityError], object] | None = None
    """Told of each hub that did not answer, once that is kept."""
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    _due: DueMeters = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is read before it is asked for."""
        self._due = DueMeters(self.items.due_meters, self.monotonic)

    def is_fresh(self) -> bool:
        """Whether what is waited for was read of late."""
        return self._due.is_fresh()

    def refresh(self) -> None:
        """Read it, unless another thread just has."""
        self._due.refresh()

    def is_waiting(self, meter: bytes) -> bool:
        """Whether a meter's hub is waited for."""
        return meter in self._due

    def waits(self, meter: bytes) -> Waits:
        """As usual."""
        return Waits(PAUSE_SECONDS, self.poll_seconds)

    def next(self, meter: bytes) -> Errand | None:
        """Return the oldest question that a meter's hub is to be asked."""
        waiting = self.items.waiting(meter)
        if waiting:
            return self._guarded(waiting[0])
        self._due.drop(meter)
        return None

    def _guarded(self, item: ClaimItem) -> Errand:
        try:
            yield from self._asking(item)
        except StoreError:
            raise  # not the hub's failure: it is asked again
        except (UtilityError, WireError, TimeoutError) as error:
            known = error if isinstance(error, UtilityError) else HeadEndError(str(error))
            is_early = isinstance(known, HubRefused)
            seconds = INCOMPLETE_SECONDS if is_early else FAILED_SECONDS
            with suppress(StoreError):  # what has failed is tried again, and then kept
                self.items.failed(item, known, self.utility.now() + int(seconds))
            if self.failed is not None:
                self.failed(item, known)

    def _asking(self, item: ClaimItem) -> Errand:
        question = item.asked
        enrolment = self.utility.customers.find(item.meter, *item.claim.aids)
        conversations = HubConversations(self.utility.randomness, self.utility.hub_logs)

        def accept(answer: bytes) -> None:
            # On the disk before the hub is sent anything more.
            self.items.answered(item, answer)

        with saying_what_to_do(question):
            yield from conversations.ask(enrolment, command_of(item.claim, question), accept)
