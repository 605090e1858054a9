# SPDX-License-Identifier: Apache-2.0
"""An attack on a load curve: which appliances ran, and when.

It is the kind of thing anyone could do with the curve: no training, only what heaters are like.
An opening (a running minimum, then a running maximum) takes off everything shorter than its width;
so the curve falls apart into short bumps, long ones, and the rest:

    minutes    bumps of at most 5 min: kettle 1.6 to 3.6 kW, microwave 0.5 to 1.6 kW
               heating of 5 min or more at 1.2 to 2.7 kW: two alike, 25 to 50 min apart, are a
               dishwasher; others of at most 20 min a washing machine
    coarser    what a bump's energy may be: kettle 50 to 350 Wh; a washing machine 350 to 700 Wh, a
               dishwasher 700 to 2,000 Wh over 45 min or more

How often it is right is measured on metered households in the benchmarks and tests, and said in the
docs. Everything is whole watts and seconds.
"""

import enum
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median_low
from typing import Final, NamedTuple

FINEST_SECONDS: Final = 120
"""Curves no coarser than this are looked at minute by minute."""
SHORT_SECONDS: Final = 360
LONG_SECONDS: Final = 2700
BUMP_WATTS: Final = 350
KETTLE_WATTS: Final = range(1600, 3601)
MICROWAVE_WATTS: Final = range(500, 1600)
HEATER_WATTS: Final = range(1200, 2701)
DISHWASHER_LEAST_WATTS: Final = 1700
WASHING_MOST_WATTS: Final = 2450
ALIKE_WATTS: Final = 250
HEATING_SECONDS: Final = range(540, 1681)
APART_SECONDS: Final = range(1500, 3001)
WASHING_MOST_SECONDS: Final = 1200
WASHING_PAUSE_SECONDS: Final = 3600
KETTLE_WH: Final = range(50, 351)
WASHING_WH: Final = range(350, 700)
DISHWASHER_WH: Final = range(700, 2001)
COARSE_WATTS: Final = 300
COARSE_SPAN_SECONDS: Final = 5400
DISHWASHER_LEAST_SECONDS: Final = 2700
HOUR: Final = 3600


class Appliance(enum.StrEnum):
    """What the attack looks for."""

    KETTLE = "kettle"
    MICROWAVE = "microwave"
    DISHWASHER = "dishwasher"
    WASHING_MACHINE = "washing_machine"


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """Mean power in equal steps."""

    begin: int
    step_seconds: int
    watts: Sequence[int | None] = field(repr=False)
    """None where it is not known."""

    @property
    def end(self) -> int:
        """The end of the last step."""
        return self.begin + self.step_seconds * len(self.watts)


@dataclass(frozen=True, slots=True)
class Activation:
    """An appliance that seems to have run."""

    appliance: Appliance
    begin: int
    end: int
    watts: int
    """Its highest mean power over a step."""

    def overlaps(self, other: "Activation", within_seconds: int = 120) -> bool:
        """Tell whether the other may be the same event: the appliance, and about the time."""
        return (
            self.appliance is other.appliance
            and self.begin - within_seconds < other.end
            and other.begin < self.end + within_seconds
        )


class _Run(NamedTuple):
    first: int
    past: int
    watts: int


def detect(curve: PowerCurve) -> list[Activation]:
    """Return the activations that a curve seems to show, in order of time."""
    find = _in_minutes if curve.step_seconds <= FINEST_SECONDS else _in_energy
    activations: list[Activation] = []
    offset = curve.begin
    for is_known, group in groupby(curve.watts, key=lambda watts: watts is not None):
        steps = list(group)
        if is_known:
            watts = [value for value in steps if value is not None]
            activations += [
                Activation(
                    appliance,
                    offset + run.first * curve.step_seconds,
                    offset + run.past * curve.step_seconds,
                    run.watts,
                )
                for appliance, run in find(watts, curve.step_seconds)
            ]
        offset += len(steps) * curve.step_seconds
    return sorted(activations, key=lambda activation: (activation.begin, activation.appliance))


# Minute by minute


