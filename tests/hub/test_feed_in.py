# SPDX-License-Identifier: Apache-2.0
"""A hub whose meter counts what is drawn and what is fed in: from readouts to a checked bill."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from applets.billing.messages import BillQuestion
from applets.billing.statement import VerifiedBill, check_bill
from applets.common.questions import CLA, About, Instruction
from hub.applet_host.desk import StatementDesk
from hub.applet_host.jobs import ProofJobs
from hub.applet_host.registers import granted_registers
from hub.applet_host.services import HubCalendar, HubReadings
from hub.applet_host.statements import HubStatements
from hub.applet_host.store import AppletStore
from hub.card.open import Card
from hub.device import Description, Device, DeviceError
from hub.disclosure import ReleaseRefused
from hub.inspection.views.bill import Verdict, check_invoices
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.slots import readings_of
from hub.installer import Installer, build_package, consent_terms
from hub.machine.errors import ManifestError
from hub.machine.machine import AppletMachine
from hub.machine.manifest import Manifest
from hub.machine.meter import WorkMeter
from hub.meters.emulated import emulated_meter_id, telegrams
from hub.meters.replay import CsvReplay, EnergyUnit, parse_zone
from hub.meters.simulator import SyntheticHousehold
from hub.meters.sml_intake import SmlIntake
from hub.readings import Reading, Readout
from hub.vault.vault import ReadingRefused
from meterlet.commands.manifest_words import about_feed_in
from meterlet.demo.sample_hub import SampleHome, SampleHub
from protocols.amounts import Metered, QuotientRule, SlotForm, Sum, Total, encode_amounts
from protocols.canonical.signing import key_id_of
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, Period
from protocols.platform.errors import Refusal, Refused
from protocols.secure_channel.host import CardClient
from tariffs import Register, Tariff, compute_bill
from tariffs.invoice import Invoice
from tariffs.signing import sign_tariff
from tariffs.source import load_toml
from tests.support.applet_commands import at_work
from tests.support.shared import require_shared
from tests.support.two_registers import CREDIT, ENERGY, SOLAR_HOME, tariff_of

ROOT = Path(__file__).resolve().parents[2]
MARCH = Period.month(2025, 3)
ZONE = "Europe/Berlin"
VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
TARIFF = load_toml((ROOT / "examples/tariffs/de-feed-in-2025.toml").read_text())
PLAIN = load_toml((ROOT / "meterlet/demo/tariff.toml").read_text())
MANIFEST = Manifest.from_toml((ROOT / "applets/billing/manifest.toml").read_text())
DRAWN, FED_IN = "1-0:1.8.0*255", "1-0:2.8.0*255"
METER = emulated_meter_id(1)
ONE = Description(METER, (ACTIVE_ENERGY_IMPORT,), ZONE, 15)
TWO = replace(ONE, registers=(ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT))
NOW = 1_743_500_000
WORK_IN_PROGRESS = 0x9300


@dataclass(slots=True)
class Home:
    device: Device
    card: Card
    enrolment: Enrolment
    asked: int = 0

    def question(self, tariff: Tariff = TARIFF) -> BillQuestion:
        self.asked += 1
        document = sign_tariff(tariff, SUPPLIER, key_id_of(SUPPLIER.public_key()))
        nonce = self.asked.to_bytes(16, "big")
        return BillQuestion(About(METER, *MARCH.bounds(ZONE), nonce), document)

    def ask(self, question: BillQuestion) -> ResponseApdu:
        client = CardClient(self.card.connect().transmit)
        client.select(self.enrolment.applet)
        client.open_scp03(self.enrolment.keys, bytes(8))
        command = CommandApdu(
            CLA, Instruction.ASK, 0, 0, question.encode(), le=65_536, extended=True
        )
        for _ in range(600):  # a proof over two registers takes more than half a second
            response = client.send(command)
            if response.sw != WORK_IN_PROGRESS:
                break
            time.sleep(0.05)
        return response

    def check(self, question: BillQuestion, data: bytes, tariff: Tariff = TARIFF) -> VerifiedBill:
        series = self.device.main.certifier.series
        certifier = self.device.main.certifier.keys.public_key
        return check_bill(
            question, data, tariff, MARCH, series, certifier, self.enrolment.feed_in_register
        )


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return build_package(ROOT / "applets" / "billing", VENDOR, [ROOT])


@pytest.fixture(scope="module")
def make_home(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine, bundle: bytes
) -> Iterator[Callable[[Description], Home]]:
    with ExitStack() as stack:

        def make(description: Description, readouts: Iterable[Readout] | None = None) -> Home:
            folder = tmp_path_factory.mktemp("home") / "hub"
            device = stack.enter_context(Device.create(folder, description, now=lambda: NOW))
            pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (folder / "vendors" / "vendor.pem").write_bytes(pem)
            door = SmlIntake(METER, description.registers, device.now)
            house = SyntheticHousehold(ZONE, solar_watts_peak=8000)
            sent = telegrams(METER, readouts or house.readouts(MARCH.first, MARCH.last))
            device.store(door.feed(b"".join(sent)) + door.close())
            assert device.certify() == 31
            card = device.card(machine)
            installer, supplier = Installer(device, card), SUPPLIER.public_key().public_bytes_raw()
            return Home(device, card, installer.install(installer.read(bundle), supplier))

        yield make


@pytest.fixture(scope="module")
def home(make_home: Callable[[Description], Home]) -> Home:
    return make_home(TWO)


def test_the_hub_answers_with_a_bill_whose_feed_in_is_proved(home: Home) -> None:
    question = home.question()
    response = home.ask(question)
    assert response.sw == 0x9000
    verified = home.check(question, response.data)
    device = home.device
    assert device.feed_in is not None
    drawn, fed_in = (
        [wh for use in meter.uses(MARCH) for wh in use.uses] for meter in device.registers.values()
    )
    begin, end = MARCH.bounds(ZONE)
    plain = compute_bill(TARIFF, range(begin, end, 900), 900, drawn, export_wh=fed_in)
    assert (str(verified.total), verified.registers) == (
        plain.total,
        (Register.IMPORT, Register.EXPORT),
    )
    credit = next(one for one in plain.items if one.component == "EEG feed-in")
    assert credit.quantity == sum(fed_in) > 200_000
    assert Fraction(credit.amount_exact, 10**plain.exact_decimals) == -Fraction(
        sum(fed_in) * 794, 10**7
    )


def test_what_was_told_is_on_record_for_each_register(home: Home) -> None:
    before = home.device.disclosure.releases()
    assert home.ask(home.question()).sw == 0x9000
    releases = home.device.disclosure.releases()[len(before) :]
    assert [[form.register for form in one.forms] for one in releases] == [["", FED_IN]]
    known = home.device.disclosure.knowledge()
    assert (known.slots, known.numbers) == (2 * 2972, 1)


def test_one_register_is_asked_about_where_the_tariff_bills_one(home: Home) -> None:
    question = home.question(PLAIN)
    response = home.ask(question)
    assert response.sw == 0x9000
    assert home.check(question, response.data, PLAIN).registers == (Register.IMPORT,)


def test_a_hub_without_the_register_says_so_before_it_tells_anything(
    make_home: Callable[[Description], Home],
) -> None:
    home = make_home(ONE)
    assert home.enrolment.feed_in_register is None
    assert home.ask(home.question()).sw == 0x6A81
    assert home.device.disclosure.releases() == []
    assert home.ask(home.question(PLAIN)).sw == 0x9000


def test_a_real_home_is_billed_by_the_hubs_own_parts_over_a_clock_change(
    make_home: Callable[..., Home],
) -> None:
    """October 2011 in Sydney: metered gross, half-hourly, a day of 46 slots (Ausgrid)."""
    month, zone = Period.month(2011, 10), "Australia/Sydney"
    begin, end = month.bounds(zone)
    columns = {ACTIVE_ENERGY_IMPORT: "consumption_kWh", ACTIVE_ENERGY_EXPORT: "pv_generation_kWh"}
    zone_of_file = parse_zone("Etc/GMT-10")
    replay = CsvReplay(require_shared(SOLAR_HOME), columns, EnergyUnit.KWH, 1800, zone_of_file)
    description = Description(METER, (ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT), zone, 30)
    home = make_home(description, list(replay.readouts(begin, end)))
    tariff = tariff_of(ENERGY, CREDIT, zone=zone)
    question = home.question(tariff)
    question = replace(question, about=replace(question.about, begin=begin, end=end))
    response = home.ask(question)
    assert response.sw == 0x9000
    verified = check_bill(
        question, response.data, tariff, month, home.device.main.certifier.series,
        home.device.main.certifier.keys.public_key, ACTIVE_ENERGY_EXPORT,
    )  # fmt: skip
    assert (verified.days, verified.slots, verified.missing) == (31, 1486, ())
    drawn, fed_in = (
        sum(wh for use in meter.uses(month) for wh in use.uses)
        for meter in home.device.registers.values()
    )
    owed = Fraction(drawn, 1000) * Fraction("0.2") - Fraction(fed_in, 1000) * Fraction("0.0794")
    assert Fraction(verified.total) == Fraction(round(owed * 100), 100)


# What the resident is told


def test_an_invoice_is_checked_with_both_registers_or_it_cannot_be_told_why(
    home: Home, make_home: Callable[[Description], Home]
) -> None:
    bill = bill_of(TARIFF, readings_of(home.device, MARCH))
    invoice = Invoice(
        number=1, issued=NOW, meter=METER, begin=bill.begin, end=bill.end, currency="EUR",
        total=bill.total, missing=0, tariff=TARIFF.digest, evidence=bytes(32),
    )  # fmt: skip
    dearer = replace(invoice, total=str(Decimal(bill.total) + Decimal("0.01")))
    stored = replace(invoice, exact=bill.total_exact, decimals=bill.exact_decimals)
    dearer_by_less = replace(stored, exact=bill.total_exact + 1)
    for hub, sent, verdict, reason in (
        (home, invoice, Verdict.MATCHES, ""),
        (home, dearer, Verdict.DIFFERS, f"the readings make {bill.total} EUR, not {dearer.total}"),
        (home, stored, Verdict.MATCHES, ""),
        (
            home,
            dearer_by_less,
            Verdict.DIFFERS,
            f"the readings make {bill.total} EUR, not {bill.total}",
        ),
        (
            make_home(ONE),
            invoice,
            Verdict.CANNOT_TELL,
            "the tariff credits feed-in, this hub has no register of it",
        ),
    ):
        store = AppletStore(hub.device.database, MANIFEST.aid, quota=1 << 18)
        document = sign_tariff(TARIFF, SUPPLIER, key_id_of(SUPPLIER.public_key()))
        store.put(b"resident/tariff/" + TARIFF.digest, document)
        store.put(b"resident/invoice/1", sent.sign(SUPPLIER, key_id_of(SUPPLIER.public_key())))
        (checked,) = check_invoices(hub.device, MANIFEST.aid)
        assert (checked.verdict, checked.reason) == (verdict, reason)
        store.delete(b"resident/invoice/1")


def test_what_an_applet_asks_of_feed_in_is_said_before_it_is_installed() -> None:
    (sentence,) = about_feed_in(MANIFEST)
    assert "what you feed in" in sentence
    assert "linear, blocks, demand" in sentence
    assert about_feed_in(without_feed_in()) == []


def test_a_sample_hub_has_panels_for_an_applet_that_asks_about_them(
    home: Home, bundle: bytes, machine: AppletMachine, tmp_path: Path
) -> None:
    package = Installer(home.device, home.card).read(bundle)
    week = Period(date(2025, 3, 1), date(2025, 3, 3))
    with SampleHub.open(tmp_path, machine, package.bundle, SampleHome(week, ZONE)) as sample:
        assert sample.device.feed_in is not None
        assert sum(wh for use in sample.device.feed_in.uses(week) for wh in use.uses) > 0


# What an applet is given


def without_feed_in(manifest: Manifest = MANIFEST) -> Manifest:
    cut = tuple(replace(grant, registers=(DRAWN,)) for grant in manifest.statements)
    return replace(manifest, statements=cut)


def test_an_applet_is_given_the_registers_that_its_manifest_names(home: Home) -> None:
    device, bounds = home.device, MARCH.bounds(ZONE)
    registers = granted_registers(device.registers, MANIFEST)
    assert registers == {DRAWN: device.main, FED_IN: device.feed_in}
    only = granted_registers(device.registers, without_feed_in())
    assert only == {DRAWN: device.main}
    assert granted_registers({ACTIVE_ENERGY_IMPORT: device.main}, MANIFEST) == only
    raw = replace(without_feed_in(), registers=(FED_IN,))
    assert granted_registers(device.registers, raw) == registers
    both = HubCalendar(registers, WorkMeter())
    assert both.slots(FED_IN, *bounds).starts == both.slots(DRAWN, *bounds).starts
    with at_work(device.database) as stack:
        desk = StatementDesk.of(device, MANIFEST, b"", stack, WorkMeter(), ProofJobs(device.now))
        narrow = HubStatements(
            MANIFEST.aid, b"", without_feed_in(), only, DRAWN, device.disclosure, stack, desk
        )
        for refused in (
            lambda: HubCalendar(only, WorkMeter()).slots(FED_IN, *bounds),
            lambda: narrow.open_amounts(FED_IN, *bounds, b"", bytes(48)),
            lambda: both.slots("1-0:2.8.1*255", *bounds),
            lambda: HubReadings(only, 15, WorkMeter()).read(FED_IN, *bounds),
        ):
            with pytest.raises(Refused) as raised:
                refused()
            assert raised.value.refusal is Refusal.NOT_FOUND
    use = HubReadings(registers, 15, WorkMeter()).read(FED_IN, *bounds)
    assert device.feed_in is not None
    assert sum(use.watt_hours) == sum(wh for day in device.feed_in.uses(MARCH) for wh in day.uses)


def test_a_kind_of_statement_has_the_same_registers_in_all_of_a_manifest() -> None:
    """Consents are by kind: the terms for one register must not hold for another, too."""
    tables = MANIFEST.to_tables()
    first, *_ = tables["statements"]
    tables["statements"] = [
        {**first, "registers": [DRAWN]},
        {**first, "registers": [FED_IN], "minimum_days": 1},
    ]
    with pytest.raises(ManifestError, match="different registers"):
        Manifest.from_tables(tables)


def test_the_guard_counts_each_register_by_itself(home: Home, bundle: bytes) -> None:
    device = home.device
    package = Installer(device, home.card).read(bundle)
    assert {terms.answers for terms in consent_terms(package.bundle)} == {6}
    bounds = MARCH.bounds(ZONE)

    def amounts(times: int) -> bytes:
        """All use, so many times: a number of its own for each."""
        use = Metered(0, Sum(SlotForm(((0, 2972, times),))))
        return encode_amounts([Total((use,), (), 100, QuotientRule.DOWN)])

    told = {
        number.identity
        for release in device.disclosure.releases()
        for number in release.numbers
        if FED_IN in number.registers
    }
    with at_work(device.database) as stack:
        digest = package.bundle.digest
        desk = StatementDesk.of(device, MANIFEST, digest, stack, WorkMeter(), ProofJobs(device.now))
        statements = HubStatements(
            MANIFEST.aid, digest, MANIFEST, granted_registers(device.registers, MANIFEST),
            DRAWN, device.disclosure, stack, desk,
        )  # fmt: skip
        for times in range(1, 7 - len(told)):
            for nonce in (1, 2):  # the same number again counts once
                context = bytes(47) + bytes([nonce])
                statements.open_numbers(ACTIVE_ENERGY_EXPORT, *bounds, amounts(times), context)
        with pytest.raises(Refused):
            statements.open_numbers(ACTIVE_ENERGY_EXPORT, *bounds, amounts(9), bytes(48))
        _, refused = stack.record.refused[-1]
        assert isinstance(refused, ReleaseRefused)
        assert refused.rule == "count"
        drawn = statements.open_numbers(ACTIVE_ENERGY_IMPORT, *bounds, amounts(1), bytes(48))
        assert drawn.values[0] > 0
        assert len(stack.record.permitted) == 2 * (6 - len(told)) + 1


# What the hub keeps


def readout(time: int, drawn: int, fed_in: int | None) -> Readout:
    shown = {ACTIVE_ENERGY_IMPORT: Reading(time, drawn)}
    return Readout(
        shown if fed_in is None else shown | {ACTIVE_ENERGY_EXPORT: Reading(time, fed_in)}
    )


def test_a_readout_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    with Device.create(tmp_path / "hub", TWO, now=lambda: NOW) as device:
        assert device.feed_in is not None
        device.store([readout(NOW, 1000, 50), readout(NOW + 900, 1010, 55)])
        for drawn, fed_in in ((1000, 60), (1020, 54)):  # one of the registers runs backwards
            with pytest.raises(ReadingRefused):
                device.store([readout(NOW + 1800, 1015, 56), readout(NOW + 2700, drawn, fed_in)])
        with pytest.raises(ReadingRefused, match="not the registers"):
            device.store([readout(NOW + 1800, 1020, None)])
        for meter in device.registers.values():
            assert meter.vault.count(meter.channel) == 2
    with (
        Device.create(tmp_path / "one", ONE, now=lambda: NOW) as device,
        pytest.raises(ReadingRefused, match="not the registers"),
    ):
        device.store([readout(NOW, 1000, 50)])


def test_a_readout_is_of_one_moment() -> None:
    with pytest.raises(ValueError, match="one moment"):
        Readout({ACTIVE_ENERGY_IMPORT: Reading(NOW, 1), ACTIVE_ENERGY_EXPORT: Reading(NOW + 1, 1)})


def test_the_registers_have_chains_of_days_of_their_own(home: Home) -> None:
    drawn, fed_in = home.device.registers.values()
    for meter in (drawn, fed_in):
        assert [one.day.content.counter for one in meter.certifications(MARCH)] == [*range(1, 32)]
        assert {one.day.content.register for one in meter.certifications(MARCH)} == {
            meter.channel.register
        }
    one, other = drawn.certifications(MARCH)[0], fed_in.certifications(MARCH)[0]
    assert one.day.digest != other.day.digest
    assert home.device.certify() == 0


@pytest.mark.parametrize("description", [ONE, TWO])
def test_a_description_is_read_back(description: Description) -> None:
    assert Description.from_toml(description.to_toml()) == description


def test_a_register_can_be_added_to_a_hub(tmp_path: Path) -> None:
    with Device.create(tmp_path / "hub", ONE, now=lambda: NOW) as device:
        device.store([readout(NOW, 1000, None)])
    # The meter is replaced by one that counts both: from then on both are kept.
    (tmp_path / "hub" / "hub.toml").write_text(TWO.to_toml())
    with Device.open(tmp_path / "hub", now=lambda: NOW) as device:
        device.store([readout(NOW + 900, 1000, 3)])
        counts = [meter.vault.count(meter.channel) for meter in device.registers.values()]
        assert counts == [2, 1]


@pytest.mark.parametrize("description", [ONE, TWO])
def test_a_description_of_release_0_1_is_read_and_written_anew(
    tmp_path: Path, description: Description
) -> None:
    with Device.create(tmp_path / "hub", description, now=lambda: NOW):
        pass
    path = tmp_path / "hub" / "hub.toml"
    fed_in = description.feed_in_register
    path.write_text(
        f'meter = "{METER.hex()}"\nregister = "{ACTIVE_ENERGY_IMPORT.hex()}"\n'
        + (f'feed_in_register = "{fed_in.hex()}"\n' if fed_in else "")
        + f'zone = "{ZONE}"\nslot_minutes = 15\n'
    )
    with Device.open(tmp_path / "hub", now=lambda: NOW) as device:
        assert device.description == description
    assert path.read_text() == description.to_toml()


GAS = bytes.fromhex("0700030000ff")


def test_a_hub_is_for_any_registers(tmp_path: Path) -> None:
    """A third register costs a row in the description, and nothing else."""
    description = replace(TWO, registers=(*TWO.registers, GAS))
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        begin = 1_743_372_000  # midnight in Berlin
        for step in range(97):
            values = {
                code: Reading(begin + 900 * step, 1000 * place + place * step)
                for place, code in enumerate(description.registers, 1)
            }
            device.store([Readout(values)])
        assert device.certify() == 1
        for place, (code, register) in enumerate(device.registers.items(), 1):
            (day,) = register.certified_between(begin, begin + 86_400)
            assert (register.channel.register, set(day.uses)) == (code, {place})
    assert Description.from_toml(description.to_toml()) == description


@pytest.mark.parametrize("registers", [(), (GAS, GAS), (b"gas",)])
def test_registers_are_distinct_codes_and_at_least_one(registers: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="register|OBIS"):
        replace(ONE, registers=registers)


@pytest.mark.parametrize("feed_in", ["0100010800ff", "0100030800ff", "0100", "zz", "0700020800ff"])
def test_only_a_register_of_feed_in_is_one_in_an_older_description(
    tmp_path: Path, feed_in: str
) -> None:
    with Device.create(tmp_path / "hub", ONE, now=lambda: NOW):
        pass
    (tmp_path / "hub" / "hub.toml").write_text(
        f'meter = "{METER.hex()}"\nregister = "{ACTIVE_ENERGY_IMPORT.hex()}"\n'
        f'feed_in_register = "{feed_in}"\nzone = "{ZONE}"\nslot_minutes = 15\n'
    )
    with pytest.raises(DeviceError, match="hub.toml"):
        Device.open(tmp_path / "hub", now=lambda: NOW)


def test_an_enrolment_names_the_register_just_if_there_is_one(home: Home) -> None:
    enrolment = home.enrolment
    assert enrolment.feed_in_register == ACTIVE_ENERGY_EXPORT
    assert Enrolment.decode(enrolment.encode()) == enrolment
    without = replace(enrolment, others=())
    assert ACTIVE_ENERGY_EXPORT.hex().encode() not in without.encode()
    assert Enrolment.decode(without.encode()) == without


def test_the_days_of_the_first_register_are_those_of_march(home: Home) -> None:
    assert home.device.feed_in is not None
    span = home.device.feed_in.journal.span()
    assert span == (date(2025, 3, 1), date(2025, 3, 31), 31)
