# SPDX-License-Identifier: Apache-2.0
"""Settlements: what is due of a bill's sum, and what goes on to the next bill.

    credit       what was paid in advance, or is left of it, is taken off; the rest goes on
    instalment   a fixed amount is due; what that leaves open, or pays too much, goes on to the bill
                 that ends the year, which settles it

The last bill of a contract settles both, whichever day it ends on: a credit's rest is paid back.
A settlement is a version's last step. It is on the whole bill, whichever versions that touches: the
one in force at its end settles it. The sum is rounded by the tariff's rule before. Amounts here are
in 10^-6 of the currency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, TypeAlias

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.arithmetic import Arithmetic, V
from tariffs.clock import date_of
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff, MemoryRefused, PaymentRefused
from tariffs.memory import NO_DAY, MemoryKey, MemoryShape, Quantity, year_of_bill
from tariffs.periods import (
    NEW_YEAR,
    Interval,
    YearStart,
    check_year_start,
    read_year_start,
    share,
    year_start_member,
)
from tariffs.rounding import Rounding, divide, power_of_ten
from tariffs.usage import Part

MICRO_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Credit:
    """What is paid in advance is used up bill by bill."""

    kind: ClassVar = "credit"

    name: str
    is_settled: bool = False
    """Whether the bill that ends a year pays out what is left, as the last of a contract does."""
    year_begins: YearStart = NEW_YEAR

    def __post_init__(self) -> None:
        check_year_start(self.year_begins)
        if self.year_begins != NEW_YEAR and not self.is_settled:
            raise MalformedTariff("'year_begins' goes with something yearly")

    @property
    def memory_shape(self) -> MemoryShape:
        """What is carried: the credit that is left."""
        return MemoryShape(
            kind=f"{self.kind}, settled" if self.is_settled else self.kind,
            name=self.name,
            quantity=Quantity.MONEY,
            year_begins=self.year_begins,
            is_owed=True,
            is_yearly=self.is_settled,
        )

    def remembered(
        self, bill: Part, own: V, paid: int, rounding: Rounding, carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[V, dict[MemoryKey, V]]:  # fmt: skip
        """Return what is due, given the bill's sum and what was paid, and what is carried on."""
        key = MemoryKey(self.name, 0, NO_DAY)
        owed = own - arithmetic.constant(paid)
        if key in carried:
            owed = owed - carried[key]
        is_ended = bill.is_last
        if self.is_settled:
            is_ended = year_of_bill(bill, self.year_begins, f"step {self.name}").is_ended
        if is_ended:
            return owed, {}
        due = arithmetic.most(owed, arithmetic.constant(0))
        return due, {key: due - owed}

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the step as a document holds it."""
        return {"settled": int(self.is_settled), **year_start_member(self.year_begins)}

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "Credit":
        """Return the step that a document holds."""
        return cls(name, fields.flag("settled"), read_year_start(fields))


@dataclass(frozen=True, slots=True)
class Instalment:
    """A fixed amount is due, and the last bill of year or contract settles the difference."""

    kind: ClassVar = "instalment"

    name: str
    price: int
    """Micro-units of the currency."""
    per: Interval
    year_begins: YearStart = NEW_YEAR

    def __post_init__(self) -> None:
        check_price(self.price)
        check_year_start(self.year_begins)
        if self.price < 0:
            raise MalformedTariff("an instalment is not below 0")

    @property
    def memory_shape(self) -> MemoryShape:
        """What is carried: the bills so far of the year, less the instalments."""
        return MemoryShape(
            kind=self.kind,
            name=self.name,
            quantity=Quantity.MONEY,
            year_begins=self.year_begins,
            is_owed=True,
            is_yearly=True,
        )

    def due(self, bill: Part, rounding: Rounding) -> int:
        """Return the instalment of a bill that ends neither year nor contract."""
        times = share(self.per, bill)
        micro = self.price * times.numerator
        unit = power_of_ten(MICRO_DECIMALS - rounding.decimals)
        return divide(micro, times.denominator * unit, rounding.rule) * unit

    def remembered(
        self, bill: Part, own: V, paid: int, rounding: Rounding, carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[V, dict[MemoryKey, V]]:  # fmt: skip
        """Return what is due, given the bill's sum, and what is carried on."""
        if paid:
            raise PaymentRefused(
                "nothing is paid in advance under it: an instalment is what its bill asks",
                component=f"step {self.name}",
            )
        key = MemoryKey(self.name, 0, NO_DAY)
        balance = own + carried[key] if key in carried else own
        if year_of_bill(bill, self.year_begins, f"step {self.name}").is_ended:
            return balance, {}
        due = arithmetic.constant(self.due(bill, rounding))
        return due, {key: balance - due}

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the step as a document holds it."""
        return {"price": self.price, "per": self.per, **year_start_member(self.year_begins)}

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "Instalment":
        """Return the step that a document holds."""
        price, per = fields.integer("price"), fields.choice("per", Interval)
        return cls(name, price, per, read_year_start(fields))


Settlement: TypeAlias = Credit | Instalment


class Settled(Protocol):
    """A version of a tariff, as far as its settlement goes."""

    @property
    def settlement(self) -> Settlement | None:
        """Its last step, if it has one."""

    @property
    def valid_until(self) -> int:
        """The day after its last one."""


def settlement_of_bill(versions: Sequence[Settled], paid: int) -> Settlement | None:
    """Return what settles a bill of these versions, which is the last one's.

    Raises `MemoryRefused` where an earlier one has another that ends within the bill, and for what
    was paid in advance where nothing is, or more than can be carried.
    """
    step = versions[-1].settlement
    for earlier in versions[:-1]:
        other = earlier.settlement
        if other and (step is None or other.memory_shape != step.memory_shape):
            raise MemoryRefused(
                f"it ends with its year, before {date_of(earlier.valid_until)}, within the bill:"
                " ask for a bill up to that day and for one from then on",
                component=f"step {other.name}",
            )
    if paid and step is None:
        raise PaymentRefused("the tariff has no credit: what is paid goes with one that has")
    if not 0 <= paid <= Quantity.MONEY.bounds[1]:
        raise MemoryRefused(f"{paid} was paid in advance, which is out of bounds")
    return step


def settlement_canonical(step: Settlement) -> CborValue:
    """Return a settlement as a document holds it."""
    return {"kind": step.kind, "name": step.name, **step.canonical()}


def settlement_from_canonical(value: CborValue) -> Settlement:
    """Return the settlement that a document holds."""
    fields = TariffReader(value, "settlement")
    kind, name = fields.text("kind"), fields.text("name")
    if kind not in (Credit.kind, Instalment.kind):
        raise MalformedTariff(f"unknown kind of settlement {kind!r}")
    try:
        step = (Credit if kind == Credit.kind else Instalment).from_fields(name, fields)
        fields.done()
    except MalformedTariff as error:
        raise error.within(f"step {name}") from None
    return step
