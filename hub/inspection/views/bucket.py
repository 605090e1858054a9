# SPDX-License-Identifier: Apache-2.0
"""One bucket of a view: what was used in a stretch of time, how it is known, what it costs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hub.inspection.views.money import Money
from hub.inspection.views.pricing import Pricing, SlotPrice
from hub.inspection.views.slots import SlotRun
from protocols.metrology import SlotState


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
        bands=_bands(part, prices),
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


def _bands(slots: SlotRun, prices: Sequence[SlotPrice]) -> tuple[BandUse, ...]:
    energy: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for use, price in zip(slots.use_wh, prices, strict=True):
        if price.band is not None:
            energy[price.band] += use
            count[price.band] += 1
    return tuple(BandUse(band, energy[band], count[band]) for band in count)
