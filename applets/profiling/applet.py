# SPDX-License-Identifier: Apache-2.0
"""The profiling applet: says which profile a household is like, and never sees a reading.

Installed with the recipient's Ed25519 public key (32 bytes) as its parameters. For a question it
checks that this key signed the request, asks the calendar which slots the period has, and asks the
platform for what the method tells, with a proof. It keeps for the resident, under `resident/`, the
key and every request it answered.
"""

from typing import Final

from applets.common.questions import CLA, MessageRefused
from applets.profiling.messages import (
    CONTENT_TYPE,
    Instruction,
    ProfilingAnswer,
    ProfilingQuestion,
    ProfilingRequest,
)
from applets.profiling.profiles import ProfilesMalformed
from applets.sdk import Applet, AppletError, Command, Response, StatusWord, instruction
from protocols.amounts import encode_amounts
from tariffs import SignatureRefused
from tariffs.envelope import split_signed

REGISTER: Final = "1-0:1.8.0*255"
SIGNER_KEY: Final = b"resident/recipient-key"
KEY_SIZE: Final = 32


class ProfilingApplet(Applet):
    """Answers with a match, scores or a sample, and their proof."""

    def install(self, parameters: bytes) -> None:
        """Keep the recipient's public key."""
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
        calendar = self.platform.calendar
        try:
            question = ProfilingQuestion.decode(data)
            about, request = question.about, self._request(question.request)
            slots = calendar.slots(REGISTER, about.begin, about.end)
            amounts = request.amounts(slots.starts, 60 * calendar.grid().slot_minutes)
        except (MessageRefused, ProfilesMalformed, SignatureRefused) as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        # Before anything is told: it is taken back if that is refused.
        self.platform.store.put(b"resident/request/" + request.digest, question.request)
        opened = self.platform.statements.open_amounts(
            REGISTER, about.begin, about.end, encode_amounts(amounts), request.digest + about.nonce
        )
        return ProfilingAnswer(about, request.digest, opened.proof, opened.certified_days).encode()

    def _request(self, document: bytes) -> ProfilingRequest:
        parts = split_signed(document, CONTENT_TYPE)
        key = self.platform.store.get(SIGNER_KEY)
        if key is None or not self.platform.signatures.verify_ed25519(
            key, parts.to_be_signed, parts.signature
        ):
            raise SignatureRefused("this request was signed by somebody else")
        return ProfilingRequest.decode(parts.payload)
