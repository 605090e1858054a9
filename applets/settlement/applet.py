# SPDX-License-Identifier: Apache-2.0
"""The settlement applet: says what a period's use was worth at an index, and never sees a reading.

An `AskingApplet`, installed with the key of whoever settles: the document is a price index, the
amount Σ price·use.
"""

from collections.abc import Sequence

from applets.common.asking import OneProofApplet
from applets.settlement.messages import SettlementAnswer, SettlementQuestion
from protocols.amounts import SlotForm, Sum
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

    def amounts(
        self, document: PriceIndex, starts: Sequence[int], slot_seconds: int
    ) -> Sequence[Sum]:
        """Return the one sum, weighted with the prices."""
        return [Sum(SlotForm.of_each(document.weights(starts, slot_seconds)))]
