# SPDX-License-Identifier: Apache-2.0
"""What was used when: a period in buckets, each with its energy, states, price bands and cost.

A bucket's energy is the sum of the slots that are known; the missing ones are counted and never
filled. Its cost is what `tariffs.compute_bill` makes of just its slots, so that a month's cost is
to the last digit that of the month's bill; hours and slots have the charges by energy alone, since
fixed charges and taxes belong to days.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hub.device import Device
from hub.inspection.calendar import By, buckets
from hub.inspection.documents import TariffBook
from hub.inspection.money import Money
from hub.inspection.pricing import Pricing, SlotPrice
from hub.inspection.slots import Slots, slots_between
from protocols.metrology import Period, SlotState

__all__ = [
    "BandUse",
    "Bucket",
    "Comparison",
    "Peak",
    "ReadingsView",
    "StateCounts",
    "compare",
    "peak_of",
    "readings_view",
]


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
class Bucket:
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


@dataclass(frozen=True, slots=True)
class ReadingsView:
    """A period in buckets."""

    zone: str
    slot_seconds: int
    period: Period
    by: By
    buckets: tuple[Bucket, ...]
    total: Bucket
    tariffs: tuple[str, ...]
    """The names of the tariffs that price it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two views side by side; the difference is the first less the second."""

    now: ReadingsView
    before: ReadingsView
    energy_difference_wh: int | None
    energy_ratio_ppm: int | None
    """The difference by the second's energy, in millionths; None where that is 0 or unknown."""
    cost_difference: Money | None


def readings_view(
    device: Device, period: Period, by: By, tariffs: TariffBook | None = None
) -> ReadingsView:
    """Return a period in buckets, priced under `tariffs`.

    Raises `VaultTampered` where stored bytes are not what was stored.
    """
    zone, minutes = device.description.zone, device.meter.slot_minutes
    begin, end = period.bounds(zone)
    slots = slots_between(device, begin, end)
    pricing = Pricing(tariffs or TariffBook(), slots)
    cut = [
        _bucket(slots, pricing, since, until, by.is_of_days)
        for since, until in buckets(period, by, zone, minutes)
    ]
    return ReadingsView(
        zone=zone,
        slot_seconds=slots.seconds,
        period=period,
        by=by,
        buckets=tuple(cut),
        total=_bucket(slots, pricing, begin, end, whole_days=True),
        tariffs=pricing.names,
    )


def compare(now: ReadingsView, before: ReadingsView) -> Comparison:
    """Set two views side by side."""
    first, second = now.total, before.total
    difference, ratio = None, None
    if first.energy_wh is not None and second.energy_wh is not None:
        difference = first.energy_wh - second.energy_wh
        if second.energy_wh:
            ratio = 1_000_000 * difference // second.energy_wh
    cost = None
    if first.cost and second.cost and first.cost.currency == second.cost.currency:
        cost = first.cost.minus(second.cost)
    return Comparison(now, before, difference, ratio, cost)


def peak_of(device: Device, period: Period) -> Peak | None:
    """Return the slot of a period with the highest use, or None where none is known."""
    return _peak(slots_between(device, *period.bounds(device.description.zone)))


def _bucket(slots: Slots, pricing: Pricing, begin: int, end: int, whole_days: bool) -> Bucket:
    part = slots.between(begin, end)
    states = StateCounts.of(part.states)
    prices = pricing.slots(begin, end)
    costs = pricing.bill(part) if whole_days else pricing.energy(part)
    distinct = {price.micro for price in prices}
    return Bucket(
        begin=begin,
        end=end,
        energy_wh=sum(part.use_wh) if states.known else None,
        states=states,
        unknown_seconds=end - begin - slots.seconds * len(part),
        unattributed_wh=sum(wh for _, wh in part.unattributed),
        is_provisional=part.end > slots.certified_until,
        peak=_peak(part),
        bands=_bands(part, prices),
        price_micro=distinct.pop() if len(distinct) == 1 else None,
        energy_cost=costs.energy,
        cost=costs.whole,
        reason=costs.reason,
    )


def _peak(slots: Slots) -> Peak | None:
    known = [
        (use, -start)
        for start, use, state in zip(slots.starts, slots.use_wh, slots.states, strict=True)
        if state is not SlotState.MISSING
    ]
    if not known:
        return None
    use, start = max(known)
    return Peak(-start, slots.seconds, use)


def _bands(slots: Slots, prices: Sequence[SlotPrice]) -> tuple[BandUse, ...]:
    energy: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for use, price in zip(slots.use_wh, prices, strict=True):
        if price.band is not None:
            energy[price.band] += use
            count[price.band] += 1
    return tuple(BandUse(band, energy[band], count[band]) for band in count)
