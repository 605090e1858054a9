# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.applet_host.store import AppletStore
from hub.device import Description, Device
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.slots import readings_of
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Reading, ReadingFlag
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tariffs import Tariff
from tariffs.invoice import Invoice
from tariffs.signing import sign_tariff
from tariffs.source import load_toml

ROOT = Path(__file__).resolve().parents[3]
NOON = 1_743_501_600
"""2025-04-01T12:00:00+02:00."""
GAP = (1_742_900_400, 1_742_911_200)
"""2025-03-25, 12:00 to 15:00: nothing is known."""

NewDevice = Callable[[], Device]


def with_gap(readings: Iterator[Reading]) -> Iterator[Reading]:
    """A household whose register stood still for three hours."""
    lost, before = 0, 0
    for reading in readings:
        if GAP[0] < reading.time <= GAP[1]:
            lost += reading.register_wh - before
        resumed = ReadingFlag.RESUMED if reading.time == GAP[1] else ReadingFlag.NONE
        before = reading.register_wh
        if not GAP[0] < reading.time < GAP[1] and reading.time <= NOON:
            yield Reading(reading.time, reading.register_wh - lost, resumed)


def household(folder: Path) -> Device:
    """From 20 March (the clock changes on the 30th) to noon of 1 April 2025, with a gap."""
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    device = Device.create(folder, description, now=lambda: NOON)
    house = SyntheticHousehold("Europe/Berlin")
    readings = house.readings(date(2025, 3, 20), date(2025, 4, 1), 300)
    device.main.vault.append(device.main.channel, with_gap(readings))
    device.main.certify()
    return device


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with household(tmp_path / "hub") as device:
        yield device


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """For tests that only look."""
    with household(tmp_path_factory.mktemp("home") / "hub") as device:
        yield device


@pytest.fixture(scope="session")
def tariff() -> Tariff:
    return load_toml((ROOT / "meterlet" / "demo" / "tariff.toml").read_text())


@pytest.fixture(scope="session")
def book(tariff: Tariff) -> TariffBook:
    return TariffBook.only(tariff)


SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
APPLET = bytes.fromhex("F04D544C010101")
DAYS = Period(date(2025, 3, 20), date(2025, 3, 31))


def put_documents(device: Device, tariff: Tariff, *, cents_too_much: int = 0) -> Invoice:
    """What a billing applet keeps for the resident: key, tariff, and an invoice for `DAYS`."""
    bill = bill_of(tariff, readings_of(device, DAYS))
    wrong = cents_too_much * 10 ** (bill.exact_decimals - 2)
    exact = bill.total_exact + wrong
    invoice = Invoice(
        number=7,
        issued=NOON,
        meter=device.description.meter,
        begin=bill.begin,
        end=bill.end,
        currency=bill.currency,
        total=bill.rounding.text(exact, bill.exact_decimals),
        exact=exact,
        decimals=bill.exact_decimals,
        missing=len(bill.missing_slots),
        tariff=tariff.digest,
        evidence=bytes(32),
    )
    store = AppletStore(device.database, APPLET, quota=1 << 18)
    store.put(b"resident/supplier-key", SUPPLIER.public_key().public_bytes_raw())
    store.put(b"resident/tariff/" + tariff.digest, sign_tariff(tariff, SUPPLIER, b"supplier"))
    store.put(b"resident/invoice/1", invoice.sign(SUPPLIER, b"supplier"))
    return invoice
