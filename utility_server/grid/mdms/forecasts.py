# SPDX-License-Identifier: Apache-2.0
"""Forecasts of a region's load, and how wrong each way has been.

    autoregression   log(use) on its own last slots, the days before, the week before (and the
                     one before that, from 8 weeks on): least squares, statsmodels' AutoReg
    profile          the BDEW's H0 profile, scaled to the last four weeks
    week before      what the same slot of the week before used (naive)

Errors are measured by rolling origins: from each of several days in the past only what was known
then is used, and the days that followed are forecast. MAPE is the mean of |forecast − use| / use;
NRMSE the root of the mean squared error over the mean use. Both are ratios, hence floats; a
forecast is whole watt-hours.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from utility_server.fan_out import FanOut, InThisProcess
from utility_server.grid.mdms.aggregates import DAY_MINUTES
from utility_server.grid.mdms.errors import ForecastImpossible
from utility_server.grid.mdms.load_curves import LoadCurve
from utility_server.grid.mdms.standard_profile import standard_profile

METHODS: Final = ("autoregression", "profile", "week before")
LEAST_WEEKS: Final = 3
MOST_WEEKS: Final = 12
"""Older history is not looked at: seasons change."""
_WEEK: Final = 7
_PART: Final = 8
"""Forecasts that are made together: a curve travels with them."""
_SHORTEST_SERIES: Final = 2


@dataclass(frozen=True, slots=True)
class LoadForecast:
    """What a region is expected to use."""

    method: str
    slots: tuple[tuple[int, int], ...]
    uses_wh: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far forecasts by one method were off."""

    method: str
    mape: float
    nrmse: float
    slots: int
    """So many forecast slots were compared."""


def forecast(curve: LoadCurve, days: int, method: str = METHODS[0]) -> LoadForecast:
    """Forecast the days after the curve's end; raise `ForecastImpossible` with too little."""
    history = _history(curve)
    ahead = history.slots_ahead(days)
    return LoadForecast(method, ahead, tuple(history.forecast(len(curve.slots), ahead, method)))


