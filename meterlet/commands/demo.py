# SPDX-License-Identifier: Apache-2.0
"""`meterlet demo`: the main job end to end, on an embedded household or on your own readings."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

import rich_click as click
from rich.console import Console

from hub.meters.files.opened import FileReport
from hub.meters.replay import CsvReplay
from hub.meters.simulator import SyntheticHousehold
from meterlet.commands.common import (
    FILE,
    FOLDER,
    SAY_WHICH,
    Exit,
    json_option,
    open_machine,
    period_options,
    print_json,
)
from meterlet.commands.file_options import FileChoice, file_options, say_report
from meterlet.commands.inspect.bill import show_bill
from meterlet.commands.inspect.releases import show_released
from meterlet.commands.lazy import LazyGroup
from meterlet.commands.zones import days_apart, say_notes
from meterlet.demo.dishonest_hub import KINDS
from meterlet.demo.journey import Household, Journey, credits_feed_in
from meterlet.priced_readings import read_tariff
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, SLOT_MINUTES, Period

DEFAULT_TARIFF: Final = Path(str(files("meterlet.demo"))) / "tariff.toml"
DEFAULT_MONTH: Final = Period.month(2025, 3)
"""It has a day of 92 quarter-hours."""
DEFAULT_ZONE: Final = "Europe/Berlin"
DEFAULT_SLOT: Final = 15
DEFAULT_SOLAR: Final = 8


@click.group(
    cls=LazyGroup,
    targets={"aggregation": "meterlet.commands.demo_aggregation:aggregation"},
    invoke_without_command=True,
)
@click.option(
    "--readings", type=FILE, help="A file of readings, of any format that `ingest` takes."
)
@file_options("--readings: ")
@click.option("--meter-zone", help="Whose local days are certified; by default --zone.")
@period_options(required=False)
@click.option("--tariff", type=FILE, help="The tariff; by default one of the demonstration's own.")
@click.option("--seed", default=1, show_default=True, help="Which synthetic household.")
@click.option(
    "--solar",
    type=click.FloatRange(0.1, 1000),
    help=f"Its panels, in kW; {DEFAULT_SOLAR} where the tariff credits feed-in.",
)
@click.option("--tamper", type=click.Choice(KINDS), help="Let the hub, or the line, cheat.")
@click.option("--keep", type=FOLDER, help="Keep hub and utility in this new folder.")
@json_option
@click.pass_context
def demo(
    context: click.Context,
    readings: Path | None,
    meter_zone: str | None,
    period: Period | None,
    tariff: Path | None,
    seed: int,
    solar: float | None,
    tamper: str | None,
    keep: Path | None,
    choice: FileChoice,
    as_json: bool,
) -> None:
    """Run the whole demonstration: meter, hub, bill, utility, resident.

    The household is synthetic unless --readings names a file. With --tamper somebody cheats: the
    command names the check that found it and exits with code 3.
    """
    if context.invoked_subcommand is not None:
        return
    prices = read_tariff(tariff or DEFAULT_TARIFF).tariff
    notes, report = [], FileReport()
    if readings is None:
        if solar is None and credits_feed_in(prices):
            solar = DEFAULT_SOLAR
        household = _synthetic(seed, period or DEFAULT_MONTH, round(1000 * (solar or 0)))
    else:
        if period is None:
            raise click.UsageError(f"--readings needs a period: {SAY_WHICH}")
        zone = meter_zone or choice.zone or "UTC"
        notes = days_apart(period, zone, prices.zone)
        columns = {ACTIVE_ENERGY_IMPORT: choice.columns}
        is_by_format = not choice.columns and credits_feed_in(prices)
        if choice.feed_in_columns or is_by_format:
            columns[ACTIVE_ENERGY_EXPORT] = choice.feed_in_columns
        optional = frozenset((ACTIVE_ENERGY_EXPORT,)) if is_by_format else frozenset()
        replay = choice.replay(readings, columns, meter_zone or prices.zone, optional)
        household = _replayed(replay, period, zone, report)
    place = tempfile.TemporaryDirectory(prefix="meterlet-") if keep is None else _kept(keep)
    with place as folder:
        journey = Journey(
            Path(folder),
            household,
            prices,
            open_machine,
            tamper,
            say=lambda line: click.echo(line, err=as_json) if not as_json else None,
        )
        result = journey.run()
    if readings is not None:
        say_report(str(readings), report)
    if as_json:
        print_json("meterlet.demo/1", {**result.facts, "notes": notes})
    else:
        say_notes(notes)
        console = Console()
        show_bill(console, result.inspection)
        show_released(console, result.inspection)
        console.print(
            "seconds: "
            + ", ".join(f"{name} {took:.2f}" for name, took in result.facts["timings"].items())
        )
    if not result.facts["verified"]:
        raise SystemExit(int(Exit.REFUTED))


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    """Keep what is made in a folder; if it is cut off, a folder that was not there goes again."""
    was_there = folder.exists()
    try:
        yield folder
    except KeyboardInterrupt:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _synthetic(seed: int, period: Period, solar_watts: int) -> Household:
    house = SyntheticHousehold(DEFAULT_ZONE, seed, solar_watts_peak=solar_watts)
    panels = f", with panels of {solar_watts / 1000:g} kW" if solar_watts else ""
    return Household(
        readouts=lambda: house.readouts(period.first, period.last, 60 * DEFAULT_SLOT),
        zone=DEFAULT_ZONE,
        slot_minutes=DEFAULT_SLOT,
        period=period,
        source=f"synthetic household (BDEW profile H0 and appliances{panels})",
        registers=house.registers if solar_watts else house.registers[:1],
    )


def _replayed(replay: CsvReplay, period: Period, zone: str, report: FileReport) -> Household:
    opened = replay.open(report)
    minutes = opened.seconds // 60
    begin, end = period.bounds(zone)
    named = "+".join(replay.columns[ACTIVE_ENERGY_IMPORT])
    return Household(
        readouts=lambda: replay.readouts(begin, end),
        zone=zone,
        slot_minutes=minutes if minutes in SLOT_MINUTES else DEFAULT_SLOT,
        period=period,
        source=", ".join((replay.path.name, *([f"column {named}"] if named else []))),
        registers=opened.registers,
    )
