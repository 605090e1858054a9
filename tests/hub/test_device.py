# SPDX-License-Identifier: Apache-2.0
"""The hub as a whole, in one process: card, machine, guard and vault joined."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import check_bill
from applets.common.questions import CLA, About, Instruction
from hub.card.connection import CardConnection
from hub.card.open import Card
from hub.device import Description, Device, DeviceError
from hub.installer import InstallationError, Installer, build_package
from hub.machine.machine import AppletMachine
from hub.metering import ForeignDays
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.canonical.signing import key_id_of
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from protocols.secure_channel.errors import CardRefused
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.session import SecurityLevel
from tariffs import Tariff, compute_bill
from tariffs.signing import sign_tariff
from tariffs.source import load_toml

ROOT = Path(__file__).resolve().parents[2]
MARCH = Period.month(2025, 3)
VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
TARIFF = load_toml((ROOT / "meterlet" / "demo" / "tariff.toml").read_text())
NOW = 1_743_500_000


def sure(size: int, _state: list[int] = [0]) -> bytes:  # noqa: B006 - a counter on purpose
    """Bytes that never repeat and are the same in every run."""
    _state[0] += 1
    return (_state[0].to_bytes(8, "big") * size)[:size]


@dataclass(slots=True)
class Home:
    device: Device
    card: Card
    enrolment: Enrolment

    def client(self, connection: CardConnection | None = None) -> CardClient:
        """A peer that holds the channel's keys."""
        connection = connection or self.card.connect()
        client = CardClient(connection.transmit)
        client.select(self.enrolment.applet)
        client.open_scp03(self.enrolment.keys, bytes(8))
        return client

    def question(
        self, tariff: Tariff = TARIFF, signer: Ed25519PrivateKey = SUPPLIER
    ) -> BillQuestion:
        begin, end = MARCH.bounds(self.device.description.zone)
        document = sign_tariff(tariff, signer, key_id_of(signer.public_key()))
        return BillQuestion(About(self.enrolment.meter, begin, end, sure(16)), document)

    def ask(self, question: BillQuestion | bytes) -> ResponseApdu:
        data = question if isinstance(question, bytes) else question.encode()
        command = CommandApdu(CLA, Instruction.ASK, 0, 0, data, le=65_536, extended=True)
        return self.client().send(command)


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return build_package(ROOT / "applets" / "billing", VENDOR, [ROOT])


@pytest.fixture
def make_home(
    tmp_path: Path, machine: AppletMachine, bundle: bytes
) -> Iterator[Callable[[], Home]]:
    opened: list[Device] = []

    def make() -> Home:
        description = Description(
            emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15
        )
        device = Device.create(tmp_path / "hub", description, now=lambda: NOW)
        opened.append(device)
        pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        house = SyntheticHousehold("Europe/Berlin")
        device.main.vault.append(
            device.main.channel, house.readings(date(2025, 3, 1), date(2025, 3, 31))
        )
        device.main.certify()
        card = device.card(machine)
        installer, supplier = Installer(device, card), SUPPLIER.public_key().public_bytes_raw()
        return Home(device, card, installer.install(installer.read(bundle), supplier))

    yield make
    for device in opened:
        device.close()


@pytest.fixture
def home(make_home: Callable[[], Home]) -> Home:
    return make_home()


def test_the_applet_answers_with_a_bill_that_checks(home: Home) -> None:
    question = home.question()
    response = home.ask(question)
    assert response.sw == 0x9000
    series = home.device.main.certifier.series
    certifier = home.device.main.certifier.keys.public_key
    verified = check_bill(question, response.data, TARIFF, MARCH, series, certifier)
    uses = [wh for use in home.device.main.uses(MARCH) for wh in use.uses]
    begin, end = question.about.begin, question.about.end
    plain = compute_bill(TARIFF, range(begin, end, 900), 900, uses)
    total = BillAnswer.decode(response.data).total
    assert str(total) == str(verified.total) == plain.total == "127.46"
    prices = TARIFF.prices(range(begin, end, 900), 900)
    exact = sum(p * wh for p, wh in zip(prices, uses, strict=True))
    for told in (exact, plain.total_exact):  # not in the message that leaves the house
        assert f"{told:x}" not in response.data.hex()


def test_what_left_is_on_record_to_the_byte(home: Home) -> None:
    response = home.ask(home.question())
    log = home.device.disclosure.log
    (message,) = log.entries("message")
    assert log.content(message) == response.data
    (release,) = home.device.disclosure.releases()
    assert release.subject == TARIFF.digest
    assert log.verify() == len(list(log.entries()))


@pytest.mark.parametrize("level", [SecurityLevel.NONE, SecurityLevel.C_MAC])
def test_a_channel_that_does_not_protect_answers_gets_none(
    home: Home, level: SecurityLevel
) -> None:
    client = CardClient(home.card.connect().transmit)
    client.select(home.enrolment.applet)
    client.open_scp03(home.enrolment.keys, bytes(8), level=level)
    command = CommandApdu(CLA, Instruction.ASK, 0, 0, home.question().encode(), le=65_536)
    assert client.send(command).sw == 0x6982
    assert home.device.disclosure.releases() == []


def test_without_a_channel_there_is_no_answer(home: Home) -> None:
    client = CardClient(home.card.connect().transmit)
    client.select(home.enrolment.applet)
    command = CommandApdu(CLA, Instruction.ASK, 0, 0, home.question().encode(), le=65_536)
    assert client.send(command).sw == 0x6982


