# SPDX-License-Identifier: Apache-2.0
"""A period's bucket out of the buckets that fill it, where that comes to the very same.

Energy, states and peaks always add up. A bill does if its charges are for each kilowatt-hour or
day and its steps are taxes: these are exact, whatever the period. Blocks, demand, monthly charges,
caps and the like are of a period as a whole, and so are rules for missing slots.
"""

from collections.abc import Sequence

from hub.inspection.views.bucket import BandUse, Peak, StateCounts, UseBucket
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.money import Money
from tariffs import MissingRule, Tariff
from tariffs.energy import EnergyCharge, SeriesCharge
from tariffs.fixed import StandingCharge
from tariffs.periods import Interval
from tariffs.steps import Tax


def adds_up(book: TariffBook, begin: int, end: int) -> bool:
    """Tell whether the bills of parts of [begin, end) sum to the bill of the whole."""
    return all(
        tariff is None or _is_by_kwh_and_day(tariff) for _, _, tariff in book.parts(begin, end)
    )


def _is_by_kwh_and_day(tariff: Tariff) -> bool:
    return tariff.missing is MissingRule.OMIT and all(
        not version.rounded
        and all(type(step) is Tax for step in version.steps)
        and all(
            isinstance(charge, EnergyCharge | SeriesCharge)
            or (isinstance(charge, StandingCharge) and charge.per is Interval.DAY)
            for charge in version.charges
        )
        for version in tariff.versions
    )


def added(buckets: Sequence[UseBucket], begin: int, end: int) -> UseBucket | None:
    """Return the bucket of [begin, end), which `buckets` fill in order.

    None where one of them has slots but no cost: then why is for the whole to say.
    """
    filled = [bucket for bucket in buckets if bucket.states.known or bucket.states.missing]
    if any(bucket.reason or bucket.cost is None for bucket in filled):
        return None
    energies = [bucket.energy_wh for bucket in filled if bucket.energy_wh is not None]
    fed_in = [bucket.fed_in_wh for bucket in filled if bucket.fed_in_wh is not None]
    prices = {bucket.price_micro for bucket in filled}
    return UseBucket(
        begin=begin,
        end=end,
        energy_wh=sum(energies) if energies else None,
        states=StateCounts(
            *(
                sum(getattr(bucket.states, name) for bucket in filled)
                for name in ("measured", "estimated", "substituted", "missing")
            )
        ),
        unknown_seconds=sum(bucket.unknown_seconds for bucket in buckets),
        unattributed_wh=sum(bucket.unattributed_wh for bucket in filled),
        is_provisional=any(bucket.is_provisional for bucket in filled),
        peak=_highest(filled),
        bands=_bands(filled),
        price_micro=prices.pop() if len(prices) == 1 else None,
        energy_cost=Money.total(bucket.energy_cost for bucket in filled if bucket.energy_cost),
        cost=Money.total(bucket.cost for bucket in filled if bucket.cost),
        fed_in_wh=sum(fed_in) if fed_in else None,
    )


def _highest(buckets: Sequence[UseBucket]) -> Peak | None:
    peaks = [bucket.peak for bucket in buckets if bucket.peak is not None]
    return max(peaks, key=lambda peak: (peak.energy_wh, -peak.begin), default=None)


def _bands(buckets: Sequence[UseBucket]) -> tuple[BandUse, ...]:
    found: dict[str, BandUse] = {}
    for one in (band for bucket in buckets for band in bucket.bands):
        before = found.get(one.band, BandUse(one.band, 0, 0))
        found[one.band] = BandUse(
            one.band, before.energy_wh + one.energy_wh, before.slots + one.slots
        )
    return tuple(found.values())
