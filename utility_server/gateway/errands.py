# SPDX-License-Identifier: Apache-2.0
"""What there is to do for a meter when its hub dials.

    BillErrands   open questions are asked, and the answers kept; invoices that wait are delivered
    AllErrands    several of them, in order

An errand may be cut off at any step and is then begun anew at the hub's next POST, in this process
or another. So it asks the same question again (the hub gives the same answer, counted once) and
hands over the same invoice again (the hub shows it once). What has failed is left alone for a
while.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from applets.billing.messages import BillQuestion
from applets.common.unattributed import UnattributedQuestion
from protocols.iso7816.errors import WireError
from protocols.metrology import Period
from protocols.remote_admin.server import Errand, Waits
from protocols.secure_channel.conversation import Conversation
from utility_server.errors import HeadEndError, HubRefused, StoreError, UtilityError
from utility_server.gateway.gathering import Gathering
from utility_server.hub_conversation import INCOMPLETE, HubConversations
from utility_server.retail.claims import BILL, UNATTRIBUTED, command_of, saying_what_to_do
from utility_server.retail.limits import (
    enter_unattributed,
    refusing_unattributed,
    unattributed_question,
)
from utility_server.retail.questions import KeptQuestion, State
from utility_server.retail.utility import Utility, delivery_of

REFRESH_SECONDS: Final = 1.0
"""How old the list of meters that something waits for may be."""
REFRESH_SHARE: Final = 20
"""Reading that list takes at most one part in so many of the time."""
INCOMPLETE_SECONDS: Final = 6 * 3600.0
"""Days are certified once a day."""
REFUSED_SECONDS: Final = 24 * 3600.0
"""What a hub has refused is asked again once a day: the resident may have consented by then."""
FAILED_SECONDS: Final = 300.0
"""For one meter."""
POLL_SECONDS: Final = 900
SOON_SECONDS: Final = 5
"""Between two sessions while an answer is being verified."""
SOON_FOR_SECONDS: Final = 600.0
"""For so long: an answer that is set aside must not keep its hub dialling."""
PAUSE_SECONDS: Final = 2
NOTHING_SECONDS: Final = 2.0
"""For so long a meter whose questions had to be left alone is not looked up again."""
NOTHING_YET_SECONDS: Final = 0.25
"""The same while its answer is being verified."""


class Errands(Protocol):
    """What there is to do; called from several threads, but never twice at once for one meter."""

    def is_fresh(self) -> bool:
        """Whether `is_waiting` goes by what is known of late."""
        ...

    def refresh(self) -> None:
        """Look what there is to do for whom; in a thread, since it may wait for a database."""
        ...

    def is_waiting(self, meter: bytes) -> bool:
        """Whether there may be something to do; at once, for each poll of each hub."""
        ...

    def next(self, meter: bytes) -> Errand | None:
        """Return what is to be done next, begun anew if it was cut off; None: nothing now."""
        ...

    def waits(self, meter: bytes) -> Waits:
        """Return when the hub is to come again; at once, too."""
        ...


@dataclass(slots=True)
class BillErrands:
    """The bills of one utility.

    `answered` is told of each question whose answer is kept now; by default the bill is verified
    and entered at once. What went wrong with a question is kept with it (`retail.failures`), for
    whoever shows how far it is; `failed` is told, too. `told` gets each question that was asked,
    answered or delivered, with that word.
    """

    utility: Utility
    answered: Callable[[BillQuestion], object] | None = None
    failed: Callable[[BillQuestion, UtilityError], object] | None = None
    told: Callable[[str, BillQuestion], object] = field(default=lambda *_: None, repr=False)
    poll_seconds: int = POLL_SECONDS
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    _states: dict[bytes, frozenset[State]] = field(default_factory=dict)
    _fresh_until: float = float("-inf")
    _not_before: dict[bytes, float] = field(default_factory=dict)
    """By nonce: when what has failed may be tried again."""
    _soon_until: dict[bytes, float] = field(default_factory=dict)
    """By meter: until when its hub is to come again soon."""
    _nothing_at: "OrderedDict[bytes, tuple[float, frozenset[State]]]" = field(
        default_factory=OrderedDict
    )
    """By meter, the last one at the end: when nothing could be done, and the states then."""
    _gathering: Gathering = field(init=False, repr=False)
    _unattributed: dict[bytes, UnattributedQuestion] = field(default_factory=dict)
    """By the bill's nonce: asked again byte for byte, so that the hub counts it once."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._gathering = Gathering(self.utility.questions.answered_together)

    def is_fresh(self) -> bool:
        """Whether the states of questions were read of late."""
        return self.monotonic() < self._fresh_until

    def refresh(self) -> None:
        """Read them, unless another thread just has."""
        with self._lock:
            began = self.monotonic()
            if began >= self._fresh_until:
                self._states = self.utility.questions.states()
                took = self.monotonic() - began
                self._fresh_until = began + max(REFRESH_SECONDS, REFRESH_SHARE * took)

    def is_waiting(self, meter: bytes) -> bool:
        """Whether a question is open to be asked, or an invoice waits or may by now.

        A hub that was told to come soon is looked up by itself: what is known of all meters may
        be a second old, and its invoice must not miss the poll that was meant for it. A look costs
        a statement and a thread, so that one which found nothing serves for a while.
        """
        is_near = self._is_near(meter)
        if not is_near and not self._states_of(meter) & {State.ASKED, State.ENTERED}:
            return False
        found = self._nothing_at.get(meter)
        if found is None or found[1] != self._states_of(meter):
            return True
        return self.monotonic() - found[0] >= (NOTHING_YET_SECONDS if is_near else NOTHING_SECONDS)

    def waits(self, meter: bytes) -> Waits:
        """Soon, while an answer is being verified: its invoice comes next."""
        return Waits(PAUSE_SECONDS, SOON_SECONDS if self._is_near(meter) else self.poll_seconds)

    def next(self, meter: bytes) -> Errand | None:
        """Return the next question to ask or invoice to deliver; questions come first."""
        now = self.monotonic()
        kept = self.utility.questions.waiting(meter)
        with self._lock:
            self._states[meter] = frozenset(one.state for one in kept)
        for one in kept:
            if self._not_before.get(one.question.about.nonce, now) > now:
                continue
            if one.state is State.ASKED:
                return self._guarded(one, self._asking(one.question))
            if one.state is State.ENTERED:
                return self._guarded(one, self._delivering(one.question))
        if not kept:
            return None  # as the states say, too
        with self._lock:
            self._nothing_at.pop(meter, None)
            self._nothing_at[meter] = now, self._states[meter]
            while next(iter(self._nothing_at.values()))[0] <= now - NOTHING_SECONDS:
                self._nothing_at.popitem(last=False)
        return None

    def _asking(self, question: BillQuestion) -> Conversation[None]:
        yield from self._bounding(question)
        enrolment = self.utility.customers.find(question.about.meter, *BILL.aids)

        def accept(answer: bytes) -> None:
            # On the disk before the hub is sent anything more.
            self._gathering.keep(question, answer)
            self.told("answered", question)
            self._answered(question, answer)

        self.told("asked", question)
        with saying_what_to_do(question):
            yield from self._conversations.ask(enrolment, command_of(BILL, question), accept)

    def _answered(self, question: BillQuestion, answer: bytes) -> None:
        now = self.monotonic()
        with self._lock:
            for meter in [one for one, until in self._soon_until.items() if until <= now]:
                del self._soon_until[meter]
            self._soon_until[question.about.meter] = now + SOON_FOR_SECONDS
        if self.answered is not None:
            self.answered(question)
            return
        try:
            self.utility.verify(question, answer)
        except UtilityError as error:
            self._note(question, State.ANSWERED, error)

    def _bounding(self, question: BillQuestion) -> Conversation[None]:
        """Have a period's unattributed energy bounded first, where the utility has a limit."""
        about, utility = question.about, self.utility
        asked = self._unattributed.get(about.nonce)
        if asked is None:
            zone = utility.customers.zone(about.meter)
            found = unattributed_question(
                utility, about.meter, Period.filling(about.begin, about.end, zone)
            )
            if not isinstance(found, UnattributedQuestion):
                return
            asked = self._unattributed[about.nonce] = found
        enrolment = utility.customers.find(about.meter, *UNATTRIBUTED.aids)
        command = command_of(UNATTRIBUTED, asked)
        with refusing_unattributed(asked):
            answer = yield from self._conversations.ask(enrolment, command)
        enter_unattributed(utility, asked, answer)
        self._unattributed.pop(about.nonce, None)

    def _delivering(self, question: BillQuestion) -> Conversation[None]:
        invoice = self.utility.questions.invoice(question)
        enrolment = self.utility.customers.find(question.about.meter, *BILL.aids)

        def accept(_answer: bytes) -> None:
            self.utility.questions.delivered(question)
            self.told("delivered", question)

        yield from self._conversations.ask(enrolment, delivery_of(invoice), accept)

    def _guarded(self, kept: KeptQuestion, conversation: Conversation[None]) -> Errand:
        try:
            yield from conversation
        except (UtilityError, WireError) as error:
            known = error if isinstance(error, UtilityError) else HeadEndError(str(error))
            self._note(kept.question, kept.state, known)
        except TimeoutError:
            late = HeadEndError("the hub took too long to show its log")
            self._note(kept.question, kept.state, late)

    def _note(self, question: BillQuestion, state: State, error: UtilityError) -> None:
        seconds = FAILED_SECONDS
        if isinstance(error, HubRefused):
            is_early = error.status_word == INCOMPLETE
            seconds = INCOMPLETE_SECONDS if is_early else REFUSED_SECONDS
        now = self.monotonic()
        with self._lock:
            over = [nonce for nonce, until in self._not_before.items() if until <= now]
            for nonce in over:
                del self._not_before[nonce]
                self._unattributed.pop(nonce, None)
            self._not_before[question.about.nonce] = now + seconds
        with suppress(StoreError):  # what has failed is tried again, and then kept
            self.utility.failures.note(question.about.nonce, state, error)
        if self.failed is not None:
            self.failed(question, error)

    def _is_near(self, meter: bytes) -> bool:
        """Whether a bill of this meter is being verified, and its answer came of late."""
        is_fresh = self._soon_until.get(meter, float("-inf")) > self.monotonic()
        return is_fresh and State.ANSWERED in self._states_of(meter)

    def _states_of(self, meter: bytes) -> frozenset[State]:
        return self._states.get(meter, frozenset())

    @property
    def _conversations(self) -> HubConversations:
        return HubConversations(self.utility.randomness, self.utility.hub_logs)