def test_a_revoked_consent_is_refused_at_the_next_question(home: Home) -> None:
    assert home.ask(home.question()).sw == 0x9000
    home.device.disclosure.revoke(1)
    assert home.ask(home.question()).sw == 0x6985
    (refusal,) = home.device.disclosure.log.entries("refusal")
    assert refusal.facts["why"] == "consent: number 1 was revoked"


def test_a_tariff_that_the_supplier_did_not_sign_is_refused(home: Home) -> None:
    assert home.ask(home.question(signer=VENDOR)).sw == 0x6A80
    assert home.device.disclosure.releases() == []


def test_a_tariff_of_another_year_is_refused(home: Home) -> None:
    source = (ROOT / "examples" / "tariffs" / "gb-economy7-2013.toml").read_text()
    assert home.ask(home.question(load_toml(source))).sw == 0x6A80
    assert home.device.disclosure.releases() == []


@pytest.mark.parametrize("data", [b"", b"\x76", b"not SML at all", bytes(5000)])
def test_garbage_gets_a_status_word_and_the_next_question_an_answer(
    home: Home, data: bytes
) -> None:
    assert home.ask(data).sw in (0x6A80, 0x6700)
    assert home.ask(home.question()).sw == 0x9000


def test_a_month_that_is_not_over_cannot_be_billed(home: Home) -> None:
    april = Period.month(2025, 4).bounds("Europe/Berlin")
    question = home.question()
    about = question.about
    late = replace(question, about=About(about.meter, *april, about.nonce))
    assert home.ask(late).sw == 0x6A83
    askew = replace(question, about=replace(about, begin=about.begin + 900))
    assert home.ask(askew).sw == 0x6A80


def test_everything_survives_a_restart(home: Home, machine: AppletMachine) -> None:
    first = home.ask(home.question())
    folder = home.device.folder
    home.device.close()
    with Device.open(folder, now=lambda: NOW) as device:
        again = Home(device, device.card(machine), home.enrolment)
        assert again.ask(again.question()).sw == first.sw == 0x9000
        assert len(device.disclosure.releases()) == 2
        assert device.main.certify() == 0


def test_an_applet_is_installed_once_and_removed_whole(home: Home, bundle: bytes) -> None:
    supplier = SUPPLIER.public_key().public_bytes_raw()
    installer = Installer(home.device, home.card)
    package = installer.read(bundle)
    with pytest.raises(InstallationError, match="installed already"):
        installer.install(package, supplier)
    installer.remove(home.enrolment.applet)
    assert home.device.documents(home.enrolment.applet) == {}
    assert all(consent.revoked for consent in home.device.disclosure.consents())
    again = installer.install(package, supplier)
    assert again.keys != home.enrolment.keys
    assert Home(home.device, home.card, again).ask(home.question()).sw == 0x9000


def test_a_locked_applet_answers_nobody_until_it_is_unlocked(home: Home) -> None:
    installer = Installer(home.device, home.card)
    installer.lock(home.enrolment.applet)
    with pytest.raises(CardRefused):
        home.ask(home.question())
    installer.unlock(home.enrolment.applet)
    assert home.ask(home.question()).sw == 0x9000


def test_an_applet_that_a_tool_installed_tells_nothing_before_the_resident_consents(
    home: Home,
) -> None:
    for consent in home.device.disclosure.consents():
        home.device.disclosure.revoke(consent.number)
    assert home.ask(home.question()).sw == 0x6985
    installer = Installer(home.device, home.card)
    installer.consent(installer.bundle(home.enrolment.applet))
    assert home.ask(home.question()).sw == 0x9000


def test_a_package_of_an_unknown_vendor_is_refused(home: Home) -> None:
    foreign = build_package(ROOT / "applets" / "billing", SUPPLIER, [ROOT])
    with pytest.raises(InstallationError, match="signed by nobody who is trusted"):
        Installer(home.device, home.card).read(foreign)


def test_a_supplier_key_of_a_wrong_size_leaves_nothing_installed(home: Home, bundle: bytes) -> None:
    installer = Installer(home.device, home.card)
    installer.remove(home.enrolment.applet)
    before = home.card.entries()
    with pytest.raises(InstallationError, match="6A80"):
        installer.install(installer.read(bundle), b"short")
    assert home.card.entries() == before
    assert all(consent.revoked for consent in home.device.disclosure.consents())


def test_a_hub_with_another_hubs_parts_is_refused(
    home: Home, machine: AppletMachine, tmp_path: Path
) -> None:
    folder = home.device.folder
    other = Description(emulated_meter_id(2), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "other", other):
        pass
    right = (folder / "hub.toml").read_text()
    (folder / "hub.toml").write_text(other.to_toml())
    with pytest.raises(DeviceError, match=r"hub\.toml: of meter 0a014d544c0000000002"):
        Device.open(folder)
    (folder / "hub.toml").write_text(right)
    name = "issuer.key"
    kept = (folder / "keys" / name).read_bytes()
    (folder / "keys" / name).write_bytes((tmp_path / "other" / "keys" / name).read_bytes())
    with (
        Device.open(folder) as device,
        pytest.raises(InstallationError, match="the issuer's key does not open the card"),
    ):
        Installer(device, device.card(machine)).entries()
    (folder / "keys" / name).write_bytes(kept)
    name = "certifier.key"
    (folder / "keys" / name).write_bytes((tmp_path / "other" / "keys" / name).read_bytes())
    with Device.open(folder) as device:
        with pytest.raises(ForeignDays, match="not the certifier's key"):
            device.main.certify()
        with pytest.raises(ForeignDays, match="not the certifier's key"):
            device.card(machine)
