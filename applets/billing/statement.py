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

The checks are those of `applets.common.evidence`, in its order, then `total` (the number against
what the answer says); the document's is `tariff`. Days of the import register come before those of
the export register. Nothing of the answer is used before its check. `version1_statement` checks
what release 0.1 answered, if it is stored.

Errors: AnswerRefused
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.charges import plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.verified import VerifiedBill as VerifiedBill
from applets.billing.verified import verified_bill
from applets.billing.version1 import decode_any_answer
from applets.billing.version1_statement import check_stored_bill
from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_message,
    check_registers,
    starts_of,
)
from applets.common.questions import About
from protocols.metrology import Period, Series
from tariffs import Register, Tariff, TariffError, billed_registers, combine_states

RECIPIENT: Final = "supplier"
PURPOSE: Final = "billing"


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
    no bill that can be proved.
    """
    about = question.about
    decode = decode_any_answer if is_stored else BillAnswer.decode
    answer = check_message(decode, data, about)
    if answer.tariff != tariff.digest:
        raise AnswerRefused("tariff", "the answer was worked out under another tariff")
    known = {Register.IMPORT: series}
    if feed_in_register is not None:
        known[Register.EXPORT] = replace(series, register=feed_in_register)
    proofs = ProofContext(about, tariff.digest, RECIPIENT, PURPOSE)
    if not isinstance(answer, BillAnswer):
        return check_stored_bill(question, answer, tariff, period, known, certifier, proofs)
    registers = _registers(about, tariff, answer, known)
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
    starts = starts_of(next(iter(certified.values())))  # all registers have the same slots
    states = combine_states([one.states for one in certified.values()])
    plan = plan_bill(tariff, starts, 60 * series.slot_minutes, states, about.begin, about.end)
    [number] = proofs.numbers(certified, [plan.total], answer.proof, "the bill")
    total = plan.amount_of(number)
    if answer.total != total or str(answer.total) != str(total):
        reason = f"the answer says {answer.total}, the proof {total}"
        raise AnswerRefused("total", reason, answer.total - total)
    return verified_bill(tariff, registers, certified, total, (about.begin, about.end))


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
