# SPDX-License-Identifier: Apache-2.0
"""A supplier states limits: what a hub did not read is bounded or opened before it is billed."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.device import Device
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import ReadingFlag, Readout
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support.command import ROOT, serving_hub
from tests.support.town import TARIFF, done, provisional, refused
from utility_server.retail.utility import Utility

METER = emulated_meter_id(1).hex()
OUT = range(1_741_600_000, 1_741_600_000 + 12 * 3600)
"""Twelve hours of March 2025 in which nobody read the meter."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gap")
    vendor, package, enrolment = folder / "vendor.key", folder / "billing.cap", folder / "e.json"
    hub, utility = folder / "hub", folder / "utility"
    done("tariff", "keygen", "--out", vendor)
    done("applet", "build", ROOT / "applets" / "billing", "--key", vendor, "-o", package)
    done("utility", "init", utility)
    done("hub", "init", hub, "--serial", 1, "--vendor", f"{vendor}.pub")
    house = SyntheticHousehold("Europe/Berlin", 1)
    with Device.open(hub) as device:
        kept, resumed = list[Readout](), False
        for one in house.readouts(date(2025, 3, 1), date(2025, 3, 31), 900):
            if one.time in OUT:
                resumed = True
                continue
            reading = one.readings[ACTIVE_ENERGY_IMPORT]
            if resumed:
                reading, resumed = replace(reading, flags=ReadingFlag.RESUMED), False
            kept.append(Readout({ACTIVE_ENERGY_IMPORT: reading}))
        device.store(kept)
        device.certify()
    recipient = ("--recipient", utility / "public.pem", "--enrolment", enrolment)
    done("applet", "install", "--hub", hub, package, "--yes", *recipient)
    done("utility", "enrol", "--utility", utility, enrolment)
    return folder


def request(folder: Path, address: str) -> tuple[object, ...]:
    return (
        "utility", "request", "bill", "--utility", folder / "utility", "--meter", METER,
        "--month", "2025-03", "--tariff", TARIFF, "--hub", address,
    )  # fmt: skip


def entries(folder: Path) -> list[dict[str, object]]:
    said = json.loads(done("utility", "ledger", "--utility", folder / "utility", "--json"))
    listed: list[dict[str, object]] = said["entries"]
    return listed


def test_what_was_not_read_is_opened_above_the_limit_and_the_bill_refused_without_that(
    folder: Path,
) -> None:
    hub, utility = folder / "hub", folder / "utility"
    with Device.open(hub) as device:
        days = device.main.journal.between(date(2025, 3, 1), date(2025, 3, 31))
        hidden = sum(json.loads(day.use)[5] for day in days)
    assert hidden > 1550
    limits = ("utility", "limits", "--utility", utility)
    with serving_hub(hub) as address:
        # Who states no limit asks nothing.
        assert "verified" in provisional(*request(folder, address))
        done(*limits, "--unattributed-wh-per-day", 50)
        done("inspect", "consents", "revoke", "--hub", hub, _consent(hub, "unattributed"))
        code, line = refused(*request(folder, address))
        assert (code, "unattributed: the hub neither shows" in line) == (3, True), line
        with Utility.open(utility) as opened:  # nor does a bill come in by another way
            assert not list(opened.ledger.of_kind("unattributed", bytes.fromhex(METER)))
        done("applet", "delete", "--hub", hub, "F04D544C010101")
        (folder / "e.json").unlink()
        recipient = ("--recipient", utility / "public.pem", "--enrolment", folder / "e.json")
        done("applet", "install", "--hub", hub, folder / "billing.cap", "--yes", *recipient)
        done("utility", "enrol", "--utility", utility, folder / "e.json", "--replace-keys")
        assert "verified" in provisional(*request(folder, address))
        kinds = [entry["kind"] for entry in entries(folder)]
        assert kinds == ["bill", "unattributed", "bill"]
        assert entries(folder)[1]["opened_wh"] == hidden
        # Days may have been corrected since: it is asked again.
        provisional(*request(folder, address))
        assert [entry["kind"] for entry in entries(folder)].count("unattributed") == 2
        done(*limits, "--estimated-permille", 0)
        assert "verified" in provisional(*request(folder, address))
    with Device.open(hub) as device:
        told = list(device.disclosure.log.entries("unattributed"))
        assert {(one.facts["opened"], one.facts["limit_wh"]) for one in told} == {(1, 31 * 50)}
    shown = json.loads(done("inspect", "releases", "--hub", hub, "--json"))["unattributed"]
    assert {(one["recipient"], one["opened"]) for one in shown} == {("supplier", True)}
    assert "while nobody read the meter" in done("inspect", "releases", "--hub", hub)
    assert json.loads(done(*limits, "--json"))["unattributed_wh_per_day"] == 50


def _consent(hub: Path, statement: str) -> int:
    listed = json.loads(done("inspect", "consents", "list", "--hub", hub, "--json"))["consents"]
    (number,) = [one["number"] for one in listed if one["statement"] == statement]
    return int(number)
