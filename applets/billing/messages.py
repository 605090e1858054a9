# SPDX-License-Identifier: Apache-2.0
"""The billing applet's messages, in SML.

    command    CLA INS   data                                     answer
    ASK        80  10    SML file: Open, GetProfileList.Req, Close    SML file with a bill answer
    DELIVER    80  12    a signed invoice                             nothing

A question for a bill is a GetProfileList.Req: its period is begin and end time, the path of its
parameter tree is `BILL`, and `dasDetails` is the node `TARIFF` with the signed tariff. The file
id of the Open message is the recipient's nonce; the answer's Open message repeats it.

The answer is a GetProfileList.Res for the same period with these entries, in this order:

    ENERGY_AMOUNT   Σ price·use, in 10^-9 of the currency (DLMS unit 10)
    TOTAL           what is to be paid, in the currency's smallest rounded unit
    OPENING         Σ price·blinding, 32 bytes
    BINDING         the digest that ties the proof to its question, 32 bytes
    TARIFF          the tariff's digest, 32 bytes
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

Where no one sum of price times use makes the bill (blocks, demand charges, several versions), the
answer is one of charges, with these entries instead:

    TOTAL           as above
    TARIFF          as above
    PROOF           the proof that opens each charge's amount (`protocols.proofs.amounts`)
    CERTIFIED_DAY   as above

Which of the two it has to be follows from the question and the certified days (`charges`).

Decoding is strict: other messages, entries, units, lengths or an order of one's own are refused.

Errors: MessageRefused
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

from sml_codec import (
    Body,
    CloseReq,
    CloseRes,
    GetProfileListReq,
    GetProfileListRes,
    Limits,
    Message,
    Obis,
    OpenReq,
    OpenRes,
    PeriodEntry,
    PlainValue,
    SmlError,
    Time,
    TimeChoice,
    Tree,
    Value,
    decode_file,
    encode_file,
)

__all__ = [
    "Answer",
    "BillAnswer",
    "BillQuestion",
    "ChargesAnswer",
    "Instruction",
    "MessageRefused",
    "decode_answer",
]

CLA: Final = 0x80

BILL: Final = Obis(bytes.fromhex("81814d010000"))
"""129-129:77.1.0*0: group A and B from the manufacturers' range, as are all below."""
ENERGY_AMOUNT: Final = Obis(bytes.fromhex("81814d010100"))
TOTAL: Final = Obis(bytes.fromhex("81814d010200"))
OPENING: Final = Obis(bytes.fromhex("81814d010300"))
BINDING: Final = Obis(bytes.fromhex("81814d010400"))
TARIFF: Final = Obis(bytes.fromhex("81814d010500"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d010600"))
PROOF: Final = Obis(bytes.fromhex("81814d010700"))

UNIT_CURRENCY: Final = 10
NANO: Final = -9
NONCE_SIZE: Final = 16
SCALAR_SIZE: Final = 32
DIGEST_SIZE: Final = 32
MOST_DAYS: Final = 400
MOST_DECIMALS: Final = 6
MOST_PROOF_BYTES: Final = 1 << 17
LIMITS: Final = Limits(octets=1 << 18, elements=512, depth=8)


class Instruction(enum.IntEnum):
    """What the applet is asked."""

    ASK = 0x10
    DELIVER = 0x12


class MessageRefused(Exception):
    """Bytes are not the message they should be."""


@dataclass(frozen=True, slots=True)
class BillQuestion:
    """What is to be paid for [begin, end) under this tariff?"""

    meter: bytes
    begin: int
    end: int
    nonce: bytes
    """16 random bytes, new for each question."""
    tariff: bytes
    """The signed tariff document."""

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE:
            raise MessageRefused(f"a nonce has {NONCE_SIZE} bytes, not {len(self.nonce)}")
        if not 0 <= self.begin < self.end < 1 << 32:
            raise MessageRefused("the period is empty, or beyond 32 bits of seconds")

    def encode(self) -> bytes:
        """Return the SML file."""
        return _file(
            self.nonce,
            OpenReq(client_id=b"", request_file_id=self.nonce, server_id=self.meter),
            GetProfileListReq(
                server_id=self.meter,
                begin_time=Time(TimeChoice.TIMESTAMP, self.begin),
                end_time=Time(TimeChoice.TIMESTAMP, self.end),
                tree_path=(BILL.code,),
                details=Tree(TARIFF.code, PlainValue(self.tariff)),
            ),
            CloseReq(),
        )

    @classmethod
    def decode(cls, data: bytes) -> "BillQuestion":
        """Return the question in `data`; raise `MessageRefused` for anything else."""
        match _bodies(data):
            case [
                OpenReq(request_file_id=nonce, server_id=bytes(meter)),
                GetProfileListReq(
                    begin_time=Time(choice=TimeChoice.TIMESTAMP, seconds=begin),
                    end_time=Time(choice=TimeChoice.TIMESTAMP, seconds=end),
                    details=Tree(value=PlainValue(value=bytes(tariff))),
                ),
                CloseReq(),
            ]:
                question = cls(meter, int(begin), int(end), nonce, tariff)
            case _:
                raise MessageRefused("not a question for a bill")
        return _exactly(question, data)


@dataclass(frozen=True, slots=True)
class BillAnswer:
    """What is to be paid, and what proves it."""

    meter: bytes
    begin: int
    end: int
    nonce: bytes
    energy_amount: int
    """Σ price·use over the period's slots, in 10^-9 of the currency."""
    total: Decimal
    """What is to be paid, rounded by the tariff's rule."""
    opening: bytes
    binding: bytes
    tariff: bytes
    """The tariff's digest."""
    days: tuple[bytes, ...]
    """The certified days."""

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE or len(self.opening) != SCALAR_SIZE:
            raise MessageRefused("nonce or opening of a wrong size")
        if len(self.binding) != DIGEST_SIZE or len(self.tariff) != DIGEST_SIZE:
            raise MessageRefused("binding or tariff digest of a wrong size")
        if not 1 <= len(self.days) <= MOST_DAYS:
            raise MessageRefused(f"{len(self.days)} days, not 1 to {MOST_DAYS}")
        if not -(1 << 63) <= self.energy_amount < 1 << 63:
            raise MessageRefused("the amount does not fit 64 bits")

    def encode(self) -> bytes:
        """Return the SML file."""
        return _answer_file(
            self,
            [
                _entry(ENERGY_AMOUNT, self.energy_amount, UNIT_CURRENCY, NANO),
                _total(self.total),
                _entry(OPENING, self.opening),
                _entry(BINDING, self.binding),
                _entry(TARIFF, self.tariff),
                *(_entry(CERTIFIED_DAY, day) for day in self.days),
            ],
        )

    @classmethod
    def decode(cls, data: bytes) -> "BillAnswer":
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        meter, begin, end, nonce, entries = _answered(data)
        match entries:
            case [
                PeriodEntry(value=int(amount)),
                PeriodEntry(value=int(total), scaler=int(scaler)),
                PeriodEntry(value=bytes(opening)),
                PeriodEntry(value=bytes(binding)),
                PeriodEntry(value=bytes(tariff)),
                *days,
            ] if -MOST_DECIMALS <= scaler <= 0:
                answer = cls(
                    meter=meter,
                    begin=begin,
                    end=end,
                    nonce=nonce,
                    energy_amount=int(amount),
                    total=Decimal(int(total)).scaleb(int(scaler)),
                    opening=opening,
                    binding=binding,
                    tariff=tariff,
                    days=tuple(_octets(day) for day in days),
                )
            case _:
                raise MessageRefused("not the entries of a bill")
        return _exactly(answer, data)


@dataclass(frozen=True, slots=True)
class ChargesAnswer:
    """What is to be paid, and what proves the amount of each charge."""

    meter: bytes
    begin: int
    end: int
    nonce: bytes
    total: Decimal
    """What is to be paid, rounded by the tariff's rule."""
    tariff: bytes
    """The tariff's digest."""
    proof: bytes
    """Opens the amounts, in the order of `charges.plan_bill`."""
    days: tuple[bytes, ...]
    """The certified days."""

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_SIZE or len(self.tariff) != DIGEST_SIZE:
            raise MessageRefused("nonce or tariff digest of a wrong size")
        if not 1 <= len(self.days) <= MOST_DAYS:
            raise MessageRefused(f"{len(self.days)} days, not 1 to {MOST_DAYS}")
        if not 0 < len(self.proof) <= MOST_PROOF_BYTES:
            raise MessageRefused(f"a proof has 1 to {MOST_PROOF_BYTES} bytes")

    def encode(self) -> bytes:
        """Return the SML file."""
        return _answer_file(
            self,
            [
                _total(self.total),
                _entry(TARIFF, self.tariff),
                _entry(PROOF, self.proof),
                *(_entry(CERTIFIED_DAY, day) for day in self.days),
            ],
        )

    @classmethod
    def decode(cls, data: bytes) -> "ChargesAnswer":
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        meter, begin, end, nonce, entries = _answered(data)
        match entries:
            case [
                PeriodEntry(value=int(total), scaler=int(scaler)),
                PeriodEntry(value=bytes(tariff)),
                PeriodEntry(value=bytes(proof)),
                *days,
            ] if -MOST_DECIMALS <= scaler <= 0:
                answer = cls(
                    meter=meter,
                    begin=begin,
                    end=end,
                    nonce=nonce,
                    total=Decimal(int(total)).scaleb(int(scaler)),
                    tariff=tariff,
                    proof=proof,
                    days=tuple(_octets(day) for day in days),
                )
            case _:
                raise MessageRefused("not the entries of a bill by charges")
        return _exactly(answer, data)


Answer: TypeAlias = BillAnswer | ChargesAnswer


def decode_answer(data: bytes) -> Answer:
    """Return the answer in `data`, of either kind; raise `MessageRefused` for anything else."""
    *_, entries = _answered(data)
    if entries and entries[0].obis == TOTAL:
        return ChargesAnswer.decode(data)
    return BillAnswer.decode(data)


MessageT = TypeVar("MessageT", BillQuestion, BillAnswer, ChargesAnswer)


def _answer_file(answer: Answer, entries: Sequence[PeriodEntry]) -> bytes:
    return _file(
        answer.nonce,
        OpenRes(request_file_id=answer.nonce, server_id=answer.meter),
        GetProfileListRes(
            server_id=answer.meter,
            actual_time=Time(TimeChoice.TIMESTAMP, answer.end),
            period_seconds=answer.end - answer.begin,
            tree_path=(BILL.code,),
            time=Time(TimeChoice.TIMESTAMP, answer.begin),
            status=0,
            entries=tuple(entries),
        ),
        CloseRes(),
    )


def _answered(data: bytes) -> tuple[bytes, int, int, bytes, Sequence[PeriodEntry]]:
    """Return meter, begin, end, nonce and entries of an answer."""
    match _bodies(data):
        case [
            OpenRes(request_file_id=nonce, server_id=meter),
            GetProfileListRes(
                actual_time=Time(choice=TimeChoice.TIMESTAMP, seconds=end),
                time=Time(choice=TimeChoice.TIMESTAMP, seconds=begin),
                entries=entries,
            ),
            CloseRes(),
        ]:
            return meter, int(begin), int(end), nonce, entries
        case _:
            raise MessageRefused("not the answer to a question for a bill")


def _total(total: Decimal) -> PeriodEntry:
    decimals = -int(total.as_tuple().exponent)
    return _entry(TOTAL, int(total.scaleb(decimals)), UNIT_CURRENCY, -decimals)


def _entry(
    obis: Obis, value: int | bytes, unit: int | None = None, scaler: int | None = None
) -> PeriodEntry:
    return PeriodEntry(obis=obis, unit=unit, scaler=scaler, value=value)


def _octets(entry: PeriodEntry) -> bytes:
    value: Value = entry.value
    if not isinstance(value, bytes):
        raise MessageRefused("a certified day is an octet string")
    return value


def _file(nonce: bytes, *bodies: Body) -> bytes:
    return encode_file(
        [
            Message(transaction_id=nonce[:4] + bytes([place]), body=body)
            for place, body in enumerate(bodies)
        ]
    )


def _bodies(data: bytes) -> Sequence[Body]:
    try:
        return [message.body for message in decode_file(data, limits=LIMITS)]
    except SmlError as error:
        raise MessageRefused(f"not SML: {error}") from None


def _exactly(message: MessageT, data: bytes) -> MessageT:
    # One message has one encoding: whatever the fields above leave open is refused here.
    if message.encode() != data:
        raise MessageRefused("not in the form that these messages have")
    return message
