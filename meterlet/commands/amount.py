# SPDX-License-Identifier: Apache-2.0
"""Amounts of money in options, as decimals."""

from typing import Any, Final

import rich_click as click

from tariffs import TariffError
from tariffs.rounding import Rounding, format_decimal, parse_decimal

DECIMALS: Final = 6
"""An amount is in 10^-6 of the currency."""


class Amount(click.ParamType[int]):
    """An amount that is not below 0, in 10^-6 of the currency."""

    name = "AMOUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the amount."""
        if isinstance(value, int):
            return value
        try:
            amount = parse_decimal(str(value), DECIMALS)
        except TariffError as error:
            self.fail(str(error), param, ctx)
        if amount < 0:
            self.fail(f"{value} is below 0", param, ctx)
        return amount


def require_decimals(amount: int, rounding: Rounding) -> None:
    """Raise a usage error where an amount is finer than what a tariff rounds to."""
    if rounding.decimals < DECIMALS and amount % 10 ** (DECIMALS - rounding.decimals):
        raise click.BadParameter(
            f"{amount_text(amount)} has more decimals than the tariff rounds to,"
            f" {rounding.decimals}",
            param_hint="'--paid'",
        )


def amount_text(amount: int) -> str:
    """Return an amount of 10^-6 as a decimal, without zeros that say nothing."""
    text = format_decimal(amount, DECIMALS)
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
