# SPDX-License-Identifier: Apache-2.0
"""Residents at their hub's pages, in a real browser: what they come for, from the first start on.

With METERLET_SCREENSHOTS=folder, and in `make soak`, screenshots of every page are kept there (or
in build/screenshots).
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.applet_host.store import AppletStore
from hub.device import Device
from hub.inspection.views.bucket import peak_in
from hub.inspection.views.documents import supplier_documents
from hub.inspection.views.slots import slots_between
from hub.installer import build_package
from protocols.canonical.signing import key_id_of
from protocols.metrology import Period
from tests.support.chromium import (
    APPLET,
    CHROMIUM,
    MODES,
    NAME,
    PASSPHRASE,
    Visit,
    sync_api,
    visiting,
)
from tests.support.command import ROOT, run_meterlet
from tests.support.serving import Home, last_month, today
from tests.support.soak import IS_SOAKING
from utility_server.keys import UtilityKeys

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: Chromium is not installed"),
]
SCREENSHOTS = Path(os.environ.get("METERLET_SCREENSHOTS", ROOT / "build" / "screenshots"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home") / "kept")
    home.build()
    added = run_meterlet(
        "inspect", "users", "add", NAME, "--role", "owner", "--hub", home.hub,
        "--passphrase-file", "-", stdin=PASSPHRASE.encode(),
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    return home


@pytest.fixture(scope="module")
def pages(built: Home) -> Iterator[str]:
    """The address of pages at which nothing is changed but what leaves all else as it was."""
    with built.running("inspect", "serve") as serving:
        yield serving["address"]


@pytest.fixture
def visit(browser: Any, pages: str) -> Iterator[Visit]:
    with visiting(browser, pages) as visit:
        visit.sign_in()
        yield visit
        assert visit.complaints == []


@pytest.fixture
def own(built: Home, tmp_path: Path) -> Home:
    """A copy of the household, to be changed."""
    shutil.copytree(built.folder, tmp_path / "kept")
    return Home(tmp_path / "kept")


def test_the_first_start_makes_the_owner_with_the_code_from_the_console(
    own: Home, browser: Any
) -> None:
    removed = [own.hub / "residents.db", *own.hub.glob("residents.db-*")]
    for path in removed:
        path.unlink(missing_ok=True)
    with own.running("inspect", "serve") as serving, visiting(browser, serving["address"]) as visit:
        visit.open("/")
        page = visit.page
        assert page.url.endswith("/welcome")
        page.fill("#code", serving["code"])
        page.fill("#name", NAME)
        page.fill("#passphrase", PASSPHRASE)
        page.fill("#again", PASSPHRASE)
        page.get_by_role("button", name="Begin").click()
        assert page.url == serving["address"]
        assert "Today" in visit.text("main")
        assert "billing" in visit.text("main")
        assert "Single readings that have left the house: 0." in visit.text("main")
        assert visit.complaints == []


def test_yesterdays_peak_is_two_clicks_away(visit: Visit, built: Home) -> None:
    visit.follow("Readings")
    visit.page.get_by_role("link", name="Earlier").click()
    yesterday = today() - timedelta(days=1)
    with Device.open(built.hub) as device:
        bounds = Period(yesterday, yesterday).bounds(device.description.zone)
        peak = peak_in(slots_between(device, *bounds))
    assert peak is not None
    assert visit.text("#peak").startswith(f"{peak.watts:,} W")
    visit.page.click("#peak a")
    assert f"at={yesterday}" in visit.page.url
    assert visit.text("#peak").startswith(f"{peak.watts:,} W")


def test_a_stretch_is_zoomed_into_with_the_mouse(visit: Visit) -> None:
    visit.open(f"/readings?view=day&at={today() - timedelta(days=1)}")  # which is over
    plot = visit.page.wait_for_selector("#minutes .u-over")
    visit.page.locator("#minutes").scroll_into_view_if_needed()
    axis = "[...document.querySelectorAll('#minutes .u-value')].map(one => one.textContent)"
    box = plot.bounding_box()
    mouse = visit.page.mouse
    mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 50)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50, steps=4)
    mouse.up()
    mouse.move(box["x"] + 1, box["y"] + 50)
    time_shown = visit.page.evaluate(axis)[0]
    assert "09:00" <= time_shown[-5:] <= "10:00", time_shown
    visit.page.get_by_role("button", name="Show all of it").click()


def test_what_the_supplier_knows_is_told_in_numbers_and_by_an_attack(visit: Visit) -> None:
    visit.follow("What left the house")
    visit.page.get_by_role("link", name="supplier").click()
    knows = visit.text("section[aria-label='supplier']")
    assert "The supplier knows one number about your use (" in knows
    assert "Numbers told 1 " in knows
    assert visit.text("#readings-left") == "0"
    visit.page.click("#releases tbody a")
    assert "129-129:77.1.2*0" in visit.text("main")  # the total, by its OBIS code
    visit.page.go_back()
    visit.page.get_by_role("button", name="Try the attack").click()
    visit.page.wait_for_selector("#attack")
    rows = visit.page.locator("#attack tbody tr").all_inner_texts()
    house, supplier = ([int(n) for n in re.findall(r"\t(\d+)", row)] for row in rows)
    assert sum(house[:4]) > 0
    assert supplier[4] == 0


def test_after_a_consent_is_revoked_the_next_request_is_refused(own: Home, browser: Any) -> None:
    with (
        own.running("inspect", "serve") as serving,
        own.running("hub", "serve") as hub,
        visiting(browser, serving["address"]) as visit,
    ):
        visit.sign_in()
        visit.follow("Consents")
        visit.page.get_by_role("link", name="Revoke consent 1").click()
        assert "refused: revoked" in visit.text("#effects")
        visit.page.get_by_role("button", name="Revoke it").click()
        assert "revoked" in visit.text("main")
        with Device.open(own.hub) as device:
            meter = device.description.meter.hex()
        asked = run_meterlet(
            "utility", "request", "bill", "--utility", own.utility, "--meter", meter,
            "--month", f"{last_month():%Y-%m}", "--hub", f"{hub['host']}:{hub['port']}",
            "--tariff", ROOT / "meterlet" / "demo" / "tariff.toml",
        )  # fmt: skip
        assert asked.returncode == 5, asked.stderr
        visit.follow("What left the house")
        assert "consent: number 1 was revoked" in visit.text("#refusals")
        assert visit.complaints == []


def issue_wrong_invoice(home: Home) -> None:
    """Let the supplier ask for 10.00 more than it was proved."""
    keys = UtilityKeys.load(home.utility / "keys")
    with Device.open(home.hub) as device:
        aid = bytes.fromhex(APPLET)
        [right] = supplier_documents(device, aid).invoices
        total = f"{int(right.total.replace('.', '')) + 1000:03}"
        wrong = replace(
            right,
            number=right.number + 1,
            issued=right.issued + 1,
            replaces=right.number,
            total=f"{total[:-2]}.{total[-2:]}",
        )
        signed = wrong.sign(keys.signing, key_id_of(keys.public))
        store = AppletStore(device.database, aid, 1 << 20)
        with device.database.transaction():
            store.put(b"resident/invoice/wrong", signed)


def test_a_right_bill_matches_and_a_wrong_one_says_by_how_much(own: Home, browser: Any) -> None:
    with own.running("inspect", "serve") as serving, visiting(browser, serving["address"]) as visit:
        visit.sign_in()
        visit.follow("My bill")
        assert visit.text("#verdict").startswith("It matches.")
        visit.page.get_by_role("button", name="Check the supplier's proof").click()
        visit.page.wait_for_selector("#verdict")
        assert visit.text("#verdict").startswith("It matches.")
        issue_wrong_invoice(own)
        visit.follow("My bill")
        assert visit.text("#verdict").startswith("It differs. It asks €10.0000 too much")
        visit.page.get_by_role("button", name="Check the supplier's proof").click()
        visit.page.wait_for_selector("#verdict")
        assert visit.text("#verdict").startswith("It differs.")
        assert visit.complaints == []


def test_a_bills_proof_is_saved_and_verified_offline(visit: Visit, tmp_path: Path) -> None:
    visit.follow("Export")
    visit.page.check("#agree-bill")
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name="Save the bill's proof").click()
    waiting.value.save_as(tmp_path / "bill.bundle")
    verified = run_meterlet("bill", "verify", tmp_path / "bill.bundle")
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("matches: ")
    visit.follow("Export")
    assert "bill bundle" in visit.text("#copies")


def test_an_applet_is_installed_from_a_file_and_removed_again(
    own: Home, browser: Any, tmp_path: Path
) -> None:
    vendor, recipient = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    (own.hub / "vendors" / "corner-shop.pem").write_bytes(vendor.public_key().public_bytes(*form))
    (tmp_path / "recipient.pem").write_bytes(recipient.public_key().public_bytes(*form))
    shutil.copytree(ROOT / "applets" / "billing", tmp_path / "billing")
    manifest = tmp_path / "billing" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace(APPLET.upper(), "F04D544C01019A"))
    package = build_package(tmp_path / "billing", vendor, [tmp_path, ROOT])
    (tmp_path / "billing.cap").write_bytes(package)
    with own.running("inspect", "serve") as serving, visiting(browser, serving["address"]) as visit:
        visit.sign_in()
        visit.follow("Applets")
        visit.page.set_input_files("#package", tmp_path / "billing.cap")
        visit.page.set_input_files("#recipient", tmp_path / "recipient.pem")
        visit.page.get_by_role("button", name="Read the package").click()
        assert "Signed by corner-shop" in visit.text("main")
        assert "may learn, for billing" in visit.text("main")
        visit.page.get_by_role("button", name="Consent and install").click()
        visit.page.wait_for_selector("h1:text('Installed')")
        with visit.page.expect_download() as waiting:
            visit.page.get_by_role("button", name="Save the enrolment file").click()
        assert waiting.value.suggested_filename == "f04d544c01019a.enrolment"
        assert Path(waiting.value.path()).stat().st_size > 100
        visit.follow("Applets")
        visit.page.get_by_role("button", name="It is handed over: destroy it").click()
        assert not list((own.hub / "enrolments").iterdir())
        card = visit.page.locator("#f04d544c01019a")
        card.get_by_role("button", name="Lock billing").click()
        assert "locked" in card.inner_text()
        card.get_by_role("link", name="Remove billing").click()
        visit.page.get_by_role("button", name="Remove it").click()
        assert visit.page.locator("#f04d544c01019a").count() == 0
        assert visit.complaints == []


def test_all_of_it_works_without_javascript_too(browser: Any, pages: str) -> None:
    with visiting(browser, pages, java_script_enabled=False) as visit:
        visit.sign_in()
        visit.follow("Readings")
        visit.page.get_by_role("link", name="Month").click()
        visit.page.locator("summary").first.click()
        assert visit.page.locator("#buckets tbody tr").count() >= 28
        visit.follow("My bill")
        visit.page.get_by_role("button", name="Check the supplier's proof").click()
        visit.page.wait_for_selector("#verdict")
        assert visit.text("#verdict").startswith("It matches.")


def test_a_resident_gets_about_with_the_keyboard_alone(browser: Any, pages: str) -> None:
    with visiting(browser, pages) as visit:
        visit.open("/sign-in")
        keys = visit.page.keyboard
        keys.press("Tab")
        assert visit.text(":focus") == "Skip to the content"
        keys.press("Enter")
        keys.press("Tab")
        keys.type(NAME)
        keys.press("Tab")
        keys.type(PASSPHRASE)
        keys.press("Enter")
        visit.page.wait_for_url(pages)
        for _ in range(4):
            keys.press("Tab")
        assert visit.text(":focus") == "What left the house"
        outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        keys.press("Enter")
        visit.page.wait_for_url("**/releases")


def paths(visit: Visit) -> dict[str, str]:
    """Every page there is, by name."""
    month = last_month()
    visit.open("/releases")
    message = visit.page.get_attribute("#releases tbody a", "href")
    return {
        "now": "/",
        "hour": f"/readings?view=hour&at={month}&hour=18",
        "day": f"/readings?view=day&at={month}",
        "week": f"/readings?view=week&at={month}",
        "month": f"/readings?view=month&at={month}&beside={today()}",
        "year": f"/readings?view=year&at={month}",
        "releases": "/releases",
        "message": message,
        "consents": "/consents",
        "readers": "/consents/readers",
        "consent": "/consents/1?change=narrow&least_days=40",
        "revoke": "/consents/1?change=revoke",
        "bill": "/bill",
        "tariffs": "/bill/tariffs",
        "applets": "/applets",
        "removal": f"/applets/{APPLET}/remove",
        "log": "/log",
        "export": "/export",
        "about": "/about",
        "error": "/consents/99",
        "missing": "/nowhere",
    }


DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""What scripts draw is on the page after two frames."""
RESULTS = {
    "attack": ("/releases", "Try the attack"),
    "proof": ("/bill", "Check the supplier's proof"),
    "recomputed": ("/bill", "Compute every bill again"),
    "forecast": ("/bill", "Forecast this month"),
    "days": ("/log", "Check all"),
}


