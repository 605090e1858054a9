# SPDX-License-Identifier: Apache-2.0
"""What a bill hands on to the next: committed values, and where they stand in their chain.

    state     CBOR [LABEL, meter, account, number, end, previous, values]
    values    [[name, low, bits, point], ...] in order of their names
    digest    SHA-256 of the state

Public:  meter; the account, which is a contract, by 16 bytes that name nobody; how many bills there
         were in it; up to when they billed; the digest of the state before; the names of the values
         and what they can be, from `low` to `low` + 2^bits - 1.
Secret:  the values and blindings of their commitments, which the hub keeps.

A chain begins with a state of no values and number 0 (`CarriedState.opening`): it ends where its
first bill begins. Each bill goes on from one state and makes the next one. Its proof is bound to
the digest of the state that it goes on from, and so to all before. Points are bytes here: who only
hands a state on needs no group. Standard library and canonical CBOR only: applets carry this.

Errors: StateMalformed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from protocols.amounts.model import AmountsMalformed
from protocols.amounts.total import MOST_CARRIED, Carried, require_names
from protocols.canonical.cbor import CborError, CborValue, decode, encode

LABEL: Final = "meterlet carried state 1"
ACCOUNT_SIZE: Final = 16
DIGEST_SIZE: Final = 32
POINT_SIZE: Final = 33
MOST_METER: Final = 64
MOST_NUMBER: Final = (1 << 32) - 1
MOST_STATE_BYTES: Final = 1 << 16


class StateMalformed(Exception):
    """Bytes are not a carried state, or not in their one encoding."""


@dataclass(frozen=True, slots=True)
class CarriedValue:
    """A commitment to a value that is carried, and what it can be."""

    carried: Carried
    point: bytes
    """33 bytes, compressed."""

    def __post_init__(self) -> None:
        if len(self.point) != POINT_SIZE:
            raise StateMalformed(f"a commitment has {POINT_SIZE} bytes")

    @property
    def name(self) -> str:
        """The value's name."""
        return self.carried.name


@dataclass(frozen=True, slots=True)
class CarriedState:
    """What one bill of an account hands on."""

    meter: bytes
    account: bytes
    """Names the contract, and nobody: 16 random bytes."""
    number: int
    """How many bills there were; 0 before the first."""
    end: int
    """Up to when they billed, in epoch seconds: the next one begins here."""
    previous: bytes
    """The digest of the state before; empty before the first bill."""
    values: tuple[CarriedValue, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.meter) <= MOST_METER or len(self.account) != ACCOUNT_SIZE:
            raise StateMalformed(
                f"a meter id has 1 to {MOST_METER} bytes, an account {ACCOUNT_SIZE}"
            )
        if not 0 <= self.number <= MOST_NUMBER or not 0 <= self.end < 1 << 32:
            raise StateMalformed("a bill's number and a time have 32 bits")
        if len(self.previous) != (DIGEST_SIZE if self.number else 0):
            raise StateMalformed("each state but the first names the one before")
        if self.values and not self.number:
            raise StateMalformed("nothing is carried before the first bill")
        try:
            require_names([one.name for one in self.values])
        except AmountsMalformed as error:
            raise StateMalformed(str(error)) from None

    @classmethod
    def opening(cls, meter: bytes, account: bytes, begin: int) -> Self:
        """Return the state that the first bill of an account goes on from."""
        return cls(meter, account, 0, begin, b"")

    def following(self, end: int, values: Sequence[CarriedValue]) -> "CarriedState":
        """Return what a bill up to `end` hands on that went on from this state."""
        return CarriedState(
            self.meter, self.account, self.number + 1, end, self.digest, tuple(values)
        )

    @property
    def digest(self) -> bytes:
        """The 32 bytes that name it."""
        return sha256(self.encode()).digest()

    def find(self, name: str) -> CarriedValue | None:
        """Return the value of that name, None where there is none."""
        return next((one for one in self.values if one.name == name), None)

    def encode(self) -> bytes:
        """Return the state's one encoding."""
        values: list[CborValue] = [
            [one.name, one.carried.low, one.carried.bits, one.point] for one in self.values
        ]
        return encode(
            [LABEL, self.meter, self.account, self.number, self.end, self.previous, values]
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the state in `data`; raise `StateMalformed` for anything else."""
        if len(data) > MOST_STATE_BYTES:
            raise StateMalformed(f"larger than {MOST_STATE_BYTES} bytes")
        try:
            members = decode(data)
        except CborError as error:
            raise StateMalformed(str(error)) from None
        match members:
            case [
                str(label), bytes(meter), bytes(account), int(number), int(end), bytes(previous),
                list(values),
            ] if label == LABEL and len(values) <= MOST_CARRIED:  # fmt: skip
                state = cls(meter, account, number, end, previous, tuple(map(_value, values)))
            case _:
                raise StateMalformed("not the members of a carried state")
        if state.encode() != data:
            raise StateMalformed("not in the form that a state has")
        return state


def _value(items: CborValue) -> CarriedValue:
    match items:
        case [str(name), int(low), int(bits), bytes(point)]:
            try:
                return CarriedValue(Carried(name, low, bits), point)
            except AmountsMalformed as error:
                raise StateMalformed(str(error)) from None
        case _:
            raise StateMalformed("not the members of a carried value")
