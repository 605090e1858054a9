# SPDX-License-Identifier: Apache-2.0
"""The commands and the pages of a home with further meters, as a resident uses them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.device import Device
from hub.readings import Reading, Readout
from protocols.metrology import GAS_VOLUME
from tests.support.command import ROOT, run_meterlet, serving
from tests.support.media_home import NOON, at, media_home

pytestmark = pytest.mark.process
GAS_CODE = "7-0:3.0.0*255"


def done(*arguments: object, code: int = 0) -> str:
    ended = run_meterlet(*arguments)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def told(*arguments: object) -> Any:
    ended = run_meterlet(*arguments, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media") / "hub"
    media_home(folder).close()
    return folder


@pytest.fixture
def own(hub: Path, tmp_path: Path) -> Path:
    shutil.copytree(hub, tmp_path / "hub")
    return tmp_path / "hub"


def test_status_says_each_meter(hub: Path) -> None:
    meters = told("hub", "status", "--hub", hub)["meters"]
    assert [(one["name"], one["medium"], one["unit"]) for one in meters] == [
        ("gas", "gas", "m3"), ("water", "cold water", "m3"),
    ]  # fmt: skip
    assert meters[0]["certified_days"] == 33
    assert "gas (gas LGB 22150101)" in done("hub", "status", "--hub", hub)
    listed = done("hub", "meters", "list", "--hub", hub)
    assert [line.split()[0] for line in listed.splitlines()] == ["(the", "gas", "water"]


def test_readings_of_gas_are_cubic_metres(hub: Path) -> None:
    options = "--hub", hub, "--month", "2025-03"
    shown = done("inspect", "readings", *options, "--of", "gas")
    for said in ("Europe/Berlin@06:00", "m3", "peak l/h", "305.504", "304.59 EUR", "l/h"):
        assert said in shown
    assert "kWh" not in shown
    facts = told("inspect", "readings", *options, "--of", "gas")
    assert (facts["medium"], facts["unit"], facts["power"]["unit"]) == ("gas", "l", "l")
    csv = done("inspect", "readings", *options, "--of", "water", "--csv").splitlines()
    assert csv[0].split(",")[4] == "volume_l"
    fine = done(
        "inspect", "readings", "--hub", hub, "--from", "2025-03-10", "--until", "2025-03-10",
        "--fine", "--csv", "--of", "gas",
    )  # fmt: skip
    assert fine.splitlines()[0] == "start_utc,end_utc,start_local,volume_l,litres_per_hour,state"
    assert "--of: the hub has no meter heat; it has gas, water" in done(
        "inspect", "readings", *options, "--of", "heat", code=2
    )


def test_a_gas_bill_and_its_tariff(hub: Path) -> None:
    facts = told("inspect", "bill", "--hub", hub, "--of", "gas")
    assert (facts["verdict"], facts["medium"], facts["zone"]) == (
        "matches", "gas", "Europe/Berlin@06:00",
    )  # fmt: skip
    assert (facts["first_day"], facts["last_day"]) == ("2025-03-01", "2025-03-31")
    tariffs = told("inspect", "tariffs", "--hub", hub, "--of", "water")
    assert [one["name"] for one in tariffs["columns"]] == ["de-water-2025"]
    ahead = told("inspect", "bill", "--hub", hub, "--of", "water", "--forecast")
    assert ahead["tariff"] == "de-water-2025"
    other = ROOT / "examples" / "tariffs" / "de-modul3-2025.toml"
    refused = done("inspect", "bill", "--hub", hub, "--of", "gas", "--tariff", other, code=2)
    assert "the tariff is for electricity, the meter counts gas" in refused


def test_a_copy_of_gas(own: Path, tmp_path: Path) -> None:
    output = tmp_path / "gas.xml"
    done(
        "inspect", "export", "readings", "--hub", own, "--month", "2025-03", "--of", "gas",
        "--format", "green-button", "--yes", "-o", output,
    )  # fmt: skip
    assert "<espi:commodity>7</espi:commodity>" in output.read_text()


def test_the_keys_of_each_meters_certifier(own: Path) -> None:
    before = told("hub", "keys", "list", "--hub", own)
    assert set(before["certifiers_of_meters"]) == {"gas", "water"}
    made = told("hub", "keys", "rotate", "certifier", "--hub", own, "--of", "gas")
    assert (made["meter"], made["from"]) == ("gas", "2025-04-02")
    after = told("hub", "keys", "list", "--hub", own)
    assert after["certifier"] == before["certifier"]
    assert [one["public_key"] for one in after["certifiers_of_meters"]["gas"]] == [
        made["old"], made["new"],
    ]  # fmt: skip
    assert "(meter gas)" in done("hub", "keys", "list", "--hub", own)


def test_a_gas_meter_is_exchanged_by_its_register(own: Path) -> None:
    with Device.open(own, now=lambda: NOON) as device:
        last = device.meters["gas"].last_readout()
        assert last is not None
        ends = last.readings[GAS_VOLUME].register_wh
    done(
        "hub", "exchange-meter", "--hub", own, "--at", "2025-04-02T11:00:00",
        "--meter", b"LGB 99".hex(), "--register", f"{GAS_CODE}={ends}:7",
    )  # fmt: skip
    with Device.open(own, now=lambda: NOON) as device:
        assert device.meters["gas"].mounted_meter == b"LGB 99"
        assert device.mounted_meter != b"LGB 99"
    water = run_meterlet(
        "hub", "exchange-meter", "--hub", own, "--at", "2025-04-02T11:00:00", "--of", "water",
        "--meter", b"EFE 99".hex(), "--register", f"{GAS_CODE}=1:7",
    )  # fmt: skip
    assert water.returncode == 1
    assert "just the registers of this hub" in water.stderr


def test_what_was_set_aside_of_water_is_accepted(own: Path) -> None:
    listed = done("hub", "readings", "quarantine", "list", "--hub", own)
    assert "8-0:1.0.0*255 90,000 l" in listed
    assert told("hub", "readings", "quarantine", "accept", "--hub", own, "--all")["stored"] == 1


def test_late_readings_of_gas_are_a_correction(own: Path, tmp_path: Path) -> None:
    with Device.open(own, now=lambda: at(8, month=4)) as device:
        gas = device.meters["gas"]
        # Nothing was heard for days; then some of the hours come after all, from a file.
        last = gas.last_readout()
        assert last is not None
        shown = last.readings[GAS_VOLUME].register_wh
        gas.store([Readout({GAS_VOLUME: Reading(at(7, 6, month=4), shown + 900)})])
        gas.certify()
    late = tmp_path / "late.csv"
    rows = [
        f"2025-04-03T{10 + hour}:00:00Z,{(shown + 100 * hour) / 1000:.3f}\n" for hour in range(5)
    ]
    late.write_text("time,gas\n" + "".join(rows))
    options = "--hub", own, late, "--interval", "1h", "--unit", "m3", "--cumulative"
    corrected = told("hub", "correct", "--of", "gas", *options)
    [gas_register] = corrected["registers"]
    assert gas_register["register"] == GAS_CODE
    assert gas_register["reason"] == "late"
    used = told(
        "inspect", "readings", "--hub", own, "--of", "gas", "--by", "slot",
        "--from", "2025-04-03", "--until", "2025-04-03",
    )  # fmt: skip
    hours = {one["from"][11:13]: one["energy_wh"] for one in used["buckets"]}
    assert [hours[hour] for hour in ("10", "11", "12", "13")] == [100] * 4
    assert used["corrected_days"][0]["day"] == "2025-04-03"
    assert "--unit" in done("hub", "correct", *options, code=2)  # the hub's own counts kWh


def test_the_pages_hold_to_what_axe_asks(own: Path) -> None:
    chromium = pytest.importorskip("tests.support.chromium")
    if chromium.CHROMIUM is None:
        pytest.skip("NO BROWSER: Chromium is not installed")
    added = run_meterlet(
        "inspect", "users", "add", chromium.NAME, "--role", "owner", "--hub", own,
        "--passphrase-file", "-", stdin=chromium.PASSPHRASE.encode(),
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    with (
        serving("inspect", "serve", "--hub", own, "--port", 0) as where,
        chromium.sync_api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium.CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for width in (390, 1280):
            size = {"width": width, "height": 900}
            with chromium.visiting(browser, where["address"], viewport=size) as visit:
                visit.sign_in()
                for path in pages():
                    visit.open(path)
                    assert visit.violations(only_looks=width > 390) == [], path
                    wide = visit.page.evaluate("document.documentElement.scrollWidth")
                    assert wide == width, path
                assert visit.complaints == []
        browser.close()


def pages() -> Iterator[str]:
    yield from ("/?meter=gas", "/bill?meter=gas", "/set-aside", "/releases", "/export")
    yield "/readings?view=day&at=2025-03-10&meter=gas"
    yield "/readings?view=month&at=2025-03-01&meter=water"
    yield from ("/bill/tariffs?meter=gas", "/log?meter=water")
