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
from meterlet.commands.common import (
    PRESENT_FILE,
    Exit,
    Shown,
    json_option,
    json_or_text,
    output_option,
    print_json,
    show,
)
from meterlet.commands.fan_out_options import fan_out, fan_out_options
from meterlet.commands.mdms.options import (
    CurveRequest,
    curve_facts,
    curve_options,
    mdms_option,
    noise_facts,
    region_option,
    slot_facts,
)
from meterlet.commands.tariff_files import write_new
from protocols.metrology import find_zone
from utility_server.grid.mdms.balance import MILLION, Losses, read_feeder
from utility_server.grid.mdms.balance import balance as balance_of
from utility_server.grid.mdms.forecasts import METHODS, Accuracy, LoadForecast, evaluate
from utility_server.grid.mdms.forecasts import forecast as forecast_of
from utility_server.grid.mdms.load_curve_svg import CurveLine, draw
from utility_server.grid.mdms.load_curves import Statistics, mean_power, statistics
from utility_server.grid.mdms.publishing import Publisher
from utility_server.grid.mdms.workspace import Mdms


@click.command()
@mdms_option
@curve_options
@click.option("--budget", "with_budget", is_flag=True, help="Show the region's privacy budget.")
@json_option
def query(folder: Path, question: CurveRequest, with_budget: bool, as_json: bool) -> None:
    """Show a region's load curve and its totals."""
    region = question.region
    with Mdms.open(folder) as workspace:
        curve, published = question.curve(workspace)
        figures = statistics(curve)
        budget = Publisher(workspace.store).budget(region)
    if as_json:
        facts: dict[str, Any] = {
            **curve_facts(curve),
            "statistics": _statistics_facts(figures),
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
    click.echo(f"  total {figures.total_wh} Wh, load factor {float(figures.load_factor):.3f}")
    click.echo(f"  least {figures.least[0]} Wh at {utc_text(figures.least[1])}")
    click.echo(f"  most  {figures.most[0]} Wh at {utc_text(figures.most[1])}")
    ranks = ", ".join(f"{percent} %: {wh}" for percent, wh in figures.percentiles_wh)
    click.echo(f"  mean {figures.mean_wh} Wh; percentiles {ranks}")
    for begin, end in curve.gaps:
        click.echo(f"  nothing is stored from {utc_text(begin)} to {utc_text(end)}")
    if figures.by_hour_w:
        table = Table("hour", "mean W", box=None)
        for hour, watts in figures.by_hour_w:
            table.add_row(f"{hour:02}", f"{watts:,}")
        Console().print(table)
    if published is not None:
        click.echo(f"  noise of ± {published.deviation_wh} Wh a slot ({published.mechanism.value})")
    if with_budget:
        click.echo(f"  {budget_line(budget)}")


@click.command()
@mdms_option
@curve_options
@click.option("--days", type=click.IntRange(1, 31), default=7, show_default=True, help="How far.")
@click.option(
    "--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True,
    help="How the forecast is made; docs/mdms.md says which is for what.",
)  # fmt: skip
@click.option(
    "--evaluate",
    "origins",
    type=click.IntRange(1, 366),
    help="Also say how wrong each method was from so many days in the past.",
)
@fan_out_options("--evaluate's forecasts are made")
@json_or_text("meterlet.mdms.forecast/1")
def forecast(
    folder: Path,
    question: CurveRequest,
    days: int,
    method: str,
    origins: int | None,
    processes: int,
    is_on_ray: bool,
) -> Shown:
    """Forecast a region's load for the days after those stored or named."""
    region = question.region
    with Mdms.open(folder) as workspace:
        curve, published = question.curve(workspace)
        expected = forecast_of(curve, days, method)
        errors: list[Accuracy] = []
        if origins is not None:
            console = Console(stderr=True)
            with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
                task = bar.add_task("comparing", total=len(METHODS) * origins)
                errors = evaluate(
                    curve, days, origins, progress=lambda: bar.advance(task),
                    how=fan_out(processes, is_on_ray=is_on_ray),
                )  # fmt: skip
    facts = {
        "region": region,
        "method": method,
        "slots": slot_facts(expected.slots, expected.uses_wh),
        "noise": noise_facts(published),
        "errors": [
            {
                "method": accuracy.method,
                "mape": round(accuracy.mape, 6),
                "nrmse": round(accuracy.nrmse, 6),
                "slots": accuracy.slots,
            }
            for accuracy in errors
        ],
    }
    begin, end = expected.slots[0][0], expected.slots[-1][1]
    lines = [
        f"{region}: {sum(expected.uses_wh)} Wh from {utc_text(begin)} to {utc_text(end)},"
        f" at most {max(expected.uses_wh)} Wh in a slot, by {method}"
    ]
    for accuracy in errors:
        ratios = f"MAPE {100 * accuracy.mape:6.2f} %   NRMSE {100 * accuracy.nrmse:6.2f} %"
        lines.append(f"  {accuracy.method:15} {ratios}   ({accuracy.slots} slots)")
    return facts, lines


@click.command()
@mdms_option
@curve_options
@output_option("A new SVG file.")
@click.option(
    "--forecast", "days", type=click.IntRange(1, 31), help="Also draw a forecast of so many days."
)
@json_or_text("meterlet.mdms.plot/1")
def plot(folder: Path, question: CurveRequest, output: Path, days: int | None) -> Shown:
    """Draw a region's load curve as an SVG picture."""
    region = question.region
    with Mdms.open(folder) as workspace:
        curve, published = question.curve(workspace)
        title = f"{region}: mean power of {curve.fewest_homes} homes"
        if published is not None:
            title += f", with noise of ± {published.deviation_wh} Wh a slot"
        lines = [CurveLine("aggregated", curve.slots, curve.power_w())]
        if days is not None:
            lines += [_line(method, forecast_of(curve, days, method)) for method in METHODS]
        picture = draw(title, lines, find_zone(curve.zone)).encode()
        write_new(output, picture, 0o644)
    facts = {
        "picture": str(output),
        "bytes": len(picture),
        "slots": len(curve.slots),
        "noise": noise_facts(published),
    }
    return facts, f"drew {len(curve.slots)} slots as {output}"


def _line(name: str, expected: LoadForecast) -> CurveLine:
    return CurveLine(
        f"forecast: {name}", expected.slots, mean_power(expected.slots, expected.uses_wh)
    )


@click.command()
@mdms_option
@region_option
@click.option(
    "--feeder", type=PRESENT_FILE, required=True, help="CSV of the feeder's meter: start,wh."
)
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
    folder: Path, region: str, feeder: Path, no_load_w: int, loss: str, level: float, as_json: bool
) -> None:
    """Compare a feeder's meter with the homes' sum and the losses; exit code 3 if they differ."""
    losses = Losses(no_load_w, _ppm(loss))
    question = CurveRequest(region)
    with Mdms.open(folder) as workspace:
        result = balance_of(question.exact(workspace), read_feeder(feeder), losses)
    discrepant = result.is_discrepant(level)
    set_in = utc_text(result.onset) if discrepant and result.onset_p < level else None
    facts = {
        "region": region,
        "slots": result.slots,
        "feeder_wh": result.feeder_wh,
        "sum_wh": result.sum_wh,
        "losses_wh": result.losses_wh,
        "residual_wh": result.residual_wh,
        "test": "HAC t-test (Newey, West 1987)",
        "t": round(result.t, 3),
        "p": result.p,
        "level": level,
        "discrepancy": discrepant,
        "set_in": set_in,
        "set_in_test": "OLS-CUSUM (Ploberger, Krämer 1992)",
        "set_in_p": result.onset_p,
    }
    verdict = "does not balance" if discrepant else "balances"
    lines = [
        f"{region}, {result.slots} slots: feeder {result.feeder_wh} − sum {result.sum_wh}"
        f" − losses {result.losses_wh} = {result.residual_wh} Wh",
        f"  it {verdict}: HAC t-test, t = {result.t:.2f}, p = {result.p:.2g}",
    ]
    if set_in is not None:
        lines.append(f"  it set in about {set_in} (CUSUM, p = {result.onset_p:.2g})")
    show("meterlet.mdms.balance/1", facts, lines, as_json=as_json)
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


def _statistics_facts(figures: Statistics) -> dict[str, Any]:
    return {
        "total_wh": figures.total_wh,
        "least": {"wh": figures.least[0], "start": utc_text(figures.least[1])},
        "most": {"wh": figures.most[0], "start": utc_text(figures.most[1])},
        "mean_wh": figures.mean_wh,
        "load_factor": round(float(figures.load_factor), 6),
        "percentiles_wh": {str(percent): wh for percent, wh in figures.percentiles_wh},
        "by_hour_w": {f"{hour:02}": watts for hour, watts in figures.by_hour_w},
    }
