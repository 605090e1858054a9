# SPDX-License-Identifier: Apache-2.0
"""The settlement applet: says what a period's use was worth at an index, and never sees a reading.

An `AskingApplet`, installed with the key of whoever settles: the document is a price index, the
number Σ price·use, rounded to 10^-2 of the currency.
"""

from collections.abc import Sequence

from applets.common.asking import OneProofApplet
from applets.settlement.messages import SettlementAnswer, SettlementQuestion, settled_total
from protocols.amounts import Total
from tariffs import PriceIndex


class SettlementApplet(OneProofApplet[PriceIndex]):
    """Answers with a value and its proof."""

    question = SettlementQuestion
    proved = SettlementAnswer
    signer_key = b"resident/index-key"
    documents = b"resident/index/"

    def decode(self, payload: bytes) -> PriceIndex:
        """Return the index that was signed."""
        return PriceIndex.decode(payload)

    def numbers(
        self, document: PriceIndex, starts: Sequence[int], slot_seconds: int
    ) -> Sequence[Total]:
        """Return the one sum, weighted with the prices and rounded."""
        return [settled_total(document.weights(starts, slot_seconds))]
