# SPDX-License-Identifier: Apache-2.0
"""Substation balance: what the feeder's meter shows beyond the homes' sum and the losses.

    residual(t) = feeder(t) − sum(t) − losses(t)
    losses(t)   = no-load losses of the transformer + a share of what passes the feeder

Over a period the residuals of a sound feeder have a mean of 0. Two tests, on residuals that
follow each other and are therefore correlated, with the long-run variance of Newey and West
(Econometrica 1987; Bartlett's weights, one day's lags):

    mean      HAC t-test of the mean against 0, two-sided: is energy lost, or found?
    onset     Ploberger and Krämer's CUSUM of the deviations from the mean (Econometrica 1992):
              did it set in within the period, and when at the likeliest?

Residuals are whole watt-hours; the tests' figures are not energy, and floats.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist
from typing import Final

from utility_server.grid.mdms.aggregates import DAY_MINUTES
from utility_server.grid.mdms.errors import AggregateMissing, MdmsError
from utility_server.grid.mdms.load_curves import LoadCurve

LEAST_SLOTS: Final = 48
MILLION: Final = 1_000_000
_HOUR: Final = 3600
_LARGEST_WH: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Losses:
    """How much gets lost between feeder meter and homes by design."""

    no_load_w: int = 0
    share_ppm: int = 0
    """Millionths of what passes the feeder's meter."""

    def of(self, feeder_wh: int, seconds: int) -> int:
        """Return a slot's losses in Wh, rounded half up."""
        exact = self.no_load_w * seconds * MILLION + self.share_ppm * feeder_wh * _HOUR
        return (2 * exact + _HOUR * MILLION) // (2 * _HOUR * MILLION)


@dataclass(frozen=True, slots=True)
class Balance:
    """What a period's balance comes to."""

    slots: int
    feeder_wh: int
    sum_wh: int
    losses_wh: int
    residual_wh: int
    t: float
    """The HAC t statistic of the mean residual."""
    p: float
    onset_p: float
    """The CUSUM test's p-value for a change of the mean within the period."""
    onset: int
    """The begin of the slot at which the mean most likely changed."""

    def is_discrepant(self, level: float) -> bool:
        """Tell whether the mean residual differs from 0 at that level of significance."""
        return self.p < level


def read_feeder(path: Path) -> dict[int, int]:
    """Return begin and Wh of each slot in a CSV file `start,wh`; times in ISO 8601, UTC.

    Raises `MdmsError` naming the line.
    """
    readings: dict[int, int] = {}
    with path.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.reader(text, strict=True)
        try:
            for row in rows:
                if rows.line_num == 1 and row[:2] == ["start", "wh"]:
                    continue
                start, wh = _row(row)
                if start in readings:
                    raise ValueError("a slot that was there already")
                readings[start] = wh
        except (ValueError, csv.Error) as error:
            raise MdmsError(f"{path}: line {rows.line_num}: {error}") from None
    return readings


def _row(row: Sequence[str]) -> tuple[int, int]:
    if len(row) != 2:
        raise ValueError("it needs a start and Wh, and no more")
    moment = datetime.fromisoformat(row[0].strip())
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    text = row[1].strip()
    if not (text.isascii() and text.isdigit()) or int(text) > _LARGEST_WH:
        raise ValueError(f"{text[:40]!r} is not whole watt-hours")
    return int(moment.timestamp()), int(text)


def balance(curve: LoadCurve, feeder: Mapping[int, int], losses: Losses) -> Balance:
    """Compare the feeder's meter with the curve where both are known.

    Raises `AggregateMissing` where that is in fewer than 48 slots.
    """
    known = [
        (begin, end, feeder[begin], wh)
        for (begin, end), wh in zip(curve.slots, curve.uses_wh, strict=True)
        if begin in feeder
    ]
    if len(known) < LEAST_SLOTS:
        raise AggregateMissing(
            f"region {curve.region}: feeder and sum share {len(known)} slots,"
            f" {LEAST_SLOTS} are needed"
        )
    lost = [losses.of(fed, end - begin) for begin, end, fed, _ in known]
    residuals = [fed - wh - gone for (_, _, fed, wh), gone in zip(known, lost, strict=True)]
    lags = min(DAY_MINUTES // curve.resolution_minutes, len(residuals) // 4)
    mean, error = sum(residuals) / len(residuals), _standard_error(residuals, lags)
    t = _ratio(mean, error)
    peak, place = _cusum(residuals)
    return Balance(
        slots=len(known),
        feeder_wh=sum(fed for _, _, fed, _ in known),
        sum_wh=sum(wh for *_, wh in known),
        losses_wh=sum(lost),
        residual_wh=sum(residuals),
        t=t,
        p=2 * NormalDist().cdf(-abs(t)),
        onset_p=_kolmogorov(_ratio(peak, error * len(residuals))),
        onset=known[place][0],
    )


def _ratio(value: float, error: float) -> float:
    if error > 0:
        return value / error
    return math.copysign(math.inf, value) if value else 0.0


def _standard_error(values: Sequence[int], lags: int) -> float:
    """Return the mean's standard error by Newey and West, with Bartlett's weights."""
    count = len(values)
    mean = sum(values) / count
    off = [value - mean for value in values]
    variance = sum(x * x for x in off)
    for lag in range(1, lags + 1):
        weight = 2 * (1 - lag / (lags + 1))
        variance += weight * sum(a * b for a, b in zip(off, off[lag:], strict=False))
    return math.sqrt(max(variance, 0)) / count


def _cusum(values: Sequence[int]) -> tuple[float, int]:
    """Return the largest |sum of deviations from the mean|, and the slot after which it is."""
    count, total = len(values), sum(values)
    # Times n, to stay with whole numbers.
    sums = [abs(count * part - number * total) for number, part in enumerate(accumulate(values), 1)]
    place = max(range(count), key=sums.__getitem__)
    return sums[place] / count, min(place + 1, count - 1)


def _kolmogorov(x: float) -> float:
    """Return the chance that a Brownian bridge goes beyond x: 2·Σ (−1)^(k+1)·exp(−2k²x²)."""
    if x < 0.2:  # the series converges badly there, and the chance is 1 to twelve places
        return 1.0
    signs = (-1.0, 1.0)  # of the even and the odd terms
    total = sum(signs[k % 2 == 1] * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * total))
