# SPDX-License-Identifier: Apache-2.0
"""The invoice on paper: one page as PDF, its fonts within, with the XML of EN 16931 attached.

That is the form of Factur-X and ZUGFeRD. Whether the file is PDF/A-3 to the last clause is not
checked here.
"""

from io import BytesIO
from typing import Final

import reportlab
from drafthorse.pdf import attach_xml
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from utility_server.service.einvoice.document import NamedInvoice
from utility_server.service.einvoice.parties import Party

FONT, BOLD = "Vera", "VeraBd"
LEFT, RIGHT = 25 * mm, A4[0] - 20 * mm
LEVEL: Final = "EN 16931"


def invoice_pdf(named: NamedInvoice, xml: bytes) -> bytes:
    """Return the page, with the XML attached."""
    for name in (FONT, BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    page = BytesIO()
    canvas = Canvas(page, pagesize=A4, invariant=1, initialFontName=FONT, pdfVersion=(1, 7))
    _draw(canvas, named)
    canvas.showPage()
    canvas.save()
    facts = {
        "author": named.seller.party.name,
        "title": f"Invoice {named.invoice.number}",
        "subject": f"Invoice {named.invoice.number} of {named.issued}",
        "creator": "Meterlet",
        "producer": f"ReportLab {reportlab.Version}",
        "keywords": "Factur-X, Invoice",
    }
    content: bytes = attach_xml(page.getvalue(), xml, LEVEL, facts, "en")
    return content


def _draw(canvas: Canvas, named: NamedInvoice) -> None:
    invoice, seller = named.invoice, named.seller
    y = A4[1] - 25 * mm
    canvas.setFont(BOLD, 12)
    canvas.drawString(LEFT, y, seller.party.name)
    canvas.setFont(FONT, 9)
    canvas.drawString(LEFT, y - 5 * mm, _address(seller.party))
    canvas.drawString(LEFT, y - 10 * mm, f"VAT {seller.vat}")
    y -= 30 * mm
    buyer = named.buyer
    for line in (buyer.name, buyer.street, f"{buyer.postcode} {buyer.city}", buyer.country):
        canvas.drawString(LEFT, y, line)
        y -= 5 * mm
    y -= 15 * mm
    canvas.setFont(BOLD, 14)
    kind = "Corrected invoice" if invoice.replaces else "Invoice"
    canvas.drawString(LEFT, y, f"{kind} {invoice.number}")
    if named.why_void:
        y -= 8 * mm
        canvas.setFont(BOLD, 11)
        canvas.drawString(LEFT, y, f"Not to be paid: {named.why_void}.")
    y -= 10 * mm
    canvas.setFont(FONT, 10)
    replaces = [("Replaces", f"invoice {invoice.replaces}")] if invoice.replaces else []
    for name, value in (
        ("Issued", str(named.issued)),
        ("Meter", invoice.meter.hex()),
        ("Period", f"{named.period.first} to {named.period.last}"),
        ("Tariff", named.tariff),
        *replaces,
    ):
        canvas.drawString(LEFT, y, name)
        canvas.drawString(LEFT + 40 * mm, y, value)
        y -= 6 * mm
    y -= 6 * mm
    for name, amount, font in (
        ("Energy of the period, net", named.net, FONT),
        (f"VAT {named.percent.normalize():f} %", named.tax, FONT),
        ("Total", named.total, BOLD),
    ):
        canvas.setFont(font, 10)
        canvas.drawString(LEFT, y, name)
        canvas.drawRightString(RIGHT, y, f"{amount:,.2f} {invoice.currency}")
        y -= 7 * mm
    canvas.line(LEFT, y + 11 * mm, RIGHT, y + 11 * mm)
    y -= 6 * mm
    canvas.setFont(FONT, 9)
    for line in _closing(named):
        canvas.drawString(LEFT, y, line)
        y -= 5 * mm


def _closing(named: NamedInvoice) -> list[str]:
    lines = list[str]()
    if not named.why_void:
        where = f" to {named.seller.iban}" if named.seller.iban else ""
        lines.append(f"To be paid until {named.due}{where}.")
    if named.invoice.missing:
        lines.append(f"Provisional: {named.invoice.missing} readings are missing, and not billed.")
    return [
        *lines,
        "We know this amount and not how it came about: your readings stay with you.",
        "Your hub shows each line of it, and checks it against your own readings.",
    ]


def _address(party: Party) -> str:
    return f"{party.street}, {party.postcode} {party.city}, {party.country}"
