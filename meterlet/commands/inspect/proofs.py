# SPDX-License-Identifier: Apache-2.0
"""The proof behind an invoice: put together from what the hub keeps, and verified like any other.

An invoice names its evidence, the SHA-256 of the bundle that the supplier verified. The hub has
every part of that bundle: so it can make it again, byte for byte, and nothing else will do.
"""

from dataclasses import dataclass, replace
from hashlib import sha256

from applets.billing.messages import BillQuestion
from applets.billing.version1 import decode_any_answer
from applets.common.questions import MessageRefused
from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import ProofCheck, Verdict, meter_billed
from hub.inspection.views.documents import supplier_documents
from hub.inspection.views.memory import state_before
from protocols.carried import CarriedState
from tariffs.invoice import Invoice
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.claims import BILL
from utility_server.retail.verification import BillBundle

TARIFF = b"resident/tariff/"


@dataclass(frozen=True, slots=True)
class BillingProofs:
    """Knows the billing applet; a `BillProofs`."""

    def bundle(self, device: Device, applet: bytes, invoice: Invoice) -> bytes:
        """Return the bundle that an invoice names as its evidence; see `BillProofs`."""
        tariff = device.documents(applet).get(TARIFF + invoice.tariff)
        if tariff is None:
            raise InspectionError("the invoice names a tariff that was never sent to this hub")
        supplier = supplier_documents(device, applet).supplier
        state = _state_before(device, applet, invoice)
        log = device.disclosure.log
        for entry in log.entries("message"):
            if entry.facts["applet"] != applet:
                continue
            for bundle in _bundles(device, log.content(entry), tariff, supplier, state, invoice):
                if sha256(bundle).digest() == invoice.evidence:
                    return bundle
        raise InspectionError("no answer that left this hub is the evidence the invoice names")

    def check(self, device: Device, applet: bytes, invoice: Invoice) -> ProofCheck:
        """Return whether the proof shows just this invoice; see `BillProofs`."""
        try:
            bundle = self.bundle(device, applet, invoice)
            _, _, verified = BILL.verify(BillBundle.decode(bundle), is_stored=True)
        except (InspectionError, CannotVerify) as error:
            return ProofCheck(Verdict.CANNOT_TELL, str(error))
        except VerificationFailed as error:
            return ProofCheck(Verdict.DIFFERS, str(error))
        total = (f"{verified.total:f}", verified.currency)
        exact = verified.exact
        shown = (*total, verified.begin, verified.end, exact and exact.total_exact)
        named = (invoice.total, invoice.currency, invoice.begin, invoice.end, invoice.exact)
        if shown != named or (exact and exact.exact_decimals != invoice.decimals):
            reason = f"the proof shows {total[0]} {total[1]}, the invoice {invoice.total}"
            return ProofCheck(Verdict.DIFFERS, reason, *total)
        return ProofCheck(Verdict.MATCHES, "", *total)


def _state_before(device: Device, applet: bytes, invoice: Invoice) -> bytes:
    """Return the state that an invoice's bill has gone on from; empty where it has no memory."""
    if invoice.account is None or invoice.bill is None:
        return b""
    if invoice.bill == 1:
        return CarriedState.opening(invoice.meter, invoice.account, invoice.begin).encode()
    state = state_before(device, applet, invoice.account, invoice.bill - 1)
    if state is None:
        raise InspectionError("this hub keeps no more from what the bill has gone on")
    return state


def _bundles(
    device: Device, answer: bytes, tariff: bytes, supplier: bytes, state: bytes, invoice: Invoice
) -> list[bytes]:
    """Return the bundles that an answer under a tariff may be in; none if it is no bill's.

    A hub that got its feed-in register after it was enrolled is known to the supplier without.
    """
    try:
        told = decode_any_answer(answer)
        paid = invoice.paid or 0
        question = BillQuestion(told.about, tariff, state, paid, invoice.is_last)
    except MessageRefused:
        return []
    device = meter_billed(device, invoice)
    enrolled = BillBundle(
        question.encode(),
        answer,
        device.main.certifier.keys.public_key.public_bytes_raw(),
        supplier,
        device.description.register,
        device.description.zone,
        device.description.slot_minutes,
        () if (fed_in := device.description.feed_in_register) is None else (fed_in,),
    )
    known = [enrolled, replace(enrolled, others=())]
    return [bundle.encode() for bundle in known]
