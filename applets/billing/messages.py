# SPDX-License-Identifier: Apache-2.0
"""The billing applet's messages, in SML.

Their form is that of `applets.common.questions`: the path of a question is `BILL`, its document
`TARIFF` the signed tariff; DELIVER brings a signed invoice. The answer has these entries, in this
order:

    TOTAL           what is to be paid, in the currency's smallest rounded unit (DLMS unit 10)
    TARIFF          the tariff's digest, 32 bytes
    PROOF           the proof that opens the bill's amounts (`protocols.proofs.amounts`)
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order
    FEED_IN_PROOF   the proof that opens the amounts of the export register
    FEED_IN_DAY     a certified day of the export register; once for each day, in order

The last two are there just if the bill depends on the export register, the two before them just if
it depends on the import register. Which amounts are proved, of which registers, follows from the
question and the certified days (`charges`, `billed_registers`). `version1` reads the answers of
version 0.1 to tariffs for which one sum makes the bill.

Decoding is strict: other messages, entries, units, lengths or an order of one's own are refused.

Errors: MessageRefused
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from applets.common.questions import (
    DIGEST_SIZE,
    MOST_DAYS,
    NONCE_SIZE,
    About,
    MessageRefused,
    Question,
    certified_days,
    decode_answer,
    encode_answer,
    entry,
    require_proof,
    require_same,
)
from sml_codec import Obis, PeriodEntry
from tariffs.envelope import CONTENT_TYPE

AID: Final = bytes.fromhex("F04D544C010101")
"""The AID that the shipped manifest installs it under."""

BILL: Final = Obis(bytes.fromhex("81814d010000"))
"""129-129:77.1.0*0: group A and B from the manufacturers' range, as are all below."""
TOTAL: Final = Obis(bytes.fromhex("81814d010200"))
TARIFF: Final = Obis(bytes.fromhex("81814d010500"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d010600"))
PROOF: Final = Obis(bytes.fromhex("81814d010700"))
FEED_IN_PROOF: Final = Obis(bytes.fromhex("81814d010800"))
FEED_IN_DAY: Final = Obis(bytes.fromhex("81814d010900"))

UNIT_CURRENCY: Final = 10
MOST_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class BillQuestion(Question):
    """What is to be paid for [begin, end) under this signed tariff?"""

    path = BILL
    name = TARIFF
    content_type = CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class Proved:
    """The amounts of one register, proved over its certified days."""

    proof: bytes
    """Opens the amounts, in the order of `charges.plan_bill`."""
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
class BillAnswer:
    """What is to be paid, and what proves the amounts that it follows from."""

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
        return encode_answer(
            self.about,
            BILL,
            [
                encode_total(self.total),
                entry(TARIFF, self.tariff),
                *(self.drawn.entries(PROOF, CERTIFIED_DAY) if self.drawn else ()),
                *(self.fed_in.entries(FEED_IN_PROOF, FEED_IN_DAY) if self.fed_in else ()),
            ],
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        about, entries = decode_answer(data, BILL)
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
        require_same(answer.encode(), data)  # names, units and scalers
        return answer


def encode_total(total: Decimal) -> PeriodEntry:
    """Return the entry of a total."""
    decimals = -int(total.as_tuple().exponent)
    return entry(TOTAL, int(total.scaleb(decimals)), UNIT_CURRENCY, -decimals)
