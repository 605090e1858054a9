# SPDX-License-Identifier: Apache-2.0
"""Sums of money shared out to the penny.

The rule is that of the largest remainder (Hamilton): everyone gets the whole pennies of their
exact share, and the pennies that are left go one each to those whose shares lost most by that; of
equal ones, to the first by name. The shares add up to the total, always.
"""

from collections.abc import Mapping

from tariffs import RoundingRule
from tariffs.rounding import divide


def round_shares(exact: Mapping[str, int], divisor: int) -> dict[str, int]:
    """Return amounts in pennies of `divisor` that add up to the rounded sum (ties to even)."""
    total = divide(sum(exact.values()), divisor, RoundingRule.HALF_EVEN)
    parts = {name: divmod(amount, divisor) for name, amount in exact.items()}
    shares = {name: whole for name, (whole, _) in parts.items()}
    left = total - sum(shares.values())
    assert 0 <= left <= len(shares)
    for name in sorted(shares, key=lambda name: (-parts[name][1], name))[:left]:
        shares[name] += 1
    return shares
