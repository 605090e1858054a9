# SPDX-License-Identifier: Apache-2.0
"""Operators at the utility's console, in a real browser, while a hub dials in at the other door.

Screenshots of every page go to build/screenshots (METERLET_SCREENSHOTS names another folder).
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pypdf
import pytest
from facturx import xml_check_xsd

from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support import dialling
from tests.support.chromium import APPLET, CHROMIUM, MODES, Visit, sync_api, visiting
from tests.support.command import ROOT, run_meterlet, serving
from tests.support.mdms import aggregate
from tests.support.soak import IS_SOAKING
from tests.support.town import METER, TARIFF, Town, done
from utility_server.grid.mdms.workspace import Mdms

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: Chromium is not installed"),
]
SCREENSHOTS = Path(os.environ.get("METERLET_SCREENSHOTS", ROOT / "build" / "screenshots"))
PASSWORD = "correct horse battery"
ROLES = ("billing", "settlement", "grid", "fleet", "auditor", "admin")
SELLER = """
name = "Stadtwerke Beispiel"
street = "Am Werk 1"
postcode = "12345"
city = "Beispiel"
country = "DE"
vat = "DE123456789"
"""
BEGIN, END = Period.month(2025, 3).bounds("Europe/Berlin")
SPOT = PriceIndex(
    "spot", 1, "EUR", "EUR/MWh", "UTC", PriceSeries(BEGIN, 3600, (7,) * ((END - BEGIN) // 3600))
)
PAGES = (
    "/", "/customers", f"/customers/{METER}", "/tariffs", "/ledger", "/invoices", "/invoices/1",
    "/search", "/settlement", "/settlement/profiles", "/settlement/groups", "/settlement/entries",
    "/rollouts", "/rollouts/1", f"/rollouts/1/hubs/{METER}", "/regions?region=North", "/audit",
    "/keys", "/certificates", "/nowhere",
)  # fmt: skip

SAMPLE = {
    "light": ("/", "/regions?region=North", "/invoices", "/certificates", "/rollouts"),
    "narrow": (f"/customers/{METER}", "/invoices", "/settlement"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = Town(tmp_path_factory.mktemp("town") / "town")
    town.folder.mkdir()
    town.build()
    dialling.certify(town)
    (town.utility / "seller.toml").write_text(SELLER)
    with Mdms.create(town.folder / "mdms") as mdms:
        mdms.store.add(aggregate(date(2025, 3, 1), 7))
    for name, roles in (("anna", ROLES), ("gus", ("grid",))):
        said = [word for role in roles for word in ("--role", role)]
        added = run_meterlet(
            "utility", "operator", "add", "--utility", town.utility, name, *said,
            "--password-file", "-", stdin=PASSWORD.encode(),
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
    return town


@pytest.fixture(scope="module")
def service(town: Town) -> Iterator[dict[str, Any]]:
    where = "--utility", town.utility, "--port", 0, "--hubs-port", 0, "--mdms", town.folder / "mdms"
    with serving("utility", "serve", *where) as said:
        yield said


@contextmanager
def signed_in(browser: Any, service: dict[str, Any], name: str, **mode: Any) -> Iterator[Visit]:
    with visiting(browser, service["address"], **mode) as visit:
        visit.open("/")
        visit.page.fill("#name", name)
        visit.page.fill("#password", PASSWORD)
        visit.page.press("#password", "Enter")
        visit.page.wait_for_selector("#unseen")
        yield visit


def dial(town: Town, service: dict[str, Any]) -> None:
    port = service["hubs"].rpartition(":")[2]
    code, _, complaint = dialling.dial_once(town, f"https://localhost:{port}")
    assert code == 0, complaint


def begin(visit: Visit, month: str, *, again: bool = False) -> None:
    visit.open("/")
    visit.page.fill("#month", month)
    if again:
        visit.page.check("#replaces")
    visit.page.get_by_role("button", name="Begin").click()
    visit.page.wait_for_selector("#items")


def test_a_month_is_billed_while_the_operator_looks_on(
    town: Town, service: dict[str, Any], browser: Any
) -> None:
    with signed_in(browser, service, "anna", **MODES["light"]) as visit:
        page = visit.page
        assert "No bill run has begun yet" in visit.text("main")
        visit.follow("Tariffs")
        page.fill("#source", TARIFF.read_text())
        page.get_by_role("button", name="Sign and register").click()
        assert "de-modul3-2025" in visit.text("#tariffs")
        begin(visit, "2025-03")
        page.wait_for_selector("#items >> text=asked")  # the page renews itself
        dial(town, service)
        page.wait_for_selector("#live[data-live=no]")  # it renews itself
        assert "1 of 1 at their end" in visit.text("#live")
        assert "billed" in visit.text("#items")
        assert visit.violations() == []
        page.click("#items a >> nth=-1")
        assert "Invoice 1" in visit.text("h1")
        visit.open(f"/customers/{METER}")
        page.get_by_text("Name and address, for invoices by mail").click()
        for name, value in (("Name", "Erika Mustermann"), ("City", "Ort"), ("Country", "DE")):
            page.get_by_label(name, exact=True).fill(value)
        page.get_by_role("button", name="Keep").click()
        assert "not kept" not in visit.text("main")
        visit.open("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.get_by_role("searchbox").focus()
        page.keyboard.type("muster")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/customers/{METER}")
        visit.follow("Invoices")
        assert "2025-03-01 to 2025-03-31" in visit.text("#invoices")
        page.select_option("#state", "void")
        page.get_by_role("button", name="Show").press("Enter")
        page.get_by_text("There is none of these").wait_for()
        visit.open("/invoices?month=2025-03&state=standing")
        with page.expect_download() as download:
            page.get_by_role("link", name="PDF of invoice 1").click()
        paper = town.folder / "invoice.pdf"
        download.value.save_as(paper)
        (xml,) = pypdf.PdfReader(paper).attachments["factur-x.xml"]
        assert b"Erika Mustermann" in xml
        assert xml_check_xsd(xml, flavor="factur-x", level="en16931")
        (invoice,) = dialling.bills(town)
        assert invoice == 1
        visit.open(f"/customers/{METER}")
        assert "31" in visit.text("#chains")
        assert "2025-03-01 to 2025-03-31" in visit.text("#bills")
        assert "stay in the home" in visit.text("#unseen")
        with page.expect_download() as download:
            page.click("#entries a")
        bundle = town.folder / "entry.bundle"
        download.value.save_as(bundle)
        assert json.loads(done("bill", "verify", bundle, "--json"))["verdict"] == "matches"
        page.click("#entries button")
        assert "verifies from its evidence" in visit.text("#verdict")
        visit.follow("Ledger")
        page.get_by_role("button", name="Check all that is on record").click()
        page.wait_for_selector("#live[data-live=no]")
        assert "each of 1 entries verifies again" in visit.text("#live")
        assert visit.complaints == []


def press(visit: Visit, name: str) -> None:
    """Press a button with the keyboard, and confirm on the page that says what it does."""
    visit.page.get_by_role("button", name=name, exact=True).press("Enter")
    visit.page.wait_for_selector("#does")
    assert visit.violations() == []
    visit.page.locator("main button").press("Enter")
    visit.page.wait_for_selector("#done")


def test_keys_are_rolled_out_and_a_settlement_says_who_is_left_out(
    town: Town, service: dict[str, Any], browser: Any
) -> None:
    with signed_in(browser, service, "anna", **MODES["narrow"]) as visit:
        page = visit.page
        visit.follow("Roll-outs")
        page.fill("#keys-applet", APPLET)
        page.locator("form[action='/rollouts/keys'] button").press("Enter")
        page.wait_for_selector("#done")
        press(visit, "Start")
        press(visit, "Stop")
        assert visit.violations() == []
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "console-narrow-stopped.png", full_page=True)
        press(visit, "Go on")
        dial(town, service)
        page.wait_for_selector("#live[data-live=no]")  # it renews itself
        assert "1 of 1 hubs have answered" in visit.text("#live")
        page.reload()
        page.get_by_role("link", name=f"all answers of {METER}").press("Enter")
        assert "installed" in visit.text("#answers")
        visit.follow("Settlement")
        page.fill("#month", "2025-03")
        page.fill("#supplier", "Stadtwerke")
        page.set_input_files("#index", {"name": "spot", "mimeType": "a/b", "buffer": SPOT.encode()})
        page.get_by_role("button", name="Begin").press("Enter")
        page.wait_for_selector("#live[data-live=no]")
        page.reload()
        assert visit.violations() == []
        shown = visit.text("main")
        assert "Provisional" in shown
        assert visit.complaints == []


@pytest.mark.soak
def test_who_refused_and_why_is_shown_and_nothing_more(
    town: Town, service: dict[str, Any], browser: Any
) -> None:
    done("inspect", "consents", "revoke", "--hub", town.hub, 1)
    with signed_in(browser, service, "anna") as visit:
        begin(visit, "2025-03", again=True)
        visit.page.wait_for_selector("#items >> text=asked")
        dial(town, service)
        visit.page.wait_for_selector("#live[data-live=no]")
        shown = visit.text("#items")
        assert "declined" in shown
        assert "consent" in shown
        visit.page.get_by_role("link", name="the hub said no").last.click()
        assert METER in visit.text("#items")
        assert "why a resident has said no" in visit.text("#unseen")


def test_every_page_is_clean_and_fits(service: dict[str, Any], browser: Any, town: Town) -> None:
    """axe finds nothing on any page; in `make soak` on all, by dark and on a small screen."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name, mode in MODES.items():
        if name == "dark" and not IS_SOAKING:
            continue
        shown = PAGES if IS_SOAKING else SAMPLE[name]
        with visiting(browser, service["address"], **mode) as visit:
            visit.open("/sign-in")
            assert visit.violations() == []
            visit.page.fill("#name", "anna")
            visit.page.fill("#password", PASSWORD)
            visit.page.press("#password", "Enter")
            visit.page.wait_for_selector("#unseen")
            if IS_SOAKING:
                visit.open("/settlement")
                shown = (*PAGES, visit.page.locator("#runs a").first.get_attribute("href"))
            for path in shown:
                visit.open(path)
                assert visit.violations() == [], path
                width = visit.page.evaluate("document.documentElement.scrollWidth")
                assert width <= mode["viewport"]["width"], path
                place = path.strip("/").split("?")[0].replace("/", "-")[:40] or "start"
                visit.page.screenshot(
                    path=SCREENSHOTS / f"console-{name}-{place}.png", full_page=True
                )


