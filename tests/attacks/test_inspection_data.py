# SPDX-License-Identifier: Apache-2.0
"""What somebody who can write into the hub's folder, or name a tariff, must not get from it."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.applet_host.store import AppletStore
from hub.device import Description, Device
from hub.inspection.api.tokens import Scope, TokenRefused, Tokens
from hub.inspection.attack.attack import attack
from hub.inspection.errors import InspectionError
from hub.inspection.export.csv_rows import readings_rows
from hub.inspection.store import open_inspection
from hub.inspection.views.bill import check_invoices
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook, tariff_book
from hub.inspection.views.readings import readings_view
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.vault.database import DatabaseError
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tariffs import Tariff
from tariffs.signing import sign_tariff
from tariffs.source import load_toml

DAYS = Period(date(2025, 3, 3), date(2025, 3, 5))
SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
APPLET = bytes.fromhex("F04D544C010101")
SOURCE = """
format = 1
name = "bands"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = {{ rule = "half-up", decimals = 2 }}

[[charge]]
name = "energy"
kind = "energy"

[[charge.band]]
name = '{band}'
price = "0.30"
when = {{ days = "Mon-Fri", times = "00:00-24:00" }}

[[charge.band]]
name = "rest"
price = "0.20"
"""


def tariff(band: str = "day") -> Tariff:
    return load_toml(SOURCE.format(band=band))


def new_hub(folder: Path, seed: int) -> Device:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    device = Device.create(folder, description, now=lambda: 1_741_500_000)
    readings = SyntheticHousehold("Europe/Berlin", seed).readings(DAYS.first, DAYS.last)
    device.main.vault.append(device.main.channel, readings)
    device.main.certify()
    return device


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    with new_hub(tmp_path / "one", 1) as one, new_hub(tmp_path / "two", 2) as two:
        yield one, two


def test_sums_kept_by_another_hub_are_not_believed(hubs: tuple[Device, Device]) -> None:
    one, two = hubs
    book = TariffBook.only(tariff())
    right = readings_view(two, DAYS, By.DAY, book)
    with open_inspection(one) as database:
        readings_view(one, DAYS, By.DAY, book, BucketCache.of(one, database))
    shutil.copy(one.folder / "inspection.db", two.folder / "inspection.db")
    with open_inspection(two) as database:
        kept = BucketCache.of(two, database)
        assert readings_view(two, DAYS, By.DAY, book, kept) == right
        assert readings_view(two, DAYS, By.DAY, book, kept) == right


def test_a_sum_kept_before_the_days_were_certified_otherwise_is_not_believed(
    hubs: tuple[Device, Device], tmp_path: Path
) -> None:
    one, _ = hubs
    with open_inspection(one) as database:
        readings_view(one, DAYS, By.DAY, None, BucketCache.of(one, database))
    twin = tmp_path / "twin"
    shutil.copytree(one.folder, twin)
    with Device.open(twin) as device:
        # The same keys, the same times, other readings: as after a restored snapshot.
        connection = device.database.connection
        for trigger in ("reading_is", "day_is", "slots_are"):
            connection.execute(f"DROP TRIGGER {trigger}_never_deleted")
        for table in ("reading", "certified_day", "signed_slots"):
            connection.execute(f"DELETE FROM {table}")
        readings = SyntheticHousehold("Europe/Berlin", 9).readings(DAYS.first, DAYS.last)
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        right = readings_view(device, DAYS, By.DAY)
        with open_inspection(device) as database:
            kept = BucketCache.of(device, database)
            assert readings_view(device, DAYS, By.DAY, None, kept) == right


def test_a_token_opens_one_hub_only(hubs: tuple[Device, Device]) -> None:
    one, two = hubs
    with open_inspection(one) as database:
        _, text = Tokens(database, one).create("home", [Scope.READINGS])
        assert Tokens(database, one).authenticate(text).name == "home"
        for wrong in (text[:-1] + "=", text + "A", text.replace("mlt_1", "mlt_01"), text.upper()):
            with pytest.raises(TokenRefused):
                Tokens(database, one).authenticate(wrong)
    with open_inspection(two) as database, pytest.raises(TokenRefused):
        Tokens(database, two).create("other", [Scope.READINGS])
        Tokens(database, two).authenticate(text)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        (b"resident/tariff/x", sign_tariff(tariff(), STRANGER, b"stranger")),
        (b"resident/tariff/x", tariff().encode()),
        (b"resident/invoice/x", sign_tariff(tariff(), SUPPLIER, b"supplier")),
        (b"resident/invoice/x", b""),
    ],
)
def test_a_document_the_supplier_did_not_sign_prices_nothing(
    hubs: tuple[Device, Device], name: bytes, document: bytes
) -> None:
    one, _ = hubs
    store = AppletStore(one.database, APPLET, quota=1 << 16)
    store.put(b"resident/supplier-key", SUPPLIER.public_key().public_bytes_raw())
    store.put(name, document)
    with pytest.raises(InspectionError, match="a document in the applet's store"):
        check_invoices(one, APPLET)
    book = tariff_book(one)
    assert book.tariffs == ()
    [problem] = book.problems
    assert problem.startswith("applet F04D544C010101: a document in the applet's store")
    view = readings_view(one, DAYS, By.DAY, book)
    assert view.total.energy_wh is not None  # the rest is shown all the same
    assert view.total.cost is None


@pytest.mark.parametrize("band", ["=1+1", "+cmd", "-2", "@SUM(A1)", "<script>x</script>"])
def test_a_band_s_name_is_no_formula_for_a_spreadsheet(
    hubs: tuple[Device, Device], band: str
) -> None:
    one, _ = hubs
    _, *rows = readings_rows(readings_view(one, DAYS, By.DAY, TariffBook.only(tariff(band))))
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_a_stranger_s_kept_file_is_not_opened(hubs: tuple[Device, Device]) -> None:
    one, _ = hubs
    (one.folder / "inspection.db").write_bytes(b"SQLite format 3\x00" + bytes(4080))
    with pytest.raises(DatabaseError, match="inspection.db"):
        open_inspection(one)


def test_the_attack_is_bounded(hubs: tuple[Device, Device]) -> None:
    one, _ = hubs
    with pytest.raises(InspectionError, match="31 days at most"):
        attack(one, Period(date(2000, 1, 1), date(2100, 1, 1)))


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ("UPDATE api_token SET scopes = 'bills device readings releases' WHERE number = 1", 1),
        ("UPDATE api_token SET name = 'kitchen' WHERE number = 1", 1),
        ("UPDATE api_token SET digest = (SELECT digest FROM api_token WHERE number = 1)", 2),
        ("INSERT INTO api_token (number, name, digest, scopes, created)"
         " SELECT 7, name, digest, scopes, created FROM api_token WHERE number = 1", 7),
        ("UPDATE api_token SET number = 8 WHERE number = 1", 8),
    ],
)  # fmt: skip
def test_a_token_that_was_made_or_widened_in_the_file_opens_nothing(
    hubs: tuple[Device, Device], change: str, number: int
) -> None:
    device, _ = hubs
    with open_inspection(device) as database:
        tokens = Tokens(database, device)
        _, text = tokens.create("display", [Scope.DEVICE])
        tokens.create("other", [Scope.READINGS])
        assert tokens.authenticate(text).scopes == {Scope.DEVICE}
        database.connection.execute(change)
        with pytest.raises(TokenRefused):
            tokens.authenticate(text.replace("mlt_1_", f"mlt_{number}_"))


def test_a_revoked_token_is_not_brought_back_in_the_file(hubs: tuple[Device, Device]) -> None:
    device, _ = hubs
    with open_inspection(device) as database:
        tokens = Tokens(database, device)
        _, text = tokens.create("display", [Scope.DEVICE])
        tokens.revoke(1)
        database.connection.execute("UPDATE api_token SET revoked = NULL")
        with pytest.raises(TokenRefused):
            tokens.authenticate(text)
