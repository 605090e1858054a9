# SPDX-License-Identifier: Apache-2.0
"""A meter is exchanged twice in a month: one bill with all three, proved, the plain one."""

import json
from typing import Any

import pytest

from hub.device import Device
from hub.meters.emulated import emulated_meter_id
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, DayGrid
from tariffs import compute_bill
from tariffs.source import load_toml
from tests.support.command import ROOT, run_meterlet
from tests.support.exchanged import MARCH, SLOT, ZONE, Exchange, parts, uses, whole_month
from tests.support.pages import browser
from tests.support.town import Town, done, refused

FEED_IN = ROOT / "examples/tariffs/de-feed-in-2025.toml"
WITHIN_A_SLOT = DayGrid(MARCH.first.replace(day=14), ZONE, 15).begin + 14 * 3600 + 7 * 60
MIDNIGHT = DayGrid(MARCH.first.replace(day=20), ZONE, 15).begin
FIRST = Exchange(WITHIN_A_SLOT, 7, {ACTIVE_ENERGY_IMPORT: 12, ACTIVE_ENERGY_EXPORT: 0})
SECOND = Exchange(MIDNIGHT, 8, {ACTIVE_ENERGY_IMPORT: 9_000_000, ACTIVE_ENERGY_EXPORT: 40})


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("exchanged")
    town = Town(folder / "town")
    town.folder.mkdir()
    first, second, third = parts(whole_month(), [FIRST, SECOND])
    captures = [
        part.write(folder / f"{number}.sml") for number, part in enumerate((first, second, third))
    ]
    foreign = f"of meter {second.meter.hex()}, this hub is for {first.meter.hex()}"
    town.build(("--feed-in-register",), [captures[0]])
    # Before the exchange the new meter is a foreign one; what the old one sent comes again.
    aside = run_meterlet("hub", "ingest", "--hub", town.hub, captures[1])
    assert (aside.returncode, foreign in aside.stderr) == (1, True)
    said = done("hub", "exchange-meter", "--hub", town.hub, *first.options)
    assert "readings of it that were set aside are stored" in said
    again = run_meterlet("hub", "ingest", "--hub", town.hub, captures[0])
    assert (again.returncode, "exchange-meter" in again.stderr) == (0, False), again.stderr
    assert again.stdout.startswith("0 readings stored, 0 set aside,"), again.stdout
    assert done("hub", "ingest", "--hub", town.hub, captures[1]).startswith("0 readings stored")
    done("hub", "exchange-meter", "--hub", town.hub, *second.options)
    done("hub", "ingest", "--hub", town.hub, captures[2])
    return town


@pytest.fixture(scope="module")
def bill(town: Town) -> dict[str, Any]:
    with town.serving() as address:
        asked = town.request(address, FEED_IN, "--bundle", town.folder / "march.bundle", "--json")
        return dict(json.loads(done(*asked)))


def plain_total() -> str:
    """Return what the bill comes to of the uses of one meter that counted all month."""
    readouts = whole_month()
    plain = compute_bill(
        load_toml(FEED_IN.read_text()),
        [readout.time for readout in readouts[:-1]],
        SLOT,
        uses(readouts, ACTIVE_ENERGY_IMPORT),
        export_wh=uses(readouts, ACTIVE_ENERGY_EXPORT),
    )
    return plain.total


def test_one_bill_has_all_meters_and_is_the_plain_one(town: Town, bill: dict[str, Any]) -> None:
    assert (bill["verified"], bill["missing_slots"]) == (True, [])
    assert bill["total"] == plain_total()
    ids = [emulated_meter_id(serial).hex() for serial in (1, 7, 8)]
    told = [(one["slot"], one["old_meter"], one["new_meter"]) for one in bill["meter_exchanges"]]
    assert told == [
        ("2025-03-14T13:00:00Z", ids[0], ids[1]),
        ("2025-03-19T22:45:00Z", ids[1], ids[2]),
    ]
    bundle = town.folder / "march.bundle"
    said = done("bill", "verify", bundle, "--supplier", town.utility / "public.pem")
    assert f"slot from 2025-03-14T13:00:00Z: {ids[0]} was taken down, {ids[1]} put up" in said
    shown = json.loads(done("bill", "verify", bundle, "--json"))
    assert shown["meter_exchanges"] == bill["meter_exchanges"]


