# SPDX-License-Identifier: Apache-2.0
"""Runs that settle or profile many customers: one question to each, one proved answer of each.

A hub is asked at its address, where the run has one and the service may dial; else it is asked when
it dials in. What hubs answer is verified many at once and entered by the run. Hubs that are not
reached, or whose days are not certified yet, are tried again, each time after twice the time. Who
has said no is not pressed. A customer who is settled already, for the same supplier, days and
prices, is not asked again: each answer counts at the hub.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from applets.profiling.messages import ProfilingRequest
from applets.profiling.statement import ProfiledPeriod
from applets.settlement.statement import SettledPeriod
from protocols.metrology import GridError, Period
from tariffs import PriceIndex, TariffError
from utility_server.errors import (
    CannotVerify,
    HeadEndError,
    StoreError,
    UtilityError,
    kind_of,
)
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.claim_runs import (
    ASKING,
    OPEN,
    ClaimEntering,
    ClaimItem,
    ClaimItems,
    ClaimState,
)
from utility_server.retail.claims import PROFILE, SETTLEMENT, ask
from utility_server.retail.profiling import ask_for as profile_question
from utility_server.retail.settlement import NANO_PER_PENNY
from utility_server.retail.settlement import ask_for as settlement_question
from utility_server.retail.shares import round_shares
from utility_server.retail.utility import Utility
from utility_server.service.jobs.bill_run import LONGEST_RETRY_SECONDS, Slice
from utility_server.service.jobs.store import Facts, Job

SETTLEMENT_RUN: Final = "settlement-run"
PROFILE_RUN: Final = "profile-run"
CLAIM_OF: Final[Mapping[str, str]] = {
    SETTLEMENT_RUN: SETTLEMENT.kind,
    PROFILE_RUN: PROFILE.kind,
}
"""What runs of a kind ask."""
SLICE: Final = 20
"""So many hubs are asked before the run is noted, and others get their turn."""
PARTS: Final = 8
"""So many parts of answers are entered before that."""
LISTED: Final = 200
POLL_SECONDS: Final = (2, 60)
"""How often it is looked whether hubs have answered, at first and at most."""
ELSEWHERE_SECONDS: Final = 60
"""How often it is looked what came of a customer whom another run has asked the same."""
_ELSEWHERE: Final = "another run waits for the same answer"
NOT_TO_ASK: Final = (UtilityError, GridError, TariffError)
"""What keeps one customer from being asked, and no other."""


@dataclass(frozen=True, slots=True)
class ClaimOrder:
    """What a run is to do."""

    document: bytes
    """SHA-256 of what is asked under, which `ClaimItems` keeps: an index, or a request."""
    period: Period
    about: Mapping[str, str | int]
    """What people are told of the document."""
    suppliers: Mapping[str, tuple[bytes, ...]]
    """Each supplier's customers; of a profile run, all under the name ''.

    None of a single one are all customers."""
    addresses: Mapping[bytes, str] = field(default_factory=dict)
    """Where hubs are asked, HOST:PORT; others are waited for."""
    tries: int = 5
    retry_seconds: int = 300
    wait_seconds: int = 0
    """How long after its beginning a run ends at the latest; 0: only with a cancellation."""

    def facts(self) -> Facts:
        """Return it as it is kept."""
        return {
            "document": self.document,
            "about": dict(self.about),
            "period": f"{self.period.first}..{self.period.last}",
            "suppliers": [[name, list(meters)] for name, meters in sorted(self.suppliers.items())],
            "addresses": [[meter, where] for meter, where in sorted(self.addresses.items())],
            "tries": self.tries,
            "retry_seconds": self.retry_seconds,
            "wait_seconds": self.wait_seconds,
        }

    @classmethod
    def of(cls, facts: Facts) -> "ClaimOrder":
        """Return what was kept."""
        return cls(
            document=bytes(facts["document"]),
            about=facts["about"],
            period=Period.parse(facts["period"]),
            suppliers={str(name): tuple(map(bytes, meters)) for name, meters in facts["suppliers"]},
            addresses={bytes(meter): str(where) for meter, where in facts["addresses"]},
            tries=facts["tries"],
            retry_seconds=facts["retry_seconds"],
            wait_seconds=facts["wait_seconds"],
        )

    @property
    def members(self) -> list[tuple[bytes, str]]:
        """Each named customer with his supplier, in the order of the meters."""
        return sorted((meter, name) for name, meters in self.suppliers.items() for meter in meters)


@dataclass(frozen=True, slots=True)
class SupplierShare:
    """What a supplier's customers used was worth, as far as they are settled."""

    supplier: str
    customers: int
    exact: int
    """In 10^-9 of the currency."""
    share: int
    """In 10^-2 of it: whole pennies, which add up to the rounded sum."""


