# SPDX-License-Identifier: Apache-2.0
"""What the billing applet claims, and how it is checked without it.

Public:  the supplier's signed tariff; the period; the certifier's public key; the certified days
         of each register that is billed, with their commitments; the total.
Secret:  uses and blindings; all that the total is made of: charges, registers' amounts, caps,
         minima, taxes, and what was rounded away.
Claim:   the total is what `tariffs.compute_bill` makes of the uses of every slot of the period,
         rounded by the tariff's rule: the number that `charges.plan_bill` describes, which is
         derived from the tariff, the slots' starts and their states.
Proof:   protocols.proofs.numbers; one for all registers, each over its own certified days, in one
         context: meter, registers, period, tariff, nonce.

Under a tariff with memory the question carries a state of the account (`protocols.carried`), and
what was paid in advance. Then the claim is of a bill that goes on from what the state commits to,
and the bill leaves the next state: public are both, with their points, and the proof is bound to
the digest of the one before. Its values stay secret. If the question says that the contract ends,
the claim is of its last bill, which settles all; the proof is bound to that, too.

The checks are those of `applets.common.evidence`, in its order, then `total` (the number against
what the answer says); the document's is `tariff`. `memory` is whatever is wrong with a state: none,
or one too many, of another meter, of another time, with other values or bounds than the tariff
carries, or another one left than the answer says. Days of the import register come before those of
the export register. Nothing of the answer is used before its check. `version1_statement` checks
what release 0.1 answered, if it is stored.

`bill_check` does all of it but the equation that a proof comes to in the end. Those of many bills
are checked at once; of a bill whose equation does not hold nothing else does.

Errors: AnswerRefused
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.verified import BilledSlots, verified_bill
from applets.billing.verified import VerifiedBill as VerifiedBill
from applets.billing.version1 import decode_any_answer
from applets.billing.version1_statement import check_stored_bill
from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_message,
    check_registers,
    require_proved,
)
from applets.common.questions import About
from protocols.carried import CarriedState
from protocols.metrology import Period, Series, medium_of
from protocols.proofs import Check
from tariffs import Register, Tariff, TariffError, billed_registers
from tariffs.errors import MemoryRefused

RECIPIENT: Final = "supplier"
PURPOSE: Final = "billing"
LEAST_DAYS: Final = 28
"""Residents are asked to consent to bills of so many days or more, as the shipped manifests do."""


def require_provable(
    tariff: Tariff,
    begin: int,
    end: int,
    slot_seconds: int,
    carried: CarriedState | None = None,
    paid: int = 0,
    *,
    is_last: bool = False,
) -> None:
    """Raise `TariffError` where no hub can prove a bill of [begin, end), all slots measured."""
    starts = range(begin, end, slot_seconds)
    states = [0] * len(starts)
    plan_bill(tariff, starts, slot_seconds, states, begin, end, carried, paid, is_last=is_last)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What a plan follows from, of a bill that goes on from no other."""

    tariff: Tariff = field(compare=False, repr=False)
    digest: bytes
    """The tariff's."""
    starts: tuple[int, ...]
    states: bytes
    seconds: int
    bounds: tuple[int, int]
    paid: int
    is_last: bool


