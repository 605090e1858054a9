# SPDX-License-Identifier: Apache-2.0
"""The demonstration under a tariff that credits feed-in, and all that can be seen of it after."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner

from hub.device import Device
from hub.inspection.api.json_readings import readings_json
from hub.inspection.api.openapi import openapi_document
from hub.inspection.api.operations import OPERATIONS
from hub.inspection.attack.reconstruction import curve_known_to
from hub.inspection.export.copies import CopyForm, copy_readings
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.estimates import forecast
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.readings import readings_view
from hub.inspection.views.slots import readings_of, slots_between
from hub.machine.machine import AppletMachine
from hub.readings import Readout
from meterlet.commands.bill import bill
from meterlet.commands.hub import hub
from meterlet.commands.inspect.readings import readings
from meterlet.commands.utility import utility
from protocols.metrology import Period
from tariffs.source import load_toml
from tests.support.command import run_meterlet
from tests.support.green_button import ESPI, number, resources
from tests.support.pages import browser
from utility_server.errors import CannotVerify
from utility_server.retail.audit import check_entry
from utility_server.retail.utility import Utility

ROOT = Path(__file__).resolve().parents[2]
FEED_IN = ROOT / "examples/tariffs/de-feed-in-2025.toml"
TARIFF = load_toml(FEED_IN.read_text())
MARCH = Period.month(2025, 3)


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> tuple[Path, dict[str, Any]]:
    assert machine is not None  # built before the command would build it
    folder = tmp_path_factory.mktemp("feed-in") / "demo"
    done = run_meterlet("demo", "--tariff", FEED_IN, "--keep", folder, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def device(demo: tuple[Path, dict[str, Any]]) -> Iterator[Device]:
    with Device.open(demo[0] / "hub") as device:
        yield device


def fed_in_wh(device: Device) -> int:
    assert device.feed_in is not None
    return sum(wh for use in device.feed_in.uses(MARCH) for wh in use.uses)


def test_the_demonstration_credits_what_was_fed_in(
    demo: tuple[Path, dict[str, Any]], device: Device
) -> None:
    facts = demo[1]
    assert (facts["verdict"], facts["verified"]) == ("matches", True)
    (credit,) = [item for item in facts["items"] if item["component"] == "EEG feed-in"]
    assert credit["quantity"] == fed_in_wh(device) > 200_000
    scale = 10 ** facts["fee_recomputed"]["exact_decimals"]
    assert Fraction(credit["amount_exact"], scale) == -Fraction(credit["quantity"] * 794, 10**7)
    assert [one["registers"] for one in facts["released"]] == [[None, "1-0:2.8.0*255"]]
    assert facts["known"]["supplier"]["numbers"] == 1
    assert "8 kW" in facts["household"]


def test_utility_and_third_parties_verify_it_again(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with Utility.open(demo[0] / "utility") as office:
        (entry,) = office.ledger.entries()
        check_entry(office, entry)
        assert entry.content["registers"] == "import+export"
        evidence = office.ledger.evidence(entry)
    (tmp_path / "march.bundle").write_bytes(evidence)
    done = CliRunner().invoke(bill, ["verify", str(tmp_path / "march.bundle"), "--json"])
    assert json.loads(done.stdout)["verdict"] == "matches", done.stdout
    listed = CliRunner().invoke(utility, ["ledger", "--utility", str(demo[0] / "utility")])
    assert "every entry verify" in listed.stdout


def test_a_customer_enrolled_without_the_register_is_not_asked(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """An enrolment of an older hub, as it was sealed then, is read; the tariff is not for it."""
    with (
        Utility.open(demo[0] / "utility") as office,
        Utility.create(tmp_path / "other") as other,
    ):
        (meter,) = office.customers.meters()
        known = office.customers.find(meter, bytes.fromhex("F04D544C010101"))
        older = replace(known, others=())
        other.customers.enrol(older.encode())
        assert other.customers.find(meter, known.applet) == older
        with pytest.raises(CannotVerify, match="no register of it"):
            other.question(meter, MARCH, other.sign(TARIFF))


def test_a_hub_that_cheats_is_found_under_this_tariff_too() -> None:
    done = run_meterlet("demo", "--tariff", FEED_IN, "--tamper", "reading")
    assert done.returncode == 3, done.stderr


# What the resident sees


def test_readings_show_feed_in_beside_use(device: Device) -> None:
    book = TariffBook.only(TARIFF)
    with open_inspection(device) as database:
        for _ in range(2):  # made, then kept
            kept = BucketCache.of(device, database)
            view = readings_view(device, MARCH, By.DAY, book, kept)
            assert view.feeds_in
            assert view.total.fed_in_wh == fed_in_wh(device)
            assert sum(bucket.fed_in_wh or 0 for bucket in view.buckets) == fed_in_wh(device)
            assert view.total.cost is not None
            whole = bill_of(TARIFF, readings_of(device, MARCH))
            assert view.total.cost.exact == whole.total_exact
            assert view.buckets[0].price_micro == 299_500, "what is drawn has one price"
    facts = readings_json(view).as_json()["total"]
    assert facts["feed_in_wh"] == fed_in_wh(device)
    schemas = openapi_document(OPERATIONS)["components"]["schemas"]
    assert "feed_in_wh" in schemas["Bucket"]["properties"]


def test_the_command_line_shows_it_as_table_and_csv(demo: tuple[Path, dict[str, Any]]) -> None:
    months = ["--hub", str(demo[0] / "hub"), "--by", "month"]
    table = CliRunner().invoke(readings, months)
    assert "fed in" in table.stdout
    listed = CliRunner().invoke(readings, [*months, "--csv"])
    rows = list(csv.DictReader(io.StringIO(listed.stdout)))
    assert [row["feed_in_wh"] for row in rows if row["feed_in_wh"]] == [
        str(demo[1]["items"][3]["quantity"])
    ]
    status = CliRunner().invoke(hub, ["status", "--hub", str(demo[0] / "hub"), "--json"])
    assert json.loads(status.stdout)["feed_in_register"] == "1-0:2.8.0*255"


def test_own_copies_have_both_registers(device: Device) -> None:
    slots = slots_between(device, *MARCH.bounds("Europe/Berlin"))
    assert slots.fed_in_wh is not None
    copy = copy_readings(device, MARCH, CopyForm.CSV)
    rows = list(csv.DictReader(io.StringIO(copy.content.decode())))
    assert [int(row["feed_in_wh"]) for row in rows] == list(slots.fed_in_wh)
    assert {row["feed_in_state"] for row in rows} == {"measured"}
    found = list(resources(copy_readings(device, MARCH, CopyForm.GREEN_BUTTON).content))
    kinds = [one for one in found if one.tag == f"{ESPI}ReadingType"]
    assert [number(kind, "flowDirection") for kind in kinds] == [1, 19]
    blocks = [one for one in found if one.tag == f"{ESPI}IntervalBlock"]
    values = [number(one, "value") for b in blocks for one in b.iter(f"{ESPI}IntervalReading")]
    assert values == [*slots.use_wh, *slots.fed_in_wh]


def test_a_forecast_expects_feed_in_too(device: Device, tmp_path: Path) -> None:
    copytree(device.folder, tmp_path / "hub")
    with Device.open(tmp_path / "hub") as later:
        last = later.main.vault.latest(later.main.channel)
        assert last is not None
        assert later.feed_in is not None
        exported = later.feed_in.vault.latest(later.feed_in.channel)
        assert exported is not None
        after = last.time + 900
        shown = {
            later.main.channel.register: replace(last, time=after),
            later.feed_in.channel.register: replace(exported, time=after),
        }
        later.store([Readout(shown)])
        april = Period(date(2025, 4, 1), date(2025, 4, 30))
        guess = forecast(later, TariffBook.only(TARIFF), april)
        credit = next(item for item in guess.bill.items if item.component == "EEG feed-in")
        assert credit.quantity is not None
        assert credit.quantity > 200_000


def test_what_was_told_of_feed_in_is_no_part_of_the_curve_of_use(device: Device) -> None:
    begin, end = MARCH.bounds("Europe/Berlin")
    known = curve_known_to(device, ["supplier"], begin, end)
    use = sum(wh for day in device.main.uses(MARCH) for wh in day.uses)
    mean = use * 3600 // (end - begin)
    assert set(known.watts) == {mean}


def test_the_pages_show_it_in_a_table_and_the_releases_name_the_register(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    copytree(demo[0] / "hub", tmp_path / "hub")
    with browser(tmp_path / "hub") as anna:
        for language, word in (("en", "Fed in"), ("de", "Eingespeist"), ("fr", "Injecté")):
            page = anna.get(
                "/readings?view=month&at=2025-03-15", headers={"Accept-Language": language}
            ).text
            assert page.count(word) == 2, language
            assert "no price known" not in page
        assert "1-0:2.8.0*255" in anna.get("/releases").text
        assert "EEG feed-in" in anna.get("/bill").text
        days = anna.finish(anna.post("/log/days", page="/log"))
        assert "62" in days.text, "the days of both registers are checked"
        plain = anna.get("/readings?view=hour&at=2025-03-15&hour=12")
        assert plain.status_code == 200
