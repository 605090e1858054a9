# SPDX-License-Identifier: Apache-2.0
"""What a statement is about and for whom, which every proof is bound to.

`NumbersContext` is that of numbers opened of several registers. `StatementContext` is of one
register, as amounts were opened by themselves: frozen, for what is stored and for packages that
still ask so.
"""

from dataclasses import dataclass
from typing import Final

from protocols.proofs.transcript import DIGEST_SIZE, Transcript

NONCE_SIZES: Final = range(16, 65)
OBIS_SIZE: Final = 6


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
        _require_obis(self.register)
        _require_sense(self)

    def transcript(self, protocol: str, version: int) -> Transcript:
        """Return a transcript that has taken in the whole context."""
        transcript = Transcript(protocol, version)
        transcript.append("meter", self.meter)
        transcript.append("register", self.register)
        _append_rest(transcript, self)
        return transcript


@dataclass(frozen=True, slots=True)
class NumbersContext:
    """What numbers of a meter's registers are about, and for whom."""

    meter: bytes
    registers: tuple[bytes, ...]
    """Their OBIS codes, 6 bytes each, each once, in the order of the call."""
    begin: int
    """The period's first second, UTC."""
    end: int
    """The second after the period."""
    slot_minutes: int
    parameters: bytes
    """The SHA-256 of the signed document that the weights come from."""
    recipient: str
    purpose: str
    nonce: bytes
    """What the recipient chose for this request, 16 to 64 bytes."""
    state: bytes = b""
    """The digest of the carried state that the numbers go on from; empty where they have none."""

    def __post_init__(self) -> None:
        if len(self.state) not in (0, DIGEST_SIZE):
            raise ValueError(f"a state's digest has {DIGEST_SIZE} bytes, not {len(self.state)}")
        if not self.registers or len(set(self.registers)) != len(self.registers):
            raise ValueError("numbers are of one or more registers, each of them once")
        for register in self.registers:
            _require_obis(register)
        _require_sense(self)

    def transcript(self, protocol: str, version: int) -> Transcript:
        """Return a transcript that has taken in the whole context."""
        transcript = Transcript(protocol, version)
        transcript.append("meter", self.meter)
        transcript.append_integer("registers", len(self.registers))
        for register in self.registers:
            transcript.append("register", register)
        _append_rest(transcript, self)
        if self.state:
            transcript.append("state", self.state)
        return transcript


def _require_obis(register: bytes) -> None:
    if len(register) != OBIS_SIZE:
        raise ValueError(f"an OBIS code has {OBIS_SIZE} bytes, not {len(register)}")


def _require_sense(context: StatementContext | NumbersContext) -> None:
    if context.begin >= context.end or context.slot_minutes <= 0:
        raise ValueError("the period is empty")
    if len(context.parameters) != DIGEST_SIZE:
        raise ValueError(f"the parameters' hash has 32 bytes, not {len(context.parameters)}")
    if len(context.nonce) not in NONCE_SIZES:
        raise ValueError(f"a nonce has 16 to 64 bytes, not {len(context.nonce)}")


def _append_rest(transcript: Transcript, context: StatementContext | NumbersContext) -> None:
    transcript.append_integer("begin", context.begin)
    transcript.append_integer("end", context.end)
    transcript.append_integer("slot minutes", context.slot_minutes)
    transcript.append("parameters", context.parameters)
    transcript.append_text("recipient", context.recipient)
    transcript.append_text("purpose", context.purpose)
    transcript.append("nonce", context.nonce)
