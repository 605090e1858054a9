# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms query|forecast|plot|balance`: what the stored sums say."""

from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hub.text import utc_text
from meterlet.commands.budget_text import budget_facts, budget_line
from meterlet.commands.common import Exit, json_option, one_line_errors, print_json
from meterlet.commands.mdms.options import (
    Asked,
    asked_options,
    curve_facts,
    mdms_option,
    noise_facts,
)
from meterlet.commands.tariff_files import write_new
from protocols.metrology import find_zone
from utility_server.grid.mdms import (
    Accuracy,
    Forecast,
    Line,
    Losses,
    Publisher,
    Statistics,
    draw,
    evaluate,
    read_feeder,
    statistics,
)
from utility_server.grid.mdms import balance as balance_of
from utility_server.grid.mdms import forecast as forecast_of
from utility_server.grid.mdms.balance import MILLION
from utility_server.grid.mdms.forecasts import METHODS
from utility_server.grid.mdms.load_curves import mean_power
from utility_server.grid.mdms.workspace import Mdms

FILE = click.Path(path_type=Path, dir_okay=False)
FEEDER = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@mdms_option
@asked_options
@click.option("--budget", "with_budget", is_flag=True, help="Show the region's privacy budget.")
@json_option
def query(
    folder: Path,
    question: Asked,
    with_budget: bool,
    as_json: bool,
) -> None:
    """Show a region's load curve and its totals."""
    region = question.region
    with one_line_errors(), Mdms.open(folder) as office:
        curve, published = question.curve(office)
        found = statistics(curve)
        budget = Publisher(office.store).budget(region)
    if as_json:
        facts: dict[str, Any] = {
            **curve_facts(curve),
            "statistics": _statistics_facts(found),
            "noise": noise_facts(published),
        }
        if with_budget:
            facts["budget"] = budget_facts(budget)
        print_json("meterlet.mdms.query/1", facts)
        return
    days = f"{utc_text(curve.begin)} to {utc_text(curve.end)}"
    homes = f"{curve.fewest_homes}" + (
        f" to {curve.most_homes}" if curve.most_homes > curve.fewest_homes else ""
    )
    click.echo(f"{region}, {days}: {len(curve.slots)} slots of {homes} homes")
    click.echo(f"  total {found.total_wh} Wh, load factor {float(found.load_factor):.3f}")
    click.echo(f"  least {found.least[0]} Wh at {utc_text(found.least[1])}")
    click.echo(f"  most  {found.most[0]} Wh at {utc_text(found.most[1])}")
    ranks = ", ".join(f"{percent} %: {wh}" for percent, wh in found.percentiles_wh)
    click.echo(f"  mean {found.mean_wh} Wh; percentiles {ranks}")
    for begin, end in curve.gaps:
        click.echo(f"  nothing is stored from {utc_text(begin)} to {utc_text(end)}")
    if found.by_hour_w:
        table = Table("hour", "mean W", box=None)
        for hour, watts in found.by_hour_w:
            table.add_row(f"{hour:02}", f"{watts:,}")
        Console().print(table)
    if published is not None:
        click.echo(f"  noise of ± {published.deviation_wh} Wh a slot ({published.mechanism.value})")
    if with_budget:
        click.echo(f"  {budget_line(budget)}")


