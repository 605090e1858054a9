# SPDX-License-Identifier: Apache-2.0
"""What a statement is about and for whom, which every proof is bound to."""

from dataclasses import dataclass
from typing import Final

from protocols.proofs.transcript import DIGEST_SIZE, Transcript

NONCE_SIZES: Final = range(16, 65)


@dataclass(frozen=True, slots=True)
class StatementContext:
    """What a statement is about, and for whom: everything a proof must not be moved between."""

    meter: bytes
    register: bytes
    """The OBIS code, 6 bytes."""
    begin: int
    """The period's first second, UTC."""
    end: int
    """The second after the period."""
    slot_minutes: int
    parameters: bytes
    """The SHA-256 of the signed tariff, or of whatever else the weights come from."""
    recipient: str
    purpose: str
    nonce: bytes
    """What the recipient chose for this request, 16 to 64 bytes."""

    def __post_init__(self) -> None:
        if len(self.register) != 6:
            raise ValueError(f"an OBIS code has 6 bytes, not {len(self.register)}")
        if self.begin >= self.end or self.slot_minutes <= 0:
            raise ValueError("the period is empty")
        if len(self.parameters) != DIGEST_SIZE:
            raise ValueError(f"the parameters' hash has 32 bytes, not {len(self.parameters)}")
        if len(self.nonce) not in NONCE_SIZES:
            raise ValueError(f"a nonce has 16 to 64 bytes, not {len(self.nonce)}")

    def transcript(self, protocol: str, version: int) -> Transcript:
        """Return a transcript that has taken in the whole context."""
        transcript = Transcript(protocol, version)
        transcript.append("meter", self.meter)
        transcript.append("register", self.register)
        transcript.append_integer("begin", self.begin)
        transcript.append_integer("end", self.end)
        transcript.append_integer("slot minutes", self.slot_minutes)
        transcript.append("parameters", self.parameters)
        transcript.append_text("recipient", self.recipient)
        transcript.append_text("purpose", self.purpose)
        transcript.append("nonce", self.nonce)
        return transcript
