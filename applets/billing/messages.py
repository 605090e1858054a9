# SPDX-License-Identifier: Apache-2.0
"""The billing applet's messages, in SML.

Their form is that of `applets.common.questions`: the path of a question is `BILL`, its document
`TARIFF` the signed tariff; DELIVER brings a signed invoice. Under a tariff with memory, nodes below
the document say which state of the account the bill goes on from (`protocols.carried`):

    STATE           the carried state
    PAID            what was paid in advance, in 10^-6 of the currency; only where that is not 0
    LAST            1: the contract ends with the bill, which settles all; only where that is so

The answer has these entries, in this order:

    FORMAT          2; 3 where the question has a state
    TOTAL           what is to be paid, in the currency's smallest rounded unit (DLMS unit 10)
    TARIFF          the tariff's digest, 32 bytes
    PROOF           the proof that opens the total, and nothing else (`protocols.proofs.numbers`)
    STATE           of format 3 alone: the digest of the state that the bill leaves, 32 bytes
    REGISTER        the OBIS code of a register that the bill depends on, 6 bytes
    CERTIFIED_DAY   a certified day of it as the certifier signed it; once for each day, in order

The last two come once for each register. The state that a bill leaves has the points that its proof
has made: whoever verifies it knows them. Which these are, and what the total is of, follows from
the tariff, the question and the certified days (`charges`). `version1` reads the answers of
release 0.1, in which exact amounts were opened; no new question is answered with one.

Decoding is strict: other messages, entries, units, lengths or an order of one's own are refused.

Errors: MessageRefused
"""

from collections.abc import Mapping, Sequence
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
    require_format,
    require_proof,
    require_same_entries,
    require_size,
)
from protocols.carried import CarriedState, StateMalformed
from sml_codec import Obis, PeriodEntry, PlainValue, Tree
from tariffs.envelope import CONTENT_TYPE

AID: Final = bytes.fromhex("F04D544C010101")
"""The AID that the shipped manifest installs it under."""
FURTHER_AIDS: Final = tuple(bytes.fromhex(f"F04D544C0101{one}") for one in ("11", "12", "13", "14"))
"""Those of the manifests for gas, water, heat and sub-meters."""

