# SPDX-License-Identifier: Apache-2.0
"""What the billing applet claims, and how it is checked without it.

Public:  the supplier's signed tariff; the period; the certifier's public key; the certified days
         with commitments C[t]; amount; opening.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   amount = Σ price[t]·x[t] over every slot of the period, and the total follows from it.
Proof:   opening = Σ price[t]·r[t] (protocols.proofs.linear).

The checks, in order, each with the name under which it refuses: `message` (form, and that it
answers this question), `tariff` (is it the one that was asked under), `days` (form), `signature`,
`chain` (each day of the period once, in order, of this meter), `proof` (amount against
commitments), `total` (amount against tariff). Nothing of the answer is used before its check.

Errors: BillRefused
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.messages import BillAnswer, BillQuestion, MessageRefused
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    DayRefused,
    MalformedDay,
    Period,
    Series,
    SlotState,
    verify_days,
)
from protocols.proofs import (
    LinearOpening,
    LinearStatement,
    Malformed,
    ProofRefused,
    StatementContext,
)
from protocols.proofs.group import decode_scalar
from tariffs import Bill, Tariff, total_from_energy_amount

__all__ = ["PURPOSE", "RECIPIENT", "BillRefused", "VerifiedBill", "check_bill"]

RECIPIENT: Final = "supplier"
PURPOSE: Final = "billing"


class BillRefused(Exception):
    """An answer is not a right bill for the question."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedBill:
    """A bill that was proved."""

    bill: Bill
    """The exact bill that follows from the amount."""
    energy_amount: int
    """Σ price·use, in 10^-9 of the currency."""
    missing: tuple[int, ...]
    """The starts of the slots whose use is unknown and not billed."""
    estimated: int
    """How many slots were interpolated between readings."""
    substituted: int
    days: int
    slots: int


def check_bill(
    question: BillQuestion,
    data: bytes,
    tariff: Tariff,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
) -> VerifiedBill:
    """Return the bill that `data` answers the question with; raise `BillRefused` if it is wrong.

    `tariff` is the one whose signed document the question carried; `period` are the days that the
    question's begin and end enclose in the series' zone.
    """
    answer = _answer(question, data)
    if answer.tariff != tariff.digest:
        raise BillRefused("tariff", "the answer was worked out under another tariff")
    certified = _certified(answer.days, period, series, certifier)
    starts = [time for grid in certified.grids for time in grid.boundaries()[:-1]]
    prices = tariff.prices(starts, 60 * series.slot_minutes)
    _check_proof(question, answer, tariff, series, certified, prices)
    bill = total_from_energy_amount(tariff, answer.energy_amount, question.begin, question.end)
    if answer.total != Decimal(bill.total):
        raise BillRefused(
            "total", f"the answer says {answer.total}, the proved amount makes {bill.total}"
        )
    states = certified.states
    return VerifiedBill(
        bill=bill,
        energy_amount=answer.energy_amount,
        missing=tuple(
            start for start, state in zip(starts, states, strict=True) if state is SlotState.MISSING
        ),
        estimated=states.count(SlotState.ESTIMATED),
        substituted=states.count(SlotState.SUBSTITUTED),
        days=len(certified.days),
        slots=len(starts),
    )


def _answer(question: BillQuestion, data: bytes) -> BillAnswer:
    try:
        answer = BillAnswer.decode(data)
    except MessageRefused as error:
        raise BillRefused("message", str(error)) from None
    if answer.nonce != question.nonce:
        raise BillRefused("message", "the answer belongs to another question")
    if (answer.meter, answer.begin, answer.end) != (question.meter, question.begin, question.end):
        raise BillRefused("message", "the answer is about another meter or period")
    return answer


def _certified(
    encoded: Iterable[bytes], period: Period, series: Series, certifier: Ed25519PublicKey
) -> CertifiedPeriod:
    days = []
    for place, data in enumerate(encoded, start=1):
        try:
            days.append(CertifiedDay.decode(data))
        except MalformedDay as error:
            raise BillRefused("days", f"day {place} of the answer: {error}") from None
    try:
        return verify_days(days, period, series, certifier)
    except DayRefused as error:
        check = "signature" if "signature" in str(error) else "chain"
        raise BillRefused(check, str(error)) from None


def _check_proof(
    question: BillQuestion,
    answer: BillAnswer,
    tariff: Tariff,
    series: Series,
    certified: CertifiedPeriod,
    prices: list[int],
) -> None:
    statement = LinearStatement(
        StatementContext(
            meter=series.meter,
            register=series.register,
            begin=question.begin,
            end=question.end,
            slot_minutes=series.slot_minutes,
            parameters=tariff.digest,
            recipient=RECIPIENT,
            purpose=PURPOSE,
            nonce=question.nonce,
        ),
        certified.digests,
        tuple(prices),
    )
    try:
        opening = LinearOpening(answer.energy_amount, decode_scalar(answer.opening), answer.binding)
        opening.verify(statement, certified.commitments)
    except (Malformed, ProofRefused) as error:
        raise BillRefused("proof", str(error)) from None
