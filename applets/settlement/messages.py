# SPDX-License-Identifier: Apache-2.0
"""The settlement applet's messages, in SML.

Their form is that of `applets.common.questions`. The path of a question is `SETTLEMENT`, its
document `INDEX` the signed price index. The answer has these entries, in this order:

    PROOF           the proof that opens Σ price·use (`protocols.proofs.amounts`)
    INDEX           the index's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

`version1` reads the answers of version 0.1.

Errors: MessageRefused
"""

from dataclasses import dataclass
from typing import Final

from applets.common.questions import ProvedAnswer, Question
from sml_codec import Obis
from tariffs.price_index import INDEX_CONTENT_TYPE

AID: Final = bytes.fromhex("F04D544C010103")
"""The AID that the shipped manifest installs it under."""

SETTLEMENT: Final = Obis(bytes.fromhex("81814d020000"))
INDEX: Final = Obis(bytes.fromhex("81814d020500"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d020600"))
PROOF: Final = Obis(bytes.fromhex("81814d020700"))


@dataclass(frozen=True, slots=True)
class SettlementQuestion(Question):
    """What was the use of a period worth at this signed price index?"""

    path = SETTLEMENT
    name = INDEX
    content_type = INDEX_CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class SettlementAnswer(ProvedAnswer):
    """What it was worth, in 10^-9 of the currency: Σ price·use over the period's slots."""

    path = SETTLEMENT
    layout = {"proof": PROOF, "digest": INDEX}  # noqa: RUF012
    day = CERTIFIED_DAY

    @property
    def index(self) -> bytes:
        """The index's digest."""
        return self.digest
