# SPDX-License-Identifier: Apache-2.0
"""Load curves of a region, and what they come to: exact integers, gaps left open.

Percentiles are nearest-rank (the least stored use that so many percent of the slots do not
exceed), means are rounded half to even, once. The load factor is the mean power over the highest.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Final

from protocols.metrology import find_zone
from utility_server.grid.mdms.aggregates import DAY_MINUTES
from utility_server.grid.mdms.errors import AggregateMissing
from utility_server.grid.mdms.store import AggregateStore

PERCENTILES: Final = (5, 25, 50, 75, 95)
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """What a region used, slot by slot; slots that no aggregate covers are not in it."""

    region: str
    zone: str
    resolution_minutes: int
    begin: int
    end: int
    slots: tuple[tuple[int, int], ...]
    """Begin and end of each slot, in order."""
    uses_wh: tuple[int, ...]
    fewest_homes: int
    most_homes: int
    missing: int
    """Home-slots without a reading, counted as 0."""
    value_bits: int
    """No home's use of a slot is 2^value_bits Wh or more."""
    rounds: tuple[bytes, ...]
    """The rounds that the sums came of."""

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Return the stretches of [begin, end) that nothing is stored of."""
        edges = [self.begin, *(time for slot in self.slots for time in slot), self.end]
        return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)

    def power_w(self) -> tuple[int, ...]:
        """Return each slot's mean power, rounded half to even."""
        return mean_power(self.slots, self.uses_wh)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a curve comes to."""

    total_wh: int
    least: tuple[int, int]
    """The least use of a slot in Wh, and when it began first."""
    most: tuple[int, int]
    mean_wh: int
    load_factor: Fraction
    percentiles_wh: tuple[tuple[int, int], ...]
    """Percent and Wh."""
    by_hour_w: tuple[tuple[int, int], ...]
    """Local hour and the mean power in it; empty for days."""


def mean_power(slots: Sequence[tuple[int, int]], uses_wh: Sequence[int]) -> tuple[int, ...]:
    """Return each slot's mean power in watts, rounded half to even."""
    return tuple(
        round(Fraction(wh * _HOUR, end - begin))
        for (begin, end), wh in zip(slots, uses_wh, strict=True)
    )


def load_curve(
    store: AggregateStore,
    region: str,
    begin: int | None = None,
    end: int | None = None,
    resolution_minutes: int | None = None,
) -> LoadCurve:
    """Return what is stored of a region between two times, by default all, at the finest.

    Of a region in several groups, named `region/...`, it is the sum in the slots that all of them
    have. Raises `AggregateMissing` where that is nothing.
    """
    places = [place for place in store.places() if _is_within(place.region, region)]
    if not places:
        raise AggregateMissing(f"region {region}: no sum is stored")
    minutes = resolution_minutes or min(place.resolution_minutes for place in places)
    groups = sorted({place.region for place in places})
    places = [place for place in places if place.resolution_minutes == minutes]
    if not places:
        raise AggregateMissing(f"region {region}: no sum of {minutes}-minute slots is stored")
    begin = min(place.begin for place in places) if begin is None else begin
    end = max(place.end for place in places) if end is None else end
    curves = [_group_curve(store, group, minutes, begin, end) for group in groups]
    if len({curve.zone for curve in curves}) > 1:
        raise AggregateMissing(f"region {region}: its sums are of days in several time zones")
    return _added_up(region, curves)


def _is_within(group: str, region: str) -> bool:
    return group == region or group.startswith(f"{region}/")


def _group_curve(
    store: AggregateStore, group: str, minutes: int, begin: int, end: int
) -> LoadCurve:
    slots: list[tuple[int, int]] = []
    uses: list[int] = []
    found = list(store.between(group, minutes, begin, end))
    for aggregate in found:
        for slot, wh in zip(pairwise(aggregate.bounds), aggregate.sums_wh, strict=True):
            if begin <= slot[0] and slot[1] <= end:
                slots.append(slot)
                uses.append(wh)
    if not slots:
        raise AggregateMissing(f"region {group}: no sum of that time is stored")
    zones = {aggregate.zone for aggregate in found}
    if len(zones) > 1:
        raise AggregateMissing(f"region {group}: its sums are of days in several time zones")
    return LoadCurve(
        group,
        zones.pop(),
        minutes,
        begin,
        end,
        tuple(slots),
        tuple(uses),
        min(aggregate.homes for aggregate in found),
        max(aggregate.homes for aggregate in found),
        sum(aggregate.missing for aggregate in found),
        max(aggregate.value_bits for aggregate in found),
        tuple(aggregate.round for aggregate in found),
    )


def _added_up(region: str, curves: Sequence[LoadCurve]) -> LoadCurve:
    """Return the sum of a region's groups in the slots that all of them have."""
    first = curves[0]
    common = set(first.slots).intersection(*(curve.slots for curve in curves[1:]))
    if not common:
        raise AggregateMissing(f"region {region}: its groups have no slot in common")
    totals: defaultdict[tuple[int, int], int] = defaultdict(int)
    for curve in curves:
        for slot, wh in zip(curve.slots, curve.uses_wh, strict=True):
            totals[slot] += wh
    slots = tuple(slot for slot in first.slots if slot in common)
    return LoadCurve(
        region,
        first.zone,
        first.resolution_minutes,
        first.begin,
        first.end,
        slots,
        tuple(totals[slot] for slot in slots),
        sum(curve.fewest_homes for curve in curves),
        sum(curve.most_homes for curve in curves),
        sum(curve.missing for curve in curves),
        max(curve.value_bits for curve in curves),
        tuple(identification for curve in curves for identification in curve.rounds),
    )


def statistics(curve: LoadCurve) -> Statistics:
    """Return what the curve's slots come to."""
    uses, power = curve.uses_wh, curve.power_w()
    seconds = sum(end - begin for begin, end in curve.slots)
    total = sum(uses)
    peak = max(
        Fraction(wh * _HOUR, end - begin)
        for (begin, end), wh in zip(curve.slots, uses, strict=True)
    )
    factor = Fraction(total * _HOUR, seconds) / peak if peak > 0 else Fraction(0)
    starts = [begin for begin, _ in curve.slots]
    return Statistics(
        total_wh=total,
        least=min(zip(uses, starts, strict=True)),
        most=_most(uses, starts),
        mean_wh=round(Fraction(total, len(uses))),
        load_factor=factor,
        percentiles_wh=tuple((percent, _percentile(uses, percent)) for percent in PERCENTILES),
        by_hour_w=() if curve.resolution_minutes == DAY_MINUTES else _by_hour(curve, power),
    )


def _most(uses: Sequence[int], starts: Sequence[int]) -> tuple[int, int]:
    wh, start = max(zip(uses, (-start for start in starts), strict=True))
    return wh, -start


def _percentile(uses: Sequence[int], percent: int) -> int:
    rank = -(-percent * len(uses) // 100)
    return sorted(uses)[max(rank, 1) - 1]


def _by_hour(curve: LoadCurve, power: Sequence[int]) -> tuple[tuple[int, int], ...]:
    zone = find_zone(curve.zone)
    hours: defaultdict[int, list[int]] = defaultdict(list)
    for (begin, _), watts in zip(curve.slots, power, strict=True):
        hours[datetime.fromtimestamp(begin, UTC).astimezone(zone).hour].append(watts)
    return tuple(
        (hour, round(Fraction(sum(watts), len(watts)))) for hour, watts in sorted(hours.items())
    )
