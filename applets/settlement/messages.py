# SPDX-License-Identifier: Apache-2.0
"""The settlement applet's messages, in SML.

Their form is that of `applets.common.questions`. The path of a question is `SETTLEMENT`, its
document `INDEX` the signed price index. The answer has these entries, in this order:

    FORMAT          2
    PROOF           the proof that opens Σ price·use, rounded (`protocols.proofs.numbers`)
    INDEX           the index's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

`version1` reads the answers of release 0.1; no new question is answered with one.

Errors: MessageRefused
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from applets.common.questions import ProvedAnswer, Question
from protocols.amounts import Metered, QuotientRule, SlotForm, Sum, Total
from sml_codec import Obis
from tariffs.price_index import INDEX_CONTENT_TYPE

AID: Final = bytes.fromhex("F04D544C010103")
"""The AID that the shipped manifest installs it under."""

SETTLEMENT: Final = Obis(bytes.fromhex("81814d020000"))
INDEX: Final = Obis(bytes.fromhex("81814d020500"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d020600"))
PROOF: Final = Obis(bytes.fromhex("81814d020700"))
FORMAT: Final = Obis(bytes.fromhex("81814d020800"))
VERSION: Final = 2
PENNY: Final = 10**7
"""10^-2 of the currency, in the 10^-9 of prices by the watt-hour."""


@dataclass(frozen=True, slots=True)
class SettlementQuestion(Question):
    """What was the use of a period worth at this signed price index?"""

    path = SETTLEMENT
    name = INDEX
    content_type = INDEX_CONTENT_TYPE


def settled_total(weights: Sequence[int]) -> Total:
    """Return the number that is told: the slots' worth at these prices, half-even to pennies."""
    worth = Metered(0, Sum(SlotForm.of_each(weights)))
    return Total((worth,), (), PENNY, QuotientRule.HALF_EVEN)


@dataclass(frozen=True, slots=True)
class SettlementAnswer(ProvedAnswer):
    """What it was worth: Σ price·use over the period's slots, to 10^-2 of the currency."""

    path = SETTLEMENT
    format: ClassVar[tuple[Obis, int] | None] = (FORMAT, VERSION)
    layout = {"proof": PROOF, "digest": INDEX}  # noqa: RUF012
    day = CERTIFIED_DAY

    @property
    def index(self) -> bytes:
        """The index's digest."""
        return self.digest
