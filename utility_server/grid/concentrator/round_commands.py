# SPDX-License-Identifier: Apache-2.0
"""The steps of a round as commands to the hubs' aggregation applet.

The concentrator understands no more of them than where they go: the applet's messages protect
themselves, so commands and answers travel as plain APDUs. Rounds with prices go to the instance
that the resident has consented to for settlement.
"""

from dataclasses import dataclass
from typing import Final, Self

from applets.aggregation.messages import CLA, Instruction, StepRequest
from protocols.aggregation import Contributors, Terms
from protocols.iso7816 import CommandApdu

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


def applet_for(terms: Terms) -> bytes:
    """Return the AID of the applet instance that takes part in rounds like this."""
    return APPLET if terms.weighting is None else SETTLEMENT_APPLET


@dataclass(frozen=True, slots=True)
class Question:
    """A step, and what it is about; the same for every hub."""

    step: Instruction
    parts: tuple[bytes, ...]
    applet: bytes = APPLET
    """Whom to ask."""

    @classmethod
    def keys(cls, nonce: bytes, applet: bytes = APPLET) -> Self:
        """Ask for the keys of the round of this nonce."""
        return cls(Instruction.TELL_KEYS, (nonce,), applet)

    @classmethod
    def contribution(cls, announcement: bytes, applet: bytes = APPLET) -> Self:
        """Ask for a contribution to a round."""
        return cls(Instruction.CONTRIBUTE, (announcement,), applet)

    @classmethod
    def agreement(cls, contributors: Contributors, applet: bytes = APPLET) -> Self:
        """Ask for the agreement to open the sum over these."""
        return cls(Instruction.AGREE, (contributors.encode(),), applet)

    @classmethod
    def opening(
        cls, contributors: Contributors, agreements: tuple[bytes, ...], applet: bytes = APPLET
    ) -> Self:
        """Ask for an opening, given everybody's agreement."""
        return cls(Instruction.OPEN, (contributors.encode(), b"".join(agreements)), applet)

    @classmethod
    def points(cls, contributors: Contributors, applet: bytes = APPLET) -> Self:
        """Ask for the commitments to the masks of pairs."""
        return cls(Instruction.SHOW_POINTS, (contributors.encode(),), applet)

    @classmethod
    def pair_key(cls, contributors: Contributors, theirs: bytes, applet: bytes = APPLET) -> Self:
        """Ask for the key of the pair whose other end has signed these points."""
        return cls(Instruction.SHOW_KEY, (contributors.encode(), theirs), applet)

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
