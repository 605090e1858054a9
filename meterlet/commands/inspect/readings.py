# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect readings`: what was used when, and what it cost."""

import csv
import sys
from datetime import date
from pathlib import Path
from typing import Any, Final

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hub.device import Device
from hub.inspection.api.json_meters import flow_json
from hub.inspection.api.json_readings import PowerJson, comparison_json, fine_json, readings_json
from hub.inspection.errors import InspectionError
from hub.inspection.export.csv_rows import fine_rows, readings_rows
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket import UseBucket
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By, calendar_period, period_before
from hub.inspection.views.documents import TariffBook, tariff_book
from hub.inspection.views.live import PowerNow, fine_uses, power_now
from hub.inspection.views.money import Money
from hub.inspection.views.readings import Comparison, ReadingsView, compare, readings_view
from hub.text import counted, local_text
from meterlet.commands.common import FILE, hub_option, json_option, period_options, print_json
from meterlet.commands.hub_meters import meter_of, of_option
from meterlet.commands.inspect.swaps import swap_lines
from meterlet.own_words import reason_in_own_words
from meterlet.priced_readings import read_tariff
from protocols.metrology import Medium, Period, date_at, find_zone

FED_IN: Final = "kWh fed in"
"""The last column, where the meter counts that."""
WIDER: Final = {
    By.SLOT: By.DAY,
    By.HOUR: By.DAY,
    By.DAY: By.MONTH,
    By.WEEK: By.YEAR,
    By.MONTH: By.YEAR,
    By.YEAR: By.YEAR,
}
"""What is shown if no period is named: the last one of this length."""


