# SPDX-License-Identifier: Apache-2.0
"""The settlement applet: says what a period's use was worth at an index, and never sees a reading.

Installed with the Ed25519 public key (32 bytes) of whoever settles as its parameters. For a
question it checks that this key signed the index, asks the calendar which slots the period has, and
asks the platform for Σ price·use with a proof. It keeps for the resident, under `resident/`, the
key and every index it answered under.
"""

from typing import Final

from applets.common.questions import CLA, MessageRefused
from applets.sdk import Applet, AppletError, Command, Response, StatusWord, instruction
from applets.settlement.messages import Instruction, SettlementAnswer, SettlementQuestion
from protocols.amounts import SlotForm, Sum, encode_amounts
from tariffs import PriceIndex, SignatureRefused, TariffError
from tariffs.envelope import split_signed
from tariffs.price_index import INDEX_CONTENT_TYPE

REGISTER: Final = "1-0:1.8.0*255"
SIGNER_KEY: Final = b"resident/index-key"
KEY_SIZE: Final = 32


class SettlementApplet(Applet):
    """Answers with a value and its proof."""

    def install(self, parameters: bytes) -> None:
        """Keep the public key of whoever settles."""
        if len(parameters) != KEY_SIZE:
            raise AppletError(StatusWord.WRONG_DATA, "a public key has 32 bytes")
        self.platform.store.put(SIGNER_KEY, parameters)

    def process(self, command: Command) -> Response:
        """Answer a question."""
        if command.cla != CLA:
            raise AppletError(StatusWord.CLASS_NOT_SUPPORTED)
        match instruction(Instruction, command):
            case Instruction.ASK:
                return Response(self._ask(command.data))

    def _ask(self, data: bytes) -> bytes:
        about_slots = self.platform.calendar
        try:
            question = SettlementQuestion.decode(data)
            about, index = question.about, self._index(question.index)
            slots = about_slots.slots(REGISTER, about.begin, about.end)
            weights = index.weights(slots.starts, 60 * about_slots.grid().slot_minutes)
            amounts = encode_amounts([Sum(SlotForm.of_each(weights))])
        except (MessageRefused, TariffError) as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        # Before anything is told: it is taken back if that is refused.
        self.platform.store.put(b"resident/index/" + index.digest, question.index)
        opened = self.platform.statements.open_amounts(
            REGISTER, about.begin, about.end, amounts, index.digest + about.nonce
        )
        return SettlementAnswer(about, opened.proof, index.digest, opened.certified_days).encode()

    def _index(self, document: bytes) -> PriceIndex:
        parts = split_signed(document, INDEX_CONTENT_TYPE)
        key = self.platform.store.get(SIGNER_KEY)
        if key is None or not self.platform.signatures.verify_ed25519(
            key, parts.to_be_signed, parts.signature
        ):
            raise SignatureRefused("this index was signed by somebody else")
        return PriceIndex.decode(parts.payload)
