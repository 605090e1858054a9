# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect export`: readings and bills in files."""

from pathlib import Path

import rich_click as click

from cli.common import fail, hub_option, one_line_errors
from hub.device import Device
from hub.inspection import export_readings

__all__ = ["export"]


@click.command()
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
