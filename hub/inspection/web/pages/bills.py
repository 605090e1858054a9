# SPDX-License-Identifier: Apache-2.0
"""The page My bill: what was invoiced, computed again, proved, under other tariffs, and to come."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import CheckedBill, check_invoice
from hub.inspection.views.documents import SupplierDocuments, supplier_documents
from hub.inspection.views.estimates import BillForecast, TariffOffer, forecast, offers
from hub.inspection.views.proof import ProofCheck
from hub.inspection.views.slots import local_date
from hub.inspection.views.tariff_views import tariff_table
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.bill_words import BillLine, bill_lines
from hub.inspection.web.errors import BadInput
from hub.inspection.web.forms import date_of
from hub.inspection.web.jobs import Tick
from hub.inspection.web.page_request import Page, PageRequest
from hub.inspection.web.pages.work import begin_job
from protocols.metrology import Period
from tariffs.invoice import Invoice
from tariffs.source import load_toml

LARGEST_TARIFF: Final = 256 * 1024
LONGEST_PERIOD: Final = 366


@dataclass(frozen=True, slots=True)
class Sent:
    """An invoice and which applet it was handed to."""

    applet: bytes
    invoice: Invoice
    documents: SupplierDocuments


@dataclass(frozen=True, slots=True)
class CheckedProof:
    """What came of a proof."""

    invoice: Invoice
    check: ProofCheck


@dataclass(frozen=True, slots=True)
class Compared:
    """What a period would have cost."""

    period: Period
    offers: tuple[TariffOffer, ...]


def show_bill(request: PageRequest) -> Response:
    """Show an invoice, the last one unless another is asked for, checked against the readings."""
    with request.device() as device:
        sent = invoices_of(device)
        shown = _asked(request.query("applet"), request.query("number"), sent)
        checked = None if shown is None else check_invoice(device, shown.documents, shown.invoice)
        latest = device.main.vault.latest(device.main.channel)
        day = None if latest is None else local_date(device, latest.time - 1)
        return request.page(
            "bill.html",
            sent=sent,
            shown=shown,
            checked=checked,
            lines=_lines(request, checked),
            bands=_bands(checked),
            this_month=None if day is None else Period.month(day.year, day.month),
            last_month=None if day is None else _month_before(Period.month(day.year, day.month)),
        )


def recompute(request: PageRequest) -> Response:
    """Compute every invoice again."""
    settings = request.parts.settings

    def work(tick: Tick) -> list[CheckedBill]:
        with settings.open_device() as device:
            sent, found = invoices_of(device), []
            for place, one in enumerate(sent):
                tick(place, len(sent))
                found.append(check_invoice(device, one.documents, one.invoice))
            return found

    return begin_job(request, "bill", "/bill", "recomputed.html", work)


def check_proof(request: PageRequest) -> Response:
    """Verify what the supplier was proved."""
    settings, fields = request.parts.settings, request.fields

    def work(tick: Tick) -> CheckedProof:
        with settings.open_device() as device:
            shown = _asked(fields.get("applet", ""), fields.get("number", ""), invoices_of(device))
            if shown is None:
                raise InspectionError("no invoice has arrived yet")
            tick(0, 1)
            check = settings.proofs.check(device, shown.applet, shown.invoice)
            tick(1, 1)
            return CheckedProof(shown.invoice, check)

    return begin_job(request, "proof", "/bill", "proof.html", work)


def what_if(request: PageRequest) -> Response:
    """Work out what a period would have cost under a tariff of the resident's own."""
    first, last = date_of(request.fields, "first"), date_of(request.fields, "last")
    if not 0 <= (last - first).days < LONGEST_PERIOD:
        raise BadInput(request.words.t("bill.period_bounds", n=LONGEST_PERIOD))
    content = request.files.get("tariff", b"")
    if not content or len(content) > LARGEST_TARIFF:
        raise BadInput(request.words.t("bill.no_tariff"))
    try:
        tariff = load_toml(content.decode(), source=request.words.t("bill.your_tariff"))
    except UnicodeDecodeError:
        raise BadInput(request.words.t("bill.no_tariff")) from None
    period = Period(first, last)

    def work(tick: Tick) -> Compared:
        with request.look() as look:
            known = [*look.book.tariffs, tariff]
            found = []
            for place, one in enumerate(known):
                tick(place, len(known))
                found += offers(look.device, period, [one])
            return Compared(period, tuple(found))

    return begin_job(request, "what_if", "/bill", "what_if.html", work)


def look_ahead(request: PageRequest) -> Response:
    """Work out what this month will come to."""

    def work(tick: Tick) -> BillForecast:
        with request.look() as look:
            device = look.device
            latest = device.main.vault.latest(device.main.channel)
            if latest is None:
                raise InspectionError("there are no readings yet")
            day = local_date(device, latest.time - 1)
            return forecast(device, look.book, Period.month(day.year, day.month), tick)

    return begin_job(request, "forecast", "/bill", "forecast.html", work)


def show_tariffs(request: PageRequest) -> Response:
    """Show the tariffs the resident knows, side by side."""
    with request.look() as look:
        return request.page("tariffs.html", table=tariff_table(look.book))


def invoices_of(device: Device) -> list[Sent]:
    """Return the invoices of all suppliers, oldest first."""
    found: list[Sent] = []
    for applet in device.document_keepers():
        documents = supplier_documents(device, applet)
        found += [Sent(applet, invoice, documents) for invoice in documents.invoices]
    return sorted(found, key=lambda one: (one.invoice.begin, one.invoice.issued))


def _asked(applet: str, number: str, sent: list[Sent]) -> Sent | None:
    if not applet and not number:
        return sent[-1] if sent else None
    for one in sent:
        if (one.applet.hex(), str(one.invoice.number)) == (applet, number):
            return one
    raise BadInput("there is no such invoice")


def _lines(request: PageRequest, checked: CheckedBill | None) -> list[BillLine]:
    if checked is None or checked.bill is None:
        return []
    return bill_lines(request.words, checked.bill)


def _bands(checked: CheckedBill | None) -> list[tuple[str, int, int]]:
    """Return each band's watt-hours and intervals."""
    if checked is None:
        return []
    energy: Counter[str] = Counter()
    for band, wh in zip(checked.bands, checked.use_wh, strict=True):
        energy[band] += wh
    count = Counter(checked.bands)
    return [(band, energy[band], count[band]) for band in count]


def _month_before(month: Period) -> Period:
    last = month.first - timedelta(days=1)
    return Period.month(last.year, last.month)


PAGES: Final = (
    Page("/bill", show_bill, ResidentRole.READER),
    Page("/bill/recompute", recompute, ResidentRole.READER, "POST"),
    Page("/bill/proof", check_proof, ResidentRole.READER, "POST"),
    Page("/bill/what-if", what_if, ResidentRole.READER, "POST"),
    Page("/bill/forecast", look_ahead, ResidentRole.READER, "POST"),
    Page("/bill/tariffs", show_tariffs, ResidentRole.READER),
)
