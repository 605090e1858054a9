# SPDX-License-Identifier: Apache-2.0
"""The steps of a round as commands to the hubs' aggregation applet.

The concentrator understands no more of them than where they go: the applet's messages protect
themselves, so commands and answers travel as plain APDUs. Rounds with prices go to the instance
that the resident has consented to for settlement.
"""

from dataclasses import dataclass
from typing import Final

from applets.aggregation.messages import CLA, Instruction, StepRequest
from protocols.aggregation.round import RoundTerms
from protocols.iso7816.apdu import CommandApdu

APPLET: Final = bytes.fromhex("F04D544C010201")
SETTLEMENT_APPLET: Final = bytes.fromhex("F04D544C010202")
MOST_ANSWER_BYTES: Final = 65_536
STEP_NAMES: Final = {
    Instruction.TELL_KEYS: "tell keys",
    Instruction.CONTRIBUTE: "contribute",
    Instruction.AGREE: "agree",
    Instruction.OPEN: "open",
    Instruction.SHOW_POINTS: "show points",
    Instruction.SHOW_KEY: "show key",
}


def applet_for(terms: RoundTerms) -> bytes:
    """Return the AID of the applet instance that takes part in rounds like this."""
    return APPLET if terms.weighting is None else SETTLEMENT_APPLET


@dataclass(frozen=True, slots=True)
class Question:
    """A step, and what it is about; the same for every hub."""

    step: Instruction
    parts: tuple[bytes, ...]
    applet: bytes = APPLET
    """Whom to ask."""

    @property
    def name(self) -> str:
        """The step's name in what is told of it."""
        return STEP_NAMES[self.step]

    def request(self, meter: bytes, nonce: bytes) -> StepRequest:
        """Return the request to a meter's hub; the nonce is 16 fresh bytes."""
        return StepRequest(meter, nonce, self.step, self.parts)

    def command(self, request: StepRequest) -> CommandApdu:
        """Return the command that carries a request."""
        return CommandApdu(
            CLA, self.step, 0, 0, request.encode(), le=MOST_ANSWER_BYTES, extended=True
        )
