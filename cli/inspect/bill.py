# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect bill`: the resident's check of a bill."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.table import Table

from cli.common import (
    Aid,
    Exit,
    hub_option,
    json_option,
    one_line_errors,
    print_json,
)
from cli.inspect.releases import show_released
from hub.device import Device
from hub.inspection import InspectionError, Verdict, check_invoices, releases_view
from hub.inspection.facts import bill_facts, releases_facts

__all__ = ["inspect_bill", "show_bill"]

VERDICT_EXITS = {
    Verdict.MATCHES: Exit.FINE,
    Verdict.DIFFERS: Exit.REFUTED,
    Verdict.CANNOT_TELL: Exit.UNVERIFIABLE,
}


@click.command("bill")
@hub_option
@click.option(
    "--applet", "aid", type=Aid(), default="F04D544C010101", show_default=True, help="Whose bill."
)
@json_option
def inspect_bill(folder: Path, aid: bytes, as_json: bool) -> None:
    """Check the last invoice against your own readings."""
    with one_line_errors(), Device.open(folder) as device:
        checked = check_invoices(device, aid)
        if not checked:
            raise InspectionError("no invoice has arrived yet")
        facts = {
            **bill_facts(checked[-1], device.zone),
            **releases_facts(releases_view(device), device.zone),
        }
    if as_json:
        print_json("meterlet.inspect.bill/1", facts)
    else:
        show_bill(Console(), facts)
        show_released(Console(), facts)
    raise SystemExit(int(VERDICT_EXITS[checked[-1].verdict]))


def show_bill(console: Console, facts: dict[str, Any]) -> None:
    """Print line items and the verdict."""
    title = f"Invoice {facts['invoice']}, {facts['first_day']} to {facts['last_day']}"
    table = Table(title=title)
    for name in ("", "quantity", "price", "amount"):
        table.add_column(name, justify="left" if not name else "right")
    for item in facts["items"]:
        amount = Decimal(item["amount_exact"]).scaleb(-facts["exact_decimals"])
        table.add_row(
            f"{item['component']} {item['label']}".strip(),
            _quantity(item),
            _price(item, facts["currency"]),
            f"{amount:,.4f} {facts['currency']}",
        )
    console.print(table)
    total = f"invoiced {facts['invoiced']}, recomputed {facts['recomputed']} {facts['currency']}"
    console.print(f"{total}: [bold]{facts['verdict']}[/bold] {facts['reason']}")
    if facts["missing_slots"]:
        console.print(f"{len(facts['missing_slots'])} slots are missing and not billed")


def _quantity(item: dict[str, Any]) -> str:
    if item["quantity"] is None:
        return ""
    if item["unit"] == "Wh":
        return f"{Decimal(item['quantity']).scaleb(-3):,.3f} kWh"
    return f"{item['quantity']} {item['unit']}"


def _price(item: dict[str, Any], currency: str) -> str:
    if item["rate"] is None:
        return ""
    if item["kind"] == "tax":
        return f"{Decimal(item['rate']).scaleb(-4).normalize():f} %"
    unit = {"Wh": "kWh", "W": "kW"}.get(item["unit"], item["unit"])
    return f"{Decimal(item['rate']).scaleb(-6):.6f} {currency}/{unit}"