BILL: Final = Obis(bytes.fromhex("81814d010000"))
"""129-129:77.1.0*0: group A and B from the manufacturers' range, as are all below."""
TOTAL: Final = Obis(bytes.fromhex("81814d010200"))
TARIFF: Final = Obis(bytes.fromhex("81814d010500"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d010600"))
PROOF: Final = Obis(bytes.fromhex("81814d010700"))
FORMAT: Final = Obis(bytes.fromhex("81814d010a00"))
REGISTER: Final = Obis(bytes.fromhex("81814d010b00"))
STATE: Final = Obis(bytes.fromhex("81814d010e00"))
PAID: Final = Obis(bytes.fromhex("81814d010f00"))
LAST: Final = Obis(bytes.fromhex("81814d011000"))

VERSION: Final = 2
VERSION_WITH_MEMORY: Final = 3
LAST_MARK: Final = b"last bill"
"""What binds a proof to a question with LAST: it follows the nonce."""
MOST_PAID: Final = 1 << 56
"""In 10^-6 of the currency: as much as a bill can carry."""
UNIT_CURRENCY: Final = 10
MOST_DECIMALS: Final = 9
MOST_REGISTERS: Final = 8
OBIS_SIZE: Final = 6


@dataclass(frozen=True, slots=True)
class BillQuestion(Question):
    """What is to be paid for [begin, end) under this signed tariff?"""

    path = BILL
    name = TARIFF
    content_type = CONTENT_TYPE

    state: bytes = b""
    """The carried state that the bill goes on from, encoded; empty for a tariff without memory."""
    paid: int = 0
    """What was paid in advance since the bill before, in 10^-6 of the currency."""
    is_last: bool = False
    """Whether the contract ends with the bill, under a tariff with memory."""

    def __post_init__(self) -> None:
        if self.state:
            try:
                CarriedState.decode(self.state)
            except StateMalformed as error:
                raise MessageRefused(f"the carried state: {error}") from None
        if not 0 <= self.paid <= MOST_PAID or (self.paid and not self.state):
            raise MessageRefused("what was paid is beyond all bounds, or belongs to no state")
        if self.is_last and not self.state:
            raise MessageRefused("the last bill of a contract goes on from a state")

    @property
    def carried(self) -> CarriedState | None:
        """The state that the bill goes on from, or None."""
        return CarriedState.decode(self.state) if self.state else None

    @property
    def mark(self) -> bytes:
        """What the proof is bound to beside the nonce: whether it is of a last bill."""
        return LAST_MARK if self.is_last else b""

    @property
    def nodes(self) -> tuple[Tree, ...]:
        """The state, what was paid, and whether the contract ends."""
        state = [Tree(STATE.code, PlainValue(self.state))] if self.state else []
        paid = [Tree(PAID.code, PlainValue(self.paid))] if self.paid else []
        last = [Tree(LAST.code, PlainValue(1))] if self.is_last else []
        return (*state, *paid, *last)

    @classmethod
    def of_nodes(cls, about: About, document: bytes, nodes: Sequence[Tree]) -> Self:
        """Return the question that these nodes belong to; raise `MessageRefused` for others."""
        named = [(node.name, node.value) for node in nodes]
        is_last = named[1:] != [] and named[-1] == (LAST.code, PlainValue(1))
        match named[:-1] if is_last else named:
            case []:
                return cls(about, document)
            case [(STATE.code, PlainValue(value=bytes(state)))] if state:
                return cls(about, document, state, is_last=is_last)
            case [
                (STATE.code, PlainValue(value=bytes(state))),
                (PAID.code, PlainValue(value=int(paid))),
            ] if state and paid:
                return cls(about, document, state, int(paid), is_last)
            case _:
                raise MessageRefused("below the tariff is something else than a state")


@dataclass(frozen=True, slots=True)
class BillAnswer:
    """What is to be paid, and what proves it."""

    meter: bytes
    begin: int
    end: int
    nonce: bytes
    total: Decimal
    """What is to be paid, rounded by the tariff's rule."""
    tariff: bytes
    """The tariff's digest."""
    proof: bytes
    """Opens the total."""
    registers: Mapping[bytes, tuple[bytes, ...]]
    """The certified days of each register that is billed, by its OBIS code, in order."""
    state: bytes = b""
    """The digest of the carried state that the bill leaves; empty where there is none."""

    def __post_init__(self) -> None:
        require_size("a nonce", self.nonce, NONCE_SIZE)
        require_size("a document's digest", self.tariff, DIGEST_SIZE)
        require_proof(self.proof)
        if self.state:
            require_size("a state's digest", self.state, DIGEST_SIZE)
        if not 1 <= len(self.registers) <= MOST_REGISTERS:
            raise MessageRefused(f"{len(self.registers)} registers, not 1 to {MOST_REGISTERS}")
        for code, days in self.registers.items():
            require_size("an OBIS code", code, OBIS_SIZE)
            if not 1 <= len(days) <= MOST_DAYS:
                raise MessageRefused(f"{len(days)} days, not 1 to {MOST_DAYS}")

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
        days = [
            one
            for code, certified in self.registers.items()
            for one in (entry(REGISTER, code), *(entry(CERTIFIED_DAY, day) for day in certified))
        ]
        version = VERSION_WITH_MEMORY if self.state else VERSION
        head = [entry(FORMAT, version), encode_total(self.total), entry(TARIFF, self.tariff)]
        state = [entry(STATE, self.state)] if self.state else []
        return [*head, entry(PROOF, self.proof), *state, *days]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `MessageRefused` for anything else."""
        return cls.of_entries(*decode_answer(data, BILL))

    @classmethod
    def of_entries(cls, about: About, entries: Sequence[PeriodEntry]) -> Self:
        """Return the answer that an SML file with these entries is; raise `MessageRefused`."""
        require_format(entries, FORMAT)
        match entries:
            case [
                PeriodEntry(value=int(version)),
                PeriodEntry(value=int(total), scaler=int(scaler)),
                PeriodEntry(value=bytes(tariff)),
                PeriodEntry(value=bytes(proof)),
                *rest,
            ] if version in (VERSION, VERSION_WITH_MEMORY) and -MOST_DECIMALS <= scaler <= 0:
                state, days = _state(rest) if version == VERSION_WITH_MEMORY else (b"", rest)
                answer = cls(
                    meter=about.meter,
                    begin=about.begin,
                    end=about.end,
                    nonce=about.nonce,
                    total=Decimal(int(total)).scaleb(int(scaler)),
                    tariff=tariff,
                    proof=proof,
                    registers=_registers(days),
                    state=state,
                )
            case _:
                raise MessageRefused("not the entries of a bill")
        require_same_entries(about, answer.entries, entries)  # names, units and scalers
        return answer


def _state(entries: Sequence[PeriodEntry]) -> tuple[bytes, Sequence[PeriodEntry]]:
    """Return the digest of the state that is left, and the entries after it."""
    match entries:
        case [PeriodEntry(value=bytes(state)), *days] if state:
            return state, days
        case _:
            raise MessageRefused("a bill with memory says which state it leaves")


def _registers(entries: Sequence[PeriodEntry]) -> dict[bytes, tuple[bytes, ...]]:
    """Return the days of each register; raise `MessageRefused` for entries of another order."""
    registers: dict[bytes, list[PeriodEntry]] = {}
    days: list[PeriodEntry] | None = None
    for one in entries:
        if one.obis == REGISTER and isinstance(one.value, bytes):
            if one.value in registers:
                raise MessageRefused("a register is there twice")
            days = registers[one.value] = []
        elif days is None:
            raise MessageRefused("certified days come after their register")
        else:
            days.append(one)
    return {code: certified_days(days, CERTIFIED_DAY) for code, days in registers.items()}


def encode_total(total: Decimal) -> PeriodEntry:
    """Return the entry of a total."""
    decimals = -int(total.as_tuple().exponent)
    return entry(TOTAL, int(total.scaleb(decimals)), UNIT_CURRENCY, -decimals)
