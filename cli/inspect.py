# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect`: what the resident can see and check."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import rich_click as click
from rich.console import Console
from rich.table import Table

from cli.applet import dealings
from cli.applet import in_words as terms_in_words
from cli.common import (
    Aid,
    Exit,
    aid_argument,
    fail,
    hub_option,
    json_option,
    local_day,
    one_line_errors,
    open_machine,
    print_json,
    utc_text,
)
from hub.device import Device
from hub.disclosure import Entry, Knowledge, Release
from hub.inspection import (
    CheckedBill,
    InspectionError,
    Verdict,
    check_invoices,
    consent_to_export,
    export_readings,
)
from hub.installation import Installer, consent_terms
from protocols.metrology import Period
from sml_codec import GetListRes, GetProfileListRes, ListEntry, PeriodEntry, read_file

__all__ = ["inspect"]

DAY_SECONDS: Final = 86_400
DAY: Final = click.DateTime(["%Y-%m-%d"])

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
        "replaces": invoice.replaces or None,
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


def released_facts(device: Device, recipient: str | None = None) -> dict[str, Any]:
    """Return what left the house, to one recipient or to all, as the JSON outputs show it."""
    log = device.disclosure.log
    messages = list(log.entries("message"))
    releases = device.disclosure.releases(recipient)
    recipients = sorted({release.recipient for release in releases})
    known = {name: _known(device.disclosure.knowledge([name]), device.zone) for name in recipients}
    together = device.disclosure.knowledge(recipients)
    if len(recipients) > 1:
        known["all of them together"] = _known(together, device.zone)
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
                "bytes": _bytes_with(release, releases, messages),
            }
            for release in releases
        ],
        "refused": [
            {
                "time": utc_text(entry.time),
                "recipient": entry.facts["recipient"],
                "purpose": entry.facts["purpose"],
                "why": entry.facts["why"],
            }
            for entry in log.entries("refusal")
            if recipient in (None, entry.facts["recipient"])
        ],
        "known": known,
        "bytes_left_house": sum(entry.facts["sent"] for entry in log.entries("connection")),
        "outputs": [
            {
                "time": utc_text(entry.time),
                "recipient": entry.facts["recipient"],
                "purpose": entry.facts["purpose"],
                "output": entry.facts["output"],
                "bits": entry.facts["bits"],
            }
            for entry in log.entries("output")
            if recipient in (None, entry.facts["recipient"])
        ],
        "exports": [
            {
                "time": utc_text(entry.time),
                "recipient": entry.facts["recipient"],
                "purpose": entry.facts["purpose"],
                "resolution_minutes": entry.facts["resolution_minutes"],
                "readings": entry.facts["readings"],
            }
            for entry in log.entries("export")
            if recipient in (None, entry.facts["recipient"])
        ],
        "raw_readings_left_house": together.exposed_slots
        + device.disclosure.exported_readings(None if recipient is None else [recipient]),
    }


def _bytes_with(release: Release, releases: Sequence[Release], messages: Sequence[Entry]) -> int:
    """Return the size of the message that a release left with: the applet's first one after it."""
    later = [r.sequence for r in releases if r.applet == release.applet]
    until = min((other for other in later if other > release.sequence), default=None)
    for message in messages:
        if message.facts["applet"] == release.applet and message.sequence > release.sequence:
            left = until is None or message.sequence < until
            return int(message.facts["size"]) if left else 0
    return 0


def _known(knowledge: Knowledge, zone: ZoneInfo) -> dict[str, Any]:
    window = knowledge.shortest_window
    shown = None
    if window is not None:
        shown = {
            "first_day": local_day(window[0], zone),
            "last_day": local_day(window[1] - 1, zone),
            "days": round((window[1] - window[0]) / DAY_SECONDS, 2),
        }
    return {
        "slots": knowledge.slots,
        "degrees_of_freedom": knowledge.rank,
        "degrees_of_freedom_at_most": knowledge.classes,
        "bits": knowledge.bits,
        "shortest_window": shown,
        "nothing_finer_than_minutes": knowledge.least_seconds // 60,
        "peaks": knowledge.peaks,
    }


