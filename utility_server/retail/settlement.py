# SPDX-License-Identifier: Apache-2.0
"""Settlement: what suppliers' customers used, at what it was worth on the grid, hour by hour.

    index, signed -> each customer's hub -> Σ price·use, proved -> verified -> ledger -> shares

A customer's answer tells one number about the whole period. One that is refused, or does not come,
is named and left out; the shares then say that they are provisional. Every answer that came is in
the ledger, as settled or as refused, with what anyone needs to verify it again.

Several hubs are asked at a time, and answers are verified many at once, in other processes perhaps
(`utility_server.fan_out`); entered are they here, one after the other, in the customers' order. So
what comes of it does not depend on how it was spread. Verifying may be repeated. Asking counts at
the hubs, and stays in this process.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.settlement.messages import AID, SettlementQuestion
from applets.settlement.statement import SettledPeriod
from protocols.metrology import Period
from tariffs import PriceIndex, TariffError
from tariffs.signing import verify_signed_index
from utility_server.errors import (
    CannotVerify,
    HeadEndError,
    UnknownCustomer,
    UtilityError,
    VerificationFailed,
)
from utility_server.fan_out import FanOut, InThisProcess, InThreads
from utility_server.head_end import Address, HeadEnd, Traffic
from utility_server.retail.batches import check_answers
from utility_server.retail.claims import (
    SETTLEMENT,
    VerifiedAnswer,
    ask,
    bounds_of,
    enter,
    question_of,
    refusals_entered,
)
from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.opened import close_opened, opened
from utility_server.retail.utility import Utility
from utility_server.retail.verification import BillBundle

PART: Final = 16
"""Answers that are verified at once. What is asked and not entered is lost if this process dies, so
it is not more."""
HUBS_AT_ONCE: Final = 8
SIGNED_BEGINNING: Final = b"\xd2"
"""The tag of COSE_Sign1, with which an index that is not signed does not begin."""
NANO_PER_PENNY: Final = 10**7
"""Amounts are in 10^-9 of the currency, shares in 10^-2."""


@dataclass(frozen=True, slots=True)
class Member:
    """A customer, as those who settle know him."""

    meter: bytes
    supplier: str
    address: Address


@dataclass(frozen=True, slots=True)
class Settled:
    """A customer whose answer was verified and entered."""

    member: Member
    period: SettledPeriod
    entry: LedgerEntry
    bundle: BillBundle


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A customer who is left out, and why."""

    member: Member
    error: UtilityError


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of it."""

    index: PriceIndex
    settled: tuple[Settled, ...]
    unsettled: tuple[Unsettled, ...]

    @property
    def exact(self) -> dict[str, int]:
        """What each supplier's customers used was worth, in 10^-9 of the currency."""
        sums: dict[str, int] = {}
        for one in self.settled:
            supplier = one.member.supplier
            sums[supplier] = sums.get(supplier, 0) + one.period.value
        return dict(sorted(sums.items()))


def settle(
    utility: Utility,
    index: PriceIndex,
    period: Period,
    members: Sequence[Member],
    head_end: HeadEnd,
    progress: Callable[[int], None] = lambda done: None,
    *,
    how: FanOut = InThisProcess(),  # noqa: B008 - it holds nothing
    hubs_at_once: int = HUBS_AT_ONCE,
) -> Settlement:
    """Ask every member's hub, verify what it answers and enter it.

    `how` says where answers are verified. Raises `CannotVerify` where a meter is there twice, or
    nobody is.
    """
    if not members or len({member.meter for member in members}) != len(members):
        raise CannotVerify("a settlement is of some customers, and of each one once")
    settled, unsettled = list[Settled](), list[Unsettled]()
    asking = _Asking(utility, index, period, head_end, hubs_at_once)
    pending = deque[deque[_Asked]]()

    def take(outcomes: Sequence[VerificationFailed | CannotVerify | None]) -> None:
        """Enter the oldest of the parts that are pending, whose outcomes are there."""
        part, errors = pending[0], iter(outcomes)
        while part:
            try:
                settled.append(_entered(utility, part[0], errors))
            except _LEFT_OUT as error:
                unsettled.append(Unsettled(part[0].member, error))
            part.popleft()
            progress(len(settled) + len(unsettled))
        pending.popleft()

    try:
        with (
            closing(asking.parts(members, pending)) as parts,
            closing(how.run(partial(check_settlements, utility.folder), parts)) as results,
        ):
            for outcomes in results:
                take(outcomes)
    except KeyboardInterrupt:
        while pending:  # what hubs have counted is not lost by it
            take(check_settlements(utility.folder, _to_check(pending[0])))
        raise
    finally:
        close_opened()
        head_end.traffic.sent += asking.traffic.sent
        head_end.traffic.received += asking.traffic.received
    return Settlement(index, tuple(settled), tuple(unsettled))