def test_the_utilitys_chain_knows_the_meters(town: Town, bill: dict[str, Any]) -> None:
    assert bill["verified"]
    told = done("utility", "chain", "--utility", town.utility, "--meter", bill["meter"], "--json")
    drawn, fed_in = json.loads(told)["registers"]
    for known in (drawn, fed_in):
        assert (known["days"], known["first_day"], known["last_day"]) == (
            31, "2025-03-01", "2025-03-31",
        )  # fmt: skip
        assert known["mounted"] == emulated_meter_id(8).hex()
        assert [one["day"] for one in known["changes"]] == ["2025-03-14", "2025-03-19"]
        assert known["custody_begins"] is None
    text = done("utility", "chain", "--utility", town.utility, "--meter", bill["meter"])
    assert "2025-03-14: meter 0a014d544c0000000001 exchanged for meter 0a014d544c0000000007" in text
    assert done("utility", "chain", "--utility", town.utility, bill["meter"]) == text
    for both in ((), (bill["meter"], "--meter", bill["meter"])):
        wrong = run_meterlet("utility", "chain", "--utility", town.utility, *both)
        assert (wrong.returncode, "say which METER, once" in wrong.stderr) == (2, True)
    code, line = refused("utility", "chain", "--utility", town.utility, "0b")
    assert (code, "not enrolled" in line) == (1, True)


def test_the_resident_sees_the_exchange(town: Town, bill: dict[str, Any]) -> None:
    assert bill["verified"]
    checked = json.loads(done("inspect", "bill", "--hub", town.hub, "--json"))
    assert (checked["verdict"], checked["invoiced"]) == ("matches", bill["total"])
    assert [one["new_meter"] for one in checked["meter_exchanges"]] == [
        FIRST.meter.hex(), SECOND.meter.hex(),
    ]  # fmt: skip
    first = checked["meter_exchanges"][0]
    assert (first["time"], first["start_wh"]) == ("2025-03-14T13:07:00Z", 12)
    days = "--from", "2025-03-14", "--until", "2025-03-14"
    shown = done("inspect", "readings", "--hub", town.hub, *days)
    assert f"{FIRST.meter.hex()} began at 12 Wh" in shown
    fine = json.loads(done("inspect", "readings", "--hub", town.hub, *days, "--fine", "--json"))
    assert min(one["energy_wh"] for one in fine["uses"]) >= 0
    with Device.open(town.hub) as device:
        assert device.mounted_meter == SECOND.meter
    with browser(town.hub) as client:
        for page in ("/readings?view=month&at=2025-03-14", "/bill"):
            text = client.get(page).text
            assert FIRST.meter.hex() in text
            assert SECOND.meter.hex() in text
            assert "The meter was exchanged on" in text
        assert "exchanged on" not in client.get("/readings?view=day&at=2025-03-15").text


def test_an_exchange_that_does_not_fit_is_refused(town: Town) -> None:
    taken = "hub", "exchange-meter", "--hub", town.hub, "--at", "2025-03-14T13:07:00"
    code, line = refused(*taken, "--meter", "0b", "--register", "1-0:1.8.0*255=5:0")
    assert (code, "an exchange needs just the registers of this hub: 1-0:1.8.0" in line) == (
        1,
        True,
    )
    both = "--register", "1-0:1.8.0*255=99999999:0", "--register", "1-0:2.8.0*255=99999999:0"
    code, line = refused(*taken, "--meter", "0b", *both)
    assert (code, "certified already" in line) == (1, True)
