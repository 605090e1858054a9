# SPDX-License-Identifier: Apache-2.0
"""A home with meters of electricity, gas (whose days begin at six) and water, and a gas bill."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.applet_host.store import AppletStore
from hub.description import Description
from hub.device import Device
from hub.disclosure import ConsentTerms, Form
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.slots import readings_of
from hub.meters.odd import Odd, OddTelegram
from hub.readings import Reading, Readout
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME, WATER_VOLUME, Period
from sml_codec import Obis
from tariffs import Tariff
from tariffs.invoice import Invoice
from tariffs.signing import sign_tariff
from tariffs.source import load_toml
from tests.support.command import ROOT
from tests.support.releases import sum_request

BERLIN = ZoneInfo("Europe/Berlin")
GAS = Description(b"LGB 22150101", (GAS_VOLUME,), "Europe/Berlin@06:00", 60)
WATER = Description(b"EFE 12345678", (WATER_VOLUME,), "Europe/Berlin", 60)
HOME = Description(
    b"\x0a\x01HOME", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15, None,
    {"gas": GAS, "water": WATER},
)  # fmt: skip
MARCH = Period.month(2025, 3)
NOON = int(datetime(2025, 4, 2, 12, tzinfo=BERLIN).timestamp())
SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
APPLETS = {"gas": bytes.fromhex("F04D544C010112"), "water": bytes.fromhex("F04D544C010113")}
TARIFFS = {
    name: load_toml((ROOT / "examples" / "tariffs" / f"de-{name}-2025.toml").read_text())
    for name in APPLETS
}
GAINS = {"": 130, "gas": 420, "water": 14}
"""What each meter gains in a slot, on average."""


def at(day: int, hour: int = 0, minute: int = 0, month: int = 3) -> int:
    """Return a moment of 2025."""
    return int(datetime(2025, month, day, hour, minute, tzinfo=BERLIN).timestamp())


def fill(device: Device) -> None:
    """Store readings of all meters, from March to noon of 2 April."""
    for meter in device.every_meter:
        [code] = meter.registers
        step, gain = 60 * meter.description.slot_minutes, GAINS[meter.name]
        register, readouts = 1_000, []
        for time in range(at(1), NOON + 1, step):
            readouts.append(Readout({code: Reading(time, register)}))
            register += gain // 2 + gain * (time // step % 24) // 24
        meter.store(readouts)
    device.certify()


def bill(device: Device, name: str, period: Period = MARCH, cents_too_much: int = 0) -> Invoice:
    """Put an invoice for a further meter, and its tariff, where its billing applet keeps them."""
    meter, tariff = device.meters[name], TARIFFS[name]
    made = bill_of(tariff, readings_of(meter, period))
    exact = made.total_exact + cents_too_much * 10 ** (made.exact_decimals - 2)
    begin, end = period.bounds(meter.description.zone)
    invoice = Invoice(
        number=3,
        issued=NOON,
        meter=meter.description.meter,
        begin=begin,
        end=end,
        currency=made.currency,
        total=made.rounding.text(exact, made.exact_decimals),
        exact=exact,
        decimals=made.exact_decimals,
        missing=0,
        tariff=tariff.digest,
        evidence=bytes(32),
    )
    keep(device, name, tariff, invoice)
    return invoice


def keep(device: Device, name: str, tariff: Tariff, invoice: Invoice) -> None:
    """Put documents of a supplier into its applet's store."""
    store = AppletStore(device.database, APPLETS[name], quota=1 << 18)
    store.put(b"resident/supplier-key", SUPPLIER.public_key().public_bytes_raw())
    store.put(b"resident/tariff/" + tariff.digest, sign_tariff(tariff, SUPPLIER, b"supplier"))
    store.put(b"resident/invoice/1", invoice.sign(SUPPLIER, b"supplier"))


def tell(device: Device, name: str, recipient: str, period: Period = MARCH) -> int:
    """Release the total of a meter's period to somebody; the entry's number."""
    meter = device.meters[name] if name else device
    about = meter.description
    subject = (APPLETS.get(name, b"power"), b"package", recipient, "billing", "linear")
    if not any(one.terms.subject == subject for one in device.disclosure.consents()):
        device.disclosure.grant(
            ConsentTerms(*subject, 1, 60, 9, 64, datetime(2030, 1, 1, tzinfo=BERLIN).date())
        )
    begin, end = period.bounds(about.zone)
    seconds = 60 * about.slot_minutes
    register = str(Obis(about.register)) if name else ""
    form = Form(begin, seconds, (1,) * ((end - begin) // seconds), register=register)
    request = sum_request(*subject[:4], period.day_count, form, bytes(32))
    return device.disclosure.permit(request).sequence


def set_aside(device: Device) -> None:
    """Set aside a telegram of the water meter."""
    odd = OddTelegram(
        Odd.LEAPT, "8-0:1.0.0*255 rose by 90,000 l in 60 s: more than flows through 16,000 l/h",
        0, NOON, WATER.meter, NOON + 60, {WATER_VOLUME: 90_000},
    )  # fmt: skip
    device.quarantine.add([odd])


def media_home(folder: Path) -> Device:
    """Make the home, with a bill of gas and of water, and what each supplier was told; open."""
    Device.create(folder, HOME, now=lambda: NOON).close()
    device = Device.open(folder, now=lambda: NOON)
    fill(device)
    for name in APPLETS:
        bill(device, name)
    tell(device, "", "supplier")
    tell(device, "gas", "gas supplier")
    set_aside(device)
    return device
