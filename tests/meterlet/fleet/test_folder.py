# SPDX-License-Identifier: Apache-2.0
"""A fleet's folder is used again only for the fleet that it was made for; homes differ."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from meterlet.fleet.errors import FleetError
from meterlet.fleet.folder import FleetFolder, FleetSettings
from meterlet.fleet.homes import MOST_HOMES, EmulatedHome
from protocols.metrology import Period

SETTINGS = FleetSettings(1, "Europe/Berlin", 15, "ab" * 32)
DAY = Period(date(2025, 3, 3), date(2025, 3, 3))


def test_a_fleet_is_found_again_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    made = FleetFolder.open(tmp_path / "fleet", SETTINGS)
    package = made.package.read_bytes()
    again = FleetFolder.open(tmp_path / "fleet", SETTINGS)
    assert again == made
    assert again.package.read_bytes() == package
    for other in (
        replace(SETTINGS, seed=2),
        replace(SETTINGS, zone="Europe/Rome"),
        replace(SETTINGS, slot_minutes=30),
        replace(SETTINGS, supplier="cd" * 32),
    ):
        with pytest.raises(FleetError, match="were made with"):
            FleetFolder.open(tmp_path / "fleet", other)


def test_no_fleet_is_made_among_other_things(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear supplier")
    with pytest.raises(FleetError, match="not empty"):
        FleetFolder.open(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", SETTINGS.encode().replace("fleet 1", "fleet 2"),
        SETTINGS.encode().replace('"seed": 1', '"seed": "1"'),
        SETTINGS.encode().replace('"seed": 1', '"seed": 1, "more": 1'),
        SETTINGS.encode().replace("abab", "ABAB"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        FleetSettings.decode(text)
    FleetFolder.open(tmp_path, SETTINGS)
    (tmp_path / "fleet.json").write_text(text)
    with pytest.raises(FleetError, match=r"fleet\.json"):
        FleetFolder.open(tmp_path, SETTINGS)


def test_each_home_is_like_no_other_and_the_same_again() -> None:
    homes = [
        EmulatedHome(number, seed, "Europe/Berlin", 60) for seed in (1, 2) for number in (1, 2)
    ]
    days = [
        [one.register_wh - home.readings(DAY)[0].register_wh for one in home.readings(DAY)]
        for home in homes
    ]
    assert len({tuple(day) for day in days}) == len(homes)
    assert len({home.meter for home in homes}) == 2
    assert homes[0].readings(DAY) == homes[0].readings(DAY)
    later = homes[0].readings(Period(date(2025, 3, 4), date(2025, 3, 4)), 77)
    assert later[0].register_wh == 77


@pytest.mark.parametrize("number", [0, -1, MOST_HOMES])
def test_a_number_beyond_the_seeds_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="homes have numbers"):
        EmulatedHome(number, 1, "Europe/Berlin", 15)
