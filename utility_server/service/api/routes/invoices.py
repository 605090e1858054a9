# SPDX-License-Identifier: Apache-2.0
"""Invoices: what was signed, what became of it, and whether its hub has it."""

from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from protocols.metrology import Period
from tariffs.invoice import Invoice
from utility_server.retail.invoices import (
    InvoiceFilter,
    InvoiceSearch,
    ListedInvoice,
    listed_invoice,
    listed_invoices,
)
from utility_server.service.access.roles import Role
from utility_server.service.api.models import CorrectedDay, InvoiceState, MonthText, Page
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.paging import OLDEST, Cursor, Limit, Order, day_of, days_model
from utility_server.service.api.problems import Problem
from utility_server.service.api.routes.bills import LARGEST_NUMBER, OneMeter
from utility_server.service.words import utc_text

router = APIRouter(tags=["invoices"], route_class=ServiceRoute)
READERS: Final = (Role.BILLING, Role.AUDITOR)
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The invoice's number.")]
SIGNED: Final = "application/cose"


@operation(
    router, "GET", "/invoices", READERS, reads=True, fails=(404,),
    response_model=Page[InvoiceState],
)  # fmt: skip
def list_invoices(
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
    meter: OneMeter = None,
    month: Annotated[MonthText | None, Query(description="Whose days begin in this month.")] = None,
    state: Annotated[
        InvoiceFilter | None,
        Query(description="Those that stand or are void, or that hubs have or not."),
    ] = None,
    corrected: Annotated[bool, Query(description="Those alone that correct another.")] = False,
    order: Order = OLDEST,
) -> Any:
    """List the invoices by their numbers, with what replaces what.

    A page may have fewer than `limit`, or none, and go on: `next` is null at the end alone.
    """
    parts = parts_of(request)
    wanted = InvoiceSearch(
        meter=None if meter is None else bytes.fromhex(meter),
        month=None if month is None else _month(month),
        state=state,
        is_corrected=corrected,
        is_newest_first=order != OLDEST,
    )
    collection = ["invoices", meter or "", month or "", state or "", corrected, order]
    after = None if cursor is None else int(parts.cursors.read(collection, cursor)[0])
    found, following = listed_invoices(parts.utility, wanted, after, limit)
    return Page[InvoiceState](
        items=[_invoice(request, one) for one in found],
        next=None if following is None else parts.cursors.make(collection, [following]),
    )


@operation(
    router, "GET", "/invoices/{number}", READERS, reads=True, fails=(404,),
    response_model=InvoiceState,
)  # fmt: skip
def show_invoice(request: Request, number: Number) -> Any:
    """Show an invoice: one amount, and on which tariff and evidence it rests."""
    return _invoice(request, _listed(request, number))


@operation(
    router, "GET", "/invoices/{number}/document", READERS, reads=True, fails=(404,),
    response_class=Response,
    responses={200: {"content": {SIGNED: {}}, "description": "The signed document."}},
)  # fmt: skip
def invoice_document(request: Request, number: Number) -> Response:
    """Return an invoice as it was signed."""
    return Response(_listed(request, number).kept.document, media_type=SIGNED)


def _month(text: str) -> date:
    year, number = map(int, text.split("-"))
    if year == 0:
        raise Problem(422, "invalid-period", "there is no year 0")
    return day_of(date(year, number, 1))


def _listed(request: Request, number: int) -> ListedInvoice:
    found = listed_invoice(parts_of(request).utility, number)
    if found is None:
        raise Problem(404, "not-found", "there is no such invoice")
    return found


def _invoice(request: Request, listed: ListedInvoice) -> InvoiceState:
    utility, standing = parts_of(request).utility, listed.standing
    invoice = Invoice.verify(listed.kept.document, utility.keys.public)
    zone = utility.customers.zone(invoice.meter)
    return InvoiceState(
        number=invoice.number,
        issued=utc_text(invoice.issued),
        meter=invoice.meter.hex(),
        period=days_model(Period.filling(invoice.begin, invoice.end, zone)),
        currency=invoice.currency,
        total=invoice.total,
        missing_slots=invoice.missing,
        tariff=invoice.tariff.hex(),
        evidence=invoice.evidence.hex(),
        state=str(listed.state),
        since=utc_text(listed.changed),
        replaces=invoice.replaces or None,
        replaced_by=standing.replaced_by or None,
        void=standing.is_void,
        difference=invoice.difference,
        corrected=[CorrectedDay(day=one.day, slots=one.slots) for one in invoice.corrected],
        account=None if invoice.account is None else invoice.account.hex(),
        bill=invoice.bill,
        paid=invoice.paid,
        is_last=invoice.is_last,
    )
