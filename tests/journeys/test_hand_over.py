# SPDX-License-Identifier: Apache-2.0
"""One resident moves out, another moves in, and the supplier goes on with the same meter.

Then the hub itself moves, to a home with another meter.
"""

import json
import shutil
from pathlib import Path

import pytest

from hub.device import Device
from tests.support.command import run_meterlet
from tests.support.pages import browser
from tests.support.town import METER, TARIFF, Town, done, refused
from tests.support.waiting import wait_until

APRIL = "synthetic", "--from", "2025-04-01", "--until", "2025-04-30"


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A home whose March is billed."""
    town = Town(tmp_path_factory.mktemp("custody"))
    town.build()
    with town.serving() as address:
        done(*town.request(address))
    return town


@pytest.fixture
def town(billed: Town, tmp_path: Path) -> Town:
    shutil.copytree(billed.folder, tmp_path / "town")
    return Town(tmp_path / "town")


def of_april(asked: tuple[object, ...]) -> list[object]:
    return [word if word != "2025-03" else "2025-04" for word in asked]


def test_the_next_resident_inherits_nothing_and_the_supplier_goes_on(town: Town) -> None:
    over = "hub", "hand-over", "--hub", town.hub
    plan = json.loads(done(*over, "--dry-run", "--json"))
    assert (plan["done"], plan["first_day"], plan["goes"]["certified_days"]) == (
        False, "2025-04-01", 31,
    )  # fmt: skip
    assert plan["goes"]["applets"] == 1
    assert plan["goes"]["kept_by_applets"] >= 2
    text = done(*over, "--dry-run")
    assert "31 certified days" in text
    before = json.loads(done("hub", "status", "--hub", town.hub, "--json"))
    assert before["certified_days"] == 31  # a dry run does nothing

    with town.serving() as address:  # a hub that serves goes on, with nothing to tell
        said = json.loads(done(*over, "--first-day", "2025-04-01", "--yes", "--json"))
        assert (said["done"], said["first_day"], said["readings_kept"]) == (True, "2025-04-01", 1)
        wait_until(lambda: "not on this hub any more" in refused(*town.request(address))[1])
    status = json.loads(done("hub", "status", "--hub", town.hub, "--json"))
    assert (status["certified_days"], status["custody_begins"]) == (0, "2025-04-01")
    assert status["certifier"] == before["certifier"]
    assert status["log_entries"] == before["log_entries"] + 1
    code, line = refused("inspect", "bill", "--hub", town.hub)
    assert code == 1
    listed = json.loads(done("inspect", "consents", "list", "--hub", town.hub, "--json"))
    assert listed["consents"] == []
    code, line = refused("inspect", "bill", "--hub", town.hub)
    assert (code, line.startswith("meterlet: no applet is installed that keeps bills")) == (1, True)

    done("hub", "ingest", "--hub", town.hub, *APRIL)
    with town.serving() as address:
        # The channel that the former resident's supplier had leads to no applet.
        code, line = refused(*of_april(town.request(address)))
        assert (code, "the applet is not on this hub any more" in line) == (3, True)
    town.enrol("--replace-keys")
    with town.serving() as address:
        bill = json.loads(done(*of_april(town.request(address, TARIFF, "--json"))))
        assert (bill["verified"], bill["days"], bill["invoice"]) == (True, 30, 2)
        code, line = refused(*town.request(address))
        assert (code, "the hub refused: 6985" in line) == (5, True), line
        assert "the days are a former resident's; the resident's log says which" in line
        # The supplier knows by now where the custody begins, and asks no hub about both.
        spanning = [word for word in town.request(address) if word not in ("--month", "2025-03")]
        days = "--from", "2025-03-20", "--until", "2025-04-10"
        code, line = refused(*spanning, *days)
        begins = f"custody: another custody of meter {METER} begins on 2025-04-01"
        assert (code, begins in line) == (4, True), line
    with Device.open(town.hub) as device:
        whys = [entry.facts["why"] for entry in device.disclosure.log.entries("refusal")]
    assert whys == [
        "custody: the custody of this meter began on 2025-04-01; no day before it is told"
    ]
    told = json.loads(done("utility", "chain", "--utility", town.utility, METER, "--json"))
    [known] = told["registers"]
    assert (known["days"], known["custody_begins"]) == (61, "2025-04-01")
    assert known["changes"] == [{"kind": "custody", "day": "2025-04-01"}]
    assert "2025-04-01: another custody begins" in done(
        "utility", "chain", "--utility", town.utility, "--meter", METER
    )
    # The log that the supplier had seen has grown; nobody had to accept another one.
    assert json.loads(done("hub", "status", "--hub", town.hub, "--json"))["log_seen"]


def test_a_hub_moves_to_a_home_with_another_meter(town: Town) -> None:
    new = "0a014d544c0000000002"
    code, line = refused("hub", "hand-over", "--hub", town.hub, "--meter", METER, "--yes")
    assert (code, "for meter" in line, "already" in line) == (1, True, True)
    said = done("hub", "hand-over", "--hub", town.hub, "--meter", new, "--yes")
    assert f"the hub is for meter {new} now, with new keys" in said
    done("hub", "ingest", "--hub", town.hub, *APRIL)
    town.enrol()  # another customer's meter: nothing is replaced
    with town.serving() as address:
        asked = [word if word != METER else new for word in of_april(town.request(address))]
        assert "verified" in done(*asked)
    told = json.loads(done("utility", "chain", "--utility", town.utility, "--meter", new, "--json"))
    [known] = told["registers"]
    assert (known["days"], known["custody_begins"], known["changes"]) == (30, None, [])


def test_who_does_not_agree_hands_nothing_over(town: Town) -> None:
    over = "hub", "hand-over", "--hub", town.hub
    asked = run_meterlet(*over, stdin=b"n\n")
    assert asked.returncode == 1
    assert "This goes for good" in asked.stderr
    assert "31 certified days" in asked.stderr
    for wrong, text in (
        (("--first-day", "2025-03-31", "--yes"), "can begin with 2025-04-01 only"),
        (("--first-day", "2025-04-02", "--dry-run"), "can begin with 2025-04-01 only"),
    ):
        code, line = refused(*over, *wrong)
        assert (code, text in line) == (1, True)
    for usage in (
        ("--first-day", "2025-04-01", "--meter", "0b"),
        ("--register", "1-0:1.8.0*255"),
        ("--meter", "0b", "--register", "x"),
    ):
        assert run_meterlet(*over, *usage, "--yes").returncode == 2
    assert json.loads(done("hub", "status", "--hub", town.hub, "--json"))["certified_days"] == 31


def test_pages_that_are_open_show_nothing_more(town: Town) -> None:
    with browser(town.hub) as client:
        assert client.get("/readings").status_code == 200
        done("hub", "hand-over", "--hub", town.hub, "--yes")
        answer = client.get("/readings", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/readings")
        # Whoever serves these pages starts them again; till then nobody makes an account here.
        for page in ("/sign-in", "/welcome", "/readings"):
            assert client.get(page).status_code in (404, 503)
    assert not (town.hub / "residents.db").exists()
