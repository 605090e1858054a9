# SPDX-License-Identifier: Apache-2.0
"""Bills of exact amounts, as release 0.1 answered with them. Frozen: ledgers and hubs hold such.

No applet makes one any more, and no new question takes one (`messages`). They had two forms. The
one of opened amounts had these entries, in this order:

    TOTAL           what is to be paid, in the currency's smallest rounded unit (DLMS unit 10)
    TARIFF          the tariff's digest, 32 bytes
    PROOF           the proof that opens the bill's amounts (`protocols.proofs.amounts`)
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order
    FEED_IN_PROOF   the proof that opens the amounts of the export register
    FEED_IN_DAY     a certified day of the export register; once for each day, in order

The last two were there just if the bill depended on the export register, the two before them just
if it depended on the import register. The one of a single sum:

    ENERGY_AMOUNT   Σ price·use, in 10^-9 of the currency (DLMS unit 10)
    TOTAL           what is to be paid, in the currency's smallest rounded unit
    OPENING         Σ price·blinding, 32 bytes
    BINDING         the digest that ties the proof to its question, 32 bytes
    TARIFF          the tariff's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

Amount, opening and binding are what `protocols.proofs.linear` verifies.

Errors: MessageRefused
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from applets.billing.messages import (
    BILL,
    CERTIFIED_DAY,
    FORMAT,
    PROOF,
    TARIFF,
    UNIT_CURRENCY,
    BillAnswer,
    encode_total,
)
from applets.common.questions import (
    DIGEST_SIZE,
    MOST_DAYS,
    NONCE_SIZE,
    About,
    MessageRefused,
    certified_days,
    decode_answer,
    encode_answer,
    entry,
    require_proof,
    require_same_entries,
)
from protocols.proofs.linear import OPENING_SIZE
from sml_codec import Obis, PeriodEntry

FEED_IN_PROOF: Final = Obis(bytes.fromhex("81814d010800"))
FEED_IN_DAY: Final = Obis(bytes.fromhex("81814d010900"))
ENERGY_AMOUNT: Final = Obis(bytes.fromhex("81814d010100"))
OPENING: Final = Obis(bytes.fromhex("81814d010300"))
BINDING: Final = Obis(bytes.fromhex("81814d010400"))
NANO: Final = -9
MOST_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Proved:
    """The amounts of one register, proved over its certified days."""

    proof: bytes
    """Opens the amounts, in the order of `version1_charges.plan_exact_bill`."""
    days: tuple[bytes, ...]
    """The certified days."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.days) <= MOST_DAYS:
            raise MessageRefused(f"{len(self.days)} days, not 1 to {MOST_DAYS}")
        require_proof(self.proof)

    def entries(self, proof: Obis, day: Obis) -> list[PeriodEntry]:
        """Return the entries of an answer."""
        return [entry(proof, self.proof), *(entry(day, one) for one in self.days)]

    @classmethod
    def find(cls, entries: Sequence[PeriodEntry], proof: Obis, day: Obis) -> "Proved | None":
        """Return what those of the entries say that are of these names; None where there is none.

        Raises `MessageRefused` where such entries are not a proof and its days.
        """
        found = [one for one in entries if one.obis in (proof, day)]
        match found:
            case []:
                return None
            case [PeriodEntry(value=bytes(opened)), *days] if found[0] == entry(proof, opened):
                return cls(opened, certified_days(days, day))
        raise MessageRefused("not a proof and the days that it is about")


@dataclass(frozen=True, slots=True)
class AmountsBillAnswer:
    """What is to be paid, and the opened amounts that it follows from."""

    meter: bytes
    begin: int
    end: int
    nonce: bytes
    total: Decimal
    """What is to be paid, rounded by the tariff's rule."""
    tariff: bytes
    """The tariff's digest."""
    drawn: Proved | None
    """Of the import register; None if the bill does not depend on it."""
    fed_in: Proved | None = None
    """Of the export register; None if the bill does not depend on it."""

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE or len(self.tariff) != DIGEST_SIZE:
            raise MessageRefused("nonce or tariff digest of a wrong size")
        if self.drawn is None and self.fed_in is None:
            raise MessageRefused("nothing is proved")

    @property
    def about(self) -> About:
        """What it is about, and which question it belongs to."""
        return About(self.meter, self.begin, self.end, self.nonce)

    def encode(self) -> bytes:
        """Return the SML file."""
        return encode_answer(self.about, BILL, self.entries)

    @property
    def entries(self) -> list[PeriodEntry]:
        """The entries of the SML file."""
        return [
            encode_total(self.total),
            entry(TARIFF, self.tariff),
            *(self.drawn.entries(PROOF, CERTIFIED_DAY) if self.drawn else ()),
            *(self.fed_in.entries(FEED_IN_PROOF, FEED_IN_DAY) if self.fed_in else ()),
        ]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        return cls.of_entries(*decode_answer(data, BILL))

    @classmethod
    def of_entries(cls, about: About, entries: Sequence[PeriodEntry]) -> Self:
        """Return the answer that an SML file with these entries is; raise `MessageRefused`."""
        match entries:
            case [
                PeriodEntry(value=int(total), scaler=int(scaler)),
                PeriodEntry(value=bytes(tariff)),
                *proved,
            ] if -MOST_DECIMALS <= scaler <= 0:
                answer = cls(
                    meter=about.meter,
                    begin=about.begin,
                    end=about.end,
                    nonce=about.nonce,
                    total=Decimal(int(total)).scaleb(int(scaler)),
                    tariff=tariff,
                    drawn=Proved.find(proved, PROOF, CERTIFIED_DAY),
                    fed_in=Proved.find(proved, FEED_IN_PROOF, FEED_IN_DAY),
                )
            case _:
                raise MessageRefused("not the entries of a bill")
        require_same_entries(about, answer.entries, entries)  # names, units and scalers
        return answer


@dataclass(frozen=True, slots=True)
class BillAnswerVersion1(AmountsBillAnswer):
    """What is to be paid, and the opening of the one sum that it follows from."""

    def __post_init__(self) -> None:
        super(BillAnswerVersion1, self).__post_init__()
        if self.drawn is None or self.fed_in is not None or len(self.drawn.proof) != OPENING_SIZE:
            raise MessageRefused("not the opening of one sum")

    @property
    def entries(self) -> list[PeriodEntry]:
        """The entries of the SML file."""
        assert self.drawn is not None
        proof, amount = self.drawn.proof, int.from_bytes(self.drawn.proof[:8], "big", signed=True)
        return [
            entry(ENERGY_AMOUNT, amount, UNIT_CURRENCY, NANO),
            encode_total(self.total),
            entry(OPENING, proof[8:40]),
            entry(BINDING, proof[40:]),
            entry(TARIFF, self.tariff),
            *(entry(CERTIFIED_DAY, day) for day in self.drawn.days),
        ]

    @classmethod
    def of_entries(cls, about: About, entries: Sequence[PeriodEntry]) -> Self:
        """Return the answer that an SML file with these entries is; raise `MessageRefused`."""
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
        require_same_entries(about, answer.entries, entries)  # names, sizes, units and scalers
        return answer


def decode_any_answer(data: bytes) -> BillAnswer | AmountsBillAnswer:
    """Return the answer in `data`, of this version or an older one; raise `MessageRefused`."""
    about, entries = decode_answer(data, BILL)
    if entries and entries[0].obis == FORMAT:
        return BillAnswer.of_entries(about, entries)
    if entries and entries[0].obis == ENERGY_AMOUNT:
        return BillAnswerVersion1.of_entries(about, entries)
    return AmountsBillAnswer.of_entries(about, entries)
