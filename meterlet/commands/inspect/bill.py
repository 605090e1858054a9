# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect bill`: the resident's check of a bill."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from hub.device import Device
from hub.inspection.api.json_bills import TariffsJson, forecast_json, invoice_json, offers_json
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import CheckedBill, Verdict, check_invoice
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import supplied_applets, supplier_documents, tariff_book
from hub.inspection.views.estimates import FORECAST_METHOD, forecast, offers
from hub.inspection.views.money import Money
from hub.inspection.views.readings import readings_view
from hub.inspection.views.releases import releases_view
from hub.inspection.views.slots import local_date
from hub.inspection.views.tariff_views import tariff_table
from hub.text import counted, missing_in_words, utc_text
from meterlet.commands.amount import amount_text
from meterlet.commands.common import (
    AID_IN_HEX,
    FILE,
    LAST_BILL,
    Exit,
    Shown,
    hub_option,
    json_option,
    json_or_text,
    period_options,
    print_json,
)
from meterlet.commands.hub_meters import further_meter, meter_of, of_option
from meterlet.commands.inspect.proofs import BillingProofs
from meterlet.commands.inspect.readings import last_certified_day
from meterlet.commands.inspect.releases import show_released
from meterlet.commands.inspect.swaps import swap_lines
from meterlet.own_words import reason_in_own_words
from meterlet.priced_readings import read_tariff
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Medium, Period
from tariffs import Tariff

BILLING: Final = "F04D544C010101"
VERDICT_EXITS: Final = {
    Verdict.MATCHES: Exit.FINE,
    Verdict.DIFFERS: Exit.REFUTED,
    Verdict.CANNOT_TELL: Exit.UNVERIFIABLE,
}
OWED: Final = {
    "resident": "which the supplier owes you",
    "supplier": "which you owe the supplier",
}
WORST_FIRST: Final = (Verdict.DIFFERS, Verdict.CANNOT_TELL, Verdict.MATCHES)


@click.command("bill")
@hub_option
@click.option(
    "--applet", "aid", type=AID_IN_HEX, help="Whose bill; by default that of the billing applet."
)
@click.option("--of", metavar="NAME", help="The bill of this further meter, as gas.")
@click.option("--proof", "with_proof", is_flag=True, help="Check the supplier's proof as well.")
@click.option(
    "--tariff",
    "files",
    multiple=True,
    type=FILE,
    help="Instead: what you would have paid under this tariff. Can be given several times.",
)
@click.option("--invoice", "number", type=int, help="An older invoice; by default the last one.")
@period_options(required=False)
@click.option("--forecast", "ahead", is_flag=True, help="Instead: what this month will come to.")
@json_option
def inspect_bill(
    folder: Path,
    aid: bytes | None,
    of: str | None,
    with_proof: bool,
    files: tuple[Path, ...],
    number: int | None,
    period: Period | None,
    ahead: bool,
    as_json: bool,
) -> None:
    """Check the last invoice, or another, against your own readings.

    With --tariff, work out what a period (by default the last whole month) would have cost under
    other tariffs; with --forecast, what this month will come to. Neither sends anything to anybody.
    """
    if (ahead and (files or with_proof or period)) or (files and with_proof):
        raise click.UsageError("--proof, --tariff and --forecast each ask for something else")
    if period is not None and not files:
        raise click.UsageError("a period goes with --tariff: which one to work out")
    if number is not None and (ahead or files):
        raise click.UsageError("--invoice says which to check: without --tariff and --forecast")
    with Device.open(folder) as hub:
        device = meter_of(hub, of)
        if ahead:
            latest = device.main.vault.latest(device.main.channel)
            if latest is None:
                raise InspectionError("there are no readings yet")
            day = local_date(device, latest.time)
            show_forecast(device, Period.month(day.year, day.month), as_json=as_json)
        elif files:
            show_offers(
                device,
                period or _last_month(device),
                [_tariff_for(device, path) for path in files],
                as_json=as_json,
            )
        else:
            aid = _applet(hub, aid, of)
            _check(hub, aid, number, of=of, with_proof=with_proof, as_json=as_json)


def _tariff_for(device: Device, path: Path) -> Tariff:
    """Return a tariff of what a meter counts."""
    tariff, counted = read_tariff(path).tariff, device.description
    if not tariff.medium.is_of(counted.register):
        raise click.UsageError(
            f"{path}: the tariff is for {tariff.medium}, the meter counts {counted.medium}"
        )
    return tariff


def _applet(device: Device, aid: bytes | None, of: str | None) -> bytes:
    """Return the applet whose bill is meant."""
    if aid is not None and of is not None:
        raise click.UsageError("say --applet or --of, not both")
    supplied = supplied_applets(device)
    if of is not None:
        meter = further_meter(device, of).description.meter
        for one in supplied:
            if any(each.meter == meter for each in supplier_documents(device, one).invoices):
                return one
        raise InspectionError(f"no invoice of {of} has arrived yet")
    if aid is not None:
        return aid
    usual = bytes.fromhex(BILLING)
    return supplied[0] if len(supplied) == 1 and usual not in supplied else usual


