# SPDX-License-Identifier: Apache-2.0
"""What applets keep for the resident: a supplier's key, its signed tariffs, its invoices.

Nothing of an applet is believed: a tariff or an invoice counts only if the supplier's key, which
lies beside it, has signed it. Which tariff holds at a moment: that of the latest invoice for the
time, or else the one that began last, of these the highest revision. A meter has the tariffs for
what it measures; where a supplier has billed it, not those of who has billed others alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.device import Device
from hub.inspection.errors import InspectionError
from tariffs import Tariff, TariffError
from tariffs.invoice import Invoice
from tariffs.signing import verify_signed_tariff

SUPPLIER_KEY: Final = b"resident/supplier-key"
TARIFF: Final = b"resident/tariff/"
INVOICE: Final = b"resident/invoice/"


@dataclass(frozen=True, slots=True)
class SupplierDocuments:
    """The documents of one supplier, all signed by it."""

    applet: bytes
    supplier: bytes
    """The supplier's Ed25519 public key."""
    tariffs: tuple[Tariff, ...]
    """In order of validity and revision."""
    invoices: tuple[Invoice, ...]
    """Oldest first."""

    def has_billed(self, meter: bytes) -> bool:
        """Tell whether an invoice of this supplier is for a meter."""
        return any(invoice.meter == meter for invoice in self.invoices)

    def tariff(self, digest: bytes) -> Tariff | None:
        """Return the tariff of that digest, or None."""
        return next((tariff for tariff in self.tariffs if tariff.digest == digest), None)


@dataclass(frozen=True, slots=True)
class TariffBook:
    """The tariffs the resident knows of, and which of them holds when."""

    tariffs: tuple[Tariff, ...] = ()
    invoiced: tuple[tuple[int, int, Tariff], ...] = ()
    """Periods that were invoiced, and under which tariff; the latest first."""
    problems: tuple[str, ...] = ()
    """What is wrong with the documents of an applet, whose tariffs are then not used."""

    @classmethod
    def of(cls, documents: Iterable[SupplierDocuments]) -> "TariffBook":
        """Return the book of some suppliers' documents."""
        documents = list(documents)
        tariffs = {tariff.digest: tariff for supplier in documents for tariff in supplier.tariffs}
        invoices = sorted(
            (invoice for supplier in documents for invoice in supplier.invoices),
            key=lambda invoice: (invoice.issued, invoice.number),
            reverse=True,
        )
        return cls(
            tuple(sorted(tariffs.values(), key=_order)),
            tuple(
                (invoice.begin, invoice.end, tariffs[invoice.tariff])
                for invoice in invoices
                if invoice.tariff in tariffs
            ),
        )

    @classmethod
    def only(cls, tariff: Tariff) -> "TariffBook":
        """Return a book of one tariff."""
        return cls((tariff,))

    def at(self, time: int) -> Tariff | None:
        """Return the tariff that holds at a moment, or None."""
        for begin, end, tariff in self.invoiced:
            if begin <= time < end:
                return tariff
        valid = [tariff for tariff in self.tariffs if tariff.begin <= time < tariff.end]
        return valid[-1] if valid else None

    def parts(self, begin: int, end: int) -> Sequence[tuple[int, int, Tariff | None]]:
        """Return the stretches of [begin, end) under one tariff each, in order."""
        bounds = {begin, end}
        bounds |= {time for b, e, _ in self.invoiced for time in (b, e)}
        bounds |= {time for tariff in self.tariffs for time in (tariff.begin, tariff.end)}
        inside = sorted(time for time in bounds if begin <= time <= end)
        parts: list[tuple[int, int, Tariff | None]] = []
        for since, until in pairwise(inside):
            tariff = self.at(since)
            if parts and parts[-1][2] is tariff:
                parts[-1] = (parts[-1][0], until, tariff)
            else:
                parts.append((since, until, tariff))
        return parts


def supplier_documents(device: Device, applet: bytes) -> SupplierDocuments:
    """Return the documents in an applet's store.

    Raises `InspectionError` where the applet keeps nothing, or a document in its store is not
    signed by the supplier.
    """
    documents = device.documents(applet)
    key = documents.get(SUPPLIER_KEY)
    if key is None and not device.document_keepers():
        raise InspectionError(
            "no applet is installed that keeps bills: after a hand-over, those of before are gone"
        )
    if key is None:
        raise InspectionError(f"applet {applet.hex().upper()} keeps no documents for the resident")
    try:
        supplier = Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise InspectionError("the applet's store: the supplier's key is none") from None
    kept = {document for name, document in documents.items() if name.startswith(INVOICE)}
    try:
        tariffs = [
            verify_signed_tariff(document, supplier)
            for name, document in documents.items()
            if name.startswith(TARIFF)
        ]
        # A supplier whose delivery was cut off hands the same invoice over again.
        invoices = [Invoice.verify(document, supplier) for document in kept]
    except TariffError as error:
        raise InspectionError(f"a document in the applet's store: {error}") from None
    tariffs.sort(key=_order)
    invoices.sort(key=lambda invoice: (invoice.issued, invoice.number))
    return SupplierDocuments(applet, key, tuple(tariffs), tuple(invoices))


def tariff_book(device: Device) -> TariffBook:
    """Return the tariffs of all applets that keep some for the resident.

    An applet with a document that its supplier did not sign is left out, and named in `problems`:
    it must not keep the resident from seeing the rest. They are those that price what the meter
    counts.
    """
    suppliers, problems = [], []
    for applet in supplied_applets(device):
        try:
            suppliers.append(supplier_documents(device, applet))
        except InspectionError as error:
            problems.append(f"applet {applet.hex().upper()}: {error}")
    book = TariffBook.of(_suppliers_of(device, suppliers))
    return replace(book, problems=tuple(problems))


def _suppliers_of(
    device: Device, suppliers: Sequence[SupplierDocuments]
) -> Iterator[SupplierDocuments]:
    """Yield what suppliers have to do with a meter: tariffs for what it measures, its invoices."""
    about = device.description
    is_billed = any(one.has_billed(about.meter) for one in suppliers)
    for one in suppliers:
        if is_billed and one.invoices and not one.has_billed(about.meter):
            continue
        fit = tuple(tariff for tariff in one.tariffs if tariff.medium.is_of(about.register))
        kept = [i for i in one.invoices if i.meter == about.meter or not is_billed]
        yield replace(one, tariffs=fit, invoices=tuple(kept))


def supplied_applets(device: Device) -> list[bytes]:
    """Return the applets that keep a supplier's documents for the resident."""
    return [aid for aid in device.document_keepers() if SUPPLIER_KEY in device.documents(aid)]


def _order(tariff: Tariff) -> tuple[int, int, bytes]:
    return tariff.begin, tariff.revision, tariff.digest
