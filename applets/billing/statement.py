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

The checks are those of `applets.common.evidence`, in its order, then `total` (amounts against
tariff); the document's is `tariff`. Days and proofs of the import register come before those of the
export register. Nothing of the answer is used before its check.

Errors: AnswerRefused
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.charges import plan_bill
from applets.billing.messages import BillAnswer, BillQuestion, Proved
from applets.billing.version1 import BillAnswerVersion1, decode_any_answer
from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_message,
    starts_of,
)
from applets.common.questions import About
from protocols.metrology import CertifiedDay, Period, Series, SlotState
from tariffs import Bill, Register, Tariff, TariffError, billed_registers, combine_states

RECIPIENT: Final = "supplier"
PURPOSE: Final = "billing"
PROVED: Final = {Register.IMPORT: "the bill", Register.EXPORT: "the feed-in of the bill"}


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
    register, if it has one. `is_stored` takes an answer of version 0.1 as well: over days of
    version 1, or unbound to its nonce. Raises `TariffError` where the tariff makes no bill that can
    be proved.
    """
    about = question.about
    answer = check_message(decode_any_answer, data, about)
    if answer.tariff != tariff.digest:
        raise AnswerRefused("tariff", "the answer was worked out under another tariff")
    registers = {Register.IMPORT: series}
    if feed_in_register is not None:
        registers[Register.EXPORT] = replace(series, register=feed_in_register)
    proved = _proved(about, tariff, answer, registers)
    certified = {
        register: check_days(one.days, period, registers[register], certifier, is_stored=is_stored)
        for register, one in proved.items()
    }
    any_days = next(iter(certified.values()))  # those of all registers have the same slots
    starts, slot_seconds = starts_of(any_days), 60 * series.slot_minutes
    states = combine_states([one.states for one in certified.values()])
    plan = plan_bill(tariff, starts, slot_seconds, states, about.begin, about.end)
    proofs = ProofContext(about, tariff.digest, RECIPIENT, PURPOSE)
    if isinstance(answer, BillAnswerVersion1):
        if not plan.is_one_sum:
            raise AnswerRefused("message", "not the kind of answer that the tariff calls for")
        prices = tariff.prices(starts, slot_seconds)
        amounts = tuple(
            proofs.sum_version_1(registers[register], certified[register], prices, one.proof)
            for register, one in proved.items()
        )
    else:
        amounts = tuple(
            value
            for register, one in proved.items()
            for value in proofs.amounts(
                registers[register], certified[register], plan.amounts(register), one.proof,
                PROVED[register], is_stored=is_stored,
            )
        )  # fmt: skip
    bill = plan.bill(amounts)
    if difference := answer.total - Decimal(bill.total):
        reason = f"the answer says {answer.total}, the proved amount makes {bill.total}"
        raise AnswerRefused("total", reason, difference)
    return VerifiedBill(
        bill=bill,
        amounts=amounts,
        registers=tuple(certified),
        missing=tuple(
            start for start, state in zip(starts, states, strict=True) if state == SlotState.MISSING
        ),
        estimated=states.count(SlotState.ESTIMATED),
        substituted=states.count(SlotState.SUBSTITUTED),
        days=len(any_days.days),
        slots=len(states),
        certified=tuple(day for period in certified.values() for day in period.days),
    )


def _proved(
    about: About, tariff: Tariff, answer: BillAnswer, registers: Mapping[Register, Series]
) -> dict[Register, Proved]:
    """Return what is proved of each register that the bill depends on: of those and no others."""
    needed = billed_registers(tariff, about.begin, about.end)
    if not registers.keys() >= set(needed):
        raise TariffError("it credits feed-in, and no feed-in register of this meter is enrolled")
    both = {Register.IMPORT: answer.drawn, Register.EXPORT: answer.fed_in}
    proved = {register: one for register, one in both.items() if one is not None}
    if tuple(proved) != needed:
        raise AnswerRefused("message", "not about the registers that the tariff bills")
    return proved
