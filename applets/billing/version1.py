# SPDX-License-Identifier: Apache-2.0
"""Bills of one sum, as version 0.1 answered with them. Frozen: ledgers and hubs hold such answers.

No applet makes one any more. A plain bill is an answer like all others (`messages`), its proof one
of amounts; these had the entries, in this order:

    ENERGY_AMOUNT   Σ price·use, in 10^-9 of the currency (DLMS unit 10)
    TOTAL           what is to be paid, in the currency's smallest rounded unit
    OPENING         Σ price·blinding, 32 bytes
    BINDING         the digest that ties the proof to its question, 32 bytes
    TARIFF          the tariff's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

Amount, opening and binding are what `protocols.proofs.linear` verifies.

Errors: MessageRefused
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from applets.billing.messages import (
    BILL,
    CERTIFIED_DAY,
    MOST_DECIMALS,
    TARIFF,
    UNIT_CURRENCY,
    BillAnswer,
    Proved,
    encode_total,
)
from applets.common.questions import (
    MessageRefused,
    certified_days,
    decode_answer,
    encode_answer,
    entry,
)
from protocols.proofs.linear import OPENING_SIZE
from sml_codec import Obis, PeriodEntry

ENERGY_AMOUNT: Final = Obis(bytes.fromhex("81814d010100"))
OPENING: Final = Obis(bytes.fromhex("81814d010300"))
BINDING: Final = Obis(bytes.fromhex("81814d010400"))
NANO: Final = -9


@dataclass(frozen=True, slots=True)
class BillAnswerVersion1(BillAnswer):
    """What is to be paid, and the opening of the one sum that it follows from."""

    def __post_init__(self) -> None:
        super(BillAnswerVersion1, self).__post_init__()
        if self.drawn is None or self.fed_in is not None or len(self.drawn.proof) != OPENING_SIZE:
            raise MessageRefused("not the opening of one sum")

    def encode(self) -> bytes:
        """Return the SML file."""
        assert self.drawn is not None
        proof, amount = self.drawn.proof, int.from_bytes(self.drawn.proof[:8], "big", signed=True)
        entries = [
            entry(ENERGY_AMOUNT, amount, UNIT_CURRENCY, NANO),
            encode_total(self.total),
            entry(OPENING, proof[8:40]),
            entry(BINDING, proof[40:]),
            entry(TARIFF, self.tariff),
            *(entry(CERTIFIED_DAY, day) for day in self.drawn.days),
        ]
        return encode_answer(self.about, BILL, entries)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        about, entries = decode_answer(data, BILL)
        match entries:
            case [
                PeriodEntry(value=int(amount)),
                PeriodEntry(value=int(total), scaler=int(scaler)),
                PeriodEntry(value=bytes(opening)),
                PeriodEntry(value=bytes(binding)),
                PeriodEntry(value=bytes(tariff)),
                *days,
            ] if -MOST_DECIMALS <= scaler <= 0 and -(1 << 63) <= amount < 1 << 63:
                proof = int(amount).to_bytes(8, "big", signed=True) + opening + binding
                exact = Decimal(int(total)).scaleb(int(scaler))
                proved = Proved(proof, certified_days(days, CERTIFIED_DAY))
                answer = cls(
                    about.meter, about.begin, about.end, about.nonce, exact, tariff, proved
                )
            case _:
                raise MessageRefused("not the entries of a bill of one sum")
        if answer.encode() != data:  # names, sizes, units and scalers
            raise MessageRefused("not in the form that these messages had")
        return answer


def decode_any_answer(data: bytes) -> BillAnswer:
    """Return the answer in `data`, of this version or the first; raise `MessageRefused`."""
    _, entries = decode_answer(data, BILL)
    if entries and entries[0].obis == ENERGY_AMOUNT:
        return BillAnswerVersion1.decode(data)
    return BillAnswer.decode(data)