def test_a_grid_operator_sees_sums_and_no_customer(service: dict[str, Any], browser: Any) -> None:
    with signed_in(browser, service, "gus") as visit:
        names = visit.text("nav")
        assert "Regions" in names
        assert "Customers" not in names
        visit.page.get_by_role("button", name="Show").click()
        assert "60" in visit.text("section.chart")
        assert visit.page.locator("svg[role=img] path.tone-0").count() == 1
        assert "any home's use in any slot" in visit.text("#unseen")
        visit.open(f"/customers/{METER}")
        assert "roles do not show this page" in visit.text("main")
        visit.page.get_by_role("button", name="Sign out").click()
        visit.page.wait_for_selector("#password")
        visit.open("/regions")
        assert "/sign-in" in visit.page.url


def test_a_system_asks_with_its_key(service: dict[str, Any], town: Town) -> None:
    key = json.loads(
        done("utility", "api-key", "create", "bank", "--role", "billing", "--utility",
             town.utility, "--json")
    )["secret"]  # fmt: skip
    asked = urllib.request.Request(
        f"{service['address']}v1/invoices/1", headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(asked) as answer:
        assert json.loads(answer.read())["meter"] == METER
    told = json.loads(done("utility", "audit", "--utility", town.utility, "--json"))
    assert told["verified"]
    assert [one["action"] for one in told["entries"]][-1] == "show_invoice"
