# SPDX-License-Identifier: Apache-2.0
"""A region of hubs without a listening socket: rounds over TLS, to a concentrator's process."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.device import Device
from hub.dialling.dialler import Dialler
from hub.dialling.recipient import find_recipient
from hub.dialling.wake_calls import WakeCalls
from hub.dialling.wake_line import WakeLine
from hub.machine.machine import AppletMachine
from meterlet.key_files import public_key
from protocols.metrology import Period
from protocols.remote_admin.wake import BrokerAddress
from tests.support.aggregation import AUTHORITY, OPERATOR, REGION, private_key
from tests.support.broker import RunningBroker, running
from tests.support.command import run_meterlet, serving
from tests.support.hubs import DAYS, Hub, about, make_templates
from tests.support.mdms import new_mdms
from tests.support.sockets import free_port
from tests.support.town import done, refused
from tests.support.waiting import PATIENCE, wait_until
from utility_server.grid.mdms.rounds import RoundOutcome, RoundRunner
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.pinned_line import LineKeys
from utility_server.grid.rpc import Connection
from utility_server.head_end import Address

pytestmark = pytest.mark.process
LATER = Period(date(2025, 3, 5), date(2025, 3, 5))
HOMES = 5


@dataclass
class DialledRegion:
    """Hubs, and what a concentrator needs of them."""

    folder: Path
    hubs: list[Hub]

    @property
    def concentrator(self) -> Path:
        return self.folder / "concentrator"

    @property
    def listed(self) -> Path:
        return self.folder / "hubs.json"

    def list_hubs(self) -> None:
        entries = [
            {
                "meter": hub.meter.hex(),
                "region": REGION,
                "certifier": hub.enrolment.certifier.hex(),
            }
            for hub in self.hubs
        ]
        self.listed.write_text(json.dumps({"format": "meterlet hubs 2", "hubs": entries}))

    def certify(self, hub: Hub) -> None:
        """Give a hub the certificate with which it dials the concentrator."""
        request, made = self.folder / "request", self.folder / "hub.pem"
        request.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
        folder = hub.device.folder
        done("hub", "dial-key", "--hub", folder, "--recipient", "grid", "-o", request)
        done(
            "concentrator", "certify-hub", "--concentrator", self.concentrator,
            "--hubs", self.listed, request, "-o", made,
        )  # fmt: skip
        done("hub", "dial-certificate", "--hub", folder, "--recipient", "grid", made)

    @contextmanager
    def broker(self) -> Iterator[RunningBroker]:
        """Run the broker that wakes the hubs."""
        folder, port = self.folder / "broker", free_port()
        done(
            "concentrator", "broker-files", "--concentrator", self.concentrator,
            "--hubs", self.listed, "--to", folder, "--port", port,
        )  # fmt: skip
        with running(folder, port) as broker:
            yield broker

    @contextmanager
    def gateway(self, *options: object, poll: int = 1) -> Iterator[tuple[Address, str]]:
        """Serve the concentrator; yield where its MDMS reaches it, and where hubs do."""
        operator = Ed25519PrivateKey.from_private_bytes(OPERATOR).public_key()
        pem = operator.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / "operator.pem").write_bytes(pem)
        with serving(
            "concentrator", "serve", "--concentrator", self.concentrator, "--hubs", self.listed,
            "--operator", self.folder / "operator.pem", "--port", 0, "--gateway-port", 0,
            "--patience", PATIENCE, "--poll", poll, *options,
        ) as where:  # fmt: skip
            url = f"https://localhost:{where['gateway_port']}"
            yield Address(where["host"], where["port"]), url


@pytest.fixture
def region(tmp_path: Path, machine: AppletMachine) -> DialledRegion:
    made = DialledRegion(tmp_path, make_templates(tmp_path / "hubs", HOMES, machine))
    done("concentrator", "init", made.concentrator)
    made.list_hubs()
    return made


@contextmanager
def dialling(
    hubs: list[Hub], url: str, machine: AppletMachine, broker: str | None = None
) -> Iterator[list[str]]:
    """Let hubs dial, each in a thread, until the end; yield which events there were."""
    stop, told = threading.Event(), list[str]()
    diallers: list[Dialler] = []

    def dial(hub: Hub) -> None:
        folder = hub.device.folder
        with Device.open(folder) as device:
            dialler = Dialler(
                device.card(machine),
                find_recipient(folder, "grid", url),
                hub.meter,
                lambda event: told.append(event.kind.value),
                device.disclosure.record_connection,
            )
            diallers.append(dialler)
            if broker is not None:
                dialler.calls = calls = WakeCalls()
                line = WakeLine(
                    BrokerAddress.parse(broker), dialler.recipient.broker_context, hub.meter, calls,
                    lambda kind, _facts: told.append(kind.value),
                )  # fmt: skip
                threading.Thread(target=line.run, args=(stop,), daemon=True).start()
            dialler.run(stop)

    threads = [threading.Thread(target=dial, args=(hub,)) for hub in hubs]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for dialler in diallers:
            dialler.interrupt()
        for thread in threads:
            thread.join(PATIENCE)


@contextmanager
def operator(folder: Path) -> Iterator[Mdms]:
    """The MDMS whose rounds the hubs' applets take part in."""
    authority = Ed25519PrivateKey.from_private_bytes(AUTHORITY).public_key()
    with new_mdms(folder, authority) as workspace:
        workspace.signing = Ed25519PrivateKey.from_private_bytes(OPERATOR)
        workspace.paillier = private_key(2048)
        yield workspace


