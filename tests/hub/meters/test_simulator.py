# SPDX-License-Identifier: Apache-2.0
from datetime import date
from itertools import pairwise

from hub.meters.simulator import SyntheticHousehold

MARCH = date(2025, 3, 1), date(2025, 3, 31)


def test_a_seed_gives_one_house_and_another_seed_another() -> None:
    first, second, other = (
        list(SyntheticHousehold("Europe/Berlin", seed).readings(*MARCH)) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_a_month_with_a_clock_change_has_all_its_quarter_hours() -> None:
    readings = list(SyntheticHousehold("Europe/Berlin").readings(*MARCH))
    assert len(readings) == 31 * 96 - 4 + 1
    assert all(b.time - a.time == 900 for a, b in pairwise(readings))
    assert all(b.register_wh >= a.register_wh for a, b in pairwise(readings))


def test_a_year_of_the_house_uses_about_what_it_should() -> None:
    house = SyntheticHousehold("Europe/Berlin", base_kwh_per_year=3500)
    readings = list(house.readings(date(2024, 7, 1), date(2025, 6, 30), step_seconds=3600))
    assert 2_800 < (readings[-1].register_wh - readings[0].register_wh) / 1000 < 4_200


def test_finer_steps_show_the_same_register() -> None:
    day = date(2025, 3, 30), date(2025, 3, 30)
    coarse = list(SyntheticHousehold("Europe/Berlin").readings(*day))
    fine = {r.time: r for r in SyntheticHousehold("Europe/Berlin").readings(*day, step_seconds=60)}
    assert len(coarse) == 93
    assert all(fine[r.time] == r for r in coarse)
