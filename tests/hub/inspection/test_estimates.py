# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.device import Description, Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.estimates import _times_of_week, forecast, offers
from hub.inspection.views.money import Money
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.readings import readings_view
from hub.inspection.views.slots import readings_of, slots_between
from hub.inspection.views.tariff_views import tariff_table
from hub.meters.emulated import emulated_meter_id
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, DayGrid, Period
from tariffs import Tariff
from tariffs.source import load_toml

MARCH = Period(date(2025, 3, 20), date(2025, 3, 31))
FLAT = """
format = 1
name = "{name}"
revision = {revision}
currency = "EUR"
zone = "Europe/Berlin"
valid_from = {since}
valid_until = 2026-01-01
rounding = {{ rule = "half-up", decimals = 2 }}

[[charge]]
name = "energy"
kind = "energy"
price = "{price}"
"""


def flat(price: str, *, name: str = "flat", revision: int = 1, since: str = "2025-01-01") -> Tariff:
    return load_toml(FLAT.format(name=name, price=price, revision=revision, since=since))


@pytest.fixture
def steady(tmp_path: Path) -> Iterator[Device]:
    """A house whose weeks are alike, 90 days of them: what it will use is known."""
    description = Description(emulated_meter_id(2), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 60)
    begin, until = (DayGrid(day, "Europe/Berlin", 60).begin for day in DAYS)
    with Device.create(tmp_path / "hub", description) as device:
        readings, register = [], 0
        for time in range(begin, until + 12 * 3600 + 1, 3600):
            readings.append(Reading(time, register))
            register += steady_use(time)
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        yield device


DAYS = (date(2025, 5, 1), date(2025, 8, 13))


def steady_use(time: int) -> int:
    hour = time // 3600 + 2  # summer time all the while
    return 100 + 7 * (hour % 24) + 50 * ((hour // 24 + 4) % 7)


def test_a_tariff_s_bill_is_what_the_view_says_it_costs(home: Device, tariff: Tariff) -> None:
    view = readings_view(home, MARCH, By.DAY, TariffBook.only(tariff))
    assert Money.of_bill(bill_of(tariff, readings_of(home, MARCH))) == view.total.cost


def test_offers_tell_what_others_would_have_asked_and_why_some_cannot(home: Device) -> None:
    cheap, dear, late = flat("0.10"), flat("0.20"), flat("0.05", since="2025-03-25")
    found = offers(home, MARCH, [cheap, dear, late])
    assert found[0].cost is not None
    assert found[1].cost is not None
    assert 2 * found[0].cost.exact == found[1].cost.exact
    energy = sum(slots_between(home, *MARCH.bounds("Europe/Berlin")).use_wh)
    assert found[0].cost.exact == energy * 100_000 * 10 ** (found[0].cost.decimals - 9)
    assert found[2].bill is None
    assert "validity" in found[2].reason
    with pytest.raises(InspectionError, match="no readings"):
        bill_of(cheap, readings_of(home, Period.month(2024, 1)))


def test_a_house_whose_weeks_are_alike_is_forecast_to_the_watt_hour(steady: Device) -> None:
    tariff = flat("0.10")
    august = Period.month(2025, 8)
    told: list[int] = []
    guess = forecast(steady, TariffBook.only(tariff), august, lambda done, _: told.append(done))
    assert told == list(range(1 + len(guess.backtests)))
    begin, end = august.bounds("Europe/Berlin")
    assert guess.energy_wh == sum(map(steady_use, range(begin, end, 3600)))
    assert guess.known_until == DayGrid(DAYS[1], "Europe/Berlin", 60).begin + 12 * 3600
    assert guess.so_far is not None
    assert guess.so_far.exact < guess.cost.exact
    assert [test.period for test in guess.backtests] == [
        Period.month(2025, 7),
        Period.month(2025, 6),
    ]
    assert guess.mean_error_ppm == guess.worst_error_ppm == 0


def test_a_forecast_says_how_far_off_it_was_before(steady: Device) -> None:
    latest = steady.main.vault.latest(steady.main.channel)
    assert latest is not None
    more = [
        Reading(latest.time + 3600 * n, latest.register_wh + 1000 * n) for n in range(1, 20 * 24)
    ]
    steady.main.vault.append(steady.main.channel, more)
    steady.main.certify()
    guess = forecast(steady, TariffBook.only(flat("0.10")), Period.month(2025, 9))
    august = guess.backtests[0]
    assert august.period == Period.month(2025, 8)
    assert august.error_ppm < 0  # the house has begun to use more than it used to
    assert guess.worst_error_ppm == -august.error_ppm
    assert guess.mean_error_ppm == -august.error_ppm // 3


def test_what_cannot_be_forecast_is_said(home: Device, book: TariffBook) -> None:
    with pytest.raises(InspectionError, match="is over"):
        forecast(home, book, MARCH)
    with pytest.raises(InspectionError, match="no tariff"):
        forecast(home, TariffBook(), Period.month(2025, 4))
    with pytest.raises(InspectionError, match="no readings"):
        forecast(home, book, Period.month(2025, 5))
    assert forecast(home, book, Period.month(2025, 4)).backtests == ()


def test_versions_stand_side_by_side(tariff: Tariff) -> None:
    table = tariff_table(TariffBook((flat("0.10"), flat("0.20", revision=2))))
    assert [column.revision for column in table.columns] == [1, 2]
    [row] = table.rows
    assert (row.component, row.prices, row.changes) == (
        "energy",
        ("0.10 EUR/kWh", "0.20 EUR/kWh"),
        True,
    )
    demo = tariff_table(TariffBook.only(tariff))
    assert [row.component for row in demo.rows] == ["energy", "energy", "standing charge", "VAT"]
    assert not any(row.changes for row in demo.rows)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"])
def test_weekday_and_local_time_are_those_of_the_clock(zone: str) -> None:
    info = ZoneInfo(zone)
    starts = range(1_735_689_600, 1_735_689_600 + 365 * 86_400, 900)
    for start, (weekday, minute) in zip(starts, _times_of_week(starts, info), strict=True):
        local = datetime.fromtimestamp(start, UTC).astimezone(info)
        assert (weekday, minute) == (local.weekday(), 60 * local.hour + local.minute)
