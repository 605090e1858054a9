# SPDX-License-Identifier: Apache-2.0
"""Sums of money shared out to the penny.

The rule is that of the largest remainder (Hamilton): everyone gets the whole pennies of their
exact share, and the pennies that are left go one each to those whose shares lost most by that; of
equal ones, to the first by name. The shares add up to the total, always.
"""

from collections.abc import Mapping

from tariffs import RoundingRule
from tariffs.rounding import divide


def share_out(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Return `total` pennies shared out in proportion to `weights`; they may have either sign.

    Raises `ValueError` where the weights add up to nothing, or less.
    """
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError("the weights add up to nothing that could be shared out")
    parts = {name: divmod(total * weight, whole) for name, weight in weights.items()}
    return _settle({name: part for name, (part, _) in parts.items()}, parts, total)


def round_shares(exact: Mapping[str, int], divisor: int) -> dict[str, int]:
    """Return amounts in pennies of `divisor` that add up to the rounded sum (ties to even)."""
    total = divide(sum(exact.values()), divisor, RoundingRule.HALF_EVEN)
    parts = {name: divmod(amount, divisor) for name, amount in exact.items()}
    return _settle({name: part for name, (part, _) in parts.items()}, parts, total)


def _settle(
    floors: dict[str, int], parts: Mapping[str, tuple[int, int]], total: int
) -> dict[str, int]:
    left = total - sum(floors.values())
    assert 0 <= left <= len(floors)
    for name in sorted(floors, key=lambda name: (-parts[name][1], name))[:left]:
        floors[name] += 1
    return floors
