# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect`: what the resident can see and check."""

from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import rich_click as click
from rich.console import Console
from rich.table import Table

from cli.common import (
    Aid,
    Exit,
    hub_option,
    json_option,
    local_day,
    one_line_errors,
    print_json,
    utc_text,
)
from hub.device import Device
from hub.inspection import CheckedBill, InspectionError, Verdict, check_invoices

__all__ = ["inspect"]

VERDICT_EXITS = {
    Verdict.MATCHES: Exit.FINE,
    Verdict.DIFFERS: Exit.REFUTED,
    Verdict.CANNOT_TELL: Exit.UNVERIFIABLE,
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def inspect() -> None:
    """Your own data, what left the house, and your bill."""


@inspect.command("bill")
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
        facts = {**bill_facts(checked[-1], device.zone), **released_facts(device)}
    if as_json:
        print_json("meterlet.inspect.bill/1", facts)
    else:
        show_bill(Console(), facts)
        show_released(Console(), facts)
    raise SystemExit(int(VERDICT_EXITS[checked[-1].verdict]))


def bill_facts(checked: CheckedBill, zone: ZoneInfo) -> dict[str, Any]:
    """Return a checked invoice as the JSON outputs show it."""
    invoice, bill = checked.invoice, checked.bill
    return {
        "invoice": invoice.number,
        "issued": utc_text(invoice.issued),
        "from": utc_text(invoice.begin),
        "until": utc_text(invoice.end),
        "zone": zone.key,
        "first_day": local_day(invoice.begin, zone),
        "last_day": local_day(invoice.end - 1, zone),
        "currency": invoice.currency,
        "invoiced": invoice.total,
        "recomputed": None if bill is None else bill.total,
        "verdict": checked.verdict.value,
        "reason": checked.reason,
        "items": [] if bill is None else bill.as_json()["items"],
        "exact_decimals": None if bill is None else bill.exact_decimals,
        "missing_slots": [] if bill is None else [utc_text(s) for s in bill.missing_slots],
        "energy_wh": sum(checked.use_wh),
    }


def released_facts(device: Device) -> dict[str, Any]:
    """Return what left the house, as the JSON outputs show it."""
    log = device.disclosure.log
    messages = list(log.entries("message"))
    releases = device.disclosure.releases()
    recipients = sorted({release.recipient for release in releases})
    known = {name: device.disclosure.knowledge(name) for name in recipients}
    return {
        "released": [
            {
                "time": utc_text(release.time),
                "recipient": release.recipient,
                "purpose": release.purpose,
                "statement": release.statement,
                "from": utc_text(release.form.begin),
                "until": utc_text(release.form.end),
                "first_day": local_day(release.form.begin, device.zone),
                "last_day": local_day(release.form.end - 1, device.zone),
                "bits": release.bits,
                "bytes": sum(
                    message.facts["size"]
                    for message in messages
                    if message.facts["applet"] == release.applet and message.time == release.time
                ),
            }
            for release in releases
        ],
        "known": {
            name: {
                "slots": bound.slots,
                "degrees_of_freedom_at_most": bound.degrees_of_freedom,
                "bits": bound.bits,
                "nothing_finer_than_minutes": bound.least_seconds // 60,
            }
            for name, bound in known.items()
        },
        "bytes_left_house": sum(entry.facts["sent"] for entry in log.entries("connection")),
        "raw_readings_left_house": device.disclosure.knowledge().exposed_slots,
    }


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
    unit = {"Wh": "kWh"}.get(item["unit"], item["unit"])
    return f"{Decimal(item['rate']).scaleb(-6):.6f} {currency}/{unit}"


def show_released(console: Console, facts: dict[str, Any]) -> None:
    """Print what left the house."""
    table = Table(title="What left the house")
    for name in ("when", "to", "for", "what", "bytes"):
        table.add_column(name, justify="right" if name == "bytes" else "left")
    for release in facts["released"]:
        table.add_row(
            release["time"],
            release["recipient"],
            release["purpose"],
            f"{release['bits']} bits, {release['first_day']} to {release['last_day']}",
            f"{release['bytes']:,}",
        )
    console.print(table)
    for name, bound in facts["known"].items():
        console.print(
            f"{name} knows at most {bound['degrees_of_freedom_at_most']} of {bound['slots']:,}"
            f" degrees of freedom, nothing finer than the sum over"
            f" {bound['nothing_finer_than_minutes'] // 60} h of slots"
        )
    console.print(
        f"{facts['bytes_left_house']:,} bytes on the wire in all,"
        f" {facts['raw_readings_left_house']} readings among them"
    )


@inspect.command()
@hub_option
@json_option
def releases(folder: Path, as_json: bool) -> None:
    """List what left the house, and what each recipient knows at most."""
    with one_line_errors(), Device.open(folder) as device:
        device.disclosure.log.verify()
        facts = released_facts(device)
    if as_json:
        print_json("meterlet.inspect.releases/1", facts)
    else:
        show_released(Console(), facts)


@inspect.group()
def consents() -> None:
    """What you have allowed."""


@consents.command("list")
@hub_option
@json_option
def list_consents(folder: Path, as_json: bool) -> None:
    """List every consent there ever was."""
    with one_line_errors(), Device.open(folder) as device:
        given = device.disclosure.consents()
    lines = [
        {
            "number": consent.number,
            "recipient": consent.terms.recipient,
            "purpose": consent.terms.purpose,
            "least_days": consent.terms.least_days,
            "least_hours": consent.terms.least_hours,
            "answers": consent.terms.answers,
            "bits": consent.terms.bits,
            "until": consent.terms.until.isoformat(),
            "revoked": None if consent.revoked is None else utc_text(consent.revoked),
        }
        for consent in given
    ]
    if as_json:
        print_json("meterlet.inspect.consents/1", {"consents": lines})
        return
    for line in lines:
        state = f"revoked {line['revoked']}" if line["revoked"] else f"until {line['until']}"
        click.echo(f"{line['number']:3} {line['recipient']} for {line['purpose']}, {state}")


@consents.command()
@hub_option
@click.argument("number", type=int)
def revoke(folder: Path, number: int) -> None:
    """Withdraw consent NUMBER; the next request under it is refused."""
    with one_line_errors(), Device.open(folder) as device:
        device.disclosure.revoke(number)
    click.echo(f"consent {number} is revoked")
