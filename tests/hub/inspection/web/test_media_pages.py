# SPDX-License-Identifier: Apache-2.0
"""The pages of a home with meters of electricity, gas and water."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.device import Device
from hub.inspection.locales.catalogue import LANGUAGES
from tests.support.media_home import NOON, media_home
from tests.support.pages import Browser, browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media") / "hub"
    media_home(folder).close()
    return folder


@pytest.fixture(scope="module")
def looking(folder: Path) -> Iterator[Browser]:
    with browser(folder) as someone:
        someone.clock.now = NOON
        someone.sign_in()
        yield someone


def plain(text: str) -> str:
    """A page's text without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)).replace("\xa0", " ")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/?meter=gas", "/readings", "/readings?meter=water", "/bill", "/bill?meter=gas",
        "/bill/tariffs?meter=water", "/log?meter=gas", "/export", "/set-aside", "/releases",
        "/readings?view=hour&at=2025-03-10&hour=3&meter=gas",
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_page_is_there_in_each_language(looking: Browser, path: str, language: str) -> None:
    looking.post("/language", language=language, next="/about")
    try:
        assert looking.get(path).status_code == 200
    finally:
        looking.post("/language", language="en", next="/about")


def test_readings_are_of_the_meter_that_is_chosen(looking: Browser) -> None:
    text = looking.get("/readings?view=day&at=2025-03-10&meter=gas").text
    assert 'aria-current="true">Gas</a>' in text
    page = plain(text)
    assert "9.864 m³" in page
    assert "l/h" in page
    assert "kWh" not in page
    assert "10 Mar 2025, 06:00" in page
    assert "Days of this meter begin at 06:00." in page
    assert 'name="meter" value="gas"' in text
    for link in re.findall(r'href="(/readings\?[^"]*)"', text):
        if "at=" in link and ">Electricity<" not in link:
            assert looking.get(link.replace("&amp;", "&")).status_code == 200
    assert 'data-zone="Europe/Berlin"' in text
    minutes = looking.get("/readings/minutes?at=2025-03-10&meter=gas").json()
    assert len(minutes["watts"]) == 24
    own = plain(looking.get("/readings?view=day&at=2025-03-10").text)
    assert "m³" not in own
    assert "10 Mar 2025, 00:00" in own


def test_a_month_of_gas_has_the_days_of_its_bill(looking: Browser) -> None:
    page = plain(looking.get("/readings?view=month&at=2025-03-01&meter=gas").text)
    assert "305.504 m³" in page
    assert "€304.59" in page
    assert "Highest flow" in page


@pytest.mark.parametrize("path", ["/readings?meter=heat", "/?meter=heat", "/bill?meter=heat"])
def test_a_meter_that_there_is_not_is_said_so(looking: Browser, path: str) -> None:
    answer = looking.get(path)
    assert answer.status_code == 400
    assert "no further meter" in plain(answer.text)


def test_the_first_page_lists_all_meters(looking: Browser) -> None:
    page = plain(looking.get("/").text)
    for said in ("Electricity", "Gas LGB 22150101", "Water EFE 12345678", "8-0:1.0.0*255"):
        assert said in page
    gas = looking.get("/?meter=gas").text
    assert 'hx-get="/?meter=gas"' in gas
    assert "l/h" in plain(gas)


def test_a_gas_bill_is_of_its_month(looking: Browser) -> None:
    page = plain(looking.get("/bill?meter=gas").text)
    assert "March 2025" in page
    assert "1 Apr 2025" not in page
    assert "305.504 m³" in page
    assert "matches" in page.lower()
    water = plain(looking.get("/bill?meter=water").text)
    assert "9.839 m³" in water
    # Of electricity there is none yet; those of the other meters are named beside it.
    assert "Gas: " in plain(looking.get("/bill?meter=electricity").text)


def test_invoices_are_computed_again_and_looked_ahead_by_meter(looking: Browser) -> None:
    again = looking.finish(looking.post("/bill/recompute"))
    assert plain(again.text).count("March 2025") == 2
    ahead = looking.finish(looking.post("/bill/forecast", meter="water"))
    assert "April 2025" in plain(ahead.text)
    assert "m³" in plain(ahead.text)


def test_tariffs_are_those_of_the_meter(looking: Browser) -> None:
    assert "de-gas-2025" in looking.get("/bill/tariffs?meter=gas").text
    assert "de-gas-2025" not in looking.get("/bill/tariffs?meter=water").text
    assert "/m3" in looking.get("/bill/tariffs?meter=water").text


def test_what_was_told_names_the_meter(looking: Browser) -> None:
    page = plain(looking.get("/releases").text)
    assert "About your gas meter:" in page
    assert "March 2025, about your gas meter" in page
    assert "the meters of one home tell about each other" in page


def test_what_is_set_aside_names_its_meter_and_unit(folder: Path, looking: Browser) -> None:
    page = plain(looking.get("/set-aside").text)
    assert "Water" in page
    assert "90.000 m³" in page
    assert "90.000 m³" in plain(looking.get("/set-aside?meter=water").text)
    assert "Nothing is set aside." in plain(looking.get("/set-aside?meter=gas").text)
    assert "Nothing is set aside." in plain(looking.get("/set-aside?meter=electricity").text)
    with Device.open(folder, now=lambda: NOON) as device:
        [one] = device.quarantine.all()
    answer = looking.post(f"/set-aside/{one.number}/accept", page="/set-aside")
    assert answer.status_code == 200
    with Device.open(folder, now=lambda: NOON) as device:
        last = device.meters["water"].last_readout()
        assert last is not None
        assert last.time == NOON + 60


def test_a_copy_of_gas_is_taken_out(looking: Browser) -> None:
    answer = looking.post(
        "/export/readings", meter="gas", first="2025-03-01", last="2025-03-31", form="csv",
        agreed="yes",
    )  # fmt: skip
    header, first, *_ = answer.text.splitlines()
    assert header == "start_utc,start_local,volume_l,state"
    assert first.startswith("2025-03-01T05:00:00Z,2025-03-01T06:00:00+01:00,")


def test_the_days_of_every_meter_are_checked(looking: Browser) -> None:
    checked = looking.finish(looking.post("/log/days"))
    # 32 days of electricity and water, 33 gas days: the first one begins on the last of February.
    assert "97" in plain(checked.text)
