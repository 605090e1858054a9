# SPDX-License-Identifier: Apache-2.0
"""Price indices out of the CSV files that markets and transparency platforms publish.

A row is a step of time and its price. Where steps are finer than the slots that meters count, they
are brought to the slots' length first: the plain mean of a slot's steps, as grids with 5-minute
dispatch and half-hour settlement had it, rounded to 10^-6 of the currency for a kilowatt-hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from tariffs._csv_series import read_series
from tariffs._units import unit_of_energy
from tariffs.clock import ZoneClock
from tariffs.energy import PriceSeries
from tariffs.errors import MalformedTariff
from tariffs.price_index import PriceIndex
from tariffs.rounding import RoundingRule, divide, parse_decimal

PRICE_DECIMALS: Final = 6
MOST_DECIMALS: Final = 12


@dataclass(frozen=True, slots=True)
class IndexShape:
    """How a file says prices."""

    column: str
    unit: str
    """`EUR/MWh`, `ct/kWh`, `p/kWh` and the like."""
    step_seconds: int
    zone: str = "UTC"
    """The clock of times without an offset."""
    at_end: bool = False
    """Times name the end of a step."""
    repeat_gaps: bool = False
    """A step without a row has the price before it."""
    mean_seconds: int | None = None
    """The length of the steps to be made of finer ones."""
    rule: RoundingRule | None = None
    """How what has more than 6 decimals is rounded; None: it is refused."""


def read_index(
    text: str, shape: IndexShape, series: str, version: int, currency: str, *, name: str
) -> PriceIndex:
    """Return the index in a CSV file; raise `MalformedTariff` with `name` and line."""
    unit = unit_of_energy(shape.unit)
    begin, words = read_series(
        text,
        shape.column,
        ZoneClock(shape.zone),
        shape.step_seconds,
        at_end=shape.at_end,
        name=name,
    )
    values = [
        None if word is None else Fraction(parse_decimal(word, MOST_DECIMALS), 10**MOST_DECIMALS)
        for word in words
    ]
    if shape.repeat_gaps:
        for number, value in enumerate(values):
            values[number] = values[number - 1] if value is None and number else value
    step = shape.step_seconds
    if shape.mean_seconds is not None:
        begin, values = _means(begin, step, values, shape.mean_seconds)
        step = shape.mean_seconds
    prices = tuple(None if value is None else _price(value * unit, shape.rule) for value in values)
    return PriceIndex(
        series, version, currency, shape.unit, shape.zone, PriceSeries(begin, step, prices)
    )


def _means(
    begin: int, step: int, values: Sequence[Fraction | None], wide: int
) -> tuple[int, list[Fraction | None]]:
    count, rest = divmod(wide, step)
    if rest or count < 1:
        raise MalformedTariff(f"{wide} s are no whole number of steps of {step} s")
    first = begin - begin % wide
    padded = [None] * ((begin - first) // step) + list(values)
    padded += [None] * (-len(padded) % count)
    means: list[Fraction | None] = []
    for place in range(0, len(padded), count):
        group = [value for value in padded[place : place + count] if value is not None]
        means.append(sum(group, Fraction(0)) / count if len(group) == count else None)
    return first, means


def _price(value: Fraction, rule: RoundingRule | None) -> int:
    exact = value * 10**PRICE_DECIMALS
    if exact.denominator != 1 and rule is None:
        raise MalformedTariff(
            f"a price of {float(value):.9f} has more than {PRICE_DECIMALS} decimals: say how it is"
            " to be rounded"
        )
    return divide(exact.numerator, exact.denominator, rule or RoundingRule.DOWN)
