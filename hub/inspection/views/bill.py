# SPDX-License-Identifier: Apache-2.0
"""The resident's check of a bill: the invoice against a recomputation from raw readings.

The billing applet keeps, for the resident, the supplier's key, the signed tariffs it was asked
under and the invoices it was handed. Here they meet the readings: the tariff's signature and the
invoice's are checked, and the bill is computed again from every slot. The verdict is one of
three: it matches, it differs by so much, or it cannot be told, and why. A tariff that credits
feed-in is checked with the readings of both registers, one with memory with what the bill before
has left (`memory`).

Readings that were corrected since make another bill. An invoice that does not match them is held
against what was known before each correction, too. If it matches that, it was right then, and says
how many readings were corrected since.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from hub.certifier import DayUse
from hub.description import Description
from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.bucket import BandUse, band_uses
from hub.inspection.views.corrections import (
    CorrectedDayView,
    corrected_days,
    correction_times,
)
from hub.inspection.views.demand_items import DemandDetail, demand_details
from hub.inspection.views.documents import SupplierDocuments, supplier_documents
from hub.inspection.views.memory import CarriedAmount, carried_amounts, kept_memory
from hub.inspection.views.meters import MeterSwap, swaps_between
from hub.metering import FormerCustody, PeriodIncomplete
from hub.text import missing_in_words
from protocols.metrology import SlotState
from tariffs import (
    Bill,
    Register,
    Tariff,
    TariffError,
    billed_registers,
    combine_states,
    compute_bill,
)
from tariffs.invoice import Invoice


class Verdict(enum.Enum):
    """What the resident is told of an invoice."""

    MATCHES = "matches"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class CheckedBill:
    """An invoice and what the readings say of it."""

    invoice: Invoice
    verdict: Verdict
    reason: str
    """In a sentence; empty where it matches."""
    tariff: Tariff | None
    bill: Bill | None
    """Recomputed from raw readings; None where that cannot be done."""
    bands: tuple[BandUse, ...] = ()
    energy_wh: int = 0
    corrected_since: tuple[CorrectedDayView, ...] = ()
    """Days that were corrected since it was billed: it matches what was known before."""
    replaced_by: int | None = None
    """The invoice that takes its place."""
    carried: tuple[CarriedAmount, ...] = ()
    """What it leaves for the next one, under a tariff with memory: told to nobody."""
    brought: tuple[CarriedAmount, ...] = ()
    """What it goes on from: what the bill before has left."""
    demands: tuple[DemandDetail, ...] = ()
    """What the powers billed are made of."""
    swaps: tuple[MeterSwap, ...] = ()
    """The meters that were exchanged in the period."""
    about: Description | None = None
    """The hub's meter that it is for; None: it is for none of them."""

    @property
    def difference(self) -> Fraction | None:
        """How much the invoice asks beyond the recomputed bill, in the currency; None: unknown.

        Between rounded totals; where the invoice says the exact one, of release 0.1, between these.
        """
        if self.bill is None:
            return None
        exact, decimals = self.invoice.exact, self.invoice.decimals
        if exact is None or decimals is None:
            return Fraction(self.invoice.total) - Fraction(self.bill.total)
        return Fraction(exact, 10**decimals) - Fraction(
            self.bill.total_exact, 10**self.bill.exact_decimals
        )


def check_invoices(device: Device, applet: bytes, meter: bytes | None = None) -> list[CheckedBill]:
    """Return every invoice the applet was handed, oldest first, each with its verdict.

    With `meter`, only those that are for the meter of this identification.

    Raises `InspectionError` where the applet keeps nothing, or a document in its store is not
    signed by the supplier.
    """
    documents = supplier_documents(device, applet)
    return [
        check_invoice(device, documents, invoice)
        for invoice in documents.invoices
        if meter in (None, invoice.meter)
    ]


def check_invoice(device: Device, documents: SupplierDocuments, invoice: Invoice) -> CheckedBill:
    """Return one invoice of `documents` with its verdict, against the readings of its meter."""
    device = meter_billed(device, invoice)
    place = documents.invoices.index(invoice)
    earlier, later = documents.invoices[:place], documents.invoices[place + 1 :]
    checked = _at_its_time(device, documents, invoice)
    successors = [one.number for one in later if one.replaces == invoice.number]
    checked = replace(
        checked,
        replaced_by=successors[0] if successors else None,
        swaps=swaps_between(device, invoice.begin, invoice.end),
        about=device.description if device.description.meter == invoice.meter else None,
    )
    return _once(_difference_checked(checked, earlier), earlier)


def meter_billed(device: Device, invoice: Invoice) -> Device:
    """Return the hub's meter that an invoice is for; its own where it is for none of them."""
    meters = (one for one in device.every_meter if one.description.meter == invoice.meter)
    return next(meters, device)


def _at_its_time(device: Device, documents: SupplierDocuments, invoice: Invoice) -> CheckedBill:
    """Return the check over what is known, or over what was known before some correction."""
    applet, tariff = documents.applet, documents.tariff(invoice.tariff)
    checked = _check(device, applet, invoice, tariff)
    if checked.verdict is not Verdict.DIFFERS:
        return checked
    period = device.main.period(invoice.begin, invoice.end)
    for time in correction_times(device, period):
        before = _check(device, applet, invoice, tariff, time)
        if before.verdict is Verdict.MATCHES:
            return replace(before, corrected_since=corrected_days(device, period, time))
    return checked


