# SPDX-License-Identifier: Apache-2.0
"""The page Export: copies for the resident, and readings for others by consent.

Each asks, and is on record before a byte is out. Nothing is kept on the hub.
"""

from typing import Final

from starlette.responses import Response

from hub.inspection.export.by_consent import STATEMENT, export_readings
from hub.inspection.export.copies import Copy, CopyForm, copy_readings, record_bundle
from hub.inspection.views.calendar import By, calendar_period
from hub.inspection.views.live import newest_day
from hub.inspection.views.releases import releases_view
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.forms import BadInput, number_of
from hub.inspection.web.page_request import Page, PageRequest, days_of, download
from hub.inspection.web.pages.bills import find_invoice, invoices_of
from hub.inspection.web.pages.consents import standing_consents

LONGEST_DAYS: Final = 3 * 366


def show_export(request: PageRequest) -> Response:
    """Show what can be taken out, and what was."""
    with request.device() as device:
        return request.page(
            "export.html",
            month=calendar_period(By.MONTH, newest_day(device)),
            forms=list(CopyForm),
            sent=invoices_of(device),
            meters=[
                (one.name, request.words.meter(one.name, one.description.medium))
                for one in device.every_meter
            ],
            granted=[
                consent
                for consent in standing_consents(device)
                if consent.terms.statement.startswith(STATEMENT)
            ],
            copies=releases_view(device).copies,
        )


def take_readings(request: PageRequest) -> Response:
    """Hand the resident a file of readings."""
    _must_agree(request)
    period = days_of(request, LONGEST_DAYS)
    form = request.fields.get("form", "")
    if form not in set(CopyForm):
        raise BadInput(f"there is no form {form[:20]!r}", "form")
    with request.device() as hub:
        return _file(copy_readings(request.meter(hub), period, CopyForm(form)))


def take_bundle(request: PageRequest) -> Response:
    """Hand the resident all that proves a bill."""
    _must_agree(request)
    applet, _, number = request.fields.get("invoice", "").partition(":")
    with request.device() as device:
        sent = find_invoice(applet, number, invoices_of(device), "invoice")
        content = request.parts.settings.proofs.bundle(device, sent.applet, sent.invoice)
        return _file(record_bundle(device, sent.invoice, content))


def take_for_another(request: PageRequest) -> Response:
    """Hand out the readings that a consent is about."""
    _must_agree(request)
    number = number_of(request.fields, "consent")
    with request.device() as device:
        return _file(export_readings(device, number))


def _must_agree(request: PageRequest) -> None:
    if request.fields.get("agreed") != "yes":
        raise BadInput("nothing was saved: say that you know what is in it", "agreed")


def _file(copy: Copy) -> Response:
    return download(copy.name, copy.content, copy.media_type)


PAGES: Final = (
    Page("/export", show_export, ResidentRole.OWNER),
    Page("/export/readings", take_readings, ResidentRole.OWNER, "POST", show_export),
    Page("/export/bill", take_bundle, ResidentRole.OWNER, "POST", show_export),
    Page("/export/consent", take_for_another, ResidentRole.OWNER, "POST", show_export),
)
