# SPDX-License-Identifier: Apache-2.0
"""What the billing applet claims, and how it is checked without it.

Public:  the supplier's signed tariff; the period; the certifier's public key; the certified days
         with commitments C[t]; the amounts' values.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   each amount comes to the value that the proof opens, over every slot of the period: the one
         sum Σ price[t]·x[t], or sums, blocks, limits of power and peaks, as `charges.plan_bill`
         derives them from the tariff, the slots' starts and their states; and the total follows
         from these values.
Proof:   protocols.proofs.amounts; one for each register that the tariff bills, over its own
         certified days and in a context of its own: meter, register, period, tariff, nonce.
         Version 0.1 proved a bill of one sum by protocols.proofs.linear.

The checks, in order, each with the name under which it refuses: `message` (form, and that it
answers this question), `tariff` (is it the one that was asked under), `days` (form), `signature`,
`chain` (each day of the period once, in order, of this meter), `proof` (amounts against
commitments), `total` (amounts against tariff); days and proofs of the import register before those
of the export register. Nothing of the answer is used before its check.

Errors: AnswerRefused
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion, Proved
from applets.billing.version1 import BillAnswerVersion1, decode_any_answer
from applets.common.evidence import AnswerRefused, check_about, check_days, starts_of
from applets.common.questions import MessageRefused
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    Period,
    Series,
    SlotState,
)
from protocols.proofs import Malformed, ProofRefused, StatementContext, verify_amounts
from protocols.proofs.linear import verify_linear
from tariffs import Bill, Register, Tariff, TariffError, billed_registers, combine_states

RECIPIENT: Final = "supplier"
PURPOSE: Final = "billing"


@dataclass(frozen=True, slots=True)
class VerifiedBill:
    """A bill that was proved."""

    bill: Bill
    """The exact bill that follows from the amounts."""
    amounts: tuple[int, ...]
    """What was opened: a number for each amount, in order."""
    registers: tuple[Register, ...]
    """What it was proved about, import before export."""
    missing: tuple[int, ...]
    """The starts of the slots that are unknown in a register and not billed."""
    estimated: int
    """How many slots were interpolated between readings."""
    substituted: int
    days: int
    slots: int
    certified: tuple[CertifiedDay, ...] = field(default=(), repr=False)
    """The certified days of each register, in order."""


def check_bill(
    question: BillQuestion,
    data: bytes,
    tariff: Tariff,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    feed_in_register: bytes | None = None,
    *,
    is_stored: bool = False,
) -> VerifiedBill:
    """Return the bill that `data` answers the question with; raise `AnswerRefused` if it is wrong.

    `tariff` is the one whose signed document the question carried; `period` are the days that the
    question's begin and end enclose in the series' zone. `feed_in_register` is the meter's export
    register, if it has one. `is_stored` takes an answer that version 0.1 left unbound to its nonce
    as well. Raises `TariffError` where the tariff makes no bill that can be proved.
    """
    answer = _answer(question, data)
    if answer.tariff != tariff.digest:
        raise AnswerRefused("tariff", "the answer was worked out under another tariff")
    registers = {Register.IMPORT: series}
    if feed_in_register is not None:
        registers[Register.EXPORT] = replace(series, register=feed_in_register)
    proved = _proved(question, tariff, answer, registers)
    certified = {
        register: check_days(one.days, period, registers[register], certifier)
        for register, one in proved.items()
    }
    asked = _Asked(question, tariff, registers, certified, is_stored)
    plan = asked.plan()
    check = asked.check_version_1 if isinstance(answer, BillAnswerVersion1) else asked.check
    amounts = tuple(v for register, one in proved.items() for v in check(plan, register, one))
    bill = plan.bill(amounts)
    if difference := answer.total - Decimal(bill.total):
        reason = f"the answer says {answer.total}, the proved amount makes {bill.total}"
        raise AnswerRefused("total", reason, difference)
    states = asked.states
    return VerifiedBill(
        bill=bill,
        amounts=amounts,
        registers=tuple(certified),
        missing=tuple(
            start
            for start, state in zip(asked.starts, states, strict=True)
            if state == SlotState.MISSING
        ),
        estimated=states.count(SlotState.ESTIMATED),
        substituted=states.count(SlotState.SUBSTITUTED),
        days=len(asked.any_days.days),
        slots=len(states),
        certified=tuple(day for period in certified.values() for day in period.days),
    )


def _answer(question: BillQuestion, data: bytes) -> BillAnswer:
    try:
        answer = decode_any_answer(data)
    except MessageRefused as error:
        raise AnswerRefused("message", str(error)) from None
    check_about(question.about, answer.about)
    return answer


def _proved(
    question: BillQuestion, tariff: Tariff, answer: BillAnswer, registers: Mapping[Register, Series]
) -> dict[Register, Proved]:
    """Return what is proved of each register that the bill depends on: of those and no others."""
    needed = billed_registers(tariff, question.begin, question.end)
    if not registers.keys() >= set(needed):
        raise TariffError("it credits feed-in, and no feed-in register of this meter is enrolled")
    both = {Register.IMPORT: answer.drawn, Register.EXPORT: answer.fed_in}
    proved = {register: one for register, one in both.items() if one is not None}
    if tuple(proved) != needed:
        raise AnswerRefused("message", "not about the registers that the tariff bills")
    return proved


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an answer is held against."""

    question: BillQuestion
    tariff: Tariff
    registers: Mapping[Register, Series]
    certified: Mapping[Register, CertifiedPeriod]
    """Of the registers that the bill depends on."""
    is_stored: bool

    @property
    def any_days(self) -> CertifiedPeriod:
        """The days of one register: those of all have the same slots."""
        return next(iter(self.certified.values()))

    @property
    def starts(self) -> list[int]:
        """When the period's slots start."""
        return starts_of(self.any_days)

    @property
    def states(self) -> list[int]:
        """How the slots are known for the bill."""
        return combine_states([one.states for one in self.certified.values()])

    @property
    def slot_seconds(self) -> int:
        """The length of a slot."""
        return 60 * self.registers[Register.IMPORT].slot_minutes

    def plan(self) -> Plan:
        """Return which amounts have to be proved."""
        begin, end = self.question.begin, self.question.end
        return plan_bill(self.tariff, self.starts, self.slot_seconds, self.states, begin, end)

    def check(self, plan: Plan, register: Register, proved: Proved) -> tuple[int, ...]:
        """Return the values of a register's amounts, proved."""
        source, amounts = self.certified[register].source(), plan.amounts(register)
        name = "the bill" if register is Register.IMPORT else "the feed-in of the bill"
        try:
            values, _ = verify_amounts(
                self._context(register), source, amounts, proved.proof, name,
                accept_unbound=self.is_stored,
            )  # fmt: skip
        except (Malformed, ProofRefused) as error:
            raise AnswerRefused("proof", str(error)) from None
        return values

    def check_version_1(self, plan: Plan, register: Register, proved: Proved) -> tuple[int, ...]:
        """Return the one sum that an answer of version 0.1 proves."""
        if not plan.is_one_sum:
            raise AnswerRefused("message", "not the kind of answer that the tariff calls for")
        prices = self.tariff.prices(self.starts, self.slot_seconds)
        source = self.certified[register].source()
        try:
            return (verify_linear(self._context(register), source, prices, proved.proof),)
        except (Malformed, ProofRefused) as error:
            raise AnswerRefused("proof", str(error)) from None

    def _context(self, register: Register) -> StatementContext:
        series = self.registers[register]
        return StatementContext(
            meter=series.meter,
            register=series.register,
            begin=self.question.begin,
            end=self.question.end,
            slot_minutes=series.slot_minutes,
            parameters=self.tariff.digest,
            recipient=RECIPIENT,
            purpose=PURPOSE,
            nonce=self.question.nonce,
        )
