# SPDX-License-Identifier: Apache-2.0
"""The page Export: copies for the resident, and readings for others by consent.

Each asks, and is on record before a byte is out. Nothing is kept on the hub.
"""

from typing import Final

from starlette.responses import Response

from hub.inspection.export.by_consent import STATEMENT, export_readings
from hub.inspection.export.copies import Copy, CopyForm, copy_readings, record_bundle
from hub.inspection.views.live import today
from hub.inspection.views.releases import releases_view
from hub.inspection.views.slots import local_date
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.errors import BadInput
from hub.inspection.web.forms import date_of, number_of
from hub.inspection.web.page_request import Page, PageRequest
from hub.inspection.web.pages.bills import invoices_of
from protocols.metrology import Period

LONGEST_DAYS: Final = 3 * 366


def show_export(request: PageRequest) -> Response:
    """Show what can be taken out, and what was."""
    with request.device() as device:
        latest = device.main.vault.latest(device.main.channel)
        day = today(device) if latest is None else local_date(device, latest.time - 1)
        now = today(device)
        return request.page(
            "export.html",
            month=Period.month(day.year, day.month),
            forms=list(CopyForm),
            sent=invoices_of(device),
            granted=[
                one
                for one in device.disclosure.consents()
                if one.terms.statement.startswith(STATEMENT)
                and one.revoked is None
                and one.terms.until >= now
            ],
            copies=releases_view(device).copies,
        )


def take_readings(request: PageRequest) -> Response:
    """Hand the resident a file of readings."""
    _must_agree(request)
    first, last = date_of(request.fields, "first"), date_of(request.fields, "last")
    if not 0 <= (last - first).days < LONGEST_DAYS:
        raise BadInput(request.words.t("bill.period_bounds", n=LONGEST_DAYS))
    form = request.fields.get("form", "")
    if form not in set(CopyForm):
        raise BadInput(f"there is no form {form[:20]!r}")
    with request.device() as device:
        return _file(copy_readings(device, Period(first, last), CopyForm(form)))


def take_bundle(request: PageRequest) -> Response:
    """Hand the resident all that proves a bill."""
    _must_agree(request)
    applet, _, number = request.fields.get("invoice", "").partition(":")
    with request.device() as device:
        for one in invoices_of(device):
            if (one.applet.hex(), str(one.invoice.number)) == (applet, number):
                invoice = one.invoice
                bundle = request.parts.settings.proofs.bundle(device, one.applet, invoice)
                made = record_bundle(device, invoice.begin, invoice.end, invoice.number, bundle)
                return _file(made)
    raise BadInput("there is no such invoice")


def take_for_another(request: PageRequest) -> Response:
    """Hand out the readings that a consent is about."""
    _must_agree(request)
    number = number_of(request.fields, "consent")
    with request.device() as device:
        made = export_readings(device, number)
    content = made.text.encode()
    name = f"export-{number}.csv"
    return _file(Copy(name, "text/csv; charset=utf-8", content, made.readings))


def _must_agree(request: PageRequest) -> None:
    if request.fields.get("agreed") != "yes":
        raise BadInput(request.words.t("export.not_agreed"))


def _file(copy: Copy) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{copy.name}"'}
    return Response(copy.content, media_type=copy.media_type, headers=headers)


PAGES: Final = (
    Page("/export", show_export, ResidentRole.OWNER),
    Page("/export/readings", take_readings, ResidentRole.OWNER, "POST"),
    Page("/export/bill", take_bundle, ResidentRole.OWNER, "POST"),
    Page("/export/consent", take_for_another, ResidentRole.OWNER, "POST"),
)
