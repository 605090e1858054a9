# SPDX-License-Identifier: Apache-2.0
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from hub.meters.simulator import SyntheticHousehold
from hub.meters.solar import SolarRoof
from hub.readings import Readout
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT

BERLIN = ZoneInfo("Europe/Berlin")
ROOF = SolarRoof(8000, BERLIN, 1)


def at(*local: int) -> int:
    return int(datetime(*local, tzinfo=BERLIN).timestamp())  # type: ignore[misc,arg-type]  # y, m, d, h


def energy(day: date, roof: SolarRoof = ROOF) -> int:
    return sum(roof.watts(at(day.year, day.month, day.day) + 900 * n) for n in range(96)) // 4


def test_a_year_yields_what_such_panels_do_in_central_europe() -> None:
    """About 900 to 1,100 kWh for each kilowatt; the model's clouds are a third of the light."""
    days = [date.fromordinal(date(2025, 1, 1).toordinal() + n) for n in range(365)]
    a_kilowatt = sum(map(energy, days)) / 8
    assert 700_000 < a_kilowatt < 1_300_000
    summer, winter = (sum(energy(date(2025, m, d)) for d in range(1, 29)) for m in (6, 12))
    assert summer > 5 * winter


def test_there_is_no_sun_at_night_and_never_more_than_the_panels_give() -> None:
    for month in range(1, 13):
        assert ROOF.watts(at(2025, month, 15, 0)) == 0
        assert all(0 <= ROOF.watts(at(2025, month, 15, h)) <= 8000 for h in range(24))


def test_the_sun_is_highest_around_noon_by_standard_time() -> None:
    clear = max(range(96), key=lambda n: ROOF._clear_sky(at(2025, 7, 1) + 900 * n))
    assert 12.5 <= clear / 4 <= 13.5  # summer time is an hour ahead


def test_the_same_seed_has_the_same_sky_whatever_is_asked_for() -> None:
    two = list(SyntheticHousehold("Europe/Berlin", 3, solar_watts_peak=8000).readouts(
        date(2025, 6, 1), date(2025, 6, 1)))  # fmt: skip
    assert energy(date(2025, 6, 1), SolarRoof(8000, BERLIN, 3)) != energy(date(2025, 6, 1))
    assert ACTIVE_ENERGY_EXPORT in two[-1].readings


def shown(readout: Readout, register: bytes = ACTIVE_ENERGY_IMPORT) -> int:
    return readout.readings[register].register_wh


@pytest.mark.parametrize("watts", [0, 3000, 12_000])
def test_what_is_drawn_less_what_is_fed_in_is_the_house_less_the_sun(watts: int) -> None:
    day = date(2025, 6, 15)
    plain = list(SyntheticHousehold("Europe/Berlin", 2).readouts(day, day))
    solar = list(SyntheticHousehold("Europe/Berlin", 2, solar_watts_peak=watts).readouts(day, day))
    if not watts:
        assert solar == plain
        return
    sun = energy(day, SolarRoof(watts, BERLIN, 2))
    (first, last), (began, ended) = (plain[0], plain[-1]), (solar[0], solar[-1])
    fed_in = shown(ended, ACTIVE_ENERGY_EXPORT) - shown(began, ACTIVE_ENERGY_EXPORT)
    drawn = shown(ended) - shown(began)
    house = shown(last) - shown(first)
    assert drawn - fed_in == pytest.approx(house - sun, abs=100)
    assert 0 < fed_in < sun
    assert 0 < drawn < house
    assert all(shown(a) <= shown(b) for a, b in pairwise(solar))
