# SPDX-License-Identifier: Apache-2.0
"""From the metered charges of a tariff to the amounts that they are worked out from.

    energy, series   one `Sum`: the price is the weight
    blocks           one `Tiered`, or a `Sum` where no bucket has a limit
      up to powers   one `Excess`: each slot by itself, what lies above a limit at another price
    feed-in          as energy, series or blocks, of the export register
    demand           one `Peaks` for each figure
    net, blocks that count on over several bills
                     of each interval and band one `Sum`, of each register

A limit by the kilowatt-hour goes by the energy of its part, one more `Sum`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import gcd
from typing import Final

from protocols.amounts import (
    Above,
    AmountsMalformed,
    Bucket,
    Excess,
    Group,
    MeteredAmount,
    Peaks,
    SlotForm,
    Sum,
    Tiered,
)
from tariffs import (
    BlockCharge,
    DemandCharge,
    GasCharge,
    MeteredPart,
    NetCharge,
    Register,
    TariffError,
)
from tariffs.blocks import BlockBucket, LimitKind
from tariffs.charges import LinearCharge, MeteredCharge, registers_of
from tariffs.demand import DemandFigure
from tariffs.memory import MemoryKey
from tariffs.steps import Cap
from tariffs.usage import Part

HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class DemandPeaks:
    """What the peaks of one figure of a demand charge come to."""

    charge: DemandCharge
    figure: DemandFigure
    part: Part
    watts: tuple[int, int]
    """By which fraction the amount becomes whole watts, rounded down; 1 of 1 where it is watts."""
    floor_watts: int
    """What is billed at least."""

    @property
    def count(self) -> int:
        """How many peaks the figure is the mean of."""
        return self.charge.peaks_of(self.figure)

    @property
    def is_floor_apart(self) -> bool:
        """Whether rounding the one peak down may leave less than the floor."""
        times, parts = self.watts
        one_peak = len(self.figure.peaks) == 1
        return one_peak and self.floor_watts > 0 and (parts > 1 or self.floor_watts % times > 0)

    @property
    def billed(self) -> Part:
        """The figure's own part of the bill."""
        stretch, part = self.figure.stretch, self.part
        return Part(
            stretch.begin, stretch.end, part.period_begin, part.period_end, part.clock, part.rule
        )

    def nano(self, value: int) -> int:
        """Return what the figure comes to, in 10^-9 of the currency."""
        times, parts = self.watts
        watts = max(value * times // parts, self.floor_watts * self.count)
        return self.charge.amount_of(self.figure, watts, self.part)


@dataclass(frozen=True, slots=True)
class ChargedAmount:
    """An amount that a metered charge is worked out from."""

    register: Register
    amount: MeteredAmount
    """In 10^-9 of the currency; where it is of peaks, in what these say."""
    peaks: DemandPeaks | None = None


def charged_amounts(one: MeteredPart, charge: MeteredCharge) -> list[ChargedAmount]:
    """Return the amounts of a charge that needs no other bill and nets nothing; may be none.

    Raises `TariffError` for a charge that cannot be proved.
    """
    if isinstance(charge, DemandCharge):
        return [
            ChargedAmount(Register.IMPORT, amount, peaks)
            for peaks, amount in figure_peaks(one, charge)
        ]
    assert not isinstance(charge, NetCharge | GasCharge), "it is reckoned by key"
    amount = _blocks(one, charge) if isinstance(charge, BlockCharge) else _linear(one, charge)
    return [] if amount is None else [ChargedAmount(charge.register, amount)]


def figure_peaks(one: MeteredPart, charge: DemandCharge) -> list[tuple[DemandPeaks, Peaks]]:
    """Return each figure of a demand charge, with the peaks that it is of."""
    return [_of_figure(one, charge, figure) for figure in charge.figures(one.part, one.places)]


def energies_by_key(
    one: MeteredPart, charge: BlockCharge | NetCharge | GasCharge
) -> dict[MemoryKey, list[tuple[Register, int, Sum]]]:
    """Return the energies of each interval and band, of each register with its sign."""
    is_net = isinstance(charge, NetCharge)
    signs = [
        (register, -1 if is_net and register is Register.EXPORT else 1)
        for register in registers_of(charge)
    ]
    found = {}
    for key, slots in charge.own_slots(one.part, one.places).items():
        amount = Sum(_form(one, slots, [1] * len(slots)))
        found[key] = [(register, sign, amount) for register, sign in signs]
    return found


def energy_amount(one: MeteredPart) -> Sum | None:
    """Return the energy drawn in a part, in watt-hours, where a step goes by it; else None."""
    if any(isinstance(step, Cap) and step.per is None for step in one.version.steps):
        return _sum(one, [1] * len(one.places.starts))
    return None


def _refused(charge: MeteredCharge, reason: str) -> TariffError:
    return TariffError(f"it cannot be proved: {reason}", component=f"charge {charge.name}")


# By the kilowatt-hour


def _linear(one: MeteredPart, charge: LinearCharge) -> Sum | None:
    return _sum(one, charge.unit_prices(one.places.starts, one.places.seconds))


def _sum(one: MeteredPart, prices: Sequence[int]) -> Sum | None:
    """Return Σ price·use; None if all prices are 0."""
    form = _form(one, range(len(prices)), prices)
    return Sum(form) if form.runs else None


def _form(one: MeteredPart, slots: Sequence[int], weights: Sequence[int]) -> SlotForm:
    places = one.places.import_wh
    total: dict[int, int] = {}
    for slot, weight in zip(slots, weights, strict=True):
        total[places[slot]] = total.get(places[slot], 0) + weight
    return SlotForm.of(total)


def _blocks(one: MeteredPart, charge: BlockCharge) -> MeteredAmount | None:
    buckets = charge.buckets(one.part, one.places)
    if not any(bucket.limits for bucket in buckets):
        prices = {slot: bucket.prices[0] for bucket in buckets for slot in bucket.slots}
        return _sum(one, [prices[slot] for slot in sorted(prices)])
    if charge.limits is LimitKind.POWER:
        return _excess(one, buckets)
    return Tiered(
        tuple(
            Bucket(_form(one, bucket.slots, [1] * len(bucket.slots)), bucket.limits, bucket.prices)
            for bucket in buckets
            if any(bucket.prices)
        )
    )


def _excess(one: MeteredPart, buckets: Sequence[BlockBucket]) -> Excess | Sum | None:
    """Return what slots come to, each a bucket of its own: all of a use has the first price."""
    above: dict[int, tuple[list[int], list[int]]] = {}
    for bucket in buckets:
        for limit, (below, beyond) in zip(bucket.limits, pairwise(bucket.prices), strict=True):
            slots, changes = above.setdefault(limit, ([], []))
            slots += bucket.slots
            changes += [beyond - below] * len(bucket.slots)
    first = {slot: bucket.prices[0] for bucket in buckets for slot in bucket.slots}
    form = _form(one, list(first), list(first.values()))
    forms = {limit: _form(one, *above[limit]) for limit in sorted(above)}
    limits = tuple(Above(limit, beyond) for limit, beyond in forms.items() if beyond.runs)
    if limits:
        return Excess(form, limits)
    return Sum(form) if form.runs else None


# By the highest power


def _of_figure(
    one: MeteredPart, charge: DemandCharge, figure: DemandFigure
) -> tuple[DemandPeaks, Peaks]:
    window = charge.window_seconds or one.places.seconds
    times, rest = divmod(HOUR, window)
    several, floor = len(figure.peaks) > 1, charge.floor_watts
    count = charge.peaks_of(figure)
    rate = 1, 1
    if rest and several:  # each peak is rounded to whole watts by itself
        shared = gcd(HOUR, window)
        weight, least, rate = 1, floor, (HOUR // shared, window // shared)
    elif rest:
        weight, least = 1, floor * window // HOUR
    elif several and floor % times:
        weight, least = times, floor  # in watts, so that the floor is whole
    else:
        weight, least = 1, floor // times
    shared = gcd(HOUR, window * weight)
    watts = (1, 1) if rate != (1, 1) else (HOUR // shared, window * weight // shared)
    places = one.places.import_wh
    highest = count if count < len(figure.peaks) else 0
    try:
        groups = [
            Group(
                tuple(
                    SlotForm.of(dict.fromkeys(slots, weight))
                    for slots in _distinct([[places[slot] for slot in w] for w in windows])
                ),
                least,
            )
            for windows in figure.peaks
        ]
        amount = Peaks(tuple(groups), highest, rate)
    except AmountsMalformed:
        raise _refused(charge, "a slot stands in for a missing one in another window") from None
    return DemandPeaks(charge, figure, one.part, watts, floor), amount


def _distinct(windows: Sequence[list[int]]) -> list[list[int]]:
    """Return each window once: one that stands in for another has the same peak."""
    return [window for window, _ in groupby(sorted(windows))]