def _check(
    device: Device,
    aid: bytes,
    number: int | None,
    *,
    of: str | None,
    with_proof: bool,
    as_json: bool,
) -> None:
    checked = _checked(device, aid, number, None if of is None else further_meter(device, of))
    proof = BillingProofs().check(device, aid, checked.invoice) if with_proof else None
    facts = {
        **invoice_json(checked, device.zone, proof).as_json(),
        **disclosed_json(releases_view(device), device.zone).as_json(),
    }
    if as_json:
        print_json("meterlet.inspect.bill/1", facts)
    else:
        console = Console()
        show_bill(console, facts)
        medium = Medium.ELECTRICITY if checked.about is None else checked.about.medium
        for line in swap_lines(checked.swaps, wall_zone(device.description.zone), medium):
            console.print(line, soft_wrap=True)
        if proof is not None:
            said = reason_in_own_words(proof.reason)
            console.print(Text(f"the supplier's proof: {proof.verdict.value} {said}".strip()))
        show_released(console, facts)
    verdicts = {checked.verdict} if proof is None else {checked.verdict, proof.verdict}
    worst = next(verdict for verdict in WORST_FIRST if verdict in verdicts)
    raise SystemExit(int(VERDICT_EXITS[worst]))


def _checked(device: Device, aid: bytes, number: int | None, meter: Device | None) -> CheckedBill:
    """Return an invoice with its verdict: the last one, or the one of a number; of a meter."""
    documents = supplier_documents(device, aid)
    invoices = [
        invoice
        for invoice in documents.invoices
        if meter is None or invoice.meter == meter.description.meter
    ]
    numbers = [invoice.number for invoice in invoices]
    if not numbers:
        raise InspectionError("no invoice has arrived yet")
    if number is not None and number not in numbers:
        there = ", ".join(map(str, numbers))
        raise InspectionError(f"there is no invoice {number}; there are {there}")
    place = -1 if number is None else numbers.index(number)
    return check_invoice(device, documents, invoices[place])


def _last_month(device: Device) -> Period:
    """Return the last month that is certified to its end."""
    last = last_certified_day(device)
    month = Period.month(last.year, last.month)
    if month.last > last:
        before = month.first - timedelta(days=1)
        month = Period.month(before.year, before.month)
    return month


def show_offers(device: Device, period: Period, tariffs: list[Tariff], *, as_json: bool) -> None:
    """Print what a period cost under the tariffs that hold, and would have cost under others."""
    view = readings_view(device, period, By.MONTH, tariff_book(device))
    found = offers(device, period, tariffs)
    if as_json:
        print_json("meterlet.inspect.offers/1", offers_json(view, found).as_json())
        return
    table = Table("tariff", Column("cost", justify="right"), Column("difference", justify="right"))
    now = view.total.cost
    if now is not None:
        table.add_row(Text(f"{', '.join(view.tariffs)} (yours)"), _money(now), "")
    for offer in found:
        more = ""
        if now is not None and offer.cost is not None and offer.cost.currency == now.currency:
            more = _money(offer.cost.minus(now))
        table.add_row(
            Text(offer.tariff.name),
            _money(offer.cost) or Text(reason_in_own_words(offer.reason)),
            more,
        )
    console = Console()
    console.print(f"{period.first} to {period.last}")
    console.print(table)


def show_forecast(device: Device, period: Period, *, as_json: bool) -> None:
    """Print what a month will come to, and how well such forecasts did."""
    guess = forecast(device, tariff_book(device), period)
    if as_json:
        print_json("meterlet.inspect.forecast/1", forecast_json(guess).as_json())
        return
    console = Console()
    console.print(f"{period.first} to {period.last}, known until {utc_text(guess.known_until)}")
    console.print(f"so far {_money(guess.so_far)}; in all about {_money(guess.cost)}")
    console.print(f"by {FORECAST_METHOD}")
    if guess.mean_error_ppm is None or guess.worst_error_ppm is None:
        console.print("how far off that is cannot be told: no earlier month is whole")
        return
    mean, worst = map(_percent, (guess.mean_error_ppm, guess.worst_error_ppm))
    console.print(
        f"for {len(guess.backtests)} earlier months it was off by {mean} on average,"
        f" {worst} at most"
    )


def _percent(ppm: int) -> str:
    return f"{Decimal(ppm).scaleb(-4):.1f} %"


def _money(money: Money | None) -> str:
    return "" if money is None else f"{money.rounded()} {money.currency}"


@click.command("tariffs")
@hub_option
@of_option
@json_or_text("meterlet.inspect.tariffs/1")
def tariffs(folder: Path, of: str | None) -> Shown:
    """Show the versions of your tariffs side by side."""
    with Device.open(folder) as device:
        table = tariff_table(tariff_book(meter_of(device, of)))
    shown = Table("", "band", "when")
    for column in table.columns:
        title = f"{column.name} {column.revision}\n{column.first_day} to {column.last_day}"
        shown.add_column(Text(title), justify="right")
    for row in table.rows:
        style = "bold" if row.changes else ""
        words = map(Text, (row.component, row.band, row.when, *row.prices))
        shown.add_row(*words, style=style)
    return TariffsJson.of(table).as_json(), lambda: Console().print(shown)


