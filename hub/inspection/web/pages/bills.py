# SPDX-License-Identifier: Apache-2.0
"""The page My bill: what was invoiced, computed again, proved, under other tariffs, and to come."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from hub.description import Description
from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import CheckedBill, ProofCheck, check_invoice, meter_billed
from hub.inspection.views.calendar import By, calendar_period, period_before
from hub.inspection.views.documents import SupplierDocuments, supplier_documents
from hub.inspection.views.estimates import BillForecast, TariffOffer, forecast, offers
from hub.inspection.views.live import latest_day, month_of_readings
from hub.inspection.views.tariff_views import tariff_table
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.forms import BadInput
from hub.inspection.web.jobs import Tick
from hub.inspection.web.meter_tabs import meter_link, meter_tabs, own_name
from hub.inspection.web.page_request import Page, PageRequest, days_of
from hub.inspection.web.pages.readings import readings_link
from hub.inspection.web.pages.work import begin_job
from protocols.metrology import Period
from tariffs import TariffError
from tariffs.invoice import Invoice
from tariffs.source import load_toml

LARGEST_TARIFF: Final = 256 * 1024
LONGEST_PERIOD: Final = 366
NO_TARIFF: Final = "choose a tariff: a TOML file of at most 256 KiB"


@dataclass(frozen=True, slots=True)
class SentInvoice:
    """An invoice and which applet it was handed to."""

    applet: bytes
    invoice: Invoice
    documents: SupplierDocuments
    meter: Device
    """The hub's meter that it is for; the hub's own where it is for none of them."""

    @property
    def about(self) -> Description:
        """Which meter that is."""
        return self.meter.description

    @property
    def replaced_by(self) -> int | None:
        """The invoice that takes its place."""
        later = self.documents.invoices[self.documents.invoices.index(self.invoice) + 1 :]
        return next((one.number for one in later if one.replaces == self.invoice.number), None)


def show_bill(request: PageRequest) -> Response:
    """Show an invoice, the last one unless another is asked for, checked against the readings."""
    with request.device() as hub:
        sent = invoices_of(hub)
        chosen = request.meter(hub) if request.query("meter") else None
        mine = [one for one in sent if chosen is None or one.meter.name == chosen.name]
        shown = _shown(request.query("applet"), request.query("number"), mine)
        device = chosen or (hub if shown is None else shown.meter)
        request = request.about(device)
        checked = None if shown is None else check_invoice(hub, shown.documents, shown.invoice)
        day = latest_day(device)
        month = None if day is None else calendar_period(By.MONTH, day)
        return request.page(
            "bill.html",
            sent=sent,
            shown=shown,
            checked=checked,
            meter=device.name,
            meters=meter_tabs(hub, device, request.words, lambda name: _link(hub, name)),
            readings_link=None if shown is None else _readings(shown),
            last_month=None if month is None else period_before(month),
        )


def recompute(request: PageRequest) -> Response:
    """Compute every invoice again."""
    settings = request.parts.settings

    def work(tick: Tick) -> list[CheckedBill]:
        with settings.open_device() as device:
            sent, checked = invoices_of(device), []
            for done, invoice in enumerate(sent):
                tick(done, len(sent))
                checked.append(check_invoice(device, invoice.documents, invoice.invoice))
            return checked

    return begin_job(request, "bill", "/bill", "recomputed.html", work)


def check_proof(request: PageRequest) -> Response:
    """Verify what the supplier was proved."""
    settings, fields = request.parts.settings, request.fields

    def work(tick: Tick) -> tuple[SentInvoice, ProofCheck]:
        with settings.open_device() as device:
            shown = _shown(fields.get("applet", ""), fields.get("number", ""), invoices_of(device))
            if shown is None:
                raise InspectionError("no invoice has arrived yet")
            tick(0, 1)
            check = settings.proofs.check(device, shown.applet, shown.invoice)
            tick(1, 1)
            return shown, check

    return begin_job(request, "proof", "/bill", "proof.html", work)


def what_if(request: PageRequest) -> Response:
    """Work out what a period would have cost under a tariff of the resident's own."""
    period = days_of(request, LONGEST_PERIOD)
    content = request.files.get("tariff", b"")
    if not content or len(content) > LARGEST_TARIFF:
        raise BadInput(NO_TARIFF, "tariff")
    try:
        tariff = load_toml(content.decode(), source=request.words.t("bill.your_tariff"))
    except UnicodeDecodeError:
        raise BadInput(NO_TARIFF, "tariff") from None
    except TariffError as error:
        raise BadInput(f"the file is not a right tariff: {error}", "tariff") from None

    def work(tick: Tick) -> tuple[Period, list[TariffOffer]]:
        with request.look() as look:
            tariffs = [*look.book.tariffs, tariff]
            costs: list[TariffOffer] = []
            for done, known in enumerate(tariffs):
                tick(done, len(tariffs))
                costs += offers(look.device, period, [known])
            return period, costs

    return begin_job(request, "what_if", "/bill", "what_if.html", work)


