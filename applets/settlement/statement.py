# SPDX-License-Identifier: Apache-2.0
"""What the settlement applet claims, and how it is checked without it.

Public:  the signed price index; the period; the certifier's public key; the certified days with
         commitments C[t]; value.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G; what was rounded away.
Claim:   value is Σ price[t]·x[t] over every slot of the period, rounded half-even to 10^-2 of the
         currency.
Proof:   protocols.proofs.numbers, one `Total`. A stored answer of release 0.1 opened the exact sum:
         protocols.proofs.amounts or .linear.

The checks are those of `applets.common.evidence`, in its order; the document's is `index`.

Errors: AnswerRefused
"""

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_message,
    require_proved,
    starts_of,
)
from applets.settlement.messages import (
    PENNY,
    SettlementAnswer,
    SettlementQuestion,
    settled_total,
)
from applets.settlement.version1 import (
    ExactSettlementAnswer,
    SettlementAnswerVersion1,
    decode_any_answer,
)
from protocols.amounts import SlotForm, Sum
from protocols.metrology import CertifiedDay, Period, Series, SlotState
from protocols.proofs import Check
from tariffs import PriceIndex

RECIPIENT: Final = "settlement"
PURPOSE: Final = "settlement"


@dataclass(frozen=True, slots=True)
class SettledPeriod:
    """What a customer's use was worth, proved."""

    value: int
    """In 10^-9 of the index's currency: whole pennies, but of a stored answer of release 0.1."""
    slots: int
    missing: tuple[int, ...]
    """The starts of the slots whose use is unknown and not in the value."""
    certified: tuple[CertifiedDay, ...] = field(default=(), repr=False)
    """The certified days, in order."""


def check_settlement(
    question: SettlementQuestion,
    data: bytes,
    index: PriceIndex,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    *,
    is_stored: bool = False,
) -> SettledPeriod:
    """Return what `data` answers the question with; raise `AnswerRefused` if it is wrong.

    Takes and raises what `settlement_check` does.
    """
    settled, checks = settlement_check(
        question, data, index, period, series, certifier, is_stored=is_stored
    )
    require_proved(checks)
    return settled


def settlement_check(
    question: SettlementQuestion,
    data: bytes,
    index: PriceIndex,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    *,
    is_stored: bool = False,
) -> tuple[SettledPeriod, list[Check]]:
    """Return the value that `data` says, and what remains to be checked before it is one.

    `index` is the one whose signed document the question carried; raises `UnpricedSlot` where it
    has no price for a slot.
    `is_stored` says that the question is not a new one: then it takes an answer of release 0.1,
    too, and days of version 1.
    """
    decode = decode_any_answer if is_stored else SettlementAnswer.decode
    answer = check_message(decode, data, question.about)
    if answer.digest != index.digest:
        raise AnswerRefused("index", "the answer was worked out under another index")
    certified = check_days(answer.days, period, series, certifier, is_stored=is_stored)
    starts = starts_of(certified)
    weights = index.weights(starts, 60 * series.slot_minutes)
    proofs = ProofContext(question.about, index.digest, RECIPIENT, PURPOSE)
    if isinstance(answer, SettlementAnswerVersion1):
        value, check = proofs.sum_version_1(series, certified, weights, answer.proof)
    elif isinstance(answer, ExactSettlementAnswer):
        amount = Sum(SlotForm.of_each(weights))
        (value,), check = proofs.amounts(series, certified, [amount], answer.proof, "the value")
    else:
        days, number = {series: certified}, settled_total(weights)
        (pennies,), check = proofs.numbers(days, [number], answer.proof, "the value")
        value = pennies * PENNY
    states = zip(starts, certified.states, strict=True)
    missing = tuple(start for start, state in states if state is SlotState.MISSING)
    return SettledPeriod(value, len(starts), missing, certified.days), [check]
