# SPDX-License-Identifier: Apache-2.0
"""EN 16931 as UN/CEFACT Cross Industry Invoice, profile EN 16931 of Factur-X and ZUGFeRD.

One line: the energy of the period, at the net amount that follows from the total. A bill that
replaces another is a corrected invoice (384) and names it; a negative total is a credit of -1
pieces, since prices are never negative. One that was replaced says so, and is not to be paid: it
names no day and no account for that.
"""

from decimal import Decimal
from typing import Any, Final

from drafthorse.models.accounting import ApplicableTradeTax
from drafthorse.models.document import Document
from drafthorse.models.note import IncludedNote
from drafthorse.models.party import TaxRegistration
from drafthorse.models.payment import PaymentMeans, PaymentTerms
from drafthorse.models.tradelines import LineItem

from utility_server.service.einvoice.document import NamedInvoice
from utility_server.service.einvoice.parties import Party

PROFILE: Final = "urn:cen.eu:en16931:2017"
SCHEMA: Final = "FACTUR-X_EN16931"
INVOICE, CORRECTED = "380", "384"
SEPA_TRANSFER, NOT_SAID = "58", "1"
PIECE: Final = "C62"


def cii_document(named: NamedInvoice) -> bytes:
    """Return the XML, which is valid under the profile's schema."""
    invoice, seller = named.invoice, named.seller
    document = Document()
    document.context.guideline_parameter.id = PROFILE
    document.header.id = str(invoice.number)
    document.header.type_code = CORRECTED if invoice.replaces else INVOICE
    document.header.issue_date_time = named.issued
    for text in _notes(named):
        note = IncludedNote()
        note.content = text
        document.header.notes.add(note)
    agreement = document.trade.agreement
    agreement.buyer_reference = named.buyer.reference or invoice.meter.hex()
    _name(agreement.seller, seller.party)
    agreement.seller.tax_registrations.add(TaxRegistration(id=("VA", seller.vat)))
    _name(agreement.buyer, named.buyer)
    document.trade.items.add(_line(named))
    document.trade.delivery.event.occurrence = named.period.last
    settlement = document.trade.settlement
    settlement.currency_code = invoice.currency
    settlement.payment_reference = str(invoice.number)
    means = PaymentMeans()
    is_transfer = bool(seller.iban) and not named.why_void
    means.type_code = SEPA_TRANSFER if is_transfer else NOT_SAID
    if is_transfer:
        means.payee_account.iban = seller.iban
    settlement.payment_means.add(means)
    tax = ApplicableTradeTax()
    tax.calculated_amount = named.tax
    tax.basis_amount = named.net
    tax.type_code, tax.category_code = "VAT", _category(named)
    tax.rate_applicable_percent = _percent(named)
    settlement.trade_tax.add(tax)
    settlement.period.start, settlement.period.end = named.period.first, named.period.last
    terms = PaymentTerms()
    if named.why_void:
        terms.description = f"Not to be paid: {named.why_void}."
    else:
        terms.due = named.due
    settlement.terms.add(terms)
    sums = settlement.monetary_summation
    sums.line_total = named.net
    sums.charge_total = sums.allowance_total = Decimal("0.00")
    sums.tax_basis_total = named.net
    sums.tax_total = (named.tax, invoice.currency)
    sums.grand_total = named.total
    sums.due_amount = named.total
    if invoice.replaces:
        settlement.invoice_referenced_document.issuer_assigned_id = str(invoice.replaces)
        if named.replaced_on is not None:
            settlement.invoice_referenced_document.issue_date_time = named.replaced_on
    content: bytes = document.serialize(schema=SCHEMA)
    return content


def _notes(named: NamedInvoice) -> list[str]:
    invoice = named.invoice
    notes = [f"Meter {invoice.meter.hex()}; the readings stay with the customer."]
    if named.why_void:
        notes.insert(0, f"Not to be paid: {named.why_void}.")
    if invoice.missing:
        notes.append(f"Provisional: {invoice.missing} readings are missing and not billed.")
    return notes


def _line(named: NamedInvoice) -> LineItem:
    line = LineItem()
    line.document.line_id = "1"
    line.product.name = f"Energy, {named.period.first} to {named.period.last}"
    line.product.description = f"Under the tariff {named.tariff}"
    pieces = Decimal(1 if named.net >= 0 else -1)
    line.agreement.net.amount = abs(named.net)
    line.agreement.net.basis_quantity = (Decimal(1), PIECE)
    line.delivery.billed_quantity = (pieces, PIECE)
    line.settlement.trade_tax.type_code = "VAT"
    line.settlement.trade_tax.category_code = _category(named)
    line.settlement.trade_tax.rate_applicable_percent = _percent(named)
    line.settlement.period.start = named.period.first
    line.settlement.period.end = named.period.last
    line.settlement.monetary_summation.total_amount = named.net
    return line


def _category(named: NamedInvoice) -> str:
    return "S" if named.percent else "Z"


def _percent(named: NamedInvoice) -> Decimal:
    return named.percent.quantize(Decimal("0.01"))


def _name(trade_party: Any, party: Party) -> None:
    trade_party.name, address = party.name, trade_party.address
    address.line_one, address.postcode = party.street, party.postcode
    address.city_name, address.country_id = party.city, party.country
