# SPDX-License-Identifier: Apache-2.0
"""What installed applets can get out of a hub: raw ones by their outputs, others by statements."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from textwrap import dedent
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.applet_host.certified_days import incomplete
from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer, build_package
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.certified_span import P1_DAYS, decode_span
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from protocols.platform.errors import Refused
from protocols.secure_channel.host import CardClient
from utility_server.errors import HubRefused
from utility_server.head_end import Address, HeadEnd
from utility_server.hub_conversation import log_command

VENDOR = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
BERLIN = ZoneInfo("Europe/Berlin")
APRIL = int(datetime(2025, 4, 1, 9, tzinfo=BERLIN).timestamp())
HOUR = 3600

RAW_MANIFEST = """
    aid = "F04D544C0102"
    name = "peak"
    version = "0.1.0"
    vendor = "A vendor"
    recipient = "grid"
    purpose = "planning"
    confinement = "raw"
    expires = 2035-12-31
    resolution_minutes = 60

    [code]
    runtime = "python"
    package = "peak"

    [[outputs]]
    name = "peak"
    size = 4
    every_hours = 24

    [limits]
    fuel = 20_000_000_000
    memory_bytes = 67_108_864
    store_bytes = 4_096
    """
PEAK = """
    from applets.sdk import Applet, Command, Response

    DAY = 86_400

    class Peak(Applet):
        def update(self) -> None:
            now = self.platform.clock.now()
            use = self.platform.readings.read("1-0:1.8.0*255", now - 2 * DAY, now)
            assert all(b - a >= 3600 for a, b in zip(use.starts, use.starts[1:]))
            self.platform.outputs.set("peak", max(use.watt_hours).to_bytes(4, "big"))

        def process(self, command: Command) -> Response:
            now = self.platform.clock.now()
            use = self.platform.readings.read("1-0:1.8.0*255", now - 2 * DAY, now)
            return Response(bytes(use.watt_hours[0] % 251 for _ in range(200)))
    """
STATEMENT_MANIFEST = RAW_MANIFEST.replace("F04D544C0102", "F04D544C0103").replace(
    'confinement = "raw"', 'confinement = "statement"'
).replace("    resolution_minutes = 60\n", "").replace(
    '    [[outputs]]\n    name = "peak"\n    size = 4\n    every_hours = 24\n',
    '    [[statements]]\n    kind = "linear"\n    registers = ["1-0:1.8.0*255"]\n'
    "    minimum_days = 28\n    at_most = 1\n    within_days = 31\n    value_bits = 64\n",
)  # fmt: skip
ECHO = """
    from applets.sdk import Applet, Command, Response

    class Echo(Applet):
        def process(self, command: Command) -> Response:
            return Response(b"all I know" + command.data)
    """
FORGETFUL = """
    import struct

    from applets.sdk import Applet, AppletError, Command, Response, StatusWord

    class Forgetful(Applet):
        learned = 0

        def process(self, command: Command) -> Response:
            if command.ins == 1:
                begin, end = (int.from_bytes(command.data[i : i + 8], "big") for i in (0, 8))
                slots = self.platform.calendar.slots("1-0:1.8.0*255", begin, end)
                amounts = struct.pack("<6q", 1, 0, 1, 0, len(slots.starts), 1)  # each use
                opened = self.platform.statements.open_amounts(
                    "1-0:1.8.0*255", begin, end, amounts, bytes(48)
                )
                [Forgetful.learned] = [self.learned] = opened.values
                raise AppletError(StatusWord.WRONG_DATA, "takes the release back")
            return Response(max(self.learned, Forgetful.learned).to_bytes(8, "big"))
    """


@dataclass(slots=True)
class Home:
    device: Device
    card: Card
    time: list[int]
    enrolments: list[Enrolment] = field(default_factory=list)

    def install(self, folder: Path, manifest: str, source: str) -> Enrolment:
        name = "peak"
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("")
        (folder / name / "manifest.toml").write_text(dedent(manifest))
        (folder / name / "applet.py").write_text(dedent(source))
        installer = Installer(self.device, self.card)
        package = installer.read(build_package(folder / name, VENDOR, [folder]))
        return installer.install(package, bytes(32))

    def send(self, enrolment: Enrolment, command: CommandApdu) -> ResponseApdu:
        client = CardClient(self.card.connect().transmit)
        client.select(enrolment.applet)
        client.open_scp03(enrolment.keys, bytes(8))
        return client.send(command)


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    time = [APRIL]
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: time[0]) as device:
        pem = VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (device.folder / "vendors" / "vendor.pem").write_bytes(pem)
        house = SyntheticHousehold("Europe/Berlin")
        readings = house.readings(date(2025, 3, 1), date(2025, 4, 4))
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        yield Home(device, device.card(machine), time)


GET_OUTPUT = CommandApdu(0x80, 0xCA, 0, 0, le=256)


def test_an_output_leaves_at_its_hour_and_the_applet_is_never_asked(
    home: Home, tmp_path: Path
) -> None:
    grid = home.install(tmp_path, RAW_MANIFEST, PEAK)
    assert home.device.tick(home.card) == 0
    assert home.send(grid, GET_OUTPUT).sw == 0x6985
    home.time[0] += 24 * HOUR
    assert home.device.tick(home.card) == 1
    answer = home.send(grid, GET_OUTPUT)
    assert (answer.sw, len(answer.data)) == (0x9000, 12)
    period = Period(date(2025, 3, 30), date(2025, 4, 1))
    hourly = [
        sum(use.uses[place : place + 4])
        for use in home.device.main.uses(period)
        for place in range(0, len(use.uses), 4)
    ]
    assert int.from_bytes(answer.data[8:], "big") in hourly
    assert home.send(grid, CommandApdu(0x80, 0x10, 0, 0, le=256)).sw == 0x6D00
    (entry,) = home.device.disclosure.log.entries("output")
    assert (entry.facts["output"], entry.facts["bits"]) == ("peak", 32)
    assert home.device.tick(home.card) == 0


def test_without_consent_an_output_stays_in(home: Home, tmp_path: Path) -> None:
    grid = home.install(tmp_path, RAW_MANIFEST, PEAK)
    home.device.tick(home.card)
    for consent in home.device.disclosure.consents():
        home.device.disclosure.revoke(consent.number)
    home.time[0] += 24 * HOUR
    assert home.device.tick(home.card) == 0
    assert home.send(grid, GET_OUTPUT).sw == 0x6985
    (refusal,) = home.device.disclosure.log.entries("refusal")
    assert refusal.facts["why"] == "consent: number 1 was revoked"


@pytest.mark.parametrize("manifest", [RAW_MANIFEST, STATEMENT_MANIFEST])
def test_data_stored_in_an_applet_draws_nothing_out_of_it(
    home: Home, tmp_path: Path, manifest: str
) -> None:
    """Its recipient holds the domain's keys and can personalise it: no way round outputs."""
    source = PEAK if manifest is RAW_MANIFEST else ECHO
    grid = home.install(tmp_path, manifest, source)
    client = CardClient(home.card.connect().transmit)
    client.select(grid.security_domain)
    client.open_scp03(grid.keys, bytes(8))
    aid = bytes([len(grid.applet)]) + grid.applet
    assert client.send(
        CommandApdu(0x80, 0xE6, 0x20, 0, b"\0\0" + aid + bytes(3), le=256)
    ).is_success
    answer = client.send(CommandApdu(0x80, 0xE2, 0x80, 0, b"\1\2\3", le=256))
    assert answer.data == b""
    assert answer.sw == (0x6985 if manifest is RAW_MANIFEST else 0x9000)


