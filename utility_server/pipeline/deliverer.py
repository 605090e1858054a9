# SPDX-License-Identifier: Apache-2.0
"""The deliverer: takes invoices from the outbox, and hands them to hubs at their addresses.

    due hubs in the database -> held -> connect, hand over in order -> delivered, noted

Several may run beside each other, and beside gateways and workers; each hub is one's at a time
(`retail.deliveries`). It looks into the database every so often, and less often where looking takes
long. Hubs that are not reached are tried again after pauses that double. While the database is not
reached, everything waits. Killed at any point, another goes on: what was handed over and not noted
is handed over again, which the hub shows once.

Invoices of hubs that dial out are the gateway's.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from utility_server.errors import (
    ChannelBroken,
    HubContradicts,
    HubPutBack,
    HubRefused,
    StoreBusy,
    StoreError,
    StoreUnreachable,
    UtilityError,
)
from utility_server.head_end import Address, HeadEnd
from utility_server.hub_conversation import BUSY
from utility_server.pipeline.worker import Told
from utility_server.retail.deliveries import LEASE_SECONDS, Deliveries
from utility_server.retail.failures import printed
from utility_server.retail.questions import KeptQuestion, State
from utility_server.retail.utility import Utility

HUBS_AT_ONCE: Final = 8
LOOK_SECONDS: Final = 2.0
"""How often it is looked for what is due."""
LOOK_SHARE: Final = 20
"""Looking takes at most one part in so many of the time."""
ANSWER_SECONDS: Final = 15.0
"""How long a hub may take to connect, and then for each answer: none works on a proof here."""
FIRST_PAUSE_SECONDS: Final = 30
LONGEST_PAUSE_SECONDS: Final = 3_600
LOOKED_INTO_SECONDS: Final = 6 * 3_600
"""After what somebody has to look into: another hub at the address, or one that was put back."""
REFUSED_SECONDS: Final = 24 * 3_600
"""What a hub has refused is tried once a day."""
STOP_SECONDS: Final = 10.0
"""So long a deliverer that is stopped waits for what it is in the middle of."""
THREAD: Final = "deliverer"
_TURN_SECONDS: Final = 0.5
_OUTAGE_SECONDS: Final = 1.0
_HOLDER_SIZE: Final = 8


@dataclass(slots=True)
class Deliverer:
    """Delivers the invoices of one utility until it is stopped."""

    utility: Utility
    head_end: Callable[[], HeadEnd] | None = None
    """Makes what talks to one hub; None: the utility's own, with less patience."""
    hubs_at_once: int = HUBS_AT_ONCE
    told: Told = field(default=lambda _event, _facts: None, repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    counts: Counter[str] = field(default_factory=Counter)
    """How many invoices were delivered, and how many tries failed."""
    _holder: str = ""
    _taken: deque[bytes] = field(default_factory=deque)
    """Held, and nobody works on them yet."""
    _held: set[bytes] = field(default_factory=set)
    _quiet_until: float = float("-inf")
    _held_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._holder = self.utility.randomness(_HOLDER_SIZE).hex()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping` is set; what is under way then has `STOP_SECONDS` to end."""
        threads = [
            # Daemons: a hub that hangs keeps no process from ending, and nothing is lost by it.
            threading.Thread(target=self._serve, args=(stopping,), name=THREAD, daemon=True)
            for _ in range(self.hubs_at_once)
        ]
        for thread in threads:
            thread.start()
        while not stopping.wait(_TURN_SECONDS):
            self._hold_on()
        deadline = self.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - self.monotonic()))
        with suppress(StoreError):  # then the leases run out
            self.deliveries.release(self._holder)

    @property
    def deliveries(self) -> Deliveries:
        """Which hubs are due, and whose they are."""
        return Deliveries(self.utility.engine, self.utility.now)

    def step(self) -> bool:
        """Deliver to one hub what is due; return whether there was one."""
        meter = self._next()
        if meter is None:
            return False
        try:
            self._deliver_all(meter)
        except (StoreUnreachable, StoreBusy):
            raise  # nobody can note anything: its lease runs out, and it is tried again
        except Exception:
            self.deliveries.failed(self._holder, meter, LONGEST_PAUSE_SECONDS)
            raise
        finally:
            with self._lock:
                self._held.discard(meter)
        return True

    def _serve(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if self.step():
                    continue
            except (StoreUnreachable, StoreBusy) as error:
                self.told("waits", {"why": str(error)})
                stopping.wait(_OUTAGE_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
                if not stopping.is_set():  # else the database is closed by now
                    self.told("failed", {"why": f"{type(error).__name__}: {printed(str(error))}"})
            stopping.wait(_TURN_SECONDS)

    def _next(self) -> bytes | None:
        """Return the next hub, held; None where none is due, as far as was looked of late."""
        with self._lock:
            began = self.monotonic()
            if not self._taken and began >= self._quiet_until:
                found = self.deliveries.take(self._holder, self.hubs_at_once)
                self._taken.extend(found)
                self._held.update(found)
                if len(found) < self.hubs_at_once:
                    took = self.monotonic() - began
                    self._quiet_until = began + max(LOOK_SECONDS, LOOK_SHARE * took)
            return self._taken.popleft() if self._taken else None

    def _hold_on(self) -> None:
        """Say again which hubs are held, long before others take them."""
        now = self.monotonic()
        if now < self._held_at + LEASE_SECONDS / 4:
            return
        self._held_at = now
        with self._lock:
            held = set(self._held)
        if not held:
            return
        try:
            lost = held - self.deliveries.hold_on(self._holder, held)
        except (StoreUnreachable, StoreBusy) as error:
            self.told("waits", {"why": str(error)})
            return
        with self._lock:  # others have them now; what is under way is handed over twice at worst
            self._held -= lost
            self._taken = deque(one for one in self._taken if one not in lost)

    def _deliver_all(self, meter: bytes) -> None:
        """Deliver a hub's invoices in order; the first that fails ends it."""
        tries = self.deliveries.tries(meter)
        for kept in self.utility.questions.waiting(meter):
            if kept.state is not State.ENTERED or not kept.address:
                continue
            if not self.deliveries.hold_on(self._holder, [meter]):
                return
            known = self.utility.failures.of([kept.question.about.nonce]) if tries else {}
            try:
                self.utility.deliver_invoice(
                    kept.question, self._talking(), Address.parse(kept.address)
                )
            except (StoreUnreachable, StoreBusy):
                raise
            except UtilityError as error:
                before = known.get(kept.question.about.nonce)
                self._failed(kept, tries, error, "" if before is None else before.why)
                return
            self.counts["delivered"] += 1
            facts: dict[str, object] = {"invoice": kept.entry, "meter": meter.hex()}
            self.told("delivered", facts | ({"after_failures": tries} if tries else {}))
            tries = 0
        self.deliveries.done(self._holder, meter)

    def _failed(self, kept: KeptQuestion, tries: int, error: UtilityError, before: str) -> None:
        meter, pause = kept.question.about.meter, self._pause(tries, error)
        self.deliveries.failed(self._holder, meter, pause)
        self.counts["failed"] += 1
        why = printed(str(error))
        if why != before:  # a change of state, once: one that stays away is no news each time
            self.told(
                "not delivered",
                {
                    "invoice": kept.entry, "meter": meter.hex(), "why": why,
                    "again_in_seconds": pause,
                },
            )  # fmt: skip

    def _pause(self, tries: int, error: UtilityError) -> int:
        if isinstance(error, HubRefused) and error.status_word != BUSY:
            pause = REFUSED_SECONDS
        elif isinstance(error, (ChannelBroken, HubPutBack, HubContradicts)):
            pause = LOOKED_INTO_SECONDS
        else:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS << min(tries, 16))
        # A quarter more at most, so that hubs behind one line that was down do not come at once.
        return pause + pause * self.utility.randomness(1)[0] // 1024

    def _talking(self) -> HeadEnd:
        if self.head_end is not None:
            return self.head_end()
        head_end = self.utility.head_end()
        head_end.timeout_seconds, head_end.patience_seconds = ANSWER_SECONDS, 0.0
        return head_end
