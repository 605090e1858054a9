# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static, TabbedContent

from hub.device import Device
from hub.disclosure import ConsentTerms, Form
from hub.disclosure.rules import ReleaseRefused
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.tui import InspectionTui
from hub.inspection.views.calendar import By
from hub.inspection.views.readings import readings_view
from hub.meters.odd import Odd, OddTelegram
from protocols.metrology import Period
from tariffs import Tariff
from tests.hub.inspection.conftest import NOON, household, put_documents
from tests.support.media_home import media_home
from tests.support.releases import sum_request

ENGLISH = catalogue("en")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, tariff: Tariff) -> Device:
    """A hub that has told a supplier, whose name is out to harm the screen, one sum."""
    with household(tmp_path_factory.mktemp("tui") / "hub") as device:
        put_documents(device, tariff)
        name = "[red]supplier[/red]\x1b[2J"
        device.disclosure.grant(
            ConsentTerms(b"a", b"p", name, "billing", "linear", 1, 60, 9, 64, date(2030, 1, 1))
        )
        begin, end = Period(date(2025, 3, 20), date(2025, 3, 31)).bounds("Europe/Berlin")
        form = Form(begin, 900, (1,) * ((end - begin) // 900))
        request = sum_request(b"a", b"p", name, "billing", 12, form, bytes(32))
        device.disclosure.permit(request)
        device.disclosure.record_message(b"a", name, "billing", b"\x01" * 40)
    return device


def run(
    device: Device,
    see: Callable[[InspectionTui, Pilot[None]], Awaitable[None]],
    language: str = "en",
) -> None:
    async def session() -> None:
        app = InspectionTui(
            lambda: Device.open(device.folder, now=lambda: NOON), catalogue(language)
        )
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await see(app, pilot)

    asyncio.run(session())


def text(app: InspectionTui, name: str) -> str:
    return str(app.query_one(f"#{name}", Static).render())


def rows(app: InspectionTui, name: str) -> list[list[str]]:
    table = app.query_one(f"#{name}", DataTable)
    return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]


def test_now_says_power_use_cost_and_the_last_release(told: Device) -> None:
    async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
        shown = text(app, "now")
        with Device.open(told.folder, now=lambda: NOON) as device:
            today = Period(date(2025, 4, 1), date(2025, 4, 1))
            view = readings_view(device, today, By.DAY)
        assert ENGLISH.energy(view.total.energy_wh) in shown
        for word in ("Power", "Today", "This month", "Certified", "Last release"):
            assert word in shown

    run(told, see)


@pytest.mark.parametrize("language", LANGUAGES)
def test_now_says_what_is_set_aside(told: Device, language: str) -> None:
    def seen(words: str) -> None:
        async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
            assert words in text(app, "now")

        run(told, see, language)

    words, code = catalogue(language), told.description.register
    seen(words.t("tui.none_aside"))
    with Device.open(told.folder, now=lambda: NOON) as device:
        device.quarantine.add([OddTelegram(Odd.FELL, "", 0, NOON, b"m", NOON, {code: 5})])
    seen(words.n("tui.set_aside_value", 1))
    with Device.open(told.folder, now=lambda: NOON) as device:
        device.quarantine.remove([one.number for one in device.quarantine.all()])


def test_readings_change_scale_and_period_by_key(told: Device) -> None:
    async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
        app.query_one(TabbedContent).active = "page-readings"
        await pilot.pause()
        assert len(rows(app, "readings")) == 24
        await pilot.press("b", "b")
        shown = rows(app, "readings")
        assert "30 Mar 2025" in text(app, "period")
        assert [row[0] for row in shown][:4] == ["00:00", "01:00", "03:00", "04:00"]
        assert len(shown) == 23
        await pilot.press("m")
        assert len(rows(app, "readings")) == 31
        await pilot.press("w")
        gap = rows(app, "readings")[1]
        assert "12 slots missing" in gap[4]
        await pilot.press("y", "n")
        assert "1 Jan 2026 – 31 Dec 2026" in text(app, "period")
        assert {row[4] for row in rows(app, "readings")} == {"no readings"}

    run(told, see)


def test_releases_show_what_is_known_and_the_bytes_harmlessly(told: Device) -> None:
    async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
        app.query_one(TabbedContent).active = "page-releases"
        await pilot.pause()
        [row] = rows(app, "releases")
        assert row[1] == "[red]supplier[/red]\N{REPLACEMENT CHARACTER}[2J"
        assert row[4] == "40"
        assert "knows one number about your use" in text(app, "knowledge")
        assert "\x1b" not in text(app, "knowledge") + text(app, "now")
        assert "not your use on any single day" in text(app, "knowledge")
        app.query_one("#releases", DataTable).focus()
        await pilot.pause()
        assert "01" * 40 in text(app, "message")

    run(told, see)


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_every_language(told: Device, language: str) -> None:
    async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
        assert catalogue(language).t("tui.power") in text(app, "now")
        assert app.title == catalogue(language).t("tui.title")
        await pilot.press("q")

    run(told, see, language)


def test_a_key_goes_to_the_next_meter(tmp_path: Path) -> None:
    device = media_home(tmp_path / "hub")
    device.close()

    async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
        assert "Meter" in text(app, "now")
        assert "Electricity" in text(app, "now")
        await pilot.press("e", "m")
        await pilot.pause()
        assert text(app, "period").startswith("Gas: 1 Apr 2025")
        assert "m³" in text(app, "period")
        assert "Flow" in text(app, "now")
        assert rows(app, "readings")[0][0] == "1 Apr 2025"
        await pilot.press("e")
        await pilot.pause()
        assert text(app, "period").startswith("Water: 1 Apr 2025")
        await pilot.press("e")
        await pilot.pause()
        assert "kWh" in text(app, "period")

    run(device, see)


def test_refusals_and_what_keeps_the_hub_from_being_read_are_told_in_the_language(
    tmp_path: Path,
) -> None:
    with household(tmp_path / "hub") as device:
        refused = ReleaseRefused("count", "this period was answered 2 times already")
        facts = {"recipient": "supplier", "purpose": "billing"}
        device.disclosure.refusals.note(facts, refused)

    async def see(app: InspectionTui, pilot: Pilot[None]) -> None:
        shown = text(app, "knowledge")
        assert "an supplier" not in shown
        assert "über diesen Zeitraum wurde schon 2-mal geantwortet" in shown
        (tmp_path / "hub" / "hub.toml").unlink()
        await pilot.press("r")
        await pilot.pause()
        [told] = [notice.message for notice in app._notifications]
        assert "hier ist kein Hub" in told or "hub.toml" in told
        assert "schon 2-mal" in text(app, "knowledge")

    run(device, see, "de")
