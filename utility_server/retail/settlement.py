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

from applets.common.questions import CLA, NONCE_SIZE, About, Instruction
from applets.settlement.messages import AID, SettlementQuestion
from applets.settlement.statement import SettledPeriod
from protocols.canonical.signing import key_id_of
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import GridError, Period
from tariffs import PriceIndex, TariffError
from tariffs.signing import sign_index
from utility_server.errors import (
    CannotVerify,
    HeadEndError,
    UnknownCustomer,
    UtilityError,
    VerificationFailed,
)
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.ledger import Content, LedgerEntry
from utility_server.retail.utility import MOST_ANSWER_BYTES, Utility, require_short
from utility_server.retail.verification import SettlementBundle, verify_settlement

KIND: Final = "settlement"
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
    bundle: SettlementBundle


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
    office: Utility,
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
            question = ask_for(office, index, period, member.meter)
            answer = _ask(office, question, head_end, member.address)
            settled.append(enter(office, question, answer, member))
        except (HeadEndError, VerificationFailed, CannotVerify, UnknownCustomer) as error:
            unsettled.append(Unsettled(member, error))
        progress(done)
    return Settlement(index, tuple(settled), tuple(unsettled))


def ask_for(office: Utility, index: PriceIndex, period: Period, meter: bytes) -> SettlementQuestion:
    """Return a new question to a customer; raise `CannotVerify` if it makes no sense.

    What it carries is the part of the index that the period needs, signed with the office's key.
    """
    enrolment = office.customers.find(meter, AID)
    try:
        begin, end = period.bounds(enrolment.zone)
        part = index.between(begin, end)
        slot = 60 * enrolment.slot_minutes
        part.weights(range(begin, end, slot), slot)  # each slot has a price of its own
    except (GridError, TariffError) as error:
        raise CannotVerify(f"the period: {error}") from None
    document = sign_index(part, office.keys.signing, key_id_of(office.keys.public))
    require_short("the index", document)
    about = About(meter, begin, end, office.randomness(NONCE_SIZE))
    return SettlementQuestion(about, document)


def _ask(
    office: Utility, question: SettlementQuestion, head_end: HeadEnd, address: Address
) -> bytes:
    command = CommandApdu(
        CLA, Instruction.ASK, 0, 0, question.encode(), le=MOST_ANSWER_BYTES, extended=True
    )
    return head_end.ask(address, office.customers.find(question.about.meter, AID), command)


def enter(office: Utility, question: SettlementQuestion, answer: bytes, member: Member) -> Settled:
    """Verify an answer and enter what came of it; raise as `verify_settlement` does."""
    about = question.about
    enrolment = office.customers.find(about.meter, AID)
    bundle = SettlementBundle.of(
        question.encode(), answer, enrolment, office.keys.public.public_bytes_raw()
    )
    evidence = bundle.encode()
    try:
        _, index, settled = verify_settlement(bundle)
    except (VerificationFailed, CannotVerify) as error:
        facts: Content = {"begin": about.begin, "end": about.end, "why": str(error)}
        office.ledger.append(office.now(), "refused", about.meter, facts, evidence)
        raise
    content = _content(question, index, settled, member.supplier)
    entry = office.ledger.append(office.now(), KIND, about.meter, content, evidence)
    return Settled(member, settled, entry, bundle)


def check_settlement_entry(office: Utility, entry: LedgerEntry) -> None:
    """Verify an entry again, from its evidence, and that it says just that.

    Raises `VerificationFailed` or `CannotVerify`.
    """
    bundle = SettlementBundle.decode(office.ledger.evidence(entry))
    place = f"entry {entry.sequence}"
    try:
        question, index, settled = verify_settlement(bundle)
    except VerificationFailed as failed:
        raise VerificationFailed(failed.check, f"{place}: {failed.reason}") from None
    if bundle.supplier != office.keys.public.public_bytes_raw():
        raise VerificationFailed("ledger", f"{place}: under an index that another has signed")
    if bundle.certifier != office.customers.find(entry.meter, AID).certifier:
        raise VerificationFailed("ledger", f"{place}: certified by another key than enrolled")
    said = {name: value for name, value in entry.content.items() if name != "evidence"}
    verified = _content(question, index, settled, str(said.get("supplier")))
    if question.about.meter != entry.meter or said != verified:
        raise VerificationFailed("ledger", f"{place}: it does not say what was verified")


def _content(
    question: SettlementQuestion, index: PriceIndex, settled: SettledPeriod, supplier: str
) -> Content:
    return {
        "begin": question.about.begin,
        "end": question.about.end,
        "currency": index.currency,
        "index": index.digest,
        "value": str(settled.value),
        "missing": len(settled.missing),
        "supplier": supplier,
    }