def test_a_raw_applet_that_breaks_says_so_to_nobody(home: Home, tmp_path: Path) -> None:
    grid = home.install(tmp_path, RAW_MANIFEST, PEAK.replace("max(use", "1 // 0 + max(use"))
    home.device.tick(home.card)
    home.time[0] += 24 * HOUR
    assert home.device.tick(home.card) == 1
    answer = home.send(grid, GET_OUTPUT)
    # It was never set: zeros are no value, and the resident's log says so, too.
    assert (answer.sw, answer.data[8:]) == (0x6286, bytes(4))
    (entry,) = home.device.disclosure.log.entries("output")
    assert (entry.facts["not_set"], entry.facts["bits"]) == (1, 32)


def test_what_a_failed_command_opened_is_forgotten_and_on_record(
    home: Home, tmp_path: Path
) -> None:
    """Else an applet could learn without a record, and tell in the next answer."""
    grid = home.install(tmp_path, STATEMENT_MANIFEST, FORGETFUL)
    begin, end = Period.month(2025, 3).bounds("Europe/Berlin")
    period = begin.to_bytes(8, "big") + end.to_bytes(8, "big")
    client = CardClient(home.card.connect().transmit)
    client.select(grid.applet)
    client.open_scp03(grid.keys, bytes(8))
    assert client.send(CommandApdu(0x80, 1, 0, 0, period, le=256)).sw == 0x6400
    told = client.send(CommandApdu(0x80, 2, 0, 0, le=256))
    assert (told.sw, told.data) == (0x9000, bytes(8))
    assert len(home.device.disclosure.releases()) == 1