@click.command()
@hub_option
@period_options(required=False)
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    default=By.DAY.value,
    show_default=True,
    help="How finely.",
)
@click.option("--compare", "with_before", is_flag=True, help="Beside the period before it.")
@click.option(
    "--tariff", type=FILE, help="Price under this tariff instead of those your supplier sent."
)
@click.option("--fine", is_flag=True, help="One day between its readings, as finely as they are.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the buckets as CSV.")
@of_option
@json_option
def readings(
    folder: Path,
    of: str | None,
    period: Period | None,
    by: str,
    with_before: bool,
    tariff: Path | None,
    fine: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what was used, by slots, hours, days, weeks, months or years, and what it cost.

    Gaps are shown as gaps. Without a period it is the last day, month or year there are readings
    of.
    """
    if as_csv and (as_json or with_before):
        raise click.UsageError("--csv goes with neither --json nor --compare")
    with Device.open(folder) as hub, open_inspection(hub) as database:
        device = meter_of(hub, of)
        about = device.description
        unit, kept = By(by), BucketCache.of(device, database)
        book = _book(device, tariff)
        if period is None:
            period = calendar_period(WIDER[unit], last_certified_day(device))
        if fine:
            show_fine(device, period, as_csv=as_csv, as_json=as_json)
            return
        view = readings_view(device, period, unit, book, kept)
        both = None
        if with_before:
            before = readings_view(device, period_before(period), unit, book, kept)
            both = compare(view, before)
        power = power_now(device)
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(readings_rows(view))
    elif as_json:
        shown = readings_json(view) if both is None else comparison_json(both)
        now = None if power is None else _power(power, about.medium)
        print_json("meterlet.inspect.readings/1", {"power": now, **shown.as_json()})
    else:
        show_all(view, both, power)


def _power(power: PowerNow, medium: Medium) -> dict[str, Any]:
    """Return the power now, or the flow through a meter that counts litres."""
    if medium.counts_volume:
        return flow_json(power, medium).as_json()
    return PowerJson.of(power).as_json()


def show_all(view: ReadingsView, both: Comparison | None, power: PowerNow | None) -> None:
    """Print a view, how it compares, and the power now."""
    console = Console()
    show_view(console, view)
    for line in swap_lines(view.swaps, view.clock, view.medium):
        console.print(line, soft_wrap=True)
    if both is not None:
        show_comparison(console, both)
    if power is not None:
        when, unit = local_text(power.end, view.clock), _flow_unit(view.medium)
        console.print(f"{power.watts:,} {unit} (within {power.within_watts} {unit}) at {when}")


def show_fine(device: Device, period: Period, *, as_csv: bool, as_json: bool) -> None:
    """Print a day between its readings, as the meter sent them."""
    if period.first != period.last:
        raise click.UsageError("--fine shows one day")
    uses = list(fine_uses(device, period.first))
    if not uses:
        raise InspectionError(f"there are no readings of {period.first}")
    if as_json:
        fine = fine_json(period.first, uses, device.description.medium)
        print_json("meterlet.inspect.readings.fine/1", fine.as_json())
        return
    rows = fine_rows(uses, device.description)
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    table = Table(*next(rows))
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _book(device: Device, tariff: Path | None) -> TariffBook:
    if tariff is not None:
        return TariffBook.only(read_tariff(tariff).tariff)
    book = tariff_book(device)
    for problem in book.problems:
        click.echo(f"meterlet: {problem}", err=True)
    return book


def last_certified_day(device: Device) -> date:
    """Return the last day that is certified; raise `InspectionError` where none is."""
    span = device.main.journal.span()
    if span is None:
        raise InspectionError("no day is certified yet")
    return span[1]


def show_view(console: Console, view: ReadingsView) -> None:
    """Print a view as a table."""
    table = Table(title=f"{view.period.first} to {view.period.last}, {view.zone}", show_footer=True)
    unit, peak = view.medium.shown_unit, f"peak {_flow_unit(view.medium)}"
    columns = ("from", unit, "bands", peak, "state", "cost", *([FED_IN] if view.feeds_in else []))
    numbers = (unit, peak, "cost", FED_IN)
    for name, foot in zip(columns, ("in all", *_line(view.total, view)), strict=True):
        table.add_column(name, Text(foot), justify="right" if name in numbers else "left")
    for bucket in view.buckets:
        table.add_row(_when(bucket, view), *map(Text, _line(bucket, view)))
    console.print(table)
    if view.corrected:
        days = ", ".join(f"{one.day} ({counted(one.slots, 'slot')})" for one in view.corrected)
        console.print(Text(f"corrected after they had been certified: {days}"))
    if view.total.reason:
        console.print(Text(reason_in_own_words(view.total.reason)))


def _flow_unit(medium: Medium) -> str:
    return "l/h" if medium.counts_volume else "W"


def _line(bucket: UseBucket, view: ReadingsView) -> tuple[str, ...]:
    bands = [one for one in bucket.bands if one.slots]
    named = (
        ""
        if len(bands) < 2 and not any(one.band for one in bands)
        else ", ".join(
            f"{one.band} {_kwh(one.energy_wh)}" if len(bands) > 1 else one.band for one in bands
        )
    )
    cost = bucket.cost or bucket.energy_cost
    return (
        _kwh(bucket.energy_wh),
        named,
        "" if bucket.peak is None else f"{bucket.peak.watts:,}",
        _state(bucket),
        "" if cost is None else f"{cost.rounded()} {cost.currency}",
        *([_kwh(bucket.fed_in_wh)] if view.feeds_in else []),
    )


def _when(bucket: UseBucket, view: ReadingsView) -> str:
    if view.by.is_of_days:
        return date_at(bucket.begin, find_zone(view.zone)).isoformat()
    text = local_text(bucket.begin, view.clock)
    return f"{text[:10]} {text[11:16]}{text[19:]}"


def _kwh(watt_hours: int | None) -> str:
    return "–" if watt_hours is None else f"{watt_hours // 1000:,}.{watt_hours % 1000:03}"


def _state(bucket: UseBucket) -> str:
    states = bucket.states
    if not states.known and not states.missing:
        return "no readings"
    said = [
        f"{count:,} {name}"
        for name in ("estimated", "substituted", "missing")
        if (count := getattr(states, name))
    ]
    return ", ".join(said + (["not certified yet"] if bucket.is_provisional else []))


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print how a period differs from the one before."""
    before, unit = comparison.before, comparison.now.medium.shown_unit
    line = f"{before.period.first} to {before.period.last}: {_kwh(before.total.energy_wh)} {unit}"
    if comparison.energy_difference_wh is not None:
        sign = "-" if comparison.energy_difference_wh < 0 else "+"
        line += f"; now {sign}{_kwh(abs(comparison.energy_difference_wh))} {unit}"
    if comparison.energy_ratio_ppm is not None:
        sign, tenths = (
            "+-"[comparison.energy_ratio_ppm < 0],
            abs(comparison.energy_ratio_ppm) // 1000,
        )
        line += f" ({sign}{tenths // 10}.{tenths % 10} %)"
    if comparison.cost_difference is not None:
        line += f", {_signed(comparison.cost_difference)}"
    console.print(line)


def _signed(money: Money) -> str:
    text = money.rounded()
    return f"{text if text.startswith('-') else '+' + text} {money.currency}"
