# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.support.mdms import aggregate, london_sums, new_store
from tests.support.ray import on_ray
from utility_server.fan_out import FanOut, InProcesses
from utility_server.grid.mdms.errors import ForecastImpossible
from utility_server.grid.mdms.forecasts import evaluate, forecast
from utility_server.grid.mdms.load_curves import LoadCurve, load_curve
from utility_server.grid.mdms.standard_profile import standard_profile
from utility_server.grid.mdms.store import AggregateStore

pytestmark = pytest.mark.one_database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AggregateStore]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def curve(store: AggregateStore) -> LoadCurve:
    store.add(aggregate(date(2025, 5, 5), 35))
    return load_curve(store, "North")


def test_the_week_before_is_repeated(curve: LoadCurve) -> None:
    found = forecast(curve, 9, "week before")
    assert found.slots[0][0] == curve.slots[-1][1]
    assert found.uses_wh == curve.uses_wh[-336:] + curve.uses_wh[-336 : -336 + 96]


def test_the_profile_has_the_level_of_the_last_four_weeks(curve: LoadCurve) -> None:
    found = forecast(curve, 7, "profile")
    shares = standard_profile(curve.zone, found.slots)
    four = slice(-4 * 336, None)
    scale = sum(curve.uses_wh[four]) / sum(standard_profile(curve.zone, curve.slots[four]))
    assert list(found.uses_wh) == [round(scale * share) for share in shares]


def test_a_year_of_the_profile_is_a_whole() -> None:
    slots = [(begin, begin + 1800) for begin in range(1735686000, 1767222000, 1800)]
    assert sum(standard_profile("Europe/Berlin", slots)) == pytest.approx(1, rel=0.01)


def test_an_autoregression_sees_a_rhythm_through_noise(curve: LoadCurve) -> None:
    errors = {one.method: one for one in evaluate(curve, 2, 5)}
    assert errors["autoregression"].mape < errors["week before"].mape
    assert errors["autoregression"].slots == 5 * 96


@pytest.mark.sqlite_file
@pytest.mark.parametrize("make", [lambda: InProcesses(1), on_ray], ids=["processes", "ray"])
def test_forecasts_of_other_processes_are_as_far_off_to_the_last_bit(
    curve: LoadCurve, make: Callable[[], FanOut]
) -> None:
    told = list[None]()
    there = evaluate(curve, 1, 9, progress=lambda: told.append(None), how=make())
    assert there == evaluate(curve, 1, 9)
    assert len(told) == 3 * 9


def test_a_forecast_uses_nothing_of_what_it_is_compared_with(curve: LoadCurve) -> None:
    seen = evaluate(curve, 7, 1)
    other = replace(curve, uses_wh=curve.uses_wh[: 28 * 48] + (9999,) * (7 * 48))
    from utility_server.grid.mdms.forecasts import _History

    for method in (one.method for one in seen):
        ahead = curve.slots[28 * 48 :]
        assert _History.of(curve).forecast(28 * 48, ahead, method) == _History.of(other).forecast(
            28 * 48, ahead, method
        )


def test_a_region_without_a_rhythm_is_forecast_as_it_is(store: AggregateStore) -> None:
    store.add(aggregate(date(2025, 5, 5), 28, sums=[700] * (28 * 48)))
    assert set(forecast(load_curve(store, "North"), 1).uses_wh) == {700}


def test_too_little_history_and_gaps_are_named(store: AggregateStore) -> None:
    store.add(aggregate(date(2025, 5, 5), 20))
    with pytest.raises(ForecastImpossible, match="3 weeks"):
        forecast(load_curve(store, "North"), 1)
    store.add(aggregate(date(2025, 5, 26), 1, seed=3))
    with pytest.raises(ForecastImpossible, match="gaps"):
        forecast(load_curve(store, "North"), 1)
    store.add(aggregate(date(2025, 5, 5), 30, minutes=1440, sums=[7] * 30))
    with pytest.raises(ForecastImpossible, match="within days"):
        forecast(load_curve(store, "North", resolution_minutes=1440), 1)
    store.add(aggregate(date(2025, 5, 25), 1, seed=4))
    with pytest.raises(ForecastImpossible, match="compare"):
        evaluate(load_curve(store, "North"), 7, 3)
    with pytest.raises(ForecastImpossible, match="one of"):
        forecast(load_curve(store, "North"), 1, "guess")


def test_on_the_london_homes_the_autoregression_beats_profile_and_week_before(
    store: AggregateStore,
) -> None:
    store.add(aggregate(date(2013, 1, 1), 365, zone="UTC", sums=london_sums()))
    curve = load_curve(store, "North")
    for days in (1, 7):
        errors = {one.method: one for one in evaluate(curve, days, 8)}
        best = errors["autoregression"]
        for other in ("profile", "week before"):
            assert best.mape < errors[other].mape
            assert best.nrmse < errors[other].nrmse
