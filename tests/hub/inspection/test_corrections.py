# SPDX-License-Identifier: Apache-2.0
"""What the resident sees of corrections: the readings, both bills and the difference."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from hub.applet_host.store import AppletStore
from hub.device import Device
from hub.inspection.api.json_bills import invoice_json
from hub.inspection.api.json_readings import readings_json
from hub.inspection.store import open_inspection
from hub.inspection.views.bill import CheckedBill, Verdict, check_invoices
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.readings import readings_view
from hub.inspection.views.slots import readings_of
from hub.readings import Reading, Readout
from protocols.metrology import Period
from tariffs import Tariff
from tariffs.invoice import CorrectedSlots, Invoice
from tests.hub.inspection.conftest import APPLET, DAYS, GAP, SUPPLIER, put_documents

DAY = date(2025, 3, 25)


def fill_the_gap(device: Device) -> None:
    """Bring the three hours' readings: 100 Wh each quarter-hour, counted from 0."""
    times = range(GAP[0], GAP[1] + 1, 900)
    device.correct(
        [
            Readout({device.description.register: Reading(time, 100 * place)})
            for place, time in enumerate(times)
        ],
        is_interval_data=True,
    )


def put_corrected_invoice(device: Device, tariff: Tariff, first: Invoice) -> Invoice:
    """What the supplier sends after it asked again."""
    bill = bill_of(tariff, readings_of(device, DAYS))
    total = bill.total
    invoice = replace(
        first, number=8, issued=first.issued + 60, total=total, missing=0, exact=None,
        decimals=None, replaces=7, difference=f"{Decimal(total) - Decimal(first.total)}",
        corrected=(CorrectedSlots(DAY, 12),),
    )  # fmt: skip
    store = AppletStore(device.database, APPLET, quota=1 << 18)
    store.put(b"resident/invoice/2", invoice.sign(SUPPLIER, b"supplier"))
    return invoice


@pytest.fixture
def billed(device: Device, tariff: Tariff) -> tuple[Device, Invoice]:
    """A home that was billed with the gap."""
    return device, put_documents(device, tariff)


def both(device: Device) -> tuple[CheckedBill, CheckedBill]:
    first, second = check_invoices(device, APPLET)
    return first, second


def test_a_bill_of_before_was_right_then_and_says_what_was_corrected_since(
    billed: tuple[Device, Invoice],
) -> None:
    device, _ = billed
    [checked] = check_invoices(device, APPLET)
    assert (checked.verdict, checked.corrected_since) == (Verdict.MATCHES, ())
    fill_the_gap(device)
    [checked] = check_invoices(device, APPLET)
    assert checked.verdict is Verdict.MATCHES
    assert [(one.day, one.slots) for one in checked.corrected_since] == [(DAY, 12)]
    assert checked.replaced_by is None


def test_both_bills_and_their_difference_are_shown(
    billed: tuple[Device, Invoice], tariff: Tariff
) -> None:
    device, invoice = billed
    fill_the_gap(device)
    later = put_corrected_invoice(device, tariff, invoice)
    first, second = both(device)
    assert (first.verdict, first.replaced_by) == (Verdict.MATCHES, 8)
    assert (second.verdict, second.replaced_by) == (Verdict.MATCHES, None)
    assert second.corrected_since == ()
    facts = invoice_json(second, device.zone).as_json()
    assert facts["difference_to_replaced"] == later.difference
    assert facts["corrected_days"] == [{"day": "2025-03-25", "slots": 12}]
    assert Decimal(str(later.difference)) > 0


def test_a_difference_that_is_another_one_is_found(
    billed: tuple[Device, Invoice], tariff: Tariff
) -> None:
    device, invoice = billed
    fill_the_gap(device)
    later = put_corrected_invoice(device, tariff, invoice)
    lie = replace(later, difference="0.01")
    store = AppletStore(device.database, APPLET, quota=1 << 18)
    store.put(b"resident/invoice/2", lie.sign(SUPPLIER, b"supplier"))
    _, second = both(device)
    assert second.verdict is Verdict.DIFFERS
    assert second.reason == f"it says 0.01 to invoice 7, not {later.difference}"


def test_readings_say_which_days_were_corrected_and_kept_sums_are_made_anew(
    device: Device, book: TariffBook
) -> None:
    march = Period(date(2025, 3, 1), date(2025, 3, 31))
    with open_inspection(device) as database:
        kept = BucketCache.of(device, database)
        before = readings_view(device, march, By.MONTH, book, kept)
        assert (before.corrected, before.total.states.missing) == ((), 12)
        fill_the_gap(device)
        after = readings_view(device, march, By.MONTH, book, kept)
    assert after.total.states.missing == 0
    assert after.total.energy_wh == (before.total.energy_wh or 0) + 1200
    assert readings_json(after).as_json()["corrected_days"] == [{"day": "2025-03-25", "slots": 12}]


def test_an_invoice_says_a_difference_of_corrected_days_alone(
    billed: tuple[Device, Invoice], tariff: Tariff
) -> None:
    device, invoice = billed
    fill_the_gap(device)
    later = put_corrected_invoice(device, tariff, invoice)
    key = SUPPLIER.public_key()
    assert Invoice.verify(later.sign(SUPPLIER, b"supplier"), key) == later
    for change in ({"difference": None}, {"corrected": ()}, {"replaces": 0}):
        with pytest.raises(ValueError, match="a difference is"):
            replace(later, **change)