def in_words(known: dict[str, Any]) -> str:
    """Return what somebody knows, in a line."""
    window = known["shortest_window"]
    span = (
        "no stretch of time by itself"
        if window is None
        else f"nothing shorter than {window['days']:g} days"
    )
    return (
        f"{known['degrees_of_freedom']} of {known['slots']:,} degrees of freedom,"
        f" {known['bits']} bits, {span}; at the very most"
        f" {known['degrees_of_freedom_at_most']} sums, each over"
        f" {known['nothing_finer_than_minutes'] / 60:g} h of slots or more"
        + (f"; and how high {known['peaks']} peaks were, not when" if known["peaks"] else "")
    )


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
    for name, known in facts["known"].items():
        console.print(f"{name} knows {in_words(known)}")
    for output in facts["outputs"]:
        console.print(
            f"{output['recipient']} got {output['output']}, {output['bits']} bits,"
            f" at {output['time']}"
        )
    for export in facts["exports"]:
        console.print(
            f"{export['recipient']} got {export['readings']:,} readings of"
            f" {export['resolution_minutes']} min at {export['time']}"
        )
    for refusal in facts["refused"]:
        console.print(f"refused {refusal['recipient']} at {refusal['time']}: {refusal['why']}")
    console.print(
        f"{facts['bytes_left_house']:,} bytes on the wire in all,"
        f" {facts['raw_readings_left_house']} readings among them"
    )


@inspect.command()
@hub_option
@click.option("--recipient", help="Only what went to this one.")
@click.option("--bytes", "with_bytes", is_flag=True, help="Show every message, decoded and raw.")
@json_option
def releases(folder: Path, recipient: str | None, with_bytes: bool, as_json: bool) -> None:
    """List what left the house, and what each recipient knows, alone and together."""
    with one_line_errors(), Device.open(folder) as device:
        device.disclosure.log.verify()
        facts = released_facts(device, recipient)
        if with_bytes:
            facts["messages"] = [
                message_facts(entry, device.disclosure.log.content(entry))
                for entry in device.disclosure.log.entries("message")
                if recipient in (None, entry.facts["recipient"])
            ]
    if as_json:
        print_json("meterlet.inspect.releases/1", facts)
        return
    show_released(Console(), facts)
    for message in facts.get("messages", ()):
        click.echo(f"\n{message['time']} to {message['recipient']}: {message['size']:,} bytes")
        for field in message["fields"]:
            click.echo(f"  {field['name']:24} {field['value']}")
        click.echo(f"  {message['bytes']}")


def message_facts(entry: Entry, content: bytes) -> dict[str, Any]:
    """Return an outgoing message to the byte, and what can be read in it without its applet."""
    fields: list[dict[str, str]] = []
    file = read_file(content)
    for message in file.messages:
        body = message.body
        fields.append({"name": type(body).__name__, "value": ""})
        if isinstance(body, GetProfileListRes | GetListRes):
            fields += [
                {"name": str(listed.obis), "value": _value_text(listed)} for listed in body.entries
            ]
    return {
        "time": utc_text(entry.time),
        "recipient": entry.facts["recipient"],
        "purpose": entry.facts["purpose"],
        "applet": entry.facts["applet"].hex().upper(),
        "size": len(content),
        "fields": fields,
        "bytes": content.hex(),
    }


def _value_text(listed: PeriodEntry | ListEntry) -> str:
    if isinstance(listed.value, bytes):
        return f"{len(listed.value)} bytes, {listed.value[:16].hex()}"
    return (
        f"{listed.value if listed.scaled is None else listed.scaled} {listed.unit_symbol}".strip()
    )


