# SPDX-License-Identifier: Apache-2.0
"""The steps of a round as commands to the hubs' aggregation applet.

The concentrator understands no more of them than where they go: the applet's messages protect
themselves, so commands and answers travel as plain APDUs. Rounds with prices go to the instance
that the resident has consented to for settlement.

A step may name by digest what a hub should have from before. A hub that does not have it says so
(not found, or wrong data where it is of a release that knows of no such names), and is sent the
whole in the same breath.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from applets.aggregation.messages import (
    CLA,
    NONCE_SIZE,
    Instruction,
    MessageRefused,
    StepRequest,
)
from applets.aggregation.statement import AnswerRefused, content_of
from protocols.aggregation.round import RoundTerms
from protocols.iso7816.apdu import CommandApdu
from protocols.platform.errors import StatusWord
from protocols.secure_channel.conversation import Conversation
from utility_server.errors import HeadEndError, HubRefused
from utility_server.hub_conversation import HubConversations

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
    named: tuple[bytes, ...] = ()
    """The parts with names for what hubs have; empty where nothing has one."""
    without_names: set[bytes] = field(default_factory=set, compare=False)
    """Meters whose hubs know of no names; more are added."""

    @property
    def name(self) -> str:
        """The step's name in what is told of it."""
        return STEP_NAMES[self.step]

    def ask(
        self, conversations: HubConversations, meter: bytes, randomness: Callable[[int], bytes]
    ) -> Conversation[bytes]:
        """Return what a meter's hub says, by name first and then in full.

        Raises `HubRefused` where it refuses both, `HeadEndError` for what is no answer.
        """
        if self.named and meter not in self.without_names:
            try:
                return (yield from self._ask(conversations, meter, randomness, self.named))
            except HubRefused as refused:
                if refused.status_word == StatusWord.WRONG_DATA:
                    self.without_names.add(meter)
                elif refused.status_word != StatusWord.NOT_FOUND:
                    raise
        return (yield from self._ask(conversations, meter, randomness, self.parts))

    def _ask(
        self,
        conversations: HubConversations,
        meter: bytes,
        randomness: Callable[[int], bytes],
        parts: tuple[bytes, ...],
    ) -> Conversation[bytes]:
        try:
            request = StepRequest(meter, randomness(NONCE_SIZE), self.step, parts)
            command = CommandApdu(
                CLA, self.step, 0, 0, request.encode(), le=MOST_ANSWER_BYTES, extended=True
            )
            answer = yield from conversations.relay(self.applet, command)
            return content_of(request, answer)
        except (MessageRefused, AnswerRefused) as error:
            raise HeadEndError(str(error)) from None