@pytest.fixture(scope="module")
def results(browser: Any, pages: str) -> dict[str, str]:
    """The pages of long work that is done, by name."""
    found = {}
    with visiting(browser, pages) as visit:
        visit.sign_in()
        for name, (path, button) in RESULTS.items():
            visit.open(path)
            visit.page.get_by_role("button", name=button).click()
            visit.page.wait_for_url("**/work/*")
            visit.page.wait_for_selector("progress", state="detached")
            found[name] = "/work/" + visit.page.url.rpartition("/")[2]
        assert visit.complaints == []
    return found


def test_a_phone_shows_amounts_and_says_where_tables_go_on(browser: Any, pages: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}}
    with visiting(browser, pages, **phone) as visit:
        visit.sign_in()
        visit.open("/bill")
        for cell in visit.page.query_selector_all("#items td:last-child"):
            box = cell.bounding_box()
            assert box["x"] + box["width"] <= 390
        for path in ("/readings", "/readings?view=month", "/readings?view=year"):
            visit.open(path)
            chart = visit.page.query_selector(".chart .scroll")
            assert chart.evaluate("one => one.scrollWidth <= one.clientWidth"), path
            letters = chart.query_selector_all("svg text:not(.between)")
            boxes = [letter.bounding_box() for letter in letters]
            assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes), path
            assert min(box["height"] for box in boxes) >= 9, path
        visit.open("/log")
        assert visit.page.eval_on_selector("#log td:last-child", "one => one.clientWidth") > 300
        table = visit.page.query_selector("section .scroll")
        first = table.query_selector("tbody tr > :first-child")
        before = first.bounding_box()["x"]
        assert table.evaluate("one => (one.scrollLeft = 80, one.scrollLeft)") == 80
        assert first.bounding_box()["x"] == before
        assert "linear-gradient" in table.evaluate("one => getComputedStyle(one).backgroundImage")


