# SPDX-License-Identifier: Apache-2.0
"""What the billing applet of release 0.1 claimed, and how it is checked. Frozen.

Public:  the supplier's signed tariff; the period; the certifier's public key; the certified days
         with commitments C[t]; the amounts' values.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   each amount comes to the value that the proof opens, over every slot of the period: the one
         sum Σ price[t]·x[t], or sums, blocks, limits of power and peaks, as
         `version1_charges.plan_exact_bill` derives them from the tariff, the slots' starts and
         their states; and the total follows from these values.
Proof:   protocols.proofs.amounts; one for each register that the tariff bills, over its own
         certified days and in a context of its own: meter, register, period, tariff, nonce.
         Or, of a bill of one sum, protocols.proofs.linear.

`statement.check_bill` comes here with stored answers alone.

Errors: AnswerRefused
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.messages import BillQuestion
from applets.billing.verified import BilledSlots, VerifiedBill, verified_bill
from applets.billing.version1 import AmountsBillAnswer, BillAnswerVersion1, Proved
from applets.billing.version1_charges import plan_exact_bill
from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_registers,
    require_proved,
)
from applets.common.questions import About
from protocols.metrology import Period, Series
from tariffs import Register, Tariff, TariffError, billed_registers

PROVED: Final = {Register.IMPORT: "the bill", Register.EXPORT: "the feed-in of the bill"}


def check_stored_bill(
    question: BillQuestion,
    answer: AmountsBillAnswer,
    tariff: Tariff,
    period: Period,
    registers: Mapping[Register, Series],
    certifier: Ed25519PublicKey,
    proofs: ProofContext,
) -> VerifiedBill:
    """Return the bill that a stored answer shows; raise `AnswerRefused` if it is wrong."""
    about = question.about
    proved = _proved(about, tariff, answer, registers)
    certified = {
        register: check_days(one.days, period, registers[register], certifier, is_stored=True)
        for register, one in proved.items()
    }
    check_registers(certified.values())
    slots = BilledSlots.of(list(certified.values()))
    starts, slot_seconds = slots.starts, 60 * registers[next(iter(certified))].slot_minutes
    plan = plan_exact_bill(tariff, starts, slot_seconds, slots.states, about.begin, about.end)
    if isinstance(answer, BillAnswerVersion1):
        if not plan.is_one_sum:
            raise AnswerRefused("message", "not the kind of answer that the tariff calls for")
        prices = tariff.prices(starts, slot_seconds)
        sums = [
            proofs.sum_version_1(registers[register], certified[register], prices, one.proof)
            for register, one in proved.items()
        ]
        amounts, checks = tuple(value for value, _ in sums), [check for _, check in sums]
    else:
        told = [
            proofs.amounts(
                registers[register], certified[register], plan.amounts(register), one.proof,
                PROVED[register], is_stored=True,
            )
            for register, one in proved.items()
        ]  # fmt: skip
        amounts = tuple(value for values, _ in told for value in values)
        checks = [check for _, check in told]
    require_proved(checks)  # of amounts that are not proved no bill is worked out
    bill = plan.bill(amounts)
    if difference := answer.total - Decimal(bill.total):
        reason = f"the answer says {answer.total}, the proved amount makes {bill.total}"
        raise AnswerRefused("total", reason, difference)
    series = {registers[register]: days for register, days in certified.items()}
    bounds = about.begin, about.end
    return verified_bill(tariff, tuple(certified), series, answer.total, bounds, slots, bill)


def _proved(
    about: About, tariff: Tariff, answer: AmountsBillAnswer, registers: Mapping[Register, Series]
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