def look_ahead(request: PageRequest) -> Response:
    """Work out what this month will come to."""

    def work(tick: Tick) -> tuple[BillForecast, Description]:
        with request.look() as look:
            device = look.device
            ahead = forecast(device, look.book, month_of_readings(device), tick)
            return ahead, device.description

    return begin_job(request, "forecast", "/bill", "forecast.html", work)


def show_tariffs(request: PageRequest) -> Response:
    """Show the tariffs the resident knows, side by side."""
    with request.look() as look:
        path, device = "/bill/tariffs", look.device
        return request.page(
            "tariffs.html",
            table=tariff_table(look.book),
            meters=meter_tabs(look.hub, device, request.words, lambda name: meter_link(path, name)),
        )


def invoices_of(device: Device) -> list[SentInvoice]:
    """Return the invoices of all suppliers, oldest first."""
    invoices: list[SentInvoice] = []
    for applet in device.document_keepers():
        documents = supplier_documents(device, applet)
        invoices += [
            SentInvoice(applet, invoice, documents, meter_billed(device, invoice))
            for invoice in documents.invoices
        ]
    return sorted(invoices, key=lambda sent: (sent.invoice.begin, sent.invoice.issued))


def find_invoice(applet: str, number: str, sent: list[SentInvoice], field: str = "") -> SentInvoice:
    """Return the invoice of an applet with a number; raise `BadInput` if there is none.

    `field` is the one of the form that names it.
    """
    for invoice in sent:
        if (invoice.applet.hex(), str(invoice.invoice.number)) == (applet, number):
            return invoice
    raise BadInput("there is no such invoice", field)


def _shown(applet: str, number: str, sent: list[SentInvoice]) -> SentInvoice | None:
    if not applet and not number:
        return sent[-1] if sent else None
    return find_invoice(applet, number, sent)


def _readings(sent: SentInvoice) -> str:
    invoice = sent.invoice
    period = Period.touching(invoice.begin, invoice.end, sent.about.zone)
    return readings_link(period, sent.meter.name)


def _link(hub: Device, name: str) -> str:
    """Return the address of a meter's bills; the hub's own has to be named, too."""
    return meter_link("/bill", name or own_name(hub))


PAGES: Final = (
    Page("/bill", show_bill, ResidentRole.READER),
    Page("/bill/recompute", recompute, ResidentRole.READER, "POST", show_bill),
    Page("/bill/proof", check_proof, ResidentRole.READER, "POST", show_bill),
    Page("/bill/what-if", what_if, ResidentRole.READER, "POST", show_bill),
    Page("/bill/forecast", look_ahead, ResidentRole.READER, "POST", show_bill),
    Page("/bill/tariffs", show_tariffs, ResidentRole.READER),
)