def run(workspace: Mdms, region: DialledRegion, where: Address, period: Period) -> RoundOutcome:
    key = public_key(region.concentrator / "public.pem").public_bytes_raw()
    keys = LineKeys(workspace.signing, key)
    with Connection.open(where, 2 * PATIENCE, keys) as line:
        return RoundRunner(workspace, line, key).run(about(period=period))


def test_hubs_that_dial_are_added_up_and_told_their_roster_once(
    region: DialledRegion, machine: AppletMachine, tmp_path: Path
) -> None:
    for hub in region.hubs:
        region.certify(hub)
    with ExitStack() as stack:
        workspace = stack.enter_context(operator(tmp_path / "mdms"))
        for hub in region.hubs:
            workspace.members.admit(hub.certificate.encode())
        where, url = stack.enter_context(region.gateway())
        stack.enter_context(dialling(region.hubs, url, machine))
        outcomes = [run(workspace, region, where, period) for period in (DAYS, LATER)]
    for outcome, period in zip(outcomes, (DAYS, LATER), strict=True):
        assert outcome.aggregate is not None, outcome
        assert len(outcome.meters) == HOMES
        assert outcome.aggregate.sums_wh == plain_sums(region.hubs, period)
    rows = []
    for hub in region.hubs:
        with Device.open(hub.device.folder) as device:
            database = device.database.connection
            rows.append(database.execute("SELECT count(*) FROM aggregation_roster").fetchone()[0])
    assert rows == [1] * HOMES


def test_hubs_that_poll_once_a_day_are_woken_when_a_round_begins(
    region: DialledRegion, machine: AppletMachine, tmp_path: Path
) -> None:
    for hub in region.hubs:
        region.certify(hub)
    with ExitStack() as stack:
        workspace = stack.enter_context(operator(tmp_path / "mdms"))
        for hub in region.hubs:
            workspace.members.admit(hub.certificate.encode())
        broker = stack.enter_context(region.broker())
        files = "--wake", broker.url, "--broker-files", broker.folder
        where, url = stack.enter_context(region.gateway(*files, poll=86_400))
        told = stack.enter_context(dialling(region.hubs, url, machine, broker.url))
        # Each has polled, found nothing, and listens.
        wait_until(lambda: told.count("ended") >= HOMES and told.count("wake-up") >= HOMES)
        assert "woken" not in told
        outcome = run(workspace, region, where, DAYS)
        assert outcome.aggregate is not None, outcome
        assert outcome.aggregate.sums_wh == plain_sums(region.hubs, DAYS)
        assert told.count("woken") >= HOMES

        # Whoever's certificate is withdrawn is put out of the broker, and absent.
        told.clear()
        done(
            "concentrator", "withdraw-certificate", "--concentrator", region.concentrator,
            "--hubs", region.listed, "--meter", region.hubs[0].meter.hex(),
        )  # fmt: skip
        wait_until(lambda: "wake-down" in told, "the end of the connection")
        broker.wait_for("certificate verify failed")


def plain_sums(hubs: list[Hub], period: Period) -> tuple[int, ...]:
    columns = []
    for hub in hubs:
        with Device.open(hub.device.folder) as device:
            columns.append(Hub(device, hub.card, hub.enrolment).values(60, period))
    return tuple(map(sum, zip(*columns, strict=True)))


def test_a_certificate_is_for_listed_meters_and_withdrawn_within_seconds(
    region: DialledRegion, tmp_path: Path
) -> None:
    hub, stranger = region.hubs[0], region.hubs[1]
    region.hubs.remove(stranger)
    region.list_hubs()
    request = tmp_path / "stranger"
    folder = stranger.device.folder
    done("hub", "dial-key", "--hub", folder, "--recipient", "grid", "-o", request)
    where = "--concentrator", region.concentrator, "--hubs", region.listed
    code, line = refused("concentrator", "certify-hub", *where, request, "-o", tmp_path / "made")
    assert (code, "is not listed" in line) == (1, True)
    region.certify(hub)
    dial = "hub", "dial", "--hub", hub.device.folder, "--recipient", "grid"
    with region.gateway() as (_, url):
        done(*dial, url, "--once")
        told = done("concentrator", "withdraw-certificate", *where, "--meter", hub.meter.hex())
        assert told == "withdrew 1 certificate\n"
        assert run_meterlet(*dial, url, "--once").returncode != 0
    code, line = refused(
        "concentrator", "serve", *where, "--operator", tmp_path / "operator.pem", "--port", 0
    )
    assert (code, "--gateway-port" in line) == (1, True)
