# SPDX-License-Identifier: Apache-2.0
"""`meterlet profile`: sets of load profiles, from the BDEW or out of a population."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from applets.profiling.profiles import Profile, ProfileSet, ProfilesMalformed
from hub.meters.files.opened import FileReport
from hub.meters.replay import parse_zone
from meterlet.commands.common import fail, json_option, one_line_errors, period_options, print_json
from meterlet.commands.file_options import FileChoice, file_options, say_report
from meterlet.commands.tariff_files import write_new
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from utility_server.retail.profile_extraction import Shape, cluster, profiles_of, shape_of

FILE: Final = click.Path(path_type=Path, dir_okay=False)
BDEW: Final = ("h0", "g0", "g1", "g2", "g3", "g4", "g5", "g6", "l0", "l1", "l2")
PRECISION: Final = 10**9
SUNDAY: Final = 6
QUARTERS: Final = 96


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def profile() -> None:
    """Load profiles that households are compared with."""


@profile.command("bdew")
@period_options()
@click.option(
    "--zone",
    default="Europe/Berlin",
    show_default=True,
    metavar="NAME",
    help="Whose days and hours the profiles are of (IANA name).",
)
@click.option(
    "--minutes", type=click.Choice(["15", "30", "60"]), default="15", show_default=True,
    help="The meters' slots.",
)  # fmt: skip
@click.option("--output", "-o", type=FILE, required=True, help="A new file for the set.")
@json_option
def from_bdew(period: Period, zone: str, minutes: str, output: Path, as_json: bool) -> None:
    """Make a set of the BDEW's eleven standard load profiles (needs meterlet[simulation])."""
    with one_line_errors():
        made = bdew_profiles(period, int(minutes), parse_zone(zone).key)
        write_new(output, made.encode(), 0o644)
    _show(made, as_json=as_json)


@profile.command()
@click.argument("readings", type=FILE, help="A file of readings, a column for each home.")
@click.option("--classes", type=click.IntRange(2, 12), required=True, help="How many profiles.")
@click.option("--name", required=True, help="The name of the set.")
@file_options(fed_in=None, column_help="column of a home; by default all but the times.")
@click.option("--local-zone", help="Whose local days the profiles are of; by default --zone.")
@period_options(required=False)
@click.option("--seed", default=1, show_default=True, help="Where the search starts.")
@click.option("--output", "-o", type=FILE, required=True, help="A new file for the set.")
@json_option
def extract(
    readings: Path,
    output: Path,
    period: Period | None,
    choice: FileChoice,
    as_json: bool,
    **said: Any,
) -> None:
    """Find profiles in the READINGS of many homes: a table (.csv, .tsv, packed), a column a home.

    This sees readings: use those of test homes, or of homes that have consented to it.
    """
    zone = said["local_zone"] or choice.zone or "UTC"
    with one_line_errors():
        homes = choice.columns or choice.replay(readings, {}, zone).value_columns()
        if len(homes) < 2:
            fail(f"{readings}: there are no columns of two homes")
        report = FileReport()
        begin, end = (None, None) if period is None else period.bounds(zone)
        shapes: dict[str, Shape] = {}
        with _bar() as bars:
            for column in bars.track(homes, description="homes"):
                replay = choice.replay(readings, {ACTIVE_ENERGY_IMPORT: (column,)}, zone)
                use = replay.uses(begin, end, FileReport() if shapes else report)
                try:
                    shapes[column] = shape_of(use.wh or {}, zone, use.interval_seconds)
                except ValueError:
                    click.echo(f"{column}: left out, it has too few readings", err=True)
        try:
            centres, members = cluster(list(shapes.values()), said["classes"], said["seed"])
            names = [f"class {number}" for number in range(1, len(centres) + 1)]
            made = profiles_of(centres, names, said["name"], zone)
        except (ValueError, ProfilesMalformed) as error:
            fail(f"{readings}: {error}")
        write_new(output, made.encode(), 0o644)
        say_report(str(readings), report)
    sizes = {name: members.count(place) for place, name in enumerate(names)}
    _show(made, as_json=as_json, homes=sizes)


@profile.command()
@click.argument("profiles", type=FILE, help="A file of profiles.")
@json_option
def show(profiles: Path, as_json: bool) -> None:
    """Show what a set of PROFILES holds."""
    with one_line_errors():
        _show(load_profiles(profiles), as_json=as_json)


def load_profiles(path: Path) -> ProfileSet:
    """Return the set in a file, or leave with one line that names it."""
    try:
        return ProfileSet.decode(path.read_bytes())
    except ProfilesMalformed as error:
        fail(f"{path}: {error}")


def bdew_profiles(period: Period, minutes: int, zone: str = "Europe/Berlin") -> ProfileSet:
    """Return the standard load profiles as they are in a period, holidays apart.

    They go by the hours of the wall, so those of a zone are the same as Berlin's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, about its data frames
        from oemof.demand import bdew

        years = range(period.first.year, period.last.year + 1)
        frames = {year: bdew.ElecSlp(year).get_profiles(*BDEW) for year in years}
    group = minutes // 15
    profiles = []
    for name in BDEW:
        shares = {year: [float(share) for share in frame[name]] for year, frame in frames.items()}
        sums = [[0.0] * (QUARTERS // group) for _ in range(3)]
        counts = [0, 0, 0]
        for day in period.days(zone):
            kind = max(0, day.weekday() - 4)
            counts[kind] += 1
            begin = QUARTERS * (day - date(day.year, 1, 1)).days
            for quarter in range(QUARTERS):
                sums[kind][quarter // group] += shares[day.year][begin + quarter]
        if not all(counts):
            fail(f"{period} lacks a workday, a Saturday or a Sunday: say a week or more")
        days = tuple(
            tuple(round(PRECISION * total / count) for total in row)
            for row, count in zip(sums, counts, strict=True)
        )
        profiles.append(Profile(name, days))
    return ProfileSet(f"bdew {period}", 1, zone, (), tuple(profiles))


@contextmanager
def _bar() -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


def _show(found: ProfileSet, *, as_json: bool, homes: Mapping[str, int] | None = None) -> None:
    facts = {
        "name": found.name,
        "version": found.version,
        "zone": found.zone,
        "slot_minutes": found.slot_seconds // 60,
        "profiles": list(found.names),
        "digest": found.digest.hex(),
    }
    if homes is not None:
        facts["homes"] = dict(homes)
    if as_json:
        print_json("meterlet.profile/1", facts)
        return
    click.echo(
        f"{found.name}: {len(found.names)} profiles of {facts['slot_minutes']} minutes in"
        f" {found.zone}: {', '.join(found.names)}"
    )
    for name, count in (homes or {}).items():
        click.echo(f"  {name}: {count} homes")
