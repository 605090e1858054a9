# SPDX-License-Identifier: Apache-2.0
"""Exact decimals: read from text without loss, rounded once by a rule that has a name.

An amount is an integer and the number of its decimals; the names of the rules and what they do to
negative amounts are those of Python's `decimal` (ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_DOWN).
"""

import enum
import re
from dataclasses import dataclass
from typing import Final

from tariffs.errors import MalformedTariff

DECIMAL: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,11})(?:\.([0-9]+))?", re.ASCII)


class RoundingRule(enum.StrEnum):
    """What happens to the digits that are dropped."""

    HALF_EVEN = "half-even"
    """To the nearest; a tie to the even neighbour."""
    HALF_UP = "half-up"
    """To the nearest; a tie away from zero."""
    DOWN = "down"
    """Towards zero."""


def power_of_ten(exponent: int) -> int:
    """Return 10^`exponent`, a whole number."""
    assert exponent >= 0
    return int(10**exponent)


def divide(number: int, divisor: int, rule: RoundingRule) -> int:
    """Return `number / divisor` as a whole number by `rule`; `divisor` is positive."""
    whole, rest = divmod(abs(number), divisor)
    if rule is not RoundingRule.DOWN:
        twice = 2 * rest
        tie_up = rule is RoundingRule.HALF_UP or whole % 2 == 1
        whole += twice > divisor or (twice == divisor and tie_up)
    return whole if number >= 0 else -whole


@dataclass(frozen=True, slots=True)
class Rounding:
    """The one rounding of a bill."""

    rule: RoundingRule
    decimals: int

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 9:
            raise MalformedTariff("decimals must be 0 to 9", component="rounding")

    def apply(self, amount: int, exact_decimals: int) -> int:
        """Return `amount`, which has `exact_decimals`, in units of 10^-`decimals`."""
        return divide(amount, power_of_ten(exact_decimals - self.decimals), self.rule)

    def text(self, amount: int, exact_decimals: int) -> str:
        """Return `amount` rounded and written out, such as "-12.30"."""
        return format_decimal(self.apply(amount, exact_decimals), self.decimals)


def format_decimal(number: int, decimals: int) -> str:
    """Return `number` x 10^-`decimals` with exactly that many decimals."""
    sign, digits = "-" if number < 0 else "", str(abs(number)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def parse_decimal(text: str, decimals: int) -> int:
    """Return the number in units of 10^-`decimals`; refuse one that has more decimals."""
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise MalformedTariff(f"{text!r} is not a decimal number such as 0.3012")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > decimals:
        raise MalformedTariff(f"{text!r} has more than {decimals} decimals")
    number = int(whole + fraction.ljust(decimals, "0"))
    return -number if sign else number
