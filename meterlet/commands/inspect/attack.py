# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect attack`: what could be inferred from your curve, and from what was told."""

from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from hub.device import Device
from hub.inspection.api.json_releases import attack_json
from hub.inspection.attack.appliances import Appliance
from hub.inspection.attack.attack import AttackResult, AttackView, attack
from meterlet.commands.common import Shown, hub_option, json_or_text, period_options
from protocols.metrology import Period


@click.command("attack")
@hub_option
@period_options()
@json_or_text("meterlet.inspect.attack/1")
def attack_command(folder: Path, period: Period) -> Shown:
    """Look for appliances in your own load curve, and in what each recipient can know of it.

    The attack runs here, and nothing leaves the house.
    """
    with Device.open(folder) as device:
        view = attack(device, period)
    return attack_json(view).as_json(), lambda: show_attack(Console(), view)


def show_attack(console: Console, view: AttackView) -> None:
    """Print what the attack finds on each curve."""
    title = f"What the attack finds, {view.period.first} to {view.period.last}"
    table = Table("on the curve of", Column("every", justify="right"), title=title)
    for appliance in Appliance:
        table.add_column(appliance.replace("_", " "), justify="right")
    table.add_column("of yours", justify="right")
    table.add_row("the house itself", *_cells(view.house), "")
    for name, result in view.others:
        of_yours = f"{result.found} of {view.house.found}, {result.wrong} wrong"
        table.add_row(Text(name or "all of them together"), *_cells(result), of_yours)
    console.print(table)


def _cells(result: AttackResult) -> list[str]:
    known = any(watts is not None for watts in result.curve.watts)
    step = f"{result.curve.step_seconds // 60} min" if known else "nothing"
    return [step, *map(str, result.counts.values())]
