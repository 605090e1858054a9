# SPDX-License-Identifier: Apache-2.0
"""Settlement answers of exact values, as release 0.1 gave them. Frozen: ledgers hold such answers.

No applet makes one any more, and no new question takes one (`messages`). They had two forms. One
had no format, PROOF, INDEX and the days, and its proof opened Σ price·use as an amount
(`protocols.proofs.amounts`). The other had these entries, in this order:

    VALUE           Σ price·use, in 10^-9 of the currency (DLMS unit 10)
    OPENING         Σ price·blinding, 32 bytes
    BINDING         the digest that ties the proof to its question, 32 bytes
    INDEX           the index's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

Value, opening and binding are what `protocols.proofs.linear` verifies.

Errors: MessageRefused
"""

from dataclasses import dataclass
from typing import Final, Self

from applets.common.questions import (
    MessageRefused,
    certified_days,
    decode_answer,
    encode_answer,
    entry,
    require_size,
)
from applets.settlement.messages import CERTIFIED_DAY, FORMAT, INDEX, SETTLEMENT, SettlementAnswer
from protocols.proofs.linear import OPENING_SIZE
from sml_codec import Obis, PeriodEntry

VALUE: Final = Obis(bytes.fromhex("81814d020100"))
OPENING: Final = Obis(bytes.fromhex("81814d020300"))
BINDING: Final = Obis(bytes.fromhex("81814d020400"))
UNIT_CURRENCY: Final = 10
NANO: Final = -9


@dataclass(frozen=True, slots=True)
class ExactSettlementAnswer(SettlementAnswer):
    """What the use was worth, to 10^-9 of the currency, opened as an amount."""

    format = None


@dataclass(frozen=True, slots=True)
class SettlementAnswerVersion1(ExactSettlementAnswer):
    """What the use was worth, and the opening of that one sum."""

    def __post_init__(self) -> None:
        super(SettlementAnswerVersion1, self).__post_init__()
        require_size("an opening", self.proof, OPENING_SIZE)

    def encode(self) -> bytes:
        """Return the SML file."""
        value = int.from_bytes(self.proof[:8], "big", signed=True)
        entries = [
            entry(VALUE, value, UNIT_CURRENCY, NANO),
            entry(OPENING, self.proof[8:40]),
            entry(BINDING, self.proof[40:]),
            entry(INDEX, self.index),
            *(entry(CERTIFIED_DAY, day) for day in self.days),
        ]
        return encode_answer(self.about, SETTLEMENT, entries)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        about, entries = decode_answer(data, SETTLEMENT)
        match entries:
            case [
                PeriodEntry(value=int(value)),
                PeriodEntry(value=bytes(opening)),
                PeriodEntry(value=bytes(binding)),
                PeriodEntry(value=bytes(index)),
                *days,
            ] if -(1 << 63) <= value < 1 << 63:
                proof = int(value).to_bytes(8, "big", signed=True) + opening + binding
                answer = cls(about, proof, index, certified_days(days, CERTIFIED_DAY))
            case _:
                raise MessageRefused("not the entries of a settlement")
        if answer.encode() != data:  # names, sizes, units and scalers
            raise MessageRefused("not in the form that these messages had")
        return answer


def decode_any_answer(data: bytes) -> SettlementAnswer:
    """Return the answer in `data`, of this version or an older one; raise `MessageRefused`."""
    _, entries = decode_answer(data, SETTLEMENT)
    if entries and entries[0].obis == FORMAT:
        return SettlementAnswer.decode(data)
    if entries and entries[0].obis == VALUE:
        return SettlementAnswerVersion1.decode(data)
    return ExactSettlementAnswer.decode(data)