SettlementPart: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Questions and bundles, as they are on the wire and in the ledger."""


def check_settlements(
    folder: Path, part: SettlementPart
) -> list[VerificationFailed | CannotVerify | None]:
    """Return why each answer is wrong, None where it is right, as the utility in a folder sees it.

    Nothing is entered.
    """
    asked = [
        (SettlementQuestion.decode(question), SETTLEMENT.bundle.decode(bundle))
        for question, bundle in part
    ]
    outcomes = check_answers(opened(folder), SETTLEMENT, asked) if asked else []
    return [None if isinstance(one, VerifiedAnswer) else one for one in outcomes]


_LEFT_OUT: Final = (HeadEndError, VerificationFailed, CannotVerify, UnknownCustomer)
"""What keeps one customer from being settled, and no other."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A customer who was asked: what he was asked and has answered, or why that came to nothing."""

    member: Member
    question: SettlementQuestion | None = None
    bundle: BillBundle | None = None
    error: UtilityError | None = None


@dataclass(slots=True)
class _Asking:
    """Asks customers' hubs, several at a time, and hands them on in their order."""

    utility: Utility
    index: PriceIndex
    period: Period
    head_end: HeadEnd
    hubs_at_once: int
    traffic: Traffic = field(default_factory=Traffic)

    def parts(
        self, members: Sequence[Member], pending: "deque[deque[_Asked]]"
    ) -> Generator[SettlementPart, None, None]:
        """Yield what is to be verified together; who belongs to it is put into `pending`."""
        with closing(InThreads(self.hubs_at_once).run(self._ask, self._to_ask(members))) as asked:
            while (first := next(asked, None)) is not None:
                part = deque([first])
                pending.append(part)
                part.extend(islice(asked, PART - 1))
                yield _to_check(part)

    def _to_ask(self, members: Sequence[Member]) -> Iterator[_Asked]:
        for member in members:
            try:
                question = ask_for(self.utility, self.index, self.period, member.meter)
                yield _Asked(member, question)
            except _LEFT_OUT as error:
                yield _Asked(member, error=error)

    def _ask(self, asked: _Asked) -> _Asked:
        member, question = asked.member, asked.question
        if question is None:
            return asked
        utility, head_end = self.utility, replace(self.head_end, traffic=Traffic())
        try:
            answer = ask(utility, SETTLEMENT, question, head_end, member.address)
            enrolment = utility.customers.find(member.meter, *SETTLEMENT.aids)
        except _LEFT_OUT as error:
            return _Asked(member, error=error)
        finally:
            self._count(head_end.traffic)
        supplier = utility.keys.public.public_bytes_raw()
        bundle = SETTLEMENT.bundle.of(question.encode(), answer, enrolment, supplier)
        return _Asked(member, question, bundle)

    def _count(self, traffic: Traffic) -> None:
        with _COUNTING:
            self.traffic.sent += traffic.sent
            self.traffic.received += traffic.received


_COUNTING: Final = Lock()


def _to_check(part: Iterable[_Asked]) -> SettlementPart:
    return tuple(
        (one.question.encode(), one.bundle.encode())
        for one in part
        if one.question is not None and one.bundle is not None
    )


def _entered(
    utility: Utility, asked: _Asked, errors: Iterator[VerificationFailed | CannotVerify | None]
) -> Settled:
    """Enter what came of one customer; raise why he is left out."""
    if asked.error is not None:
        raise asked.error
    question, bundle = asked.question, asked.bundle
    assert question is not None
    assert bundle is not None
    error = next(errors)
    if error is not None:
        with refusals_entered(utility, question.about, bundle):
            raise error
    # What was verified, decoded again: that is cheap beside its proof, which is not checked again.
    _, index, period, _ = SETTLEMENT.examine(bundle)
    verified = VerifiedAnswer(SETTLEMENT, question.about, bundle, index, period)
    entry = enter(utility, verified, period.certified, supplier=asked.member.supplier)
    return Settled(asked.member, period, entry, bundle)


def own_index(document: bytes, public_key: Ed25519PublicKey) -> PriceIndex:
    """Return an index, which is not signed, or signed with the utility's own key.

    Raises `TariffError` for anything else.
    """
    if document[:1] == SIGNED_BEGINNING:
        return verify_signed_index(document, public_key)
    return PriceIndex.decode(document)


def ask_for(
    utility: Utility, index: PriceIndex, period: Period, meter: bytes
) -> SettlementQuestion:
    """Return a new question to a customer; raise `CannotVerify` if it makes no sense.

    What it carries is the part of the index that the period needs, signed with the utility's key.
    """
    begin, end = bounds = bounds_of(utility, SETTLEMENT, meter, period)
    slot = 60 * utility.customers.find(meter, AID).slot_minutes
    try:
        part = index.between(begin, end)
        part.weights(range(begin, end, slot), slot)  # each slot has a price of its own
    except TariffError as error:
        raise CannotVerify(f"the period: {error}") from None
    document = utility.sign_document(part.encode(), SettlementQuestion.content_type)
    question = question_of(utility, SETTLEMENT, meter, bounds, document)
    utility.publish(part)
    return question
