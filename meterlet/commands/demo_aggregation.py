# SPDX-License-Identifier: Apache-2.0
"""`meterlet demo aggregation`: a region's sum, added up so that nobody sees a home."""

import csv
import gzip
import os
import tempfile
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any, Final

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from hub.meters.replay import EnergyUnit, ReplayError, parse_interval
from meterlet.commands.common import (
    FOLDER,
    PRESENT_FILE,
    Exit,
    json_option,
    open_machine,
    period_options,
    show,
)
from meterlet.demo.dishonest_concentrator import KINDS
from meterlet.demo.fleet import open_csv
from meterlet.demo.region import Region, RegionPlan
from protocols.aggregation.round import DAY_MINUTES, RESOLUTIONS
from protocols.metrology import SLOT_MINUTES, Period

DEFAULT_DAY: Final = date(2025, 3, 30)
"""It has 23 hours."""
DEFAULT_CSV_DAY: Final = date(2013, 3, 4)
DEFAULT_ZONE: Final = "Europe/Berlin"
LEAST_HOMES: Final = 5
SHOWN: Final = 3


@click.command()
@click.option(
    "--homes",
    type=click.IntRange(LEAST_HOMES, 250),
    default=60,
    show_default=True,
    help="How many homes.",
)
@click.option(
    "--readings", type=PRESENT_FILE, help="A CSV file (.csv, .csv.gz) with a column a home."
)
@click.option(
    "--unit",
    type=click.Choice([unit.value for unit in EnergyUnit]),
    default="kWh",
    show_default=True,
    help="What a cell counts.",
)
@click.option("--interval", default="30min", show_default=True, help="What a row covers.")
@click.option("--zone", default="UTC", show_default=True, help="The clock of its times.")
@period_options(required=False)
@click.option(
    "--resolution",
    type=click.Choice([str(minutes) for minutes in RESOLUTIONS]),
    help="Minutes that a sum covers; by default a slot.",
)
@click.option(
    "--dropouts",
    type=click.IntRange(0, 90),
    default=0,
    show_default=True,
    help="Percent of the homes that vanish in the middle of the round.",
)
@click.option("--cheat", type=click.Choice([*KINDS, "home"]), help="Who cheats, and how.")
@click.option("--split-key", is_flag=True, help="Let a trustee hold a share of the MDMS's key.")
@click.option(
    "--processes",
    type=click.IntRange(1, 250),
    default=min(4, os.cpu_count() or 1),
    show_default="a core each, at most 4",
    help="How many processes the homes share; as many as homes for one each.",
)
@click.option("--keep", type=FOLDER, help="Keep homes, MDMS and logs in this new folder.")
@json_option
def aggregation(
    homes: int,
    readings: Path | None,
    unit: str,
    interval: str,
    zone: str,
    period: Period | None,
    resolution: str | None,
    dropouts: int,
    cheat: str | None,
    split_key: bool,
    processes: int,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Add up homes' use privately: hubs, concentrator and MDMS as processes of their own.

    Prints the sums beside the plain ones and what each party saw. Without --readings the homes
    are synthetic. With --cheat somebody cheats, and the exit code is 3 with the culprit's name.
    """
    columns, minutes = ("",) * homes, 15
    if readings is not None:
        columns = _columns(readings, homes)
        minutes = parse_interval(interval) // 60
        if minutes not in SLOT_MINUTES:
            raise click.UsageError(f"--interval {interval}: 5, 15, 30 or 60 minutes")
    day = DEFAULT_DAY if readings is None else DEFAULT_CSV_DAY
    plan = RegionPlan(
        columns=columns,
        readings=readings,
        unit=unit,
        interval_seconds=60 * minutes,
        readings_zone=zone,
        zone=DEFAULT_ZONE if readings is None else zone,
        slot_minutes=minutes,
        period=period or Period(day, day),
        resolution_minutes=minutes if resolution is None else int(resolution),
        source="synthetic households" if readings is None else readings.name,
        dropouts_percent=dropouts,
        cheat=cheat,
        processes=processes,
        splits_key=split_key,
    )
    if plan.resolution_minutes % minutes and plan.resolution_minutes != DAY_MINUTES:
        raise click.UsageError(f"slots of {minutes} minutes do not make {resolution}")
    open_machine()  # built once, here: the homes' processes find it ready
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise click.UsageError(f"--keep {keep}: not empty")
        keep.mkdir(parents=True, exist_ok=True)
    place = tempfile.TemporaryDirectory(prefix="meterlet-") if keep is None else nullcontext(keep)
    with place as folder:
        facts = _run(Path(folder), plan, as_json)
    show("meterlet.demo.aggregation/1", facts, lambda: _print_sums(facts), as_json=as_json)
    if facts["cheats_found"] or not facts["sums_equal"]:
        raise SystemExit(int(Exit.REFUTED))


def _run(folder: Path, plan: RegionPlan, as_json: bool) -> dict[str, Any]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("homes", total=len(plan.columns))
        region = Region(
            folder.resolve(),
            plan,
            say=lambda line: None if as_json else click.echo(line, err=True),
            made=lambda: bar.advance(task),
        )
        return region.run()


def _columns(path: Path, homes: int) -> tuple[str, ...]:
    try:
        with open_csv(path) as text:
            header = next(csv.reader(text), [])
    except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ReplayError(f"{path}: line 1: not readable: {error}") from None
    if len(header) - 1 < homes:
        raise ReplayError(f"{path}: {len(header) - 1} columns, for {homes} homes")
    return tuple(header[1 : homes + 1])


def _print_sums(facts: dict[str, Any]) -> None:
    days = f"{facts['first_day']} to {facts['last_day']}"
    click.echo(f"{facts['homes']} homes, {days}, {facts['source']}")
    if facts["verified"]:
        for name in ("sums_wh", "plain_sums_wh"):
            values = facts[name]
            shown = ", ".join(map(str, values[:SHOWN]))
            click.echo(f"  {name.removesuffix('_wh').replace('_', ' '):10} {shown}, ... Wh")
        equal = "equal, every one" if facts["sums_equal"] else "NOT EQUAL"
        click.echo(f"  {facts['slots']} sums over {facts['homes_in_sum']} homes: {equal}")
    else:
        click.echo(f"  nothing was opened{': ' + facts['void'] if facts['void'] else ''}")
    for culprit in facts["culprits"]:
        click.echo(f"  found: {culprit['who']}: {culprit['reason']}")
    saw = facts["saw"]
    click.echo(
        f"  concentrator saw {saw['concentrator']['bytes_from_homes']} bytes of ciphertexts and"
        f" signatures; MDMS opened {saw['mdms']['sums_opened']} sums and nothing else"
    )
    found = facts["raw_readings_seen_outside"]
    click.echo(f"  readings found outside the homes: {'not searched' if found is None else found}")
    times = ", ".join(f"{name} {took:.1f}" for name, took in facts["timings"].items())
    click.echo(f"  {facts['bytes_per_home']} bytes a home; seconds: {times}")
