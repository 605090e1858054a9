# SPDX-License-Identifier: Apache-2.0
"""What an amount can be at least and at most, while no slot uses more than so much."""

from itertools import pairwise

from protocols.amounts.model import (
    Bucket,
    Count,
    Excess,
    MeteredAmount,
    Peaks,
    SlotForm,
    Sum,
    Tiered,
)

Bounds = tuple[int, int]
"""The least and the most that a number can be."""


def bounds_of(amount: MeteredAmount, largest_use: int) -> Bounds:
    """Return the least and the most of an amount, of slots that use 0 to `largest_use` each."""
    match amount:
        case Sum():
            return _of_form(amount.form, largest_use)
        case Tiered():
            return _together([_of_bucket(bucket, largest_use) for bucket in amount.buckets])
        case Peaks():
            return _of_peaks(amount, largest_use)
        case Excess():
            above = [_of_form(one.form, max(0, largest_use - one.limit)) for one in amount.above]
            return _together([_of_form(amount.form, largest_use), *above])
        case Count():
            _, most = _of_form(amount.windows[0], largest_use)  # all windows are alike
            return 0, len(amount.windows) if most > amount.limit else 0


def _together(parts: list[Bounds]) -> Bounds:
    return sum(low for low, _ in parts), sum(high for _, high in parts)


def _of_form(form: SlotForm, largest_use: int) -> Bounds:
    low = sum(count * weight for _, count, weight in form.runs if weight < 0)
    high = sum(count * weight for _, count, weight in form.runs if weight > 0)
    return low * largest_use, high * largest_use


def _of_bucket(bucket: Bucket, largest_use: int) -> Bounds:
    _, most = _of_form(bucket.form, largest_use)
    ends = [limit for limit in bucket.limits if limit < most]
    amount, amounts = 0, [0]  # at 0, and where each block ends
    for price, (low, high) in zip(bucket.prices, pairwise((0, *ends, most)), strict=False):
        amount += price * (high - low)
        amounts.append(amount)
    return min(amounts), max(amounts)


def _of_peaks(amount: Peaks, largest_use: int) -> Bounds:
    times, parts = amount.rate
    count = amount.highest or None
    floors = sorted((group.floor for group in amount.groups), reverse=True)
    most = [
        max(group.floor, *(_of_form(w, largest_use)[1] * times // parts for w in group.windows))
        for group in amount.groups
    ]
    return sum(floors[:count]), sum(sorted(most, reverse=True)[:count])
