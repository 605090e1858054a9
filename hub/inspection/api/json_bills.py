# SPDX-License-Identifier: Apache-2.0
"""Bills as JSON has them: invoices and their check, tariffs, offers, and a forecast."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType, field

from hub.inspection.api.json_views import (
    CorrectedDayJson,
    ExchangeJson,
    JsonView,
    Moment,
    MoneyJson,
    Unit,
    exchanges_json,
    local_days,
    medium_facts,
    period_days,
)
from hub.inspection.views.bill import CheckedBill, ProofCheck, Verdict
from hub.inspection.views.demand_items import DemandDetail
from hub.inspection.views.estimates import FORECAST_METHOD, BillForecast, TariffOffer
from hub.inspection.views.memory import CarriedAmount
from hub.inspection.views.readings import ReadingsView
from hub.inspection.views.tariff_views import PriceRow, TariffColumn
from protocols.metrology import Medium, find_zone


class _Item(JsonView, frozen=True):
    component: str
    kind: str
    label: str
    begin: Moment
    end: Moment
    quantity: int | None
    unit: str
    rate: int | None
    amount_exact: int


class _Memory(JsonView, frozen=True):
    """Which bill of its contract an invoice is, and what it leaves for the next one."""

    account: str
    bill: int
    paid: int | None
    brought: list[CarriedAmount]
    """What it goes on from."""
    carried: list[CarriedAmount]
    last: bool | UnsetType = UNSET
    """True where the contract ends with it: it settles all, and leaves nothing."""


class InvoiceJson(JsonView, frozen=True):
    """An invoice, and what the readings say of it."""

    number: int = field(name="invoice")
    meter: str
    medium: str
    unit: Unit
    """Of `energy_wh`, which of a meter of volume is in litres."""
    replaces: int | None
    issued: Moment
    begin: Moment
    end: Moment
    zone: str
    first_day: date
    last_day: date
    currency: str
    total: str = field(name="invoiced")
    recomputed: str | None
    verdict: Verdict
    reason: str
    items: list[_Item]
    exact_decimals: int | None
    missing_slots: list[Moment]
    energy_wh: int
    difference: str | None = field(name="difference_to_replaced")
    """Where readings were corrected: the total less that of the invoice that it replaces."""
    corrected_days: list[CorrectedDayJson]
    """Those that the difference is for."""
    corrected_since: list[CorrectedDayJson]
    """Those that were corrected after it was billed: it matches what was known before."""
    replaced_by: int | None
    demands: list[DemandDetail] | UnsetType = UNSET
    """What the powers billed are made of, under a tariff with a price for them."""
    memory: _Memory | UnsetType = UNSET
    proof: ProofCheck | UnsetType = UNSET
    meter_exchanges: list[ExchangeJson] | UnsetType = UNSET


class BillJson(InvoiceJson, frozen=True, kw_only=True):
    """An invoice that an applet keeps."""

    applet: str


class BillsJson(JsonView, frozen=True):
    """All invoices."""

    bills: list[BillJson]


class TariffsJson(JsonView, frozen=True):
    """Tariff versions side by side."""

    columns: list[TariffColumn]
    rows: list[PriceRow]


class _Offer(JsonView, frozen=True):
    tariff: str
    revision: int
    cost: MoneyJson | None
    bill: dict[str, Any] | None
    reason: str = field(name="no_cost_because")


class OffersJson(JsonView, frozen=True):
    """What a period cost, and would have cost under other tariffs."""

    first_day: date
    last_day: date
    energy_wh: int | None
    now: MoneyJson | None
    offers: list[_Offer]


class _Backtest(JsonView, frozen=True):
    first_day: date
    forecast: MoneyJson
    actual: MoneyJson
    error_ppm: int


class ForecastJson(JsonView, frozen=True):
    """What a month will come to, and how earlier forecasts did."""

    method: str
    tariff: str
    first_day: date
    last_day: date
    known_until: Moment
    known_wh: int
    energy_wh: int
    so_far: MoneyJson | None
    cost: MoneyJson
    bill: dict[str, Any]
    mean_error_ppm: int | None
    worst_error_ppm: int | None
    backtests: list[_Backtest]


def invoice_json(
    checked: CheckedBill, zone: ZoneInfo, proof: ProofCheck | None = None
) -> InvoiceJson:
    """Return a checked invoice, and what is said of its proof if that was checked."""
    invoice, bill, about = checked.invoice, checked.bill, checked.about
    days = zone if about is None else find_zone(about.zone)
    medium = Medium.ELECTRICITY if about is None else about.medium
    return InvoiceJson.of(
        invoice,
        **medium_facts(medium),
        meter=invoice.meter.hex(),
        replaces=invoice.replaces or None,
        zone=zone.key if about is None else about.zone,
        **local_days(invoice.begin, invoice.end, days),
        recomputed=bill and bill.total,
        verdict=checked.verdict,
        reason=checked.reason,
        items=bill.items if bill else [],
        exact_decimals=bill and bill.exact_decimals,
        missing_slots=bill.missing_slots if bill else [],
        energy_wh=checked.energy_wh,
        difference=invoice.difference or None,
        corrected_days=[CorrectedDayJson.of(one) for one in invoice.corrected],
        corrected_since=[CorrectedDayJson.of(one) for one in checked.corrected_since],
        replaced_by=checked.replaced_by,
        demands=list(checked.demands) or UNSET,
        memory=UNSET
        if invoice.account is None
        else _Memory.of(
            invoice,
            account=invoice.account.hex(),
            brought=checked.brought,
            carried=checked.carried,
            last=invoice.is_last or UNSET,
        ),
        proof=proof or UNSET,
        meter_exchanges=exchanges_json(checked.swaps),
    )


def offers_json(view: ReadingsView, offers: Iterable[TariffOffer]) -> OffersJson:
    """Return what a period cost, and would have cost under other tariffs."""
    return OffersJson.of(
        view.total,
        **period_days(view.period),
        now=view.total.cost,
        offers=[
            _Offer.of(
                offer,
                tariff=offer.tariff.name,
                revision=offer.tariff.revision,
                bill=offer.bill and offer.bill.as_json(),
            )
            for offer in offers
        ],
    )


def forecast_json(forecast: BillForecast) -> ForecastJson:
    """Return a forecast and how earlier ones did."""
    return ForecastJson.of(
        forecast,
        method=FORECAST_METHOD,
        tariff=forecast.tariff.name,
        **period_days(forecast.period),
        bill=forecast.bill.as_json(),
        backtests=[_Backtest.of(test, first_day=test.period.first) for test in forecast.backtests],
    )
