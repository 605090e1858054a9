# SPDX-License-Identifier: Apache-2.0
"""What the billing applet claims, and how it is checked without it.

Public:  the supplier's signed tariff; the period; the certifier's public key; the certified days
         with commitments C[t]; amount; opening.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   amount = Σ price[t]·x[t] over every slot of the period, and the total follows from it.
Proof:   opening = Σ price[t]·r[t] (protocols.proofs.linear).

Where one sum does not make the bill (`charges.is_one_sum`):

Claim:   each charge comes to the amount that the proof opens, over every slot of the period: sums,
         blocks, limits of power and peaks as `charges.plan_bill` derives them from the tariff, the
         slots' starts and their states; and the total follows from these amounts.
Proof:   protocols.proofs.amounts.

The checks, in order, each with the name under which it refuses: `message` (form, and that it
answers this question), `tariff` (is it the one that was asked under), `days` (form), `signature`,
`chain` (each day of the period once, in order, of this meter), `proof` (amounts against
commitments), `total` (amounts against tariff). Nothing of the answer is used before its check.

Errors: AnswerRefused
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.charges import is_one_sum, plan_bill
from applets.billing.messages import (
    Answer,
    BillAnswer,
    BillQuestion,
    ChargesAnswer,
    MessageRefused,
    decode_answer,
)
from applets.exchange.evidence import AnswerRefused, check_about, check_days, starts_of
from protocols.metrology import (
    CertifiedPeriod,
    Period,
    Series,
    SlotState,
)
from protocols.proofs import (
    LinearOpening,
    LinearStatement,
    Malformed,
    ProofRefused,
    StatementContext,
    verify_amounts,
)
from protocols.proofs.group import decode_scalar
from tariffs import Bill, Tariff, total_from_energy_amount

__all__ = ["PURPOSE", "RECIPIENT", "VerifiedBill", "check_bill"]

RECIPIENT: Final = "supplier"
PURPOSE: Final = "billing"


@dataclass(frozen=True, slots=True)
class VerifiedBill:
    """A bill that was proved."""

    bill: Bill
    """The exact bill that follows from the amount."""
    amounts: tuple[int, ...]
    """What was opened: Σ price·use, in 10^-9 of the currency, or a number for each amount."""
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
    """Return the bill that `data` answers the question with; raise `AnswerRefused` if it is wrong.

    `tariff` is the one whose signed document the question carried; `period` are the days that the
    question's begin and end enclose in the series' zone.
    """
    answer = _answer(question, data)
    if answer.tariff != tariff.digest:
        raise AnswerRefused("tariff", "the answer was worked out under another tariff")
    certified = check_days(answer.days, period, series, certifier)
    asked = _Asked(question, tariff, series, certified)
    one_sum = is_one_sum(tariff, question.begin, question.end, certified.states)
    match answer:
        case BillAnswer() if one_sum:
            amounts, bill = asked.check_one_sum(answer)
        case ChargesAnswer() if not one_sum:
            amounts, bill = asked.check_charges(answer)
        case _:
            raise AnswerRefused("message", "not the kind of answer that the tariff calls for")
    if difference := answer.total - Decimal(bill.total):
        reason = f"the answer says {answer.total}, the proved amount makes {bill.total}"
        raise AnswerRefused("total", reason, difference)
    states = certified.states
    return VerifiedBill(
        bill=bill,
        amounts=amounts,
        missing=tuple(
            start
            for start, state in zip(asked.starts, states, strict=True)
            if state is SlotState.MISSING
        ),
        estimated=states.count(SlotState.ESTIMATED),
        substituted=states.count(SlotState.SUBSTITUTED),
        days=len(certified.days),
        slots=len(states),
    )


def _answer(question: BillQuestion, data: bytes) -> Answer:
    try:
        answer = decode_answer(data)
    except MessageRefused as error:
        raise AnswerRefused("message", str(error)) from None
    check_about(question.about, answer.about)
    return answer


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an answer is held against."""

    question: BillQuestion
    tariff: Tariff
    series: Series
    certified: CertifiedPeriod

    @property
    def starts(self) -> list[int]:
        """When the period's slots start."""
        return starts_of(self.certified)

    def check_one_sum(self, answer: BillAnswer) -> tuple[tuple[int, ...], Bill]:
        """Return the proved sum and the bill that follows from it."""
        prices = self.tariff.prices(self.starts, 60 * self.series.slot_minutes)
        statement = LinearStatement(self._context(), self.certified.digests, tuple(prices))
        try:
            opening = LinearOpening(
                answer.energy_amount, decode_scalar(answer.opening), answer.binding
            )
            opening.verify(statement, self.certified.commitments)
        except (Malformed, ProofRefused) as error:
            raise AnswerRefused("proof", str(error)) from None
        begin, end = self.question.begin, self.question.end
        bill = total_from_energy_amount(self.tariff, answer.energy_amount, begin, end)
        return (answer.energy_amount,), bill

    def check_charges(self, answer: ChargesAnswer) -> tuple[tuple[int, ...], Bill]:
        """Return the proved amounts and the bill that follows from them."""
        plan = plan_bill(
            self.tariff,
            self.starts,
            60 * self.series.slot_minutes,
            self.certified.states,
            self.question.begin,
            self.question.end,
        )
        try:
            values, _ = verify_amounts(
                self._context(), self.certified.source(), plan.amounts, answer.proof, "the bill"
            )
        except (Malformed, ProofRefused) as error:
            raise AnswerRefused("proof", str(error)) from None
        return values, plan.bill(values)

    def _context(self) -> StatementContext:
        return StatementContext(
            meter=self.series.meter,
            register=self.series.register,
            begin=self.question.begin,
            end=self.question.end,
            slot_minutes=self.series.slot_minutes,
            parameters=self.tariff.digest,
            recipient=RECIPIENT,
            purpose=PURPOSE,
            nonce=self.question.nonce,
        )
