# SPDX-License-Identifier: Apache-2.0
"""The aggregation applet: a household's part in sums over a region.

Installed with the grid operator's Ed25519 public key (32 bytes) as its parameters: no other
operator's rounds are contributed to. It hands each step of a round to the platform, which makes,
masks, encrypts and signs what the household gives, and holds it to the rules; the applet sees
neither readings nor keys, and nothing that it could say instead would be believed.
"""

from typing import Final

from applets.aggregation.messages import (
    CLA,
    ROUND_NONCE_SIZE,
    Instruction,
    MessageRefused,
    StepAnswer,
    StepRequest,
    called_for,
)
from applets.sdk import Applet, AppletError, Command, Response, StatusWord, instruction

OPERATOR_KEY: Final = b"resident/operator-key"
KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64


class AggregationApplet(Applet):
    """Contributes to sums, and tells nothing else."""

    def install(self, parameters: bytes) -> None:
        """Keep the operator's public key."""
        if len(parameters) != KEY_SIZE:
            raise AppletError(
                StatusWord.WRONG_DATA,
                f"it is installed with its operator's public key, 32 bytes, and got"
                f" {len(parameters)}",
            )
        self.platform.store.put(OPERATOR_KEY, parameters)

    def process(self, command: Command) -> Response:
        """Take a step of a round."""
        if command.cla != CLA:
            raise AppletError(StatusWord.CLASS_NOT_SUPPORTED)
        step = instruction(Instruction, command)
        try:
            request = StepRequest.decode(command.data)
            if request.step is not step:
                raise MessageRefused("the request is for another step than the command")
        except MessageRefused as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        content = self._take(step, request.parts)
        return Response(StepAnswer(request.meter, request.nonce, step, content).encode())

    def _take(self, step: Instruction, parts: tuple[bytes, ...]) -> bytes:
        rounds = self.platform.aggregation
        match step:
            case Instruction.TELL_KEYS:
                return rounds.tell_keys(self._called(parts[0]))
            case Instruction.CONTRIBUTE:
                return rounds.contribute(self._operator(), parts[0])
            case Instruction.AGREE:
                return rounds.agree(parts[0])
            case Instruction.OPEN:
                return rounds.open_sum(parts[0], parts[1])
            case Instruction.SHOW_POINTS:
                return rounds.show_points(parts[0])
            case Instruction.SHOW_KEY:
                return rounds.show_key(parts[0], parts[1])

    def _called(self, call: bytes) -> bytes:
        """Return a round's nonce that the operator has signed: nobody else is told keys."""
        if len(call) != ROUND_NONCE_SIZE + SIGNATURE_SIZE:
            raise AppletError(StatusWord.WRONG_DATA, "a call is a nonce and a signature")
        nonce, signature = call[:ROUND_NONCE_SIZE], call[ROUND_NONCE_SIZE:]
        verify = self.platform.signatures.verify_ed25519
        if not verify(self._operator(), called_for(nonce), signature):
            raise AppletError(StatusWord.CONDITIONS_NOT_SATISFIED, "the operator has not called")
        return nonce

    def _operator(self) -> bytes:
        key = self.platform.store.get(OPERATOR_KEY)
        if key is None:
            raise AppletError(StatusWord.CONDITIONS_NOT_SATISFIED, "the operator's key is not here")
        return key
