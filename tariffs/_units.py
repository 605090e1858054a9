# SPDX-License-Identifier: Apache-2.0
"""Units of energy prices, as people write them."""

from fractions import Fraction
from typing import Final

from tariffs.errors import MalformedTariff

UNITS: Final = {"kWh": Fraction(1), "MWh": Fraction(1, 1000)}
CENTS: Final = {"ct", "c", "p"}


def unit_of_energy(text: str) -> Fraction:
    """Return what a price of 1 in this unit is in units of the currency for a kilowatt-hour."""
    currency, _, energy = text.partition("/")
    if energy not in UNITS or not (currency in CENTS or currency.isupper()):
        raise MalformedTariff(f"unknown unit {text!r}: write EUR/kWh, EUR/MWh, ct/kWh or p/kWh")
    return UNITS[energy] / (100 if currency in CENTS else 1)