@dataclass(frozen=True, slots=True)
class ClaimRun:
    """Works on settlements and profiles."""

    utility: Utility
    head_end: Callable[[], HeadEnd] | None
    """Asks hubs at addresses; None: the service dials nobody, and all hubs are waited for."""

    @property
    def items(self) -> ClaimItems:
        """The customers of all runs."""
        return self.utility.claim_items

    def work(self, job: Job, is_cancelled: Callable[[], bool]) -> Slice:
        """Do a slice of a run; `is_cancelled` is asked before each hub."""
        order, result = ClaimOrder.of(job.parameters), dict(job.result)
        if result.get("listed") is not True:
            self._list(job, order, result)
        is_listed = result["listed"]
        asking = self._asking(job, order)
        for item in self.items.to_try(job.identification, SLICE):
            if is_cancelled():
                break
            asking.go_on(item)
        self._enter(job)
        if order.wait_seconds and self.utility.now() >= job.begun + order.wait_seconds:
            self._give_up(job)
        counts = self.items.counts(job.identification)
        total = sum(counts.values())
        still_open = sum(counts.get(state, 0) for state in OPEN)
        result["counts"] = counts
        due: int | None = None
        if not is_listed:
            due = self.utility.now()
        elif still_open:
            due = self._due(job, order, counts)
        return Slice(total - still_open, total, result, due)

    def cancel(self, job: Job) -> Slice:
        """End a run: what has been answered is entered, and nobody else is asked."""
        waited_for = (ClaimState.NEW, *ASKING)
        while True:
            self._enter(job, parts=None)
            items = self.items.in_state(job.identification, waited_for, LISTED)
            if not items:
                break
            for item in items:  # an answer may come meanwhile: it is entered, too
                self.items.put(item, waited_for, state=ClaimState.CANCELLED)
        counts = self.items.counts(job.identification)
        total = sum(counts.values())
        return Slice(total, total, {**job.result, "counts": counts}, None)

    def shares(self, job: Job) -> list[SupplierShare]:
        """Return what a settlement has come to by now, by supplier."""
        exact: dict[str, int] = dict.fromkeys(ClaimOrder.of(job.parameters).suppliers, 0)
        customers = dict(exact)
        for supplier, value, _ in self.items.entered(job.identification):
            exact[supplier] += int(value)
            customers[supplier] += 1
        shares = round_shares(exact, NANO_PER_PENNY)
        return [
            SupplierShare(name, customers[name], exact[name], shares[name])
            for name in sorted(exact)
        ]

    def missing(self, job: Job) -> int:
        """Return how many slots of entered customers have no reading."""
        return sum(missing for _, _, missing in self.items.entered(job.identification))

    def _enter(self, job: Job, parts: int | None = PARTS) -> None:
        """Verify and enter what has been answered: so many parts, or all."""
        entering = ClaimEntering(self.utility, self.items, proved)
        done = 0
        while parts is None or done < parts:
            if not entering.enter_some(job.identification):
                return
            done += 1

    def _due(self, job: Job, order: ClaimOrder, counts: Mapping[str, int]) -> int:
        """Return when there is something to do again."""
        now, times = self.utility.now(), []
        least, most = POLL_SECONDS
        if counts.get(ClaimState.ANSWERED, 0):
            times.append(now)
        if any(counts.get(state, 0) for state in ASKING):
            age = now - job.begun
            times.append(now + min(most, max(least, age // 10)))
        next_try = self.items.next_due(job.identification)
        if next_try is not None:
            times.append(max(now, next_try))
        if order.wait_seconds:
            times.append(max(now, job.begun + order.wait_seconds))
        return min(times, default=now + most)

    # Who is asked

    def _list(self, job: Job, order: ClaimOrder, result: dict[str, Any]) -> None:
        """Put the next customers on the run's list; note where it stands."""
        after = bytes(result.get("after", b""))
        members = order.members
        if members:
            some = [one for one in members if one[0] > after][:LISTED]
        else:
            (supplier,) = order.suppliers
            some = [(meter, supplier) for meter in self.utility.customers.page(after, LISTED)]
        self.items.add([self._item(job, order, *member) for member in some])
        result["listed"] = len(some) < LISTED
        if some:
            result["after"] = some[-1][0]

    def _item(self, job: Job, order: ClaimOrder, meter: bytes, supplier: str) -> ClaimItem:
        address = order.addresses.get(meter, "") if self.head_end is not None else ""
        return ClaimItem(job.identification, meter, CLAIM_OF[job.kind], supplier, address=address)

    def _give_up(self, job: Job) -> None:
        """End what has not come by the end of the run."""
        waited_for = (ClaimState.NEW, *ASKING)
        while items := self.items.in_state(job.identification, waited_for, LISTED):
            for item in items:
                self.items.put(
                    item, waited_for, state=ClaimState.GIVEN_UP,
                    reason=item.reason or "no-answer",
                    why=item.why or "the hub has not answered before the end of the run",
                )  # fmt: skip

    def _asking(self, job: Job, order: ClaimOrder) -> "_Asking":
        return _Asking(self.utility, self.items, self.head_end, job.kind, order)


@dataclass(slots=True)
class _Asking:
    """Asks customers in one slice of a run."""

    utility: Utility
    items: ClaimItems
    head_end: Callable[[], HeadEnd] | None
    kind: str
    order: ClaimOrder
    _document: Any = None

    def go_on(self, item: ClaimItem) -> None:
        """Ask one customer, as far as that goes now."""
        if item.state is ClaimState.NEW:
            asked = self._keep_question(item)
            if asked is None:
                return
            item = asked
        if item.address and self.head_end is not None:
            self._ask_at(item, self.head_end())

    def _keep_question(self, item: ClaimItem) -> ClaimItem | None:
        """Make a customer's question and keep it; return None where there is nothing to ask."""
        try:
            zone = self.utility.customers.find(item.meter, *item.claim.aids).zone
            begin, end = self.order.period.bounds(zone)
            settled = self._settled_before(item, begin, end)
            question = None if settled else self._question(item.meter)
        except StoreError:
            raise
        except NOT_TO_ASK as error:
            why = str(error)
            self.items.put(item, state=ClaimState.REFUSED, reason=kind_of(error), why=why)
            return None
        if question is None:
            self.items.put(item, state=ClaimState.ENTERED, begin=begin, end=end, why="", **settled)
            return None
        if self._is_asked_elsewhere(item, question):
            # What comes of that is taken over; the hub would count both.
            due = self.utility.now() + ELSEWHERE_SECONDS
            self.items.put(item, due=due, reason="asked-before", why=_ELSEWHERE)
            return None
        return self.items.put(
            item, (ClaimState.NEW,), state=ClaimState.ASKED, reason="", why="", begin=begin,
            end=end, due=0, nonce=question.about.nonce, question=question.encode(),
        )  # fmt: skip

    def _question(self, meter: bytes) -> Any:
        content, period = self._content(), self.order.period
        if isinstance(content, PriceIndex):
            return settlement_question(self.utility, content, period, meter)
        return profile_question(self.utility, content, period, meter)

    def _content(self) -> PriceIndex | ProfilingRequest:
        if self._document is None:
            content = self.items.document(self.order.document)
            is_settlement = self.kind == SETTLEMENT_RUN
            decode = PriceIndex.decode if is_settlement else ProfilingRequest.decode
            self._document = decode(content)
        found: PriceIndex | ProfilingRequest = self._document
        return found

    def _is_asked_elsewhere(self, item: ClaimItem, question: Any) -> bool:
        """Tell whether another run waits for the answer to the same, and is as near to the hub."""
        if self.kind != SETTLEMENT_RUN:
            return False
        about = question.about
        for other in self.items.waited_for_by_others(item, about.begin, about.end):
            known: Any = other.asked
            same = replace(known, about=replace(known.about, nonce=about.nonce))
            if same == question and (other.address or not item.address):
                return True
        return False

    def _settled_before(self, item: ClaimItem, begin: int, end: int) -> dict[str, Any]:
        """Return what was settled of the same supplier's customer, days and prices before."""
        content = self._content()
        if not isinstance(content, PriceIndex):
            return {}
        part = content.between(begin, end).digest
        for entry in reversed(self.utility.ledger.of_kind(item.kind, item.meter)):
            match entry.content:
                case {
                    "begin": known_begin, "end": known_end, "index": index,
                    "supplier": supplier, "value": str(value), "missing": int(missing),
                } if (known_begin, known_end, index, supplier) == (
                    begin, end, part, item.supplier,
                ):  # fmt: skip
                    return {
                        "reason": "settled-before", "entry": entry.sequence, "value": value,
                        "missing": missing,
                    }  # fmt: skip
        return {}

    def _ask_at(self, item: ClaimItem, head_end: HeadEnd) -> None:
        """Ask a hub at its address, and keep what it answers."""
        try:
            answer = ask(
                self.utility, item.claim, item.asked, head_end, Address.parse(item.address)
            )
            self.items.answered(item, answer)
        except (HeadEndError, CannotVerify) as error:
            wait = min(self.order.retry_seconds << min(item.tries, 20), LONGEST_RETRY_SECONDS)
            after = self.items.failed(item, error, self.utility.now() + wait)
            if after is not None and after.state in ASKING and after.tries >= self.order.tries:
                self.items.put(after, ASKING, state=ClaimState.GIVEN_UP)


def proved(kind: str, result: Any) -> tuple[str, int]:
    """Return the value and the missing slots that a run shows of a verified answer."""
    if kind == SETTLEMENT.kind:
        settled: SettledPeriod = result
        return str(settled.value), len(settled.missing)
    profiled: ProfiledPeriod = result
    return profiled.best, profiled.missing
