# SPDX-License-Identifier: Apache-2.0
"""What `meterlet tariff show` and `price` print for people: tables of a tariff and of a bill."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from hub.text import counted
from meterlet.commands.common import LAST_BILL
from protocols.canonical.day_zone import wall_zone
from tariffs import Bill, BillMemory, Tariff
from tariffs.clock import date_of
from tariffs.describe import (
    Row,
    carried_text,
    charge_rows,
    clock_text,
    quantity_texts,
    settlement_row,
    step_row,
)
from tariffs.document import MissingRule
from tariffs.rounding import Rounding, format_decimal
from tariffs.usage import utc_text
from tariffs.version import Version

MISSING_SHOWN: Final = 10
MISSING_WORDS: Final = {
    MissingRule.OMIT: "listed, not billed until they are known",
    MissingRule.REFUSE: "no bill until they are known",
    MissingRule.WEEK_BEFORE: "billed as the same slot a week before, and listed",
}


def print_tariff(tariff: Tariff, summary: str) -> None:
    """Print what a tariff charges, a table for each of its versions."""
    console = Console(highlight=False)
    console.print(Text(summary), soft_wrap=True)
    for version in tariff.versions:
        if len(tariff.versions) > 1:
            last = date_of(version.valid_until - 1)
            console.print(Text(f"\n{date_of(version.valid_from)} to {last}"))
        console.print(_version_table(version, tariff.currency, tariff.medium.unit))
    rounding = tariff.rounding
    console.print(Text(f"total rounded {rounding.rule} to {rounding.decimals} decimals"))
    console.print(Text(f"slots without a reading: {MISSING_WORDS[tariff.missing]}"))


def _version_table(version: Version, currency: str, unit: str) -> Table:
    table = Table("component", "band", Column("price", justify="right"), "when")
    for charge in version.charges:
        name = charge.name
        timetable = getattr(charge, "timetable", None)
        if timetable is not None and len(timetable.names) > 1 and (clock := clock_text(timetable)):
            name = f"{name} ({clock})"
        _add(table, name, charge_rows(charge, currency, unit), version.rounded.get(charge.name))
    for step in version.steps:
        rows = [step_row(step, currency, unit)]
        _add(table, step.name, rows, version.rounded.get(step.name))
    if version.settlement is not None:
        _add(table, version.settlement.name, [settlement_row(version.settlement, currency)], None)
    return table


def _add(table: Table, name: str, rows: Iterable[Row], rounded: Rounding | None) -> None:
    for band, price, when in rows:
        table.add_row(Text(name), Text(band), Text(price), Text(when))
        name = ""
    if rounded is not None:
        words = f"rounded {rounded.rule} to {rounded.decimals} decimals, by itself"
        table.add_row("", "", "", words)


def print_bill(bill: Bill, tariff: Tariff) -> None:
    """Print a bill's items, its total and the slots it lacks."""
    console = Console(highlight=False)
    numbers = (Column(title, justify="right") for title in ("quantity", "rate", "amount"))
    table = Table("item", "band", *numbers)
    for item in bill.items:
        amount = format_decimal(item.amount_exact, bill.exact_decimals).rstrip("0")
        table.add_row(
            Text(item.component), Text(item.label), *quantity_texts(item, bill.currency), amount
        )
    zone = wall_zone(tariff.zone)
    begin, end = (datetime.fromtimestamp(moment, zone) for moment in (bill.begin, bill.end))
    console.print(
        Text(f"{bill.tariff_name}, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {zone.key}"),
        soft_wrap=True,
    )
    console.print(table)
    exact = format_decimal(bill.total_exact, bill.exact_decimals).rstrip("0")
    console.print(Text(f"total {bill.total} {bill.currency} (exactly {exact})"), soft_wrap=True)
    if bill.memory is not None:
        _print_carried(console, bill.memory, tariff)
        if bill.is_last:
            console.print(LAST_BILL)
    if bill.substitutions:
        console.print(
            Text(
                f"{counted(len(bill.substitutions), 'slot')} billed as those a week before (--json)"
            )
        )
    for start in bill.missing_slots[:MISSING_SHOWN]:
        console.print(Text(f"missing {utc_text(start)}"))
    if len(bill.missing_slots) > MISSING_SHOWN:
        console.print(Text(f"... and {len(bill.missing_slots) - MISSING_SHOWN} more (--json)"))


def _print_carried(console: Console, memory: BillMemory, tariff: Tariff) -> None:
    shapes = {
        name: shape for version in tariff.versions for name, shape in version.memory_shapes.items()
    }
    for key, value in sorted(memory.values.items()):
        text = carried_text(value, shapes[key.component].quantity, tariff.currency)
        console.print(Text(f"carried to the next bill: {key.text} {text}"), soft_wrap=True)
