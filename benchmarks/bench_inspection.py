# SPDX-License-Identifier: Apache-2.0
"""The resident's views on two years of 15-minute data and a month of 1-minute data.

Each view with its buckets kept, and beside it the naive way: every day opened and billed anew.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hub.device import Description, Device
from hub.inspection.attack.attack import attack
from hub.inspection.export.green_button import green_button
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.estimates import forecast
from hub.inspection.views.live import fine_uses
from hub.inspection.views.readings import readings_view
from hub.inspection.views.slots import slots_between
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tariffs.source import load_toml

ROOT = Path(__file__).resolve().parents[1]
BOOK = TariffBook.only(load_toml((ROOT / "meterlet" / "demo" / "tariff.toml").read_text()))
YEARS = Period(date(2024, 1, 1), date(2025, 12, 17))
MINUTES_FROM = 1_763_420_400
"""2025-11-18, local."""
VIEWS = {
    "a day by the hour": (Period(date(2025, 12, 5), date(2025, 12, 5)), By.HOUR),
    "a month by the day": (Period.month(2025, 11), By.DAY),
    "a year by the month": (Period(date(2025, 1, 1), date(2025, 12, 31)), By.MONTH),
    "two years by the day": (Period(date(2024, 1, 1), date(2025, 12, 31)), By.DAY),
}


def readings() -> Iterator[Reading]:
    """Quarter-hours, at last minutes; the last day is not over."""
    for reading in SyntheticHousehold("Europe/Berlin").readings(YEARS.first, YEARS.last, 60):
        if reading.time % 900 == 0 or reading.time >= MINUTES_FROM:
            yield reading
        if reading.time >= MINUTES_FROM + 30 * 86_400 - 6 * 3600:
            return


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path_factory.mktemp("years") / "hub", description) as device:
        device.main.vault.append(device.main.channel, readings())
        device.main.certify()
        yield device


@pytest.fixture(scope="module")
def kept(device: Device) -> Iterator[BucketCache]:
    with open_inspection(device) as database:
        yield BucketCache.of(device, database)


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_with_kept_buckets(
    benchmark: BenchmarkFixture, device: Device, kept: BucketCache, name: str
) -> None:
    period, by = VIEWS[name]
    benchmark.group = name
    view = benchmark(readings_view, device, period, by, BOOK, kept)
    assert view.total.energy_wh


@pytest.mark.parametrize("name", list(VIEWS))
def test_view_made_anew(benchmark: BenchmarkFixture, device: Device, name: str) -> None:
    period, by = VIEWS[name]
    benchmark.group = name
    view = benchmark(readings_view, device, period, by, BOOK)
    assert view.total.energy_wh


def test_a_day_by_the_minute(benchmark: BenchmarkFixture, device: Device) -> None:
    benchmark.group = "minutes"
    assert len(benchmark(lambda: list(fine_uses(device, date(2025, 12, 5))))) == 1440


@pytest.mark.parametrize("days", [1, 7])
def test_attack(benchmark: BenchmarkFixture, device: Device, days: int) -> None:
    benchmark.group = "attack"
    period = Period(date(2025, 12, 5), date(2025, 12, 4 + days))
    view = benchmark(attack, device, period)
    assert view.house.activations


def test_forecast(benchmark: BenchmarkFixture, device: Device) -> None:
    benchmark.group = "forecast"
    guess = benchmark(forecast, device, BOOK, Period.month(2025, 12))
    assert len(guess.backtests) == 6
    benchmark.extra_info["mean error, ppm"] = guess.mean_error_ppm
    benchmark.extra_info["worst error, ppm"] = guess.worst_error_ppm


def test_a_year_as_green_button(benchmark: BenchmarkFixture, device: Device) -> None:
    benchmark.group = "green button"
    year = Period(date(2024, 1, 1), date(2024, 12, 31))
    slots = slots_between(device, *year.bounds("Europe/Berlin"))
    text = benchmark(green_button, slots, device.description, 1_767_000_000)
    assert len(text) > 1_000_000
