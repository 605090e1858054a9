# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from hub.device import Description, Device
from hub.inspection import TariffBook
from hub.meters import ACTIVE_ENERGY_IMPORT, SyntheticHousehold, emulated_meter_id
from hub.readings import Reading, ReadingFlag
from tariffs import Tariff
from tariffs.source import load_toml

ROOT = Path(__file__).resolve().parents[3]
NOON = 1_743_501_600
"""2025-04-01T12:00:00+02:00."""
GAP = (1_742_900_400, 1_742_911_200)
"""2025-03-25, 12:00 to 15:00: nothing is known."""

NewDevice = Callable[[], Device]


def with_gap(readings: Iterator[Reading]) -> Iterator[Reading]:
    """A household whose register stood still for three hours."""
    lost, before = 0, 0
    for reading in readings:
        if GAP[0] < reading.time <= GAP[1]:
            lost += reading.register_wh - before
        resumed = ReadingFlag.RESUMED if reading.time == GAP[1] else ReadingFlag.NONE
        before = reading.register_wh
        if not GAP[0] < reading.time < GAP[1] and reading.time <= NOON:
            yield Reading(reading.time, reading.register_wh - lost, resumed)


def household(folder: Path) -> Device:
    """From 20 March (the clock changes on the 30th) to noon of 1 April 2025, with a gap."""
    description = Description(emulated_meter_id(1), ACTIVE_ENERGY_IMPORT, "Europe/Berlin", 15)
    device = Device.create(folder, description, now=lambda: NOON)
    house = SyntheticHousehold("Europe/Berlin")
    readings = house.readings(date(2025, 3, 20), date(2025, 4, 1), 300)
    device.meter.vault.append(device.meter.channel, with_gap(readings))
    device.meter.certify()
    return device


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with household(tmp_path / "hub") as device:
        yield device


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """For tests that only look."""
    with household(tmp_path_factory.mktemp("home") / "hub") as device:
        yield device


@pytest.fixture(scope="session")
def tariff() -> Tariff:
    return load_toml((ROOT / "cli" / "demo" / "tariff.toml").read_text())


@pytest.fixture(scope="session")
def book(tariff: Tariff) -> TariffBook:
    return TariffBook.only(tariff)