def evaluate(
    curve: LoadCurve,
    days: int,
    origins: int,
    methods: Sequence[str] = METHODS,
    progress: Callable[[], None] = lambda: None,
    how: FanOut = InThisProcess(),  # noqa: B008 - it holds nothing
) -> list[Accuracy]:
    """Return each method's errors over forecasts of `days` from `origins` past days.

    The origins lie evenly between the earliest that leaves enough history and the last that
    leaves enough days to compare with. `how` says where the forecasts are made. They are added up
    here, in one order, so that the errors do not depend on it. Raises `ForecastImpossible` with
    too little stored.
    """
    history = _history(curve)
    daily, count = history.daily, len(curve.slots)
    earliest, latest = LEAST_WEEKS * _WEEK, count // daily - days
    if latest < earliest:
        raise ForecastImpossible(f"region {curve.region}: too few days to compare a forecast with")
    span = latest - earliest
    starts = sorted({earliest + span * number // max(origins - 1, 1) for number in range(origins)})
    items = [
        (method, starts[first : first + _PART])
        for method in methods
        for first in range(0, len(starts), _PART)
    ]
    expected: dict[str, list[list[int]]] = {method: [] for method in methods}
    with closing(how.run(partial(forecasts_from, curve, days), items)) as results:
        for (method, part), made in zip(items, results, strict=True):
            expected[method] += made
            for _ in part:
                progress()
    return [_accuracy(curve, days, method, starts, expected[method]) for method in methods]


def forecasts_from(curve: LoadCurve, days: int, part: tuple[str, Sequence[int]]) -> list[list[int]]:
    """Return what a method forecasts from each of some past days, knowing only what was before."""
    history, (method, starts) = _history(curve), part
    bounds = [(start * history.daily, (start + days) * history.daily) for start in starts]
    return [history.forecast(at, curve.slots[at:until], method) for at, until in bounds]


def _accuracy(
    curve: LoadCurve, days: int, method: str, starts: Sequence[int], forecasts: Sequence[list[int]]
) -> Accuracy:
    ratios: list[float] = []
    squares: list[int] = []
    used: list[int] = []
    daily = DAY_MINUTES // curve.resolution_minutes
    for start, expected in zip(starts, forecasts, strict=True):
        uses = curve.uses_wh[start * daily : (start + days) * daily]
        for guess, use in zip(expected, uses, strict=True):
            if use > 0:
                ratios.append(abs(guess - use) / use)
            squares.append((guess - use) ** 2)
            used.append(use)
    if not ratios:
        raise ForecastImpossible(f"region {curve.region}: it used nothing")
    nrmse = math.sqrt(sum(squares) / len(squares)) * len(used) / sum(used)
    return Accuracy(method, sum(ratios) / len(ratios), nrmse, len(squares))


@lru_cache(maxsize=1)
def _history(curve: LoadCurve) -> "_History":
    """Return a curve with what forecasts need of it, made once for many of them."""
    return _History.of(curve)


@dataclass(frozen=True, slots=True)
class _History:
    """A curve without gaps in its last weeks, of slots of one length."""

    curve: LoadCurve
    daily: int
    """Slots in 24 hours."""
    profile: list[float]

    @classmethod
    def of(cls, curve: LoadCurve) -> "_History":
        region, minutes = curve.region, curve.resolution_minutes
        if minutes == DAY_MINUTES:
            raise ForecastImpossible(f"region {region}: forecasts are of slots within days")
        if curve.gaps:
            raise ForecastImpossible(f"region {region}: its sums have gaps; choose days without")
        daily = DAY_MINUTES // minutes
        if len(curve.slots) < LEAST_WEEKS * _WEEK * daily:
            raise ForecastImpossible(f"region {region}: {LEAST_WEEKS} weeks of sums are needed")
        return cls(curve, daily, standard_profile(curve.zone, curve.slots))

    def slots_ahead(self, days: int) -> tuple[tuple[int, int], ...]:
        seconds, end = 60 * self.curve.resolution_minutes, self.curve.slots[-1][1]
        return tuple(
            (end + number * seconds, end + (number + 1) * seconds)
            for number in range(days * self.daily)
        )

    def forecast(self, at: int, ahead: Sequence[tuple[int, int]], method: str) -> list[int]:
        """Return what the slots ahead will use, knowing the first `at` slots of the curve."""
        week = _WEEK * self.daily
        known = self.curve.uses_wh[max(0, at - MOST_WEEKS * week) : at]
        match method:
            case "week before":
                return [known[number % week - week] for number in range(len(ahead))]
            case "profile":
                last = slice(max(0, at - 4 * week), at)
                scale = sum(self.curve.uses_wh[last]) / sum(self.profile[last])
                shares = standard_profile(self.curve.zone, ahead)
                return [round(scale * share) for share in shares]
            case "autoregression":
                return _autoregression(known, self.daily, len(ahead))
            case _:
                raise ForecastImpossible(f"method {method!r}: one of {', '.join(METHODS)}")


def _autoregression(known: Sequence[int], daily: int, ahead: int) -> list[int]:
    try:
        import numpy as np
        from statsmodels.tsa.ar_model import AutoReg
    except ModuleNotFoundError as error:
        raise ForecastImpossible("an autoregression needs statsmodels") from error
    logs: np.ndarray[tuple[int], np.dtype[np.float64]] = np.log(np.maximum(known, 1))
    if logs.max() - logs.min() == 0:
        return [known[-1]] * ahead
    fit = AutoReg(logs, lags=_lags(daily, len(known))).fit()
    expected = fit.predict(len(known), len(known) + ahead - 1)
    # What is far above all that was ever used is the model running away, not a forecast.
    limit = 2 * max(known)
    return [min(limit, round(float(use))) for use in np.exp(np.minimum(expected, np.log(limit)))]


def _lags(daily: int, count: int) -> list[int]:
    week = _WEEK * daily
    lags = {1, 2, 3, daily - 1, daily, daily + 1, week - 1, week, week + 1}
    lags |= {daily * day for day in range(_SHORTEST_SERIES, _WEEK)}
    if count >= 8 * week:
        lags.add(2 * week)
    return sorted(lags)
