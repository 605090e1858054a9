# SPDX-License-Identifier: Apache-2.0
"""`meterlet index`: the price indices that grids settle with."""

from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import FILE, Shown, json_or_text, output_option
from meterlet.commands.tariff_files import write_new
from meterlet.key_files import public_key
from meterlet.priced_readings import read_bytes
from tariffs import PriceIndex, RoundingRule, TariffError
from tariffs.envelope import split_signed
from tariffs.index_source import IndexShape, read_index
from tariffs.price_index import INDEX_CONTENT_TYPE
from tariffs.signing import verify_signed_index

SIGNED_BYTE: Final = 0xD2
RULES: Final = [rule.value for rule in RoundingRule]


@click.group()
def index() -> None:
    """Price indices: market prices of energy, step by step."""


@index.command("import")
@click.argument("source", type=FILE, help="A table of prices (.csv, .csv.gz).")
@click.option("--series", required=True, help="What is published, as de-lu-day-ahead.")
@click.option("--revision", default=1, show_default=True, help="Which version of it.")
@click.option("--currency", required=True, help="As EUR.")
@click.option("--column", required=True, help="The column of prices.")
@click.option("--unit", required=True, help="What a price counts: EUR/MWh, ct/kWh, p/kWh.")
@click.option("--step", type=click.IntRange(1, 1440), required=True, help="A row's minutes.")
@click.option("--zone", default="UTC", show_default=True, help="The clock of its times.")
@click.option("--label", type=click.Choice(["start", "end"]), default="start", show_default=True,
              help="Which end of a step a row's time names.")  # fmt: skip
@click.option("--repeat-gaps", is_flag=True, help="A missing row has the price before it.")
@click.option("--mean", type=click.IntRange(5, 1440), help="Make steps of so many minutes.")
@click.option("--rounding", type=click.Choice(RULES), help="For more than 6 decimals.")
@output_option("A new file for the index.")
@json_or_text("meterlet.index/1")
def import_index(source: Path, output: Path, **shape: Any) -> Shown:
    """Read an index from a CSV file (.csv, .csv.gz): times in the first column, a row a step."""
    made = read_index(
        _text(source),
        IndexShape(
            column=shape["column"],
            unit=shape["unit"],
            step_seconds=60 * shape["step"],
            zone=shape["zone"],
            at_end=shape["label"] == "end",
            repeat_gaps=shape["repeat_gaps"],
            mean_seconds=shape["mean"] and 60 * shape["mean"],
            rule=shape["rounding"] and RoundingRule(shape["rounding"]),
        ),
        shape["series"],
        shape["revision"],
        shape["currency"],
        name=str(source),
    )
    write_new(output, made.encode(), 0o644)
    return _shown(made, "not signed")


@index.command()
@click.argument("document", type=FILE, help="A price index, signed or not.")
@click.option("--key", type=FILE, help="Accept only what this public key (PEM) has signed.")
@json_or_text("meterlet.index/1")
def show(document: Path, key: Path | None) -> Shown:
    """Show the price index in a DOCUMENT."""
    return _shown(*load_index(document, key))


def load_index(path: Path, key: Path | None = None) -> tuple[PriceIndex, str]:
    """Return the index in a file and what is known of its signature.

    With `key`, only one that is signed by it. Raises `TariffError` naming the file.
    """
    data = path.read_bytes()
    try:
        if key is not None:
            return verify_signed_index(data, public_key(key)), "verified"
        if data[:1] == bytes([SIGNED_BYTE]):
            parts = split_signed(data, INDEX_CONTENT_TYPE)
            return PriceIndex.decode(parts.payload), "not checked"
        return PriceIndex.decode(data), "not signed"
    except TariffError as error:
        error.source = error.source or str(path)
        raise


def _text(source: Path) -> str:
    try:
        return read_bytes(source).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TariffError("not UTF-8 text", source=str(source)) from None


def _shown(found: PriceIndex, signature: str) -> Shown:
    known = [price for price in found.prices.prices if price is not None]
    facts = {
        "series": found.series,
        "revision": found.version,
        "currency": found.currency,
        "unit": found.unit,
        "zone": found.zone,
        "from": utc_text(found.prices.begin),
        "until": utc_text(found.end),
        "step_minutes": found.prices.step_seconds // 60,
        "steps": len(found.prices.prices),
        "gaps": len(found.prices.prices) - len(known),
        "lowest": min(known),
        "highest": max(known),
        "digest": found.digest.hex(),
        "signature": signature,
    }
    return facts, (
        f"{found.series} revision {found.version}, {facts['from']} to {facts['until']},"
        f" {facts['steps']:,} steps of {facts['step_minutes']} min ({facts['gaps']} without price),"
        f" {min(known) / 10**6:.6f} to {max(known) / 10**6:.6f} {found.currency}/kWh,"
        f" {signature}, digest {found.digest.hex()[:16]}"
    )
