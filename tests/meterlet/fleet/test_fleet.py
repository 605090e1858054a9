# SPDX-License-Identifier: Apache-2.0
"""Emulated hubs dial the gateway by mutual TLS, whatever breaks, and each is billed just once.

Some in `make test`, five hundred in `make soak`.
"""

import json
import multiprocessing
from datetime import date
from pathlib import Path

import pytest

from hub.certifier import CertifierKeys
from hub.device import Device
from meterlet.fleet.errors import FleetError
from meterlet.fleet.faults import FaultRates
from meterlet.fleet.folder import FleetFolder, FleetSettings
from meterlet.fleet.making import Making
from meterlet.fleet.run import FleetRun
from protocols.metrology import Period
from protocols.remote_admin.wake import BrokerAddress
from tariffs.source import load_toml
from tests.support.command import ROOT, run_meterlet
from tests.support.soak import IS_SOAKING
from tests.support.sockets import listening_sockets
from tests.support.wake_world import open_world
from utility_server.retail.utility import Utility

pytestmark = pytest.mark.process

HOMES = 500 if IS_SOAKING else 6
TARIFF = load_toml((ROOT / "examples" / "tariffs" / "de-modul3-2025.toml").read_text())
MONTH = Period.month(2025, 3)
DAY = Period(date(2025, 3, 3), date(2025, 3, 3))
NEXT_DAY = Period(date(2025, 3, 4), date(2025, 3, 4))
MOST_POSTS = 12
MOST_BYTES_OF_A_HUB = 4 << 20
PATIENCE = 900.0 if IS_SOAKING else 120.0


@pytest.mark.soak
def test_hubs_that_listen_at_a_broker_are_billed_as_others_are(tmp_path: Path) -> None:
    with open_world(tmp_path) as world, Utility.open(tmp_path / "utility") as utility:
        run = FleetRun(
            folder=open_fleet(tmp_path, utility),
            utility=utility,
            homes=3,
            period=MONTH,
            signed_tariff=utility.sign(TARIFF),
            processes=1,
            broker=BrokerAddress("localhost", world.broker.port),
            patience_seconds=PATIENCE,
        )
        facts = run.run().facts
        assert (facts["billed_once"], facts["listening"]) == (3, 3), facts
        assert world.broker.log().count("'meterlet/wake/") >= 3


def open_fleet(tmp_path: Path, utility: Utility) -> FleetFolder:
    supplier = utility.keys.public.public_bytes_raw().hex()
    settings = FleetSettings(1, "Europe/Berlin", 60, supplier)
    return FleetFolder.open(tmp_path / "fleet", settings)


def test_each_home_is_billed_once_though_connections_break_and_requests_come_late_or_twice(
    tmp_path: Path,
) -> None:
    listening: set[str] = set()

    def look(step: str, _done: int, _all: int) -> None:
        if step == "dial":
            for process in multiprocessing.active_children():
                assert process.pid is not None
                listening.update(listening_sockets(process.pid))

    # Of so few connections one in ten would be none; of five hundred homes it is one in ten.
    rates = FaultRates(0.1, 0.01, 0.01) if IS_SOAKING else FaultRates(0.7, 0.1, 0.2)
    with Utility.create(tmp_path / "utility") as utility:
        run = FleetRun(
            folder=open_fleet(tmp_path, utility),
            utility=utility,
            homes=HOMES,
            period=MONTH,
            signed_tariff=utility.sign(TARIFF),
            processes=2 if IS_SOAKING else 1,
            rates=rates,
            patience_seconds=PATIENCE,
            say=look,
        )
        result = run.run()
        facts = result.facts
        assert (facts["made"], facts["asked"], facts["billed_once"]) == (HOMES, HOMES, HOMES), facts
        assert facts["bills"] == HOMES
        assert facts["waiting"] == 0
        assert not listening
        assert facts["connections_dropped"] > 0
        assert facts["posts_repeated"] > 0
        assert 0 < facts["most_posts_a_bill_undisturbed"] <= MOST_POSTS or not IS_SOAKING
        if IS_SOAKING:
            assert facts["memory_bytes_a_hub"] <= MOST_BYTES_OF_A_HUB
        own_keys(run)
    where = "--folder", run.folder.path, "--utility", utility.folder
    done = run_meterlet("fleet", "--homes", HOMES, *where, "--slot", 60, "--json")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"check: {HOMES} of {HOMES}")
    again = json.loads(done.stdout)
    assert (again["made"], again["asked"], again["bills"], again["posts"]) == (0, 0, HOMES, 0)


def test_fewer_days_than_residents_consent_to_are_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "fleet"
    days = "--from", "2025-03-03", "--until", "2025-03-09"
    done = run_meterlet("fleet", "--homes", 1, "--folder", folder, *days)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "meterlet: 7 days: the hubs tell of 28 or more at once\n"
    assert not list((folder / "homes").iterdir())


def own_keys(run: FleetRun) -> None:
    """Every hub has keys of its own, and what the installer handed over is gone."""
    numbers = range(1, run.homes + 1)
    customers = run.utility.customers
    enrolled = [
        customers.find(meter, bytes.fromhex("F04D544C010101")) for meter in customers.meters()
    ]
    assert len({one.certifier for one in enrolled}) == run.homes
    assert len({one.keys.enc for one in enrolled}) == run.homes
    for name in ("keys/vault.key", "keys/issuer.key", "recipients/supplier/client.key"):
        files = [run.folder.hub(number) / name for number in numbers]
        assert len({file.read_bytes() for file in files}) == run.homes
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    left = [file.name for file in (run.folder.path / "homes").iterdir() if not file.is_dir()]
    assert left == []


def test_hubs_are_made_whole_or_not_at_all_and_go_on_with_the_next_day(tmp_path: Path) -> None:
    with Utility.create(tmp_path / "utility") as utility:
        folder = open_fleet(tmp_path, utility)
    making = Making(folder, DAY)
    cut_off = folder.hub(1).with_suffix(".partial")
    cut_off.mkdir()
    (cut_off / "hub.db").write_bytes(b"half of one")
    folder.enrolment(1).write_text("of a hub that was never whole")
    assert making.make([1]) == [1]
    assert not cut_off.exists()
    assert folder.enrolment(1).stat().st_mode & 0o077 == 0
    key = folder.hub(1) / "keys" / "certifier.key"
    keys = CertifierKeys.load(key)
    assert making.make([1]) == [1]  # it is there
    Making(folder, NEXT_DAY).make([1])
    assert CertifierKeys.load(key).signing_seed == keys.signing_seed
    with Device.open(folder.hub(1)) as device:
        days = device.main.certifications(Period(DAY.first, NEXT_DAY.last))
        assert sum(day.use.states.count(0) for day in days) == 2 * 24
    with pytest.raises(FleetError, match="it has readings until 2025-03-04"):
        Making(folder, Period(date(2025, 4, 1), date(2025, 4, 2))).make([1])
