# SPDX-License-Identifier: Apache-2.0
"""What `meterlet tariff show` and `price` print for people: tables of a tariff and of a bill."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tariffs import Bill, BillItem, Tariff
from tariffs.charges import Charge, StandingCharge, utc_text
from tariffs.clock import date_of
from tariffs.describe import energy_text, percent_text, price_text, when_text
from tariffs.document import Version
from tariffs.rounding import format_decimal

__all__ = ["print_bill", "print_tariff"]

MISSING_SHOWN: Final = 10


def print_tariff(tariff: Tariff, summary: str) -> None:
    """Print what a tariff charges, a table for each of its versions."""
    console = Console(highlight=False)
    console.print(Text(summary), soft_wrap=True)
    for version in tariff.versions:
        if len(tariff.versions) > 1:
            last = date_of(version.valid_until - 1)
            console.print(Text(f"\n{date_of(version.valid_from)} to {last}"))
        console.print(_version_table(version, tariff.currency))
    rounding = tariff.rounding
    console.print(Text(f"rounded once, {rounding.rule} to {rounding.decimals} decimals"))


def _version_table(version: Version, currency: str) -> Table:
    table = Table("component", "band", Column("price", justify="right"), "when")
    for charge in version.charges:
        _add_charge(table, charge, currency)
    for step in version.steps:
        on = ", ".join(step.on)
        table.add_row(Text(step.name), "", percent_text(step.ppm), Text(f"on {on}"))
    return table


def _add_charge(table: Table, charge: Charge, currency: str) -> None:
    if isinstance(charge, StandingCharge):
        table.add_row(Text(charge.name), "", price_text(charge.per_day, currency), "each day")
        return
    if len(charge.prices) == 1:
        flat = price_text(charge.prices[0], currency)
        table.add_row(Text(charge.name), "", f"{flat}/kWh", "always")
        return
    clock = charge.schedule.clock
    name = f"{charge.name} ({clock.zone}{', standard time' if clock.standard else ''})"
    rows = zip(charge.schedule.names, charge.prices, charge.schedule.rules, strict=True)
    for band, price, rules in rows:
        when = "\n".join(map(when_text, rules)) or "the rest"
        cost = f"{price_text(price, currency)}/kWh"
        table.add_row(Text(name), Text(band), cost, Text(when))
        name = ""


def print_bill(bill: Bill, tariff: Tariff) -> None:
    """Print a bill's items, its total and the slots it lacks."""
    console = Console(highlight=False)
    numbers = (Column(title, justify="right") for title in ("quantity", "rate", "amount"))
    table = Table("item", "band", *numbers)
    for item in bill.items:
        amount = format_decimal(item.amount_exact, bill.exact_decimals).rstrip("0")
        table.add_row(
            Text(item.component), Text(item.label), *_quantity(item, bill.currency), amount
        )
    zone = ZoneInfo(tariff.zone)
    begin, end = (datetime.fromtimestamp(moment, zone) for moment in (bill.begin, bill.end))
    console.print(
        Text(f"{bill.tariff_name}, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {tariff.zone}"),
        soft_wrap=True,
    )
    console.print(table)
    exact = format_decimal(bill.total_exact, bill.exact_decimals).rstrip("0")
    console.print(Text(f"total {bill.total} {bill.currency} (exactly {exact})"), soft_wrap=True)
    for start in bill.missing_slots[:MISSING_SHOWN]:
        console.print(Text(f"missing {utc_text(start)}"))
    if len(bill.missing_slots) > MISSING_SHOWN:
        console.print(Text(f"... and {len(bill.missing_slots) - MISSING_SHOWN} more (--json)"))


def _quantity(item: BillItem, currency: str) -> tuple[str, str]:
    rate = item.rate or 0
    if item.unit == "Wh":
        return energy_text(item.quantity or 0), f"{price_text(rate, currency)}/kWh"
    if item.unit == "day":
        return f"{item.quantity} days", f"{price_text(rate, currency)}/day"
    return "", percent_text(rate)
