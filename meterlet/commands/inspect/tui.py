# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect tui`: your readings in the terminal."""

from pathlib import Path

import rich_click as click

from hub.device import Device
from hub.inspection.locales.catalogue import catalogue
from hub.inspection.tui import InspectionTui
from meterlet.commands.common import hub_option
from meterlet.own_words import own_language


@click.command()
@hub_option
@click.option(
    "--language",
    type=click.Choice(["en", "de", "it", "fr"]),
    help="By default that of your environment (LC_ALL, LC_MESSAGES, LANG).",
)
def tui(folder: Path, language: str | None) -> None:
    """Show now, readings and what left the house in the terminal; quit with q."""
    words = catalogue(language or own_language())
    with Device.open(folder):
        pass  # an error is told before the screen is taken
    InspectionTui(lambda: Device.open(folder), words).run()