@inspect.group()
def consents() -> None:
    """What you have allowed."""


@consents.command()
@hub_option
@aid_argument
@click.option("--yes", is_flag=True, help="Consent without being asked.")
def grant(folder: Path, aid: bytes, yes: bool) -> None:
    """Consent to all that the manifest of the installed applet AID asks for."""
    with one_line_errors(), Device.open(folder) as device:
        installer = Installer(device, device.card(open_machine()))
        bundle = installer.bundle(aid)
        for terms in consent_terms(bundle):
            click.echo(terms_in_words(terms), err=True)
        for sentence in dealings(bundle.manifest):
            click.echo(sentence, err=True)
        if not yes and not click.confirm("Do you consent?", err=True):
            fail("nothing was granted", Exit.FORBIDDEN)
        given = installer.consent(bundle)
    for consent in given:
        click.echo(f"consent {consent.number} is given")


@consents.command()
@hub_option
@click.argument("number", type=int)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="An earlier last day.")
@click.option("--least-days", type=int, help="A longer shortest period, in days.")
@click.option("--least-minutes", type=int, help="More minutes of slots that must be mixed.")
@click.option("--answers", type=int, help="Fewer answers about the same period.")
@click.option("--bits", type=int, help="Smaller answers.")
def narrow(
    folder: Path,
    number: int,
    until: datetime | None,
    least_days: int | None,
    least_minutes: int | None,
    answers: int | None,
    bits: int | None,
) -> None:
    """Put a narrower consent in the place of consent NUMBER."""
    if (until, least_days, least_minutes, answers, bits) == (None,) * 5:
        raise click.UsageError("say what to narrow")
    with one_line_errors(), Device.open(folder) as device:
        old = device.disclosure.consent(number).terms
        terms = replace(
            old,
            until=old.until if until is None else until.date(),
            least_days=least_days or old.least_days,
            least_minutes=least_minutes or old.least_minutes,
            answers=answers or old.answers,
            bits=bits or old.bits,
        )
        try:
            new = device.disclosure.narrow(number, terms)
        except ValueError as error:
            fail(str(error))
    click.echo(f"consent {new.number} takes the place of {number}")


@consents.command("export")
@hub_option
@click.option("--recipient", required=True, help="Who may have the readings.")
@click.option("--purpose", required=True, help="What for.")
@click.option("--minutes", type=int, default=60, show_default=True, help="How fine at most.")
@click.option("--from", "first", type=DAY, required=True, help="The first local day.")
@click.option("--to", "last", type=DAY, required=True, help="The last local day.")
@click.option("--until", type=DAY, required=True, help="The last day on which it holds.")
def consent_export(
    folder: Path,
    recipient: str,
    purpose: str,
    minutes: int,
    first: datetime,
    last: datetime,
    until: datetime,
) -> None:
    """Consent to hand readings themselves to somebody."""
    with one_line_errors(), Device.open(folder) as device:
        period = Period(first.date(), last.date())
        consent = consent_to_export(device, recipient, purpose, minutes, period, until.date())
    click.echo(f"consent {consent.number} is given; `inspect export {consent.number}` uses it")


@inspect.command()
@hub_option
@click.argument("number", type=int)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--minutes", type=int, help="Coarser than the consent allows.")
def export(folder: Path, number: int, output: Path, minutes: int | None) -> None:
    """Write the readings that export consent NUMBER is about to a CSV file."""
    with one_line_errors(), Device.open(folder) as device:
        if output.exists():
            fail(f"{output}: exists already")
        made = export_readings(device, number, minutes)
        output.write_text(made.text)
    click.echo(f"{made.readings:,} readings are in {output}, and on record as having left")


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
            "least_minutes": consent.terms.least_minutes,
            "answers": consent.terms.answers,
            "bits": consent.terms.bits,
            "until": consent.terms.until.isoformat(),
            "replaces": consent.replaces,
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
