# SPDX-License-Identifier: Apache-2.0
"""Charges for time alone: standing charges, and fees for a contracted capacity.

A price for a day is for each local day that begins in the part, so it is exact. A price for a
month, quarter or year is shared out by days where a bill covers a part of one; that share is
rounded to 10^-9 of the currency by the tariff's rule.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff
from tariffs.periods import Interval, share
from tariffs.rounding import RoundingRule, divide
from tariffs.usage import ChargeLine, Part

NANO_PER_MICRO = 1000


def share_of(nano: int, part: Fraction, rule: RoundingRule) -> int:
    """Return a share of an amount, rounded to 10^-9 of the currency."""
    return divide(nano * part.numerator, part.denominator, rule)


@dataclass(frozen=True, slots=True)
class StandingCharge:
    """An amount for each day, month, quarter, year or bill, whatever is used."""

    kind: ClassVar = "standing"

    name: str
    price: int
    """Micro-units of the currency."""
    per: Interval = Interval.DAY

    def __post_init__(self) -> None:
        check_price(self.price)

    def fixed_lines(self, part: Part) -> list[ChargeLine]:
        """Return the one line."""
        times = share(self.per, part)
        whole = times.numerator if times.denominator == 1 else None
        nano = share_of(self.price * NANO_PER_MICRO, times, part.rule)
        return [ChargeLine("", whole, self.per, self.price, nano)]

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        return {"price": self.price, "per": self.per}

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "StandingCharge":
        """Return the charge that a document holds."""
        return cls(name, fields.integer("price"), fields.choice("per", Interval))


@dataclass(frozen=True, slots=True)
class CapacityCharge:
    """An amount for each kilowatt of a contracted capacity and each day, month or year."""

    kind: ClassVar = "capacity"

    name: str
    watts: int
    price: int
    """Micro-units of the currency for a kilowatt."""
    per: Interval

    def __post_init__(self) -> None:
        check_price(self.price)
        if not 0 < self.watts <= 10**12:
            raise MalformedTariff("the capacity is impossible")

    def fixed_lines(self, part: Part) -> list[ChargeLine]:
        """Return the one line."""
        nano = share_of(self.price * self.watts, share(self.per, part), part.rule)
        return [ChargeLine("", self.watts, "W", self.price, nano)]

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        return {"watts": self.watts, "price": self.price, "per": self.per}

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "CapacityCharge":
        """Return the charge that a document holds."""
        return cls(
            name, fields.integer("watts"), fields.integer("price"), fields.choice("per", Interval)
        )
