# SPDX-License-Identifier: Apache-2.0
"""The resident's check of invoices against the readings in the hub."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.applet_host.store import AppletStore
from hub.device import Description, Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import Verdict, check_invoices
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tariffs import Tariff, compute_bill
from tariffs.invoice import Invoice
from tariffs.signing import sign_tariff
from tariffs.source import load_toml

APPLET: Final = bytes.fromhex("F04D544C010101")
SUPPLIER: Final = Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
ZONE: Final = "Europe/Berlin"
NOW: Final = int(datetime(2025, 4, 6, tzinfo=ZoneInfo(ZONE)).timestamp())
WEEK: Final = Period(date(2025, 3, 24), date(2025, 3, 30))
SOURCE: Final = Path(__file__).resolve().parents[2] / "meterlet" / "demo" / "tariff.toml"


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), ZONE, 15)
    folder = tmp_path_factory.mktemp("home") / "hub"
    with Device.create(folder, description, now=lambda: NOW) as made:
        readings = SyntheticHousehold(ZONE).readings(date(2025, 3, 20), date(2025, 4, 4))
        made.main.vault.append(made.main.channel, readings)
        made.main.certify()
        yield made


@pytest.fixture
def store(device: Device, tariff: Tariff) -> AppletStore:
    kept = AppletStore(device.database, APPLET, 1 << 20)
    kept.clear()
    kept.put(b"resident/supplier-key", SUPPLIER.public_key().public_bytes_raw())
    kept.put(b"resident/tariff/" + tariff.digest, sign_tariff(tariff, SUPPLIER, b"key"))
    return kept


@pytest.fixture(scope="module")
def tariff() -> Tariff:
    return load_toml(SOURCE.read_text())


@pytest.fixture(scope="module")
def right(device: Device, tariff: Tariff) -> Invoice:
    """The invoice for a week with a clock change in it."""
    return invoice_for(device, tariff, WEEK)


def invoice_for(device: Device, tariff: Tariff, period: Period) -> Invoice:
    begin, end = period.bounds(ZONE)
    days = device.main.uses(period)
    bill = compute_bill(
        tariff,
        [time for day in days for time in day.grid.boundaries()[:-1]],
        900,
        [wh for day in days for wh in day.uses],
        [state for day in days for state in day.states],
    )
    return Invoice(
        number=4,
        issued=NOW,
        meter=emulated_meter_id(1),
        begin=begin,
        end=end,
        currency="EUR",
        total=bill.total,
        exact=bill.total_exact,
        decimals=bill.exact_decimals,
        missing=0,
        tariff=tariff.digest,
        evidence=bytes(32),
    )


def deliver(store: AppletStore, *invoices: Invoice) -> None:
    for invoice in invoices:
        key = b"resident/invoice/%d" % invoice.number
        store.put(key, invoice.sign(SUPPLIER, b"key"))


def verdicts(device: Device) -> list[tuple[int, Verdict]]:
    return [(done.invoice.number, done.verdict) for done in check_invoices(device, APPLET)]


def test_the_right_amount_matches(device: Device, store: AppletStore, right: Invoice) -> None:
    deliver(store, right)
    [checked] = check_invoices(device, APPLET)
    assert (checked.verdict, checked.reason) == (Verdict.MATCHES, "")
    assert checked.difference == Fraction(0)


def test_a_supplier_is_not_accused_of_what_depends_on_earlier_bills(
    device: Device, store: AppletStore, right: Invoice
) -> None:
    credit = '\n[[step]]\nname = "paid before"\nkind = "credit"\n'
    prepaid = load_toml(SOURCE.read_text() + credit)
    store.put(b"resident/tariff/" + prepaid.digest, sign_tariff(prepaid, SUPPLIER, b"key"))
    deliver(store, replace(right, tariff=prepaid.digest, total="0.00"))
    [checked] = check_invoices(device, APPLET)
    assert checked.verdict is Verdict.CANNOT_TELL
    assert checked.reason == "it does not say which bills of the contract it goes on from"


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({"total": "1000.00"}, Verdict.DIFFERS, "the readings make"),
        ({"exact": 1}, Verdict.DIFFERS, "the readings make"),
        ({"missing": 2}, Verdict.DIFFERS, "0 slots are missing, the invoice says 2"),
        ({"tariff": bytes(32)}, Verdict.CANNOT_TELL, "a tariff that was never sent"),
        ({"meter": b"another"}, Verdict.CANNOT_TELL, "another meter"),
        ({"begin": -3_600, "end": 82_800}, Verdict.CANNOT_TELL, "1970"),
    ],
)
def test_a_wrong_one_is_said_to_be_and_why(
    device: Device,
    store: AppletStore,
    right: Invoice,
    change: dict[str, int],
    verdict: Verdict,
    reason: str,
) -> None:
    deliver(store, replace(right, **change))  # type: ignore[arg-type]  # members of mixed types
    [checked] = check_invoices(device, APPLET)
    assert checked.verdict is verdict
    assert reason in checked.reason


def test_a_period_is_paid_once(
    device: Device, store: AppletStore, tariff: Tariff, right: Invoice
) -> None:
    again = replace(right, number=5, issued=NOW + 1)
    deliver(store, right, again)
    assert verdicts(device) == [(4, Verdict.MATCHES), (5, Verdict.DIFFERS)]
    deliver(store, right, replace(again, replaces=4))
    assert verdicts(device) == [(4, Verdict.MATCHES), (5, Verdict.MATCHES)]
    third = replace(again, number=6, issued=NOW + 2)
    deliver(store, replace(third, replaces=4))
    assert verdicts(device)[2] == (6, Verdict.DIFFERS)  # of 4 and 5, 5 still stands
    deliver(store, replace(third, replaces=5))
    assert verdicts(device)[2] == (6, Verdict.MATCHES)


def test_days_that_another_invoice_bills_are_not_billed_again(
    device: Device, store: AppletStore, tariff: Tariff, right: Invoice
) -> None:
    part = invoice_for(device, tariff, Period(date(2025, 3, 30), date(2025, 4, 2)))
    apart = invoice_for(device, tariff, Period(date(2025, 3, 31), date(2025, 4, 2)))
    deliver(store, right, replace(part, number=5, issued=NOW + 1))
    assert verdicts(device) == [(4, Verdict.MATCHES), (5, Verdict.DIFFERS)]
    deliver(store, replace(apart, number=5, issued=NOW + 1))
    assert verdicts(device) == [(4, Verdict.MATCHES), (5, Verdict.MATCHES)]


def test_what_another_signed_is_no_invoice(
    device: Device, store: AppletStore, right: Invoice
) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes([4] * 32))
    store.put(b"resident/invoice/4", right.sign(other, b"key"))
    with pytest.raises(InspectionError, match="signature"):
        check_invoices(device, APPLET)
    store.clear()
    with pytest.raises(InspectionError, match="no applet is installed that keeps bills"):
        check_invoices(device, APPLET)