def test_one_connections_end_does_not_touch_another_ones_applet(
    home: Home, tmp_path: Path, make_counter: Callable[[], str]
) -> None:
    grid = home.install(tmp_path, STATEMENT_MANIFEST, make_counter())
    client = CardClient(home.card.connect().transmit)
    client.select(grid.applet)
    client.open_scp03(grid.keys, bytes(8))
    count = CommandApdu(0x80, 2, 0, 0, le=256)
    assert client.send(count).data == b"\x01"
    stranger = home.card.connect()
    CardClient(stranger.transmit).select(home.card.profile.issuer_aid)
    stranger.close()
    assert client.send(count).data == b"\x02"


@pytest.fixture
def make_counter() -> Callable[[], str]:
    return lambda: (
        """
        from applets.sdk import Applet, Command, Response

        class Counter(Applet):
            count = 0

            def process(self, command: Command) -> Response:
                self.count += 1
                return Response(bytes([self.count]))
        """
    )


def test_which_days_are_certified_is_told_to_whoever_may_ask_about_the_register(
    home: Home, tmp_path: Path
) -> None:
    code = bytes.fromhex("0100010800ff")
    supplier = home.install(tmp_path, STATEMENT_MANIFEST, ECHO)
    told = home.send(supplier, log_command(P1_DAYS, code))
    assert decode_span(told.data) == Period(date(2025, 3, 1), date(2025, 4, 4))
    assert home.send(supplier, log_command(P1_DAYS, bytes(6))).sw == 0x6A88


def test_who_gets_outputs_alone_is_not_told_which_days_are_certified(
    home: Home, tmp_path: Path
) -> None:
    grid = home.install(tmp_path, RAW_MANIFEST, PEAK)
    assert home.send(grid, log_command(P1_DAYS, bytes.fromhex("0100010800ff"))).sw == 0x6A86


def test_a_refusal_of_days_that_are_not_certified_names_those_that_are(
    home: Home, tmp_path: Path
) -> None:
    supplier = home.install(tmp_path, STATEMENT_MANIFEST, FORGETFUL)
    begin, end = Period.month(2025, 4).bounds("Europe/Berlin")
    question = begin.to_bytes(8, "big") + end.to_bytes(8, "big")
    command = CommandApdu(0x80, 1, 0, 0, question, le=256)
    assert home.send(supplier, command).sw == 0x6A83
    with pytest.raises(Refused) as refused:
        raise incomplete([home.device.main], Period.month(2025, 4))
    assert str(refused.value) == (
        "6A83 incomplete: 2025-04-01 to 2025-04-30 was asked for, certified are 2025-03-01 to"
        " 2025-04-04, no other days"
    )

    class AtHome(HeadEnd):
        @contextmanager
        def _connection(self, address: Address) -> Iterator[Callable[[bytes], bytes]]:
            yield home.card.connect().transmit

    with pytest.raises(HubRefused, match="certified are 2025-03-01 to 2025-04-04") as error:
        AtHome(os.urandom).ask(Address("here", 1), supplier, command)
    assert (error.value.status_word, error.value.exit_code) == (0x6A83, 4)
