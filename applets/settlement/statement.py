# SPDX-License-Identifier: Apache-2.0
"""What the settlement applet claims, and how it is checked without it.

Public:  the signed price index; the period; the certifier's public key; the certified days with
         commitments C[t]; value.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   value = Σ price[t]·x[t] over every slot of the period.
Proof:   protocols.proofs.amounts, one `Sum`. Of an answer of version 0.1: protocols.proofs.linear.

The checks, in order, each with the name under which it refuses: `message` (form, and that it
answers this question), `index` (is it the one that was asked under), `days` (form), `signature`,
`chain` (each day of the period once, in order, of this meter), `proof`.

Errors: AnswerRefused
"""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.common.evidence import AnswerRefused, check_about, check_days, starts_of
from applets.common.questions import MessageRefused
from applets.settlement.messages import SettlementQuestion
from applets.settlement.version1 import SettlementAnswerVersion1, decode_any_answer
from protocols.amounts import SlotForm, Sum
from protocols.metrology import Period, Series, SlotState
from protocols.proofs import Malformed, ProofRefused, StatementContext, verify_amounts
from protocols.proofs.linear import verify_linear
from tariffs import PriceIndex

RECIPIENT: Final = "settlement"
PURPOSE: Final = "settlement"


@dataclass(frozen=True, slots=True)
class SettledPeriod:
    """What a customer's use was worth, proved."""

    value: int
    """In 10^-9 of the index's currency."""
    slots: int
    missing: tuple[int, ...]
    """The starts of the slots whose use is unknown and not in the value."""


def check_settlement(
    question: SettlementQuestion,
    data: bytes,
    index: PriceIndex,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
) -> SettledPeriod:
    """Return what `data` answers the question with; raise `AnswerRefused` if it is wrong.

    `index` is the one whose signed document the question carried; raises `UnpricedSlot` where it
    has no price for a slot.
    """
    try:
        answer = decode_any_answer(data)
    except MessageRefused as error:
        raise AnswerRefused("message", str(error)) from None
    about = question.about
    check_about(about, answer.about)
    if answer.index != index.digest:
        raise AnswerRefused("index", "the answer was worked out under another index")
    certified = check_days(answer.days, period, series, certifier)
    starts = starts_of(certified)
    weights = index.weights(starts, 60 * series.slot_minutes)
    context = StatementContext(
        meter=series.meter,
        register=series.register,
        begin=about.begin,
        end=about.end,
        slot_minutes=series.slot_minutes,
        parameters=index.digest,
        recipient=RECIPIENT,
        purpose=PURPOSE,
        nonce=about.nonce,
    )
    source = certified.source()
    try:
        if isinstance(answer, SettlementAnswerVersion1):
            value = verify_linear(context, source, weights, answer.proof)
        else:
            amount = Sum(SlotForm.of_each(weights))
            (value,), _ = verify_amounts(context, source, [amount], answer.proof, "the value")
    except (Malformed, ProofRefused) as error:
        raise AnswerRefused("proof", str(error)) from None
    states = zip(starts, certified.states, strict=True)
    missing = tuple(start for start, state in states if state is SlotState.MISSING)
    return SettledPeriod(value, len(starts), missing)
