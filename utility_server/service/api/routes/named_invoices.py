# SPDX-License-Identifier: Apache-2.0
"""Customers' names and addresses, and the invoices that need them: EN 16931 and PDF."""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from applets.billing.messages import BillQuestion
from tariffs.invoice import Invoice
from tariffs.signing import verify_signed_tariff
from utility_server.errors import ContractRefused, ServiceRefused
from utility_server.retail.accounts import implicit_account
from utility_server.retail.claims import BILL
from utility_server.retail.standings import STANDS
from utility_server.service.access.roles import Role
from utility_server.service.api.models import PartyModel
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.problems import Problem
from utility_server.service.api.routes.customers import Account, Meter
from utility_server.service.api.routes.invoices import Number
from utility_server.service.einvoice.document import NamedInvoice, named_invoice
from utility_server.service.einvoice.parties import Party, Seller

router = APIRouter(tags=["named invoices"], route_class=ServiceRoute)
CLERKS: Final = (Role.BILLING,)
_PARTY: Final = "/customers/{meter}/contracts/{account}/party"


@operation(router, "GET", _PARTY, CLERKS, reads=True, fails=(404,), response_model=PartyModel)
def show_party(request: Request, meter: Meter, account: Account) -> Any:
    """Show the name and address of a contract's customer."""
    found = parts_of(request).parties.find(_account(request, meter, account, gone=True))
    if found is None:
        raise Problem(404, "not-found", "no name is kept for that contract")
    return PartyModel(
        name=found.name, street=found.street, postcode=found.postcode, city=found.city,
        country=found.country, reference=found.reference,
    )  # fmt: skip


@operation(router, "PUT", _PARTY, CLERKS, status=204, fails=(404,), response_class=Response)
def put_party(request: Request, meter: Meter, account: Account, body: PartyModel) -> Response:
    """Keep the name and address of a contract's customer, for invoices that need them."""
    party, named = Party(**body.model_dump()), bytes.fromhex(account)
    parts_of(request).parties.put(
        named, bytes.fromhex(meter), party, lambda: _account(request, meter, account)
    )
    return Response(status_code=204)


@operation(router, "DELETE", _PARTY, CLERKS, status=204, fails=(404,), response_class=Response)
def erase_party(request: Request, meter: Meter, account: Account) -> Response:
    """Erase the name and address of a contract's customer; the ledger never had them."""
    if not parts_of(request).parties.erase(_account(request, meter, account, gone=True)):
        raise Problem(404, "not-found", "no name is kept for that contract")
    return Response(status_code=204)


@operation(
    router, "GET", "/invoices/{number}/en16931", CLERKS, reads=True, fails=(404, 409),
    response_class=Response,
    responses={200: {"content": {"application/xml": {}}, "description": "CII, EN 16931."}},
)  # fmt: skip
def invoice_en16931(request: Request, number: Number) -> Response:
    """Return an invoice as EN 16931: Cross Industry Invoice, as in Factur-X and ZUGFeRD."""
    return Response(_xml(_named(request, number)), media_type="application/xml")


@operation(
    router, "GET", "/invoices/{number}/pdf", CLERKS, reads=True, fails=(404, 409),
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}, "description": "With the XML in it."}},
)  # fmt: skip
def invoice_pdf_document(request: Request, number: Number) -> Response:
    """Return an invoice as PDF, with its XML attached."""
    named = _named(request, number)
    xml = _xml(named)
    from utility_server.service.einvoice.pdf import invoice_pdf

    return Response(invoice_pdf(named, xml), media_type="application/pdf")


def _xml(named: NamedInvoice) -> bytes:
    try:  # an extra of its own: the service does without
        from utility_server.service.einvoice.cii import cii_document
    except ModuleNotFoundError:
        raise ServiceRefused("this service was installed without the extra `einvoice`") from None
    return cii_document(named)


def _named(request: Request, number: int) -> NamedInvoice:
    parts = parts_of(request)
    utility = parts.utility
    kept = utility.questions.invoice_of(number)
    if kept is None:
        raise Problem(404, "not-found", "there is no such invoice")
    invoice = Invoice.verify(kept.document, utility.keys.public)
    contract = utility.contracts.of(invoice.meter, invoice.begin, invoice.end)
    buyer = parts.parties.find(contract.account)
    if buyer is None:
        raise ServiceRefused(
            f"the name and address of meter {invoice.meter.hex()}'s customer are not kept: enter"
            " them at the contract, on the customer's page or by PUT .../party"
        )
    seller = Seller.read(parts.settings.folder)
    entry = utility.ledger.entry(number)
    bundle = BILL.bundle.decode(utility.ledger.evidence(entry))
    question = BillQuestion.decode(bundle.question)
    tariff = verify_signed_tariff(question.document, utility.keys.public)
    before = utility.questions.invoice_of(invoice.replaces) if invoice.replaces else None
    replaced = None if before is None else Invoice.verify(before.document, utility.keys.public)
    zone = utility.customers.zone(invoice.meter)
    standing = utility.standings([invoice.meter]).get(number, STANDS)
    return named_invoice(invoice, tariff, zone, seller, buyer, replaced, standing.why_void)


def _account(request: Request, meter: str, account: str, *, gone: bool = False) -> bytes:
    """Return the account of a meter's contract; `gone`: also the one that nobody had opened.

    That one gives way to the first that is opened, and a name that was kept for it stays until it
    is erased. So it is shown and erased under its account still.
    """
    identification, named = bytes.fromhex(meter), bytes.fromhex(account)
    known = {one.account for one in parts_of(request).utility.contracts.of_meter(identification)}
    if named not in known and not (gone and named == implicit_account(identification)):
        raise ContractRefused("the meter has no such contract")
    return named