REFUSED = {
    "refused-day": "/readings?view=day&at=2025-02-30",
    "refused-narrowing": "/consents/1?change=narrow&least_days=1",
}
"""Addresses whose form is shown again, with a field in fault."""


@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_no_fault_with_any_page(
    browser: Any, pages: str, results: dict[str, str], mode: str
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    with visiting(browser, pages, **MODES[mode]) as visit:

        def look(name: str) -> None:
            visit.page.wait_for_load_state("load")
            visit.page.evaluate(DRAWN)
            if IS_SOAKING or "METERLET_SCREENSHOTS" in os.environ:
                visit.page.screenshot(path=SCREENSHOTS / f"{name}-{mode}.png", full_page=True)
            width = visit.page.evaluate("document.documentElement.scrollWidth")
            too_wide = [f"{width} px wide"] if width > MODES[mode]["viewport"]["width"] else []
            if faults := [*visit.violations(only_looks=mode != "light"), *too_wide]:
                found[name] = faults

        visit.open("/sign-in")
        look("sign-in")
        visit.sign_in()
        for name, path in (paths(visit) | results).items():
            visit.open(path)
            look(name)
        for name, path in REFUSED.items():
            visit.open(path)
            assert visit.page.get_attribute(":focus", "aria-invalid") == "true"
            look(name)
    assert found == {}