@lru_cache(maxsize=16)
def _plan_of(one: _Planned) -> Plan:
    """Return the plan, worked out once for all customers of a tariff whose slots have these states.

    It is public, and no customer's: only those with missing slots have plans of their own.
    """
    return plan_bill(
        one.tariff, one.starts, one.seconds, one.states, *one.bounds, None, one.paid,
        is_last=one.is_last,
    )  # fmt: skip


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
    register, if it has one. `is_stored` says that the question is not a new one: then it takes an
    answer of release 0.1, too, and days of version 1. Raises `TariffError` where the tariff makes
    no bill that can be proved: for one thing of what the register does not count, or of days, as
    the series' zone has them, that are not within its validity.
    """
    bill, checks = bill_check(
        question, data, tariff, period, series, certifier, feed_in_register, is_stored=is_stored
    )
    require_proved(checks)
    return bill


def bill_check(
    question: BillQuestion,
    data: bytes,
    tariff: Tariff,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    feed_in_register: bytes | None = None,
    *,
    is_stored: bool = False,
) -> tuple[VerifiedBill, list[Check]]:
    """Return the bill that `data` says, and what remains to be checked before it is one.

    The checks are for `verify_all`, together with those of other bills: nothing of the bill is
    proved until they hold. All else is checked, and raises, as `check_bill` does it.
    """
    about = question.about
    _require_of(tariff, about, period, series)
    decode = decode_any_answer if is_stored else BillAnswer.decode
    answer = check_message(decode, data, about)
    if answer.tariff != tariff.digest:
        raise AnswerRefused("tariff", "the answer was worked out under another tariff")
    known = {Register.IMPORT: series}
    if feed_in_register is not None:
        known[Register.EXPORT] = replace(series, register=feed_in_register)
    proofs = ProofContext(about, tariff.digest, RECIPIENT, PURPOSE, question.mark)
    if not isinstance(answer, BillAnswer):
        stored = check_stored_bill(question, answer, tariff, period, known, certifier, proofs)
        return stored, []
    registers = _registers(about, tariff, answer, known)
    before = _state_before(question, tariff)
    certified = {
        known[register]: check_days(
            answer.registers[known[register].register],
            period,
            known[register],
            certifier,
            is_stored=is_stored,
        )
        for register in registers
    }
    check_registers(certified.values())
    slots = BilledSlots.of(list(certified.values()))
    seconds, bounds = 60 * series.slot_minutes, (about.begin, about.end)
    after: CarriedState | None = None
    if before is None:
        planned = _Planned(
            tariff, tariff.digest, slots.starts, slots.states, seconds, bounds, question.paid,
            question.is_last,
        )  # fmt: skip
        plan = _plan_of(planned)
        (number,), check = proofs.numbers(certified, [plan.total], answer.proof, "the bill")
    else:
        try:
            plan = plan_bill(
                tariff, slots.starts, seconds, slots.states, *bounds, before, question.paid,
                is_last=question.is_last,
            )  # fmt: skip
        except MemoryRefused as refused:
            raise AnswerRefused("memory", str(refused)) from None
        (number,), after, check = proofs.numbers_on(
            certified, [plan.total], answer.proof, "the bill", before
        )
    total = plan.amount_of(number)
    is_state_as_said = answer.state == (b"" if after is None else after.digest)
    if not is_state_as_said or answer.total != total or str(answer.total) != str(total):
        require_proved([check])  # what the proof says counts where it is one
    if not is_state_as_said:
        raise AnswerRefused("memory", "the answer names another state than the proof leaves")
    if answer.total != total or str(answer.total) != str(total):
        reason = f"the answer says {answer.total}, the proof {total}"
        raise AnswerRefused("total", reason, answer.total - total)
    bill = verified_bill(tariff, registers, certified, total, bounds, slots)
    return replace(bill, state=after, paid=question.paid, is_last=question.is_last), [check]


def _require_of(tariff: Tariff, about: About, period: Period, series: Series) -> None:
    """Raise `TariffError` for a tariff of something else than the register, or of other days."""
    if not tariff.medium.is_of(series.register):
        raise TariffError(
            f"the tariff is for {tariff.medium}, the register counts {medium_of(series.register)}"
        )
    bounds = period.bounds(series.zone)
    if (about.begin, about.end) != bounds:
        raise AnswerRefused("message", f"not about days as they begin in {series.zone}")
    tariff.require_validity(*bounds)


def _state_before(question: BillQuestion, tariff: Tariff) -> CarriedState | None:
    """Return the state that the bill goes on from, if the question has one as the tariff needs."""
    state, about = question.carried, question.about
    if (state is not None) is not tariff.has_memory:
        has, carries = ("has", "none") if tariff.has_memory else ("has no", "one")
        raise AnswerRefused("memory", f"the tariff {has} memory, the question carries {carries}")
    if state is not None and (state.meter, state.end) != (about.meter, about.begin):
        what = "meter" if state.meter != about.meter else "time"
        raise AnswerRefused("memory", f"the state that the bill goes on from is of another {what}")
    return state


def _registers(
    about: About, tariff: Tariff, answer: BillAnswer, known: Mapping[Register, Series]
) -> tuple[Register, ...]:
    """Return the registers that the bill depends on, if the answer is of these and no others."""
    needed = billed_registers(tariff, about.begin, about.end)
    if not known.keys() >= set(needed):
        raise TariffError("it credits feed-in, and no feed-in register of this meter is enrolled")
    if list(answer.registers) != [known[register].register for register in needed]:
        raise AnswerRefused("message", "not about the registers that the tariff bills")
    return needed