def show_bill(console: Console, facts: dict[str, Any]) -> None:
    """Print line items and the verdict."""
    few = all(known["numbers"] == 1 for known in facts["known"].values())
    title = f"Invoice {facts['invoice']}, {facts['first_day']} to {facts['last_day']}"
    saw = "one number and a proof" if few else "numbers and their proofs"
    table = Table(title=f"{title}\n(the resident's own copy; the supplier saw {saw})")
    for name in ("", "quantity", "price", "amount"):
        table.add_column(name, justify="left" if not name else "right")
    for item in facts["items"]:
        amount = Decimal(item["amount_exact"]).scaleb(-facts["exact_decimals"])
        table.add_row(
            Text(f"{item['component']} {item['label']}".strip()),
            _quantity(item),
            _price(item, facts["currency"]),
            f"{amount:,.4f} {facts['currency']}",
        )
    console.print(table)
    for demand in facts.get("demands", ()):
        console.print(Text(demand_text(demand)))
    reason = escape(reason_in_own_words(facts["reason"]))
    console.print(
        f"the invoice says {facts['invoiced']}, your own readings {facts['recomputed']}"
        f" {facts['currency']}: [bold]{facts['verdict']}[/bold] {reason}".strip()
    )
    if facts["corrected_days"]:
        console.print(
            f"it replaces invoice {facts['replaces']}, readings were corrected since:"
            f" {Decimal(facts['difference_to_replaced']):+f} {facts['currency']} for"
            f" {_days(facts['corrected_days'])}"
        )
    if facts["corrected_since"]:
        console.print(
            "it was right by what was known then; corrected since:"
            f" {_days(facts['corrected_since'])}"
        )
    if facts["replaced_by"]:
        console.print(f"invoice {facts['replaced_by']} takes its place")
    if facts["missing_slots"]:
        console.print(f"{missing_in_words(len(facts['missing_slots']))} and not billed")
    if "memory" in facts:
        memory = facts["memory"]
        console.print(f"bill {memory['bill']} of account {memory['account']}", highlight=False)
        if memory["paid"]:
            console.print(f"paid in advance: {amount_text(memory['paid'])} {facts['currency']}")
        if memory["brought"]:
            console.print("it goes on from what the bill before has left:")
            for one in memory["brought"]:
                console.print(Text(f"  {_carried(one)}"))
        if memory.get("last"):
            console.print(LAST_BILL)
            return
        console.print("it leaves for the next bill, and the supplier is not told:")
        for one in memory["carried"]:
            console.print(Text(f"  {_carried(one)}"))
        if not memory["carried"]:
            console.print("  nothing: the next bill begins anew")


def demand_text(demand: dict[str, Any]) -> str:
    """Return what a power billed is made of, and what its price is for."""
    name = f"{demand['component']} {demand['label']}".strip()
    before = demand["before"]
    peaks = f"{before} before" if before > 1 else "one before"
    match demand["rule"]:
        case "mean":
            figure = f"the mean of {before + 1} peaks, its own and {peaks}"
        case "highest":
            percent = f"{Decimal(demand['share_ppm']).scaleb(-4).normalize():f} %"
            figure = f"its own peak, or {percent} of the highest of {peaks} if that is more"
        case _:
            figure = "its own peaks alone"
    times = "" if demand["times"] == "1" else f", {demand['times']} of it is billed"
    return f"{name}: {demand['watts']:,} W is {figure}; the price is for a {demand['per']}{times}"


def _carried(one: dict[str, Any]) -> str:
    since = f"from {one['since']} on" if one["since"] else ""
    name = ", ".join(part for part in (one["component"], one["band"], since) if part)
    match one["unit"]:
        case "Wh":
            value = f"{Decimal(one['value']).scaleb(-3):,.3f} kWh"
        case "l":
            value = f"{Decimal(one['value']).scaleb(-3):,.3f} m3"
        case "W":
            value = f"{one['value']:,} W"
        case currency:
            value = f"{amount_text(one['value'])} {currency}"
            if owed_to := one["owed_to"]:
                value = f"{amount_text(abs(one['value']))} {currency}, {OWED[owed_to]}"
    return f"{name}: {value}"


def _days(days: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['day']} ({counted(one['slots'], 'slot')})" for one in days)


def _quantity(item: dict[str, Any]) -> str:
    if item["quantity"] is None:
        return ""
    if item["unit"] == "Wh":
        return f"{Decimal(item['quantity']).scaleb(-3):,.3f} kWh"
    if item["unit"] == "l":
        return f"{Decimal(item['quantity']).scaleb(-3):,.3f} m3"
    return f"{item['quantity']} {item['unit']}"


def _price(item: dict[str, Any], currency: str) -> str:
    if item["rate"] is None:
        return ""
    if item["kind"] == "tax":
        return f"{Decimal(item['rate']).scaleb(-4).normalize():f} %"
    unit = {"Wh": "kWh", "W": "kW", "l": "m3"}.get(item["unit"], item["unit"])
    return f"{Decimal(item['rate']).scaleb(-6):.6f} {currency}/{unit}"
