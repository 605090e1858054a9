# SPDX-License-Identifier: Apache-2.0
"""Rounds with prices, for tests and benchmarks."""

from collections.abc import Sequence

from protocols.aggregation.round import RoundTerms
from protocols.aggregation.weighting import Weighting
from protocols.metrology import Period
from tests.support.aggregation import DAY, Home, terms


def weighting(prices: Sequence[int], *, series: str = "spot", revision: int = 1) -> Weighting:
    return Weighting(bytes(32), series, revision, "EUR", tuple(prices))


def weighted_terms(
    prices: Sequence[int],
    *,
    bits: int = 1024,
    resolution: int = 60,
    period: Period = DAY,
    **other: object,
) -> RoundTerms:
    return terms(bits, resolution, period, weighting=weighting(prices), **other)


def plain_worth(prices: Sequence[int], members: Sequence[Home]) -> int:
    """Return Σ price·use over homes and slots, by multiplication and addition alone."""
    return sum(
        price * use for home in members for price, use in zip(prices, home.values, strict=True)
    )