@click.command()
@mdms_option
@asked_options
@click.option("--days", type=click.IntRange(1, 31), default=7, show_default=True, help="How far.")
@click.option("--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True)
@click.option(
    "--evaluate",
    "origins",
    type=click.IntRange(1, 366),
    help="Also say how wrong each method was from so many days in the past.",
)
@json_option
def forecast(
    folder: Path,
    question: Asked,
    days: int,
    method: str,
    origins: int | None,
    as_json: bool,
) -> None:
    """Forecast a region's load for the days after those stored or named."""
    region = question.region
    with one_line_errors(), Mdms.open(folder) as office:
        curve, published = question.curve(office)
        expected = forecast_of(curve, days, method)
        errors: list[Accuracy] = []
        if origins is not None:
            console = Console(stderr=True)
            with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
                task = bar.add_task("comparing", total=len(METHODS) * origins)
                errors = evaluate(curve, days, origins, progress=lambda: bar.advance(task))
    if as_json:
        facts = {
            "region": region,
            "method": method,
            "slots": [
                {"start": utc_text(begin), "wh": wh}
                for (begin, _), wh in zip(expected.slots, expected.uses_wh, strict=True)
            ],
            "noise": noise_facts(published),
            "errors": [
                {
                    "method": one.method,
                    "mape": round(one.mape, 6),
                    "nrmse": round(one.nrmse, 6),
                    "slots": one.slots,
                }
                for one in errors
            ],
        }
        print_json("meterlet.mdms.forecast/1", facts)
        return
    begin, end = expected.slots[0][0], expected.slots[-1][1]
    click.echo(
        f"{region}: {sum(expected.uses_wh)} Wh from {utc_text(begin)} to {utc_text(end)},"
        f" at most {max(expected.uses_wh)} Wh in a slot, by {method}"
    )
    for one in errors:
        click.echo(
            f"  {one.method:15} MAPE {100 * one.mape:6.2f} %   NRMSE {100 * one.nrmse:6.2f} %"
            f"   ({one.slots} slots)"
        )


@click.command()
@mdms_option
@asked_options
@click.option("--output", "-o", type=FILE, required=True, help="A new SVG file.")
@click.option(
    "--forecast", "days", type=click.IntRange(1, 31), help="Also draw a forecast of so many days."
)
@json_option
def plot(
    folder: Path,
    question: Asked,
    output: Path,
    days: int | None,
    as_json: bool,
) -> None:
    """Draw a region's load curve as an SVG picture."""
    region = question.region
    with one_line_errors(), Mdms.open(folder) as office:
        curve, published = question.curve(office)
        title = f"{region}: mean power of {curve.fewest_homes} homes"
        if published is not None:
            title += f", with noise of ± {published.deviation_wh} Wh a slot"
        lines = [Line("aggregated", curve.slots, curve.power_w())]
        if days is not None:
            lines += [_line(method, forecast_of(curve, days, method)) for method in METHODS]
        picture = draw(title, lines, find_zone(curve.zone)).encode()
        write_new(output, picture, 0o644)
    if as_json:
        facts = {
            "picture": str(output),
            "bytes": len(picture),
            "slots": len(curve.slots),
            "noise": noise_facts(published),
        }
        print_json("meterlet.mdms.plot/1", facts)
    else:
        click.echo(f"drew {len(curve.slots)} slots as {output}")


def _line(name: str, expected: Forecast) -> Line:
    return Line(f"forecast: {name}", expected.slots, mean_power(expected.slots, expected.uses_wh))


@click.command()
@mdms_option
@click.option("--region", required=True, help="Whose homes' sum.")
@click.option("--feeder", type=FEEDER, required=True, help="CSV of the feeder's meter: start,wh.")
@click.option("--no-load", "no_load_w", type=click.IntRange(0), default=0, help="Losses in W.")
@click.option("--loss", "loss", default="0", show_default=True, help="Losses in percent.")
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Chance of a false alarm.",
)
@json_option
def balance(
    folder: Path,
    region: str,
    feeder: Path,
    no_load_w: int,
    loss: str,
    level: float,
    as_json: bool,
) -> None:
    """Compare a feeder's meter with the homes' sum and the losses; exit code 3 if they differ."""
    losses = Losses(no_load_w, _ppm(loss))
    question = Asked(region)
    with one_line_errors(), Mdms.open(folder) as office:
        found = balance_of(question.exact(office), read_feeder(feeder), losses)
    discrepant = found.is_discrepant(level)
    set_in = utc_text(found.onset) if discrepant and found.onset_p < level else None
    facts = {
        "region": region,
        "slots": found.slots,
        "feeder_wh": found.feeder_wh,
        "sum_wh": found.sum_wh,
        "losses_wh": found.losses_wh,
        "residual_wh": found.residual_wh,
        "test": "HAC t-test (Newey, West 1987)",
        "t": round(found.t, 3),
        "p": found.p,
        "level": level,
        "discrepancy": discrepant,
        "set_in": set_in,
        "set_in_test": "OLS-CUSUM (Ploberger, Krämer 1992)",
        "set_in_p": found.onset_p,
    }
    if as_json:
        print_json("meterlet.mdms.balance/1", facts)
    else:
        click.echo(
            f"{region}, {found.slots} slots: feeder {found.feeder_wh} − sum {found.sum_wh}"
            f" − losses {found.losses_wh} = {found.residual_wh} Wh"
        )
        verdict = "does not balance" if discrepant else "balances"
        click.echo(f"  it {verdict}: HAC t-test, t = {found.t:.2f}, p = {found.p:.2g}")
        if set_in is not None:
            click.echo(f"  it set in about {set_in} (CUSUM, p = {found.onset_p:.2g})")
    if discrepant:
        raise SystemExit(int(Exit.REFUTED))


def _ppm(percent: str) -> int:
    whole, _, places = percent.partition(".")
    if not (whole + places).isascii() or not (whole + places).isdigit() or len(places) > 4:
        raise click.UsageError(f"--loss {percent!r}: percent with up to 4 decimals")
    ppm = int((whole or "0") + places.ljust(4, "0"))
    if ppm >= MILLION:
        raise click.UsageError(f"--loss {percent!r}: less than 100 percent")
    return ppm


def _statistics_facts(found: Statistics) -> dict[str, Any]:
    return {
        "total_wh": found.total_wh,
        "least": {"wh": found.least[0], "start": utc_text(found.least[1])},
        "most": {"wh": found.most[0], "start": utc_text(found.most[1])},
        "mean_wh": found.mean_wh,
        "load_factor": round(float(found.load_factor), 6),
        "percentiles_wh": {str(percent): wh for percent, wh in found.percentiles_wh},
        "by_hour_w": {f"{hour:02}": watts for hour, watts in found.by_hour_w},
    }