def _in_minutes(watts: Sequence[int], step: int) -> Iterator[tuple[Appliance, _Run]]:
    steady = _opened(watts, SHORT_SECONDS // step)
    base = _opened(steady, LONG_SECONDS // step)
    bumps = [power - under for power, under in zip(watts, steady, strict=True)]
    for run in _runs(bumps, BUMP_WATTS, 0, 1):
        if run.watts in KETTLE_WATTS:
            yield Appliance.KETTLE, run
        elif run.watts in MICROWAVE_WATTS:
            yield Appliance.MICROWAVE, run
    heat = [power - under for power, under in zip(steady, base, strict=True)]
    heating = [
        run._replace(watts=median_low(heat[run.first : run.past]))
        for run in _runs(heat, HEATER_WATTS.start, 1, 300 // step)
    ]
    heating = [run for run in heating if run.watts in HEATER_WATTS]
    washed = set[int]()
    for cycle in _dishwasher_cycles(heating, step):
        washed.update(cycle)
        runs = [heating[index] for index in cycle]
        watts_most = max(run.watts for run in runs)
        yield Appliance.DISHWASHER, _Run(runs[0].first, runs[-1].past, watts_most)
    rest = [run for index, run in enumerate(heating) if index not in washed]
    for run in _washing(rest, step):
        yield Appliance.WASHING_MACHINE, run


def _dishwasher_cycles(heating: Sequence[_Run], step: int) -> list[list[int]]:
    """Return groups of indices: runs that are alike and as far apart as a dishwasher's."""
    group_of: dict[int, list[int]] = {}
    for index, run in enumerate(heating):
        for later in range(index + 1, len(heating)):
            other = heating[later]
            if (other.first - run.first) * step >= APART_SECONDS.stop:
                break
            if _are_one_dishwasher(run, other, step):
                group = group_of.setdefault(index, [index])
                if later not in group_of:
                    group.append(later)
                    group_of[later] = group
    unique: list[list[int]] = []
    for group in group_of.values():
        if group not in unique:
            unique.append(sorted(group))
    return unique


def _are_one_dishwasher(first: _Run, second: _Run, step: int) -> bool:
    return (
        (second.first - first.first) * step in APART_SECONDS
        and abs(first.watts - second.watts) <= ALIKE_WATTS
        and min(first.watts, second.watts) > DISHWASHER_LEAST_WATTS
        and all((run.past - run.first) * step in HEATING_SECONDS for run in (first, second))
    )


def _washing(heating: Sequence[_Run], step: int) -> list[_Run]:
    """Return what is left as washing machines; what is close together is one wash."""
    washes: list[_Run] = []
    for run in heating:
        if (run.past - run.first) * step > WASHING_MOST_SECONDS or run.watts > WASHING_MOST_WATTS:
            continue
        if washes and (run.first - washes[-1].past) * step <= WASHING_PAUSE_SECONDS:
            washes[-1] = _Run(washes[-1].first, run.past, max(washes[-1].watts, run.watts))
        else:
            washes.append(run)
    return washes


# By energy


def _in_energy(watts: Sequence[int], step: int) -> Iterator[tuple[Appliance, _Run]]:
    steady = _opened(watts, 2)
    base = _opened(steady, max(3, COARSE_SPAN_SECONDS // step + 1))
    bumps = [power - under for power, under in zip(watts, steady, strict=True)]
    for run in _runs(bumps, KETTLE_WH.start * HOUR // step, 0, 1):
        if sum(bumps[run.first : run.past]) * step // HOUR in KETTLE_WH:
            yield Appliance.KETTLE, run
    above = [power - under for power, under in zip(watts, base, strict=True)]
    for run in _runs(above, COARSE_WATTS, 1, 1):
        energy = sum(above[run.first : run.past]) * step // HOUR
        if energy in WASHING_WH:
            yield Appliance.WASHING_MACHINE, run
        elif energy in DISHWASHER_WH and (run.past - run.first) * step >= DISHWASHER_LEAST_SECONDS:
            yield Appliance.DISHWASHER, run


# Curves


def _opened(watts: Sequence[int], width: int) -> Sequence[int]:
    """Return the opening: the curve without whatever is shorter than `width` steps."""
    if len(watts) < width:
        return [min(watts)] * len(watts)
    lowest = _extreme(watts, width, sign=-1)
    edge = [0] * (width - 1)
    return _extreme([*edge, *lowest, *edge], width, sign=1)


def _extreme(watts: Sequence[int], width: int, *, sign: int) -> list[int]:
    """Return the maximum (`sign` 1) or minimum (−1) of each window of so many steps."""
    candidates: deque[int] = deque()
    extremes = []
    for index, value in enumerate(watts):
        while candidates and sign * watts[candidates[-1]] <= sign * value:
            candidates.pop()
        candidates.append(index)
        if candidates[0] <= index - width:
            candidates.popleft()
        if index >= width - 1:
            extremes.append(watts[candidates[0]])
    return extremes


def _runs(watts: Sequence[int], above: int, gap: int, least: int) -> Iterator[_Run]:
    """Yield the stretches above a threshold, over gaps of at most so many steps."""
    steps = [index for index, value in enumerate(watts) if value > above]
    start = 0
    for number, index in enumerate(steps):
        is_last = number + 1 == len(steps)
        if is_last or steps[number + 1] - index > gap + 1:
            first, past = steps[start], index + 1
            start = number + 1
            if past - first >= least:
                yield _Run(first, past, max(watts[first:past]))
