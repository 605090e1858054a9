# SPDX-License-Identifier: Apache-2.0
"""One bucket of a view: what was used in a stretch of time, how it is known, what it costs.

A period's bucket comes out of its slots, or out of the buckets that fill it where that is the very
same. Energy, states and peaks always add up, bills not always.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hub.inspection.views.documents import TariffBook
from hub.inspection.views.money import Money
from hub.inspection.views.pricing import Pricing
from hub.inspection.views.slots import SlotRun
from protocols.metrology import SlotState
from tariffs import MissingRule, Tariff
from tariffs.energy import EnergyCharge, SeriesCharge
from tariffs.fixed import StandingCharge
from tariffs.periods import Interval
from tariffs.steps import Tax


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How the slots of a bucket are known."""

    measured: int = 0
    estimated: int = 0
    substituted: int = 0
    missing: int = 0

    @classmethod
    def of(cls, states: Sequence[SlotState]) -> "StateCounts":
        """Return the counts of some slots' states."""
        counted = Counter(states)
        return cls(*(counted[state] for state in SlotState))

    @property
    def known(self) -> int:
        """Slots whose use is known somehow."""
        return self.measured + self.estimated + self.substituted


@dataclass(frozen=True, slots=True)
class Peak:
    """The slot of the highest use; of equal ones the first."""

    begin: int
    seconds: int
    energy_wh: int

    @property
    def watts(self) -> int:
        """The mean power in it, rounded down."""
        return self.energy_wh * 3600 // self.seconds


@dataclass(frozen=True, slots=True)
class BandUse:
    """What was used in one band of the tariff."""

    band: str
    energy_wh: int
    slots: int


@dataclass(frozen=True, slots=True)
class UseBucket:
    """A stretch of time and what was used in it."""

    begin: int
    end: int
    energy_wh: int | None
    """The sum of the known slots; None where none is."""
    states: StateCounts
    unknown_seconds: int
    """Time that no slot covers: before the first reading, or not over yet."""
    unattributed_wh: int
    """What the register shows for the gaps of its days, but no slot holds."""
    is_provisional: bool
    """Whether a slot in it is not certified yet."""
    peak: Peak | None
    bands: tuple[BandUse, ...]
    """In the order in which they first appear; empty where no tariff is known."""
    price_micro: int | None
    """The price of a kWh in it, in 10^-6 of the currency net, where it is one and the same."""
    energy_cost: Money | None
    """The charges by energy, net; None: not known, and `reason` says why."""
    cost: Money | None
    """What a bill for just this stretch comes to, as far as it is covered; days and longer only."""
    reason: str = ""
    fed_in_wh: int | None = None
    """What was fed in, in the slots of which that is known; None where there is none such."""


def bucket_of(
    slots: SlotRun, pricing: Pricing, begin: int, end: int, *, whole_days: bool
) -> UseBucket:
    """Return the bucket of the slots that begin in [begin, end); whole days have a bill."""
    part = slots.between(begin, end)
    states = StateCounts.of(part.states)
    prices = pricing.slots(begin, end)
    costs = pricing.bill(part) if whole_days else pricing.energy(part)
    distinct = {price.micro for price in prices}
    return UseBucket(
        begin=begin,
        end=end,
        energy_wh=sum(part.use_wh) if states.known else None,
        states=states,
        unknown_seconds=end - begin - slots.seconds * len(part),
        unattributed_wh=sum(wh for _, wh in part.unattributed),
        is_provisional=part.end > slots.certified_until,
        peak=peak_in(part),
        bands=band_uses([price.band for price in prices], part.use_wh),
        price_micro=distinct.pop() if len(distinct) == 1 else None,
        energy_cost=costs.energy,
        cost=costs.whole,
        reason=costs.reason,
        fed_in_wh=_fed_in(part),
    )


def _fed_in(slots: SlotRun) -> int | None:
    if slots.fed_in_wh is None or slots.fed_in_states is None:
        return None
    known = any(state is not SlotState.MISSING for state in slots.fed_in_states)
    return sum(slots.fed_in_wh) if known else None


def peak_in(slots: SlotRun) -> Peak | None:
    """Return the slot of the highest use, or None where none is known."""
    known = [
        (use, -start)
        for start, use, state in zip(slots.starts, slots.use_wh, slots.states, strict=True)
        if state is not SlotState.MISSING
    ]
    if not known:
        return None
    use, start = max(known)
    return Peak(-start, slots.seconds, use)


def band_uses(bands: Iterable[str | None], use_wh: Iterable[int]) -> tuple[BandUse, ...]:
    """Return what was used in each band, from the bands and the uses of slots, one by one."""
    energy: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for band, use in zip(bands, use_wh, strict=True):
        if band is not None:
            energy[band] += use
            count[band] += 1
    return tuple(BandUse(band, energy[band], count[band]) for band in count)


def adds_up(book: TariffBook, begin: int, end: int) -> bool:
    """Tell whether the bills of parts of [begin, end) sum to the bill of the whole.

    A bill does if its charges are for each kilowatt-hour or day and its steps are taxes: these are
    exact, whatever the period. Blocks, demand, monthly charges, caps and the like are of a period
    as a whole, and so are rules for missing slots.
    """
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


def sum_of_buckets(buckets: Sequence[UseBucket], begin: int, end: int) -> UseBucket | None:
    """Return the bucket of [begin, end), which `buckets` fill in order and whose bills add up.

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
        bands=_sum_bands(filled),
        price_micro=prices.pop() if len(prices) == 1 else None,
        energy_cost=Money.total(bucket.energy_cost for bucket in filled if bucket.energy_cost),
        cost=Money.total(bucket.cost for bucket in filled if bucket.cost),
        fed_in_wh=sum(fed_in) if fed_in else None,
    )


def _highest(buckets: Sequence[UseBucket]) -> Peak | None:
    peaks = [bucket.peak for bucket in buckets if bucket.peak is not None]
    return max(peaks, key=lambda peak: (peak.energy_wh, -peak.begin), default=None)


def _sum_bands(buckets: Sequence[UseBucket]) -> tuple[BandUse, ...]:
    sums: dict[str, BandUse] = {}
    for use in (band for bucket in buckets for band in bucket.bands):
        before = sums.get(use.band, BandUse(use.band, 0, 0))
        sums[use.band] = BandUse(
            use.band, before.energy_wh + use.energy_wh, before.slots + use.slots
        )
    return tuple(sums.values())