@dataclass(frozen=True, slots=True)
class AllErrands:
    """Several kinds of errands, in order."""

    kinds: Sequence[Errands]
    _expected: set[bytes] = field(default_factory=set)

    def expect(self, meters: Iterable[bytes]) -> None:
        """Look for each of these hubs by itself when it dials: it is woken for what has just come.

        What is known of all meters may be older than that.
        """
        self._expected.update(meters)

    def is_fresh(self) -> bool:
        """Whether all are."""
        return all(kind.is_fresh() for kind in self.kinds)

    def refresh(self) -> None:
        """Refresh those that are not."""
        for kind in self.kinds:
            if not kind.is_fresh():
                kind.refresh()

    def is_waiting(self, meter: bytes) -> bool:
        """Whether any has something to do."""
        return meter in self._expected or any(kind.is_waiting(meter) for kind in self.kinds)

    def waits(self, meter: bytes) -> Waits:
        """As soon as the most urgent wants."""
        waits = [kind.waits(meter) for kind in self.kinds]
        return Waits(min(one.pause for one in waits), min(one.poll for one in waits))

    def next(self, meter: bytes) -> Errand | None:
        """Return the first that there is."""
        is_expected = meter in self._expected
        for kind in self.kinds:
            errand = kind.next(meter) if is_expected or kind.is_waiting(meter) else None
            if errand is not None:
                return errand
        self._expected.discard(meter)
        return None
