# SPDX-License-Identifier: Apache-2.0
"""Settlement: what suppliers' customers used, at what it was worth on the grid, hour by hour.

    index, signed -> each customer's hub -> Σ price·use, proved -> verified -> ledger -> shares

A customer's answer tells one number about the whole period. One that is refused, or does not come,
is named and left out; the shares then say that they are provisional. Every answer that came is in
the ledger, as settled or as refused, with what anyone needs to verify it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from applets.settlement.messages import AID, SettlementQuestion
from applets.settlement.statement import SettledPeriod
from protocols.metrology import Period
from tariffs import PriceIndex, TariffError
from utility_server.errors import (
    CannotVerify,
    HeadEndError,
    UnknownCustomer,
    UtilityError,
    VerificationFailed,
)
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.claims import SETTLEMENT, ask, bounds_of, enter, question_of, verify
from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.utility import Utility
from utility_server.retail.verification import BillBundle

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
) -> Settlement:
    """Ask every member's hub, verify what it answers and enter it.

    Raises `CannotVerify` where a meter is there twice, or nobody is.
    """
    if not members or len({member.meter for member in members}) != len(members):
        raise CannotVerify("a settlement is of some customers, and of each one once")
    settled, unsettled = [], []
    for done, member in enumerate(members, start=1):
        try:
            question = ask_for(utility, index, period, member.meter)
            answer = ask(utility, SETTLEMENT, question, head_end, member.address)
            verified = verify(utility, SETTLEMENT, question, answer)
            days = verified.result.certified
            entry = enter(utility, verified, days, supplier=member.supplier)
            settled.append(Settled(member, verified.result, entry, verified.bundle))
        except (HeadEndError, VerificationFailed, CannotVerify, UnknownCustomer) as error:
            unsettled.append(Unsettled(member, error))
        progress(done)
    return Settlement(index, tuple(settled), tuple(unsettled))


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
