# SPDX-License-Identifier: Apache-2.0
"""What an invoice that names seller and buyer says: the signed one, and the tax that is in it.

The utility knows the total and not how it came about. The tax in it follows from the tariff: where
all is taxed at one rate r, of a total T the net is T/(1+r), rounded to the cent (ties to even), and
the tax is the rest. Where that is not so, no such invoice is made, and it is said why.

Errors: ServiceRefused
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from protocols.metrology import Period
from tariffs import Tariff
from tariffs.invoice import Invoice
from tariffs.steps import Rebate, Tax
from utility_server.errors import ServiceRefused
from utility_server.service.einvoice.parties import Party, Seller

CENT: Final = Decimal("0.01")
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class NamedInvoice:
    """An invoice, as it goes out by mail."""

    invoice: Invoice
    seller: Seller
    buyer: Party
    period: Period
    tariff: str
    """Its name and revision."""
    percent: Decimal
    """The rate of the tax."""
    net: Decimal
    tax: Decimal
    replaced_on: date | None
    """When the invoice that it replaces was issued."""
    why_void: str = ""
    """Why nothing is to be paid by it any more; empty where it stands."""

    @property
    def total(self) -> Decimal:
        """What is to be paid: negative for a credit."""
        return self.net + self.tax

    @property
    def issued(self) -> date:
        """When it was issued."""
        return datetime.fromtimestamp(self.invoice.issued, UTC).date()

    @property
    def due(self) -> date:
        """Until when it is to be paid."""
        return self.issued + timedelta(days=self.seller.payment_days)


def named_invoice(
    invoice: Invoice, tariff: Tariff, zone: str, seller: Seller, buyer: Party,
    replaced: Invoice | None, why_void: str = "",
) -> NamedInvoice:  # fmt: skip
    """Return a signed invoice with those whom it concerns, and the tax in it.

    `replaced` is the one whose place it has taken; `why_void` is what its standing says of it now.
    """
    if invoice.account is not None:
        raise ServiceRefused(
            "the tariff goes on from bill to bill: what is due is not what was sold in the period"
        )
    rate = _rate(tariff, invoice.begin, invoice.end)
    total = Decimal(invoice.total)
    if total != total.quantize(CENT):
        raise ServiceRefused("the total has more than two decimals")
    net = (total / (1 + rate)).quantize(CENT, ROUND_HALF_EVEN)
    issued = None
    if replaced is not None:
        issued = datetime.fromtimestamp(replaced.issued, UTC).date()
    return NamedInvoice(
        invoice=invoice,
        seller=seller,
        buyer=buyer,
        period=Period.filling(invoice.begin, invoice.end, zone),
        tariff=f"{tariff.name}, revision {tariff.revision}",
        percent=(100 * rate).normalize(),
        net=net,
        tax=total - net,
        replaced_on=issued,
        why_void=why_void,
    )


def _rate(tariff: Tariff, begin: int, end: int) -> Decimal:
    """Return the one rate at which all of a period is taxed; raise where it is not so."""
    rates = set[int]()
    bounds = tariff.boundaries
    for place, version in enumerate(tariff.versions):
        if not (bounds[place] < end and begin < bounds[place + 1]):
            continue
        taxes = [one for one in version.steps if type(one) is Tax]
        others = [one for one in version.steps if type(one) is not Tax]
        if len(taxes) != 1 or (others and version.steps[-1] is not taxes[0]):
            raise ServiceRefused("the tariff has not just one tax, on all that comes before it")
        named = {one.name for one in version.charges}
        named |= {one.name for one in others if isinstance(one, Rebate)}
        if not named <= set(taxes[0].on):
            raise ServiceRefused("not all that the tariff charges is taxed")
        rates.add(taxes[0].ppm)
    if len(rates) != 1:
        raise ServiceRefused("the rate of the tax changes within the period")
    return Decimal(rates.pop()) / _MILLION
