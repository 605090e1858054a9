# SPDX-License-Identifier: Apache-2.0
"""A bill run: a bill for every customer, of a period or of whatever is due, under one tariff.

Each customer is asked once a period: who has that period's bill already is left alone, unless the
run says to replace it. A hub is asked at its address, where the run has one and the service may
dial; else its question waits until the hub dials in, and whoever takes hubs' answers verifies it.
Hubs that are not reached, or whose days are not certified yet, are tried again, each time after
twice the time. A refusal by the resident's consents is not tried again: asking more often would
press him.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from applets.billing.messages import BillQuestion
from protocols.metrology import GridError, Period, date_at, find_zone
from tariffs import TariffError
from utility_server.errors import (
    AlreadyBilled,
    CannotVerify,
    HeadEndError,
    HubRefused,
    QuestionClosed,
    ServiceRefused,
    StoreError,
    UnknownCustomer,
    UtilityError,
    VerificationFailed,
    kind_of,
)
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.contracts import Cycle
from utility_server.retail.failures import REFUSED_BY_HUB, kind_of_failure
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility
from utility_server.service.jobs.items import OPEN, BillRunItem, BillRunItems, ItemState
from utility_server.service.jobs.store import Facts, Job
from utility_server.service.tariff_register import TariffRegister

KIND: Final = "bill-run"
SLICE: Final = 20
"""So many hubs are asked before the run is noted, and others get their turn."""
LISTED: Final = 200
POLL_SECONDS: Final = (2, 60)
"""How often it is looked whether waiting hubs have answered, at first and at most."""
LONGEST_RETRY_SECONDS: Final = 86_400
_NOT_CERTIFIED: Final = 0x6A83
_NOT_CERTIFIED_KIND: Final = f"{REFUSED_BY_HUB}{_NOT_CERTIFIED:04x}"
FIRST_OF_ALL: Final = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class BillRunOrder:
    """What a run is to do."""

    tariff: bytes
    """Digest of a registered tariff."""
    period: Period | None = None
    """The days to be billed; None: whatever is due in the reading cycle."""
    cycle: Cycle = Cycle.MONTH
    begins: date = FIRST_OF_ALL
    """A day on which a cycle begins."""
    meters: tuple[bytes, ...] = ()
    """Whose bills; empty: all customers'."""
    addresses: Mapping[bytes, str] = field(default_factory=dict)
    """Where hubs are asked, HOST:PORT; others are waited for."""
    at_last_address: bool = False
    """Whether other hubs are asked where they were asked last, if the service may dial."""
    replaces: bool = False
    """Whether a period that is billed is billed again."""
    tries: int = 5
    retry_seconds: int = 300
    wait_seconds: int = 0
    """How long after its beginning a run ends at the latest; 0: only with a cancellation."""

    def facts(self) -> Facts:
        """Return it as it is kept."""
        period = self.period
        return {
            "tariff": self.tariff,
            "period": "" if period is None else f"{period.first}..{period.last}",
            "cycle": str(self.cycle),
            "begins": str(self.begins),
            "meters": list(self.meters),
            "addresses": [[meter, where] for meter, where in sorted(self.addresses.items())],
            "at_last_address": self.at_last_address,
            "replaces": self.replaces,
            "tries": self.tries,
            "retry_seconds": self.retry_seconds,
            "wait_seconds": self.wait_seconds,
        }

    @classmethod
    def of(cls, facts: Facts) -> "BillRunOrder":
        """Return what was kept."""
        return cls(
            tariff=bytes(facts["tariff"]),
            period=Period.parse(facts["period"]) if facts["period"] else None,
            cycle=Cycle(facts["cycle"]),
            begins=date.fromisoformat(facts["begins"]),
            meters=tuple(map(bytes, facts["meters"])),
            addresses={bytes(meter): str(where) for meter, where in facts["addresses"]},
            at_last_address=bool(facts["at_last_address"]),
            replaces=bool(facts["replaces"]),
            tries=facts["tries"],
            retry_seconds=facts["retry_seconds"],
            wait_seconds=facts["wait_seconds"],
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """What came of a slice of work."""

    done: int
    total: int
    result: Facts
    due: int | None
    """When there is more to do; None: the run is at its end."""


@dataclass(frozen=True, slots=True)
class BillRun:
    """Works on bill runs."""

    utility: Utility
    tariffs: TariffRegister
    items: BillRunItems
    head_end: Callable[[], HeadEnd] | None
    """Asks hubs at addresses; None: the service dials nobody, and all hubs are waited for."""
    now: Callable[[], int] = field(repr=False)

    def work(self, job: Job, is_cancelled: Callable[[], bool]) -> Slice:
        """Do a slice of a run; `is_cancelled` is asked before each hub."""
        order, result = BillRunOrder.of(job.parameters), dict(job.result)
        if not result.get("listed"):
            self._list(job, order, result)
        waiting = result.get("listed") is not True
        self._follow(job, order)
        for item in self.items.to_try(job.identification, self.now(), SLICE):
            if is_cancelled():
                break
            self._ask(item, order)
        if order.wait_seconds and self.now() >= job.begun + order.wait_seconds:
            self._give_up(job)
        counts = self.items.counts(job.identification)
        total = sum(counts.values())
        still_open = sum(counts.get(state, 0) for state in OPEN)
        result["counts"] = counts
        if waiting:
            return Slice(total - still_open, total, result, self.now())
        if not still_open:
            return Slice(total, total, result, None)
        return Slice(total - still_open, total, result, self._due(job, order, counts))

    def cancel(self, job: Job) -> Slice:
        """End a run: what it has asked and nobody has answered is withdrawn."""
        while items := self.items.in_state(job.identification, OPEN, LISTED):
            for item in items:
                if item.nonce:
                    question = self._question(item)
                    if question is not None:
                        self.utility.questions.withdraw(question)
                self.items.put(item, state=ItemState.CANCELLED)
        counts = self.items.counts(job.identification)
        total = sum(counts.values())
        return Slice(total, total, {**job.result, "counts": counts}, None)

    def _due(self, job: Job, order: BillRunOrder, counts: Mapping[str, int]) -> int:
        """Return when there is something to do again."""
        now, times = self.now(), []
        least, most = POLL_SECONDS
        if counts.get(ItemState.ASKED, 0) or counts.get(ItemState.NOT_READY, 0):
            age = now - job.begun
            times.append(now + min(most, max(least, age // 10)))
        next_try = self.items.next_due(job.identification)
        if next_try is not None:
            times.append(max(now, next_try))
        if order.wait_seconds:
            times.append(max(now, job.begun + order.wait_seconds))
        return min(times, default=now + most)

    # Who is asked, and for what

    def _list(self, job: Job, order: BillRunOrder, result: dict[str, Any]) -> None:
        """Put the next customers on the run's list; note where it stands."""
        after = bytes(result.get("after", b""))
        if order.meters:
            meters = [one for one in sorted(order.meters) if one > after][:LISTED]
        else:
            meters = self.utility.customers.page(after, LISTED)
        items: list[BillRunItem] = []
        for meter in meters:
            items += self._items_of(job, order, meter)
        self.items.add(items)
        result["listed"] = len(meters) < LISTED
        if meters:
            result["after"] = meters[-1]

    def _items_of(self, job: Job, order: BillRunOrder, meter: bytes) -> Iterator[BillRunItem]:
        """Yield what a customer is to be asked."""
        address = ""
        if self.head_end is not None:
            address = order.addresses.get(meter, "")
            if not address and order.at_last_address:
                address = self.utility.questions.last_address(meter)
        try:
            zone = self.utility.customers.zone(meter)
            periods = [order.period] if order.period else self._due_of(meter, order, zone)
            for period in periods:
                begin, end = period.bounds(zone)
                yield BillRunItem(job.identification, meter, begin, end, address=address)
        except (UtilityError, GridError) as error:
            state, why = ItemState.REFUSED, str(error)
            yield BillRunItem(
                job.identification, meter, 0, 0, state, reason=kind_of(error), why=why
            )

    def _due_of(self, meter: bytes, order: BillRunOrder, zone: str) -> list[Period]:
        """Return what is due and over of a customer's contracts, in order."""
        contracts, found = self.utility.contracts, []
        today = date_at(self.now(), find_zone(zone))
        for contract in contracts.of_meter(meter):
            progress = contracts.progress(contract, today)
            due = progress.due(order.cycle, order.begins)
            if due is not None and progress.is_over(due):
                found.append(due)
        return found

    # Asking

    def _ask(self, item: BillRunItem, order: BillRunOrder) -> None:
        """Ask for one bill, as far as that goes now."""
        utility, question = self.utility, None
        try:
            zone = utility.customers.zone(item.meter)
            period = Period.filling(item.begin, item.end, zone)
            standing = utility.replaced_by(item.meter, item.begin, item.end)
            if standing is not None and not order.replaces and not item.nonce:
                self.items.put(
                    item, state=ItemState.BILLED, reason="billed-before", entry=standing.sequence
                )
                return
            tariff = self.tariffs.usable(order.tariff)
            question = utility.question(item.meter, period, tariff.document)
            item = self.items.put(item, nonce=question.about.nonce)
            if not item.address or self.head_end is None:
                self.items.put(item, state=ItemState.ASKED, reason="", why="")
                return
            self._ask_at(item, question, self.head_end())
        except HubRefused as refused:
            self._refused_by_hub(item, refused, order)
        except HeadEndError as error:
            self._try_again(item, ItemState.UNREACHABLE, error, order)
        except (
            AlreadyBilled, CannotVerify, QuestionClosed, ServiceRefused, UnknownCustomer,
            VerificationFailed, GridError, TariffError,
        ) as error:  # fmt: skip
            kept = None if question is None else utility.questions.find(question)
            entry = 0 if kept is None else kept.entry
            why = str(error)
            self.items.put(
                item, state=ItemState.REFUSED, reason=kind_of(error), why=why, entry=entry
            )

    def _ask_at(self, item: BillRunItem, question: BillQuestion, head_end: HeadEnd) -> None:
        """Ask the hub at its address, enter what it answers, and deliver the invoice."""
        address = Address.parse(item.address)
        answer = self.utility.answer_of(question, head_end, address)
        billed = self.utility.verify(question, answer)
        item = self.items.put(
            item, state=ItemState.BILLED, reason="", why="", entry=billed.entry.sequence
        )
        try:
            self.utility.deliver(billed, head_end, address)
        except HeadEndError as error:  # it stands, and waits to be delivered
            self.items.put(item, reason="not-delivered", why=str(error))

    def _refused_by_hub(self, item: BillRunItem, refused: HubRefused, order: BillRunOrder) -> None:
        if refused.status_word == _NOT_CERTIFIED:
            self._try_again(item, ItemState.NOT_READY, refused, order)
            return
        reason, why = kind_of_failure(refused), str(refused)
        self.items.put(item, state=ItemState.DECLINED, reason=reason, why=why)

    def _try_again(
        self, item: BillRunItem, state: ItemState, error: UtilityError, order: BillRunOrder
    ) -> None:
        tries, reason, why = item.tries + 1, kind_of(error), str(error)
        if tries >= order.tries:
            self.items.put(item, state=ItemState.GIVEN_UP, tries=tries, reason=reason, why=why)
            return
        wait = min(order.retry_seconds << min(item.tries, 20), LONGEST_RETRY_SECONDS)
        self.items.put(
            item, state=state, tries=tries, due=self.now() + wait, reason=reason, why=why
        )

    # What hubs have answered meanwhile

    def _follow(self, job: Job, order: BillRunOrder) -> None:
        """Note what came of the questions that hubs are waited for with, and why not yet.

        Whichever gateway they have dialled: what a hub has refused is kept with its question. It is
        asked again at another time; a run takes the refusal of its resident as the end. A hub whose
        days are not certified yet is not ready: it is asked again when it dials, and not by the
        run. What was refused before the run began may be consented to by now, so that counts for
        nothing.
        """
        for item, kind, why in self.items.failed(job.identification, job.begun, LISTED):
            due = item.due
            if kind == _NOT_CERTIFIED_KIND:
                state = ItemState.NOT_READY
                due = self.now() + order.retry_seconds if item.address else 0
            else:
                is_no = kind.startswith(REFUSED_BY_HUB)
                state = ItemState.DECLINED if is_no else ItemState.ASKED
            self.items.put(item, state=state, due=due, reason=kind, why=why)
        for item, now, entry in self.items.moved(job.identification, LISTED):
            match State(now):
                case State.ENTERED | State.DELIVERED:
                    self.items.put(item, state=ItemState.BILLED, entry=entry)
                case State.REFUSED:
                    content = self.utility.ledger.entry(entry).content
                    self.items.put(
                        item, state=ItemState.REFUSED, entry=entry, reason="verification-failed",
                        why=str(content.get("why", "")),
                    )  # fmt: skip
                case _:
                    self.items.put(
                        item, state=ItemState.REFUSED, reason="withdrawn",
                        why="the question was withdrawn",
                    )  # fmt: skip

    def _give_up(self, job: Job) -> None:
        """End what has not come by the end of the run; its questions stay open."""
        while items := self.items.in_state(job.identification, OPEN, LISTED):
            for item in items:
                reason = item.reason or "no-answer"
                why = item.why or "the hub has not answered before the end of the run"
                self.items.put(item, state=ItemState.GIVEN_UP, reason=reason, why=why)

    def _question(self, item: BillRunItem) -> BillQuestion | None:
        try:
            return self.utility.questions.of_nonce(item.nonce).question
        except (QuestionClosed, StoreError):
            return None
