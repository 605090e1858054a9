# SPDX-License-Identifier: Apache-2.0
"""Capacity lines of a bill, so that a person can check them: what the power billed is made of.

The price is for a year or a month, and a bill has a share of it. The power may be a mean over
months before, or a share of the highest of them: these come from what the bill before has left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.inspection.views.memory import CarriedAmount
from tariffs import Bill, Tariff
from tariffs.bill import BillItem
from tariffs.clock import ZoneClock, day_number
from tariffs.demand import DemandCharge
from tariffs.periods import Interval, Stretch, interval_before, interval_days, share, stretches
from tariffs.usage import Part


@dataclass(frozen=True, slots=True)
class DemandDetail:
    """How the amount of a demand charge's item comes about."""

    component: str
    label: str
    watts: int
    rule: str
    """`mean` or `highest` of what was before and its own peak; empty where nothing is before."""
    before: int
    """How many peaks of bills before count."""
    share_ppm: int
    """Of the highest peak before."""
    per: Interval
    """What the price of a kilowatt is for."""
    times: str
    """How much of that is billed, as a fraction."""


def demand_details(
    bill: Bill, tariff: Tariff, brought: Sequence[CarriedAmount]
) -> tuple[DemandDetail, ...]:
    """Return the details of each item of a demand charge that is about one interval."""
    found = (_detail(item, bill, tariff, brought) for item in bill.items)
    return tuple(detail for detail in found if detail is not None)


def _detail(
    item: BillItem, bill: Bill, tariff: Tariff, brought: Sequence[CarriedAmount]
) -> DemandDetail | None:
    clock = ZoneClock(tariff.zone)
    part = Part(item.begin, item.end, bill.begin, bill.end, clock, bill.rounding.rule)
    first_day = clock.day_of(item.begin)
    for version in tariff.versions:
        if not version.valid_from <= first_day < version.valid_until:
            continue
        for charge in version.charges:
            if charge.name != item.component or not isinstance(charge, DemandCharge):
                continue
            intervals = stretches(charge.interval, part, charge.year_begins)
            if len(intervals) != 1 or item.quantity is None:
                return None
            rule, count, ppm = _looked_back(charge, item, intervals[0], brought)
            times = share(charge.per, part)
            return DemandDetail(
                item.component, item.label, item.quantity, rule, count, ppm, charge.per,
                f"{times.numerator}/{times.denominator}" if times.denominator > 1 else f"{times}",
            )  # fmt: skip
    return None


def _looked_back(
    charge: DemandCharge, item: BillItem, stretch: Stretch, brought: Sequence[CarriedAmount]
) -> tuple[str, int, int]:
    """Return by which rule how many peaks before count, and which share of them."""
    look_back = charge.look_back
    if look_back is None:
        return "", 0, 0
    own = day_number(stretch.first)
    first = interval_before(charge.interval, own, look_back.intervals, charge.year_begins)
    if look_back.is_within_year:
        first = max(first, interval_days(Interval.YEAR, own, charge.year_begins)[0])
    count = sum(
        one.component == charge.name
        and (len(charge.scales) == 1 or one.band == item.label)
        and one.since is not None
        and first <= day_number(one.since) < own
        for one in brought
    )
    return (look_back.rule if count else ""), count, look_back.share_ppm