def _difference_checked(checked: CheckedBill, earlier: Sequence[Invoice]) -> CheckedBill:
    """Return the check, refuted if the invoice tells another difference than there is."""
    invoice = checked.invoice
    for other in earlier:
        if invoice.difference and other.number == invoice.replaces:
            difference = Decimal(invoice.total) - Decimal(other.total)
            if difference != Decimal(invoice.difference):
                reason = f"it says {invoice.difference} to invoice {other.number}, not {difference}"
                return replace(checked, verdict=Verdict.DIFFERS, reason=reason)
    return checked


def _once(checked: CheckedBill, earlier: Sequence[Invoice]) -> CheckedBill:
    """Return the check, refuted if the invoice asks again for what an earlier one asks for."""
    invoice = checked.invoice
    void = {each.replaces for each in (*earlier, invoice)}
    for other in earlier:
        overlaps = invoice.begin < other.end and other.begin < invoice.end
        if overlaps and other.meter == invoice.meter and other.number not in void:
            reason = f"it bills days that invoice {other.number} bills, and does not replace it"
            return replace(checked, verdict=Verdict.DIFFERS, reason=reason)
    return checked


def _check(
    device: Device, applet: bytes, invoice: Invoice, tariff: Tariff | None,
    before: int | None = None,
) -> CheckedBill:  # fmt: skip
    def cannot_tell(reason: str) -> CheckedBill:
        return CheckedBill(invoice, Verdict.CANNOT_TELL, reason, tariff, None)

    if invoice.meter != device.description.meter:
        return cannot_tell("it is for another meter")
    if tariff is None:
        return cannot_tell("it names a tariff that was never sent to this hub")
    if tariff.has_memory is not (invoice.account is not None):
        return cannot_tell("it does not say which bills of the contract it goes on from")
    try:
        memory = kept_memory(device, applet, invoice)
        registers = billed_registers(tariff, invoice.begin, invoice.end)
        uses_of = _readings(device, registers, (invoice.begin, invoice.end), before)
    except (FormerCustody, InspectionError, PeriodIncomplete, TariffError) as error:
        return cannot_tell(f"{error}")
    any_register = next(iter(uses_of.values()))
    starts = [time for use in any_register for time in use.grid.boundaries()[:-1]]
    energy = {name: tuple(wh for use in uses for wh in use.uses) for name, uses in uses_of.items()}
    use_wh = energy.get(Register.IMPORT, (0,) * len(starts))
    states = combine_states([[s for use in uses for s in use.states] for uses in uses_of.values()])
    slot_seconds = 60 * device.main.slot_minutes
    try:
        bill = compute_bill(
            tariff, starts, slot_seconds, use_wh, states, export_wh=energy.get(Register.EXPORT),
            memory=memory.before, paid=invoice.paid or 0, is_last=invoice.is_last,
        )  # fmt: skip
        bands = band_uses(tariff.bands(starts, slot_seconds), use_wh)
    except TariffError as error:
        return cannot_tell(str(error))
    carried, brought = (carried_amounts(each, tariff) for each in (bill.memory, memory.before))
    checked = CheckedBill(
        invoice, Verdict.MATCHES, "", tariff, bill, bands, sum(use_wh), carried=carried,
        brought=brought, demands=demand_details(bill, tariff, brought),
    )  # fmt: skip
    if checked.difference or invoice.total != bill.total:
        reason = f"the readings make {bill.total} {bill.currency}, not {invoice.total}"
        return replace(checked, verdict=Verdict.DIFFERS, reason=reason)
    missing = states.count(SlotState.MISSING)
    if missing != invoice.missing:
        reason = f"{missing_in_words(missing)}, the invoice says {invoice.missing}"
        return replace(checked, verdict=Verdict.DIFFERS, reason=reason)
    if memory.after not in (None, bill.memory):
        reason = "the readings leave something else for the next bill than was committed to"
        return replace(checked, verdict=Verdict.DIFFERS, reason=reason)
    return checked


def _readings(
    device: Device, registers: Sequence[Register], bounds: tuple[int, int], before: int | None
) -> dict[Register, list[DayUse]]:
    """Return the days of the registers; raise `PeriodIncomplete` where one is not there."""
    meters = {Register.IMPORT: device.main, Register.EXPORT: device.feed_in}
    uses = {}
    for register in registers:
        meter = meters[register]
        if meter is None:
            raise PeriodIncomplete("the tariff credits feed-in, this hub has no register of it")
        uses[register] = meter.uses(meter.period(*bounds), before)
    return uses


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """The verdict on a proof."""

    verdict: Verdict
    reason: str
    """Where it differs, or why it cannot be told; empty where it matches."""
    total: str | None = None
    """What the proof shows is to be paid; None where it shows nothing."""
    currency: str | None = None


class BillProofs(Protocol):
    """Checks the proof behind a bill: whoever serves the resident hands in one.

    What a supplier was proved lies in the hub: the applet's answer, to the byte, in the disclosure
    log, and the tariff in the applet's store. How the question and the proof are made is the
    applet's own business, of which the hub knows nothing (the command line does:
    `meterlet.commands.inspect.proofs`).
    """

    def bundle(self, device: Device, applet: bytes, invoice: Invoice) -> bytes:
        """Return everything that proves an invoice, for `meterlet bill verify`.

        Raises `InspectionError` where the hub has not all of it, or it is not what the invoice
        names as its evidence.
        """

    def check(self, device: Device, applet: bytes, invoice: Invoice) -> ProofCheck:
        """Return whether the proof the supplier has shows just this invoice."""
