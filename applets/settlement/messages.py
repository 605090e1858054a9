# SPDX-License-Identifier: Apache-2.0
"""The settlement applet's messages, in SML.

    command    CLA INS   data                                    answer
    ASK        80  10    a question (`applets.exchange`)         a settlement answer

The path of a question is `SETTLEMENT`, its document `INDEX` the signed price index. The answer has
these entries, in this order:

    PROOF           the proof that opens Σ price·use (`protocols.proofs.amounts`)
    INDEX           the index's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

`version1` reads the answers of version 0.1.

Errors: MessageRefused
"""

import enum
from dataclasses import dataclass
from typing import Final, Self

from applets.common.questions import (
    DIGEST_SIZE,
    About,
    MessageRefused,
    certified_days,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
    entry,
    require_size,
)
from sml_codec import Obis, PeriodEntry

AID: Final = bytes.fromhex("F04D544C010103")
"""The AID that the shipped manifest installs it under."""

SETTLEMENT: Final = Obis(bytes.fromhex("81814d020000"))
INDEX: Final = Obis(bytes.fromhex("81814d020500"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d020600"))
PROOF: Final = Obis(bytes.fromhex("81814d020700"))
MOST_PROOF_BYTES: Final = 1 << 17


class Instruction(enum.IntEnum):
    """What the applet is asked."""

    ASK = 0x10


@dataclass(frozen=True, slots=True)
class SettlementQuestion:
    """What was the use of a period worth at this index?"""

    about: About
    index: bytes
    """The signed price index."""

    def encode(self) -> bytes:
        """Return the SML file."""
        return encode_question(self.about, SETTLEMENT, INDEX, self.index)

    @classmethod
    def decode(cls, data: bytes) -> "SettlementQuestion":
        """Return the question in `data`; raise `MessageRefused` for anything else."""
        return cls(*decode_question(data, SETTLEMENT, INDEX))


@dataclass(frozen=True, slots=True)
class SettlementAnswer:
    """What it was worth, and what proves it."""

    about: About
    proof: bytes
    """Opens Σ price·use over the period's slots, in 10^-9 of the currency."""
    index: bytes
    """The index's digest."""
    days: tuple[bytes, ...]
    """The certified days."""

    def __post_init__(self) -> None:
        require_size("an index's digest", self.index, DIGEST_SIZE)
        if not 0 < len(self.proof) <= MOST_PROOF_BYTES:
            raise MessageRefused(f"a proof has 1 to {MOST_PROOF_BYTES} bytes")

    def encode(self) -> bytes:
        """Return the SML file."""
        entries = [
            entry(PROOF, self.proof),
            entry(INDEX, self.index),
            *(entry(CERTIFIED_DAY, day) for day in self.days),
        ]
        return encode_answer(self.about, SETTLEMENT, entries)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        about, entries = decode_answer(data, SETTLEMENT)
        match entries:
            case [PeriodEntry(value=bytes(proof)), PeriodEntry(value=bytes(index)), *days]:
                answer = cls(about, proof, index, certified_days(days, CERTIFIED_DAY))
            case _:
                raise MessageRefused("not the entries of a settlement")
        if answer.encode() != data:  # names
            raise MessageRefused("not in the form that these messages have")
        return answer
