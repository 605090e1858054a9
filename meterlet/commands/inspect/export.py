# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect export`: readings and bills in files, each of them on record."""

from pathlib import Path
from typing import Final

import rich_click as click

from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import export_readings
from hub.inspection.export.copies import Copy, CopyForm, copy_readings, record_bundle
from hub.inspection.views.documents import supplier_documents
from hub.text import counted
from meterlet.commands.common import (
    AID_IN_HEX,
    FILE,
    Exit,
    Shown,
    fail,
    hub_option,
    json_or_text,
    period_options,
)
from meterlet.commands.hub_meters import meter_of, of_option
from meterlet.commands.inspect.proofs import BillingProofs
from meterlet.commands.tariff_files import errors_at, write_new
from protocols.metrology import Period

EXPORTED: Final = "meterlet.inspect.export/1"
FORMS: Final = {"csv": CopyForm.CSV, "green-button": CopyForm.GREEN_BUTTON}
output_option = click.option("--output", "-o", type=FILE, required=True, help="A new file.")
yes_option = click.option("--yes", is_flag=True, help="Export without being asked.")


@click.group()
def export() -> None:
    """Readings and bills in files; each export is on record in the log."""


@export.command("readings")
@hub_option
@period_options()
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMS)),
    default="csv",
    show_default=True,
    help="How the file is written.",
)
@of_option
@output_option
@yes_option
@json_or_text(EXPORTED)
def own_readings(
    folder: Path, period: Period, form: str, of: str | None, output: Path, *, yes: bool
) -> Shown:
    """Take out a copy of your own readings: CSV, or Green Button (ESPI) XML."""
    with Device.open(folder) as hub:
        device = meter_of(hub, of)
        _ask(f"Write all readings of {period.first} to {period.last} to {output}?", output, yes=yes)
        return _write(output, copy_readings(device, period, FORMS[form]))


@export.command("bill")
@hub_option
@click.option(
    "--applet",
    "aid",
    type=AID_IN_HEX,
    default="F04D544C010101",
    show_default=True,
    help="The AID of the applet that proved the bill.",
)
@click.option("--invoice", "number", type=int, help="Its number; by default the last one.")
@output_option
@yes_option
@json_or_text(EXPORTED)
def bill_bundle(folder: Path, aid: bytes, number: int | None, output: Path, *, yes: bool) -> Shown:
    """Take out the proof of an invoice, for `meterlet bill verify`, which needs no hub."""
    with Device.open(folder) as device:
        invoices = supplier_documents(device, aid).invoices
        found = [invoice for invoice in invoices if number in (None, invoice.number)]
        if not found:
            raise InspectionError("there is no such invoice")
        invoice = found[-1]
        bundle = BillingProofs().bundle(device, aid, invoice)
        _ask(f"Write the proof of invoice {invoice.number} to {output}?", output, yes=yes)
        return _write(output, record_bundle(device, invoice, bundle))


@export.command("consent")
@hub_option
@click.argument(
    "number", type=int, help="The consent's number; `meterlet inspect consents list` shows it."
)
@output_option
@click.option("--minutes", type=int, help="Coarser than the consent allows.")
@json_or_text(EXPORTED)
def by_consent(folder: Path, number: int, output: Path, minutes: int | None) -> Shown:
    """Write the readings that export consent NUMBER covers to a CSV file for its recipient."""
    with Device.open(folder) as device:
        _free(output)
        made = export_readings(device, number, minutes)
        _put(output, made.content)
    facts = {"file": str(output), "readings": made.readings, "bytes": len(made.content)}
    verb = "is" if made.readings == 1 else "are"
    readings = counted(made.readings, "reading")
    return facts, f"{readings} {verb} in {output}, and on record as having left"


def _free(output: Path) -> None:
    if output.exists():
        fail(f"{output}: exists already")


def _ask(question: str, output: Path, *, yes: bool) -> None:
    _free(output)
    if not yes and not click.confirm(f"{question} It is on record then.", err=True):
        fail("nothing was written", Exit.FORBIDDEN)


def _put(output: Path, content: bytes) -> None:
    """Write a new file, whole or not at all, which only its owner may read."""
    with errors_at(output):
        write_new(output, content, 0o600)


def _write(output: Path, copy: Copy) -> Shown:
    _put(output, copy.content)
    what = counted(copy.readings, "reading") if copy.readings else "the proof"
    facts = {"file": str(output), "readings": copy.readings, "bytes": len(copy.content)}
    return facts, f"{what} in {output}: {len(copy.content):,} bytes, on record as a copy"
