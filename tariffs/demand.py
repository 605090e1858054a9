# SPDX-License-Identifier: Apache-2.0
"""Demand charges: prices for the highest power, not for the energy.

A demand is the mean power over a slot, or over a longer window that slots fill exactly (a window
with a missing slot has no known demand). From the demands of each interval comes one figure in
whole watts, for each band that has a price:

    PEAK     the highest demand
    DAILY    the mean of the highest demands of the days, of the N highest of these if N is given
    MONTHLY  the mean of the highest demands of the months

Peaks below the floor are raised to it before a mean is taken. The price is for each kilowatt of
the figure, or the amount of the step that the figure falls in, for a day, month or year of the
interval; shares of amounts are rounded to 10^-9 and means to whole watts by the tariff's rule,
powers down to whole watts.

A peak may look back: what is billed is the mean of the interval's peak and those of the intervals
before, as many as are known, or the greater of its own and a share of the highest of those.
"""

import enum
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from typing import ClassVar, TypeAlias

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.arithmetic import Arithmetic, V
from tariffs.clock import date_of, day_number
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff, UnbillableReadings, UnpricedSlot
from tariffs.fixed import NANO_PER_MICRO, share_of
from tariffs.memory import MemoryKey, MemoryLine, MemoryShape, Quantity
from tariffs.periods import (
    NEW_YEAR,
    Interval,
    Stretch,
    YearStart,
    check_year_start,
    interval_before,
    interval_days,
    read_year_start,
    share,
    stretches,
    year_start_member,
)
from tariffs.rounding import divide
from tariffs.timetable import Timetable, bands_of, timetable_from_canonical
from tariffs.usage import ChargeLine, KnownUsage, Part

HOUR = 3600
MAX_STEPS = 64
MAX_LOOK_BACK = 60
MILLION = 10**6

Scale: TypeAlias = tuple[tuple[int, int], ...]
"""Steps: up to watts (0 for the last, which has no limit), and the amount in micro-units."""


class Figure(enum.StrEnum):
    """How the demands of an interval become one figure."""

    PEAK = "peak"
    DAILY = "mean-of-daily-peaks"
    MONTHLY = "mean-of-monthly-peaks"


class LookBackRule(enum.StrEnum):
    """How the peaks of intervals before count."""

    MEAN = "mean"
    """The mean of the interval's own peak and those before."""
    HIGHEST = "highest"
    """The greater of its own peak and a share of the highest before."""


@dataclass(frozen=True, slots=True)
class LookBack:
    """The intervals before that count for what is billed."""

    intervals: int
    """How many before the billed one."""
    rule: LookBackRule
    share_ppm: int = MILLION
    """Of the highest peak before."""
    is_within_year: bool = False
    """Whether only intervals of the same year count."""

    def __post_init__(self) -> None:
        if not 1 <= self.intervals <= MAX_LOOK_BACK:
            raise MalformedTariff(f"it looks back over 1 to {MAX_LOOK_BACK} intervals")
        if not 0 < self.share_ppm <= MILLION:
            raise MalformedTariff("the share that is looked back at is not within 100 %")
        if self.rule is LookBackRule.MEAN and self.share_ppm != MILLION:
            raise MalformedTariff("a share goes with the highest peak before, not with a mean")

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the rule as a document holds it."""
        return {
            "intervals": self.intervals,
            "rule": self.rule,
            "share": self.share_ppm,
            "within_year": int(self.is_within_year),
        }

    @classmethod
    def from_canonical(cls, value: CborValue) -> "LookBack":
        """Return the rule that a document holds."""
        fields = TariffReader(value, "look_back")
        found = cls(
            fields.integer("intervals"),
            fields.choice("rule", LookBackRule),
            fields.integer("share"),
            fields.flag("within_year"),
        )
        fields.done()
        return found


@dataclass(frozen=True, slots=True)
class DemandFigure:
    """The windows that one figure of a demand charge comes from."""

    band: int
    stretch: Stretch
    peaks: tuple[tuple[tuple[int, ...], ...], ...]
    """For each peak, windows; for each window, the indices of its slots in the use billed."""


@dataclass(frozen=True, slots=True)
class DemandCharge:
    """An amount for the highest power that was drawn."""

    kind: ClassVar = "demand"

    name: str
    timetable: Timetable
    scales: tuple[Scale, ...]
    """For each band: the price of a kilowatt (one step without limit), or the amounts of steps."""
    stepped: bool
    figure: Figure
    highest: int
    """How many daily peaks the mean is of; 0: all."""
    floor_watts: int
    window_seconds: int
    """0: the slots are the windows."""
    interval: Interval
    per: Interval
    look_back: LookBack | None = None
    year_begins: YearStart = NEW_YEAR

    def __post_init__(self) -> None:
        self._check_look_back()
        if len(self.scales) != len(self.timetable.names):
            raise MalformedTariff("there is not one price for each band")
        for scale in self.scales:
            self._check_scale(scale)
        if self.highest and self.figure is not Figure.DAILY:
            raise MalformedTariff("'highest' goes with the mean of daily peaks")
        if not 0 <= self.highest <= 366 or not 0 <= self.floor_watts <= 10**12:
            raise MalformedTariff("the number of peaks or the floor is impossible")
        if not 0 <= self.window_seconds <= 86_400:
            raise MalformedTariff("the window is impossible")

    def _check_look_back(self) -> None:
        check_year_start(self.year_begins)
        within = self.look_back is not None and self.look_back.is_within_year
        if self.year_begins != NEW_YEAR and self.interval is not Interval.YEAR and not within:
            raise MalformedTariff("'year_begins' goes with something yearly")
        if self.look_back is None:
            return
        if self.figure is not Figure.PEAK:
            raise MalformedTariff("only a peak can look back")
        if self.interval is Interval.PERIOD:
            raise MalformedTariff("what looks back has an interval of the calendar")

    @property
    def memory_shape(self) -> MemoryShape | None:
        """What is carried: the peak of each interval that a later one may look back at."""
        if self.look_back is None:
            return None
        return MemoryShape(
            kind=self.kind,
            name=self.name,
            quantity=Quantity.WATTS,
            bands=self.timetable.names,
            interval=self.interval,
            year_begins=self.year_begins,
            reach=self.look_back.intervals,
            is_within_year=self.look_back.is_within_year,
        )

    def _check_scale(self, scale: Scale) -> None:
        limits = [limit for limit, _ in scale]
        if not scale or limits[-1] or len(scale) > (MAX_STEPS if self.stepped else 1):
            raise MalformedTariff("the last step, and no other, has no limit")
        if any(low >= high for low, high in pairwise([0, *limits[:-1]])):
            raise MalformedTariff("the limits of steps must rise")
        for _, price in scale:
            check_price(price)

    def lines(self, part: Part, usage: KnownUsage) -> list[ChargeLine]:
        """Return a line for each interval and band that has a price."""
        found = []
        intervals = stretches(self.interval, part, self.year_begins)
        peaks = self._peaks(part, usage, [stretch.begin for stretch in intervals])
        for number, stretch in enumerate(intervals):
            for band, scale in enumerate(self.scales):
                if (number, band) in peaks and any(price for _, price in scale):
                    watts = self._figure(peaks[number, band], part)
                    label = self._label(band, stretch if len(intervals) > 1 else None)
                    found.append(self._line(label, watts, scale, stretch, part))
        return found

    def _peaks(
        self, part: Part, usage: KnownUsage, begins: list[int]
    ) -> dict[tuple[int, int], list[int]]:
        """Return for every interval and band the peaks that its figure is made of."""
        peaks: dict[tuple[int, int], dict[object, int]] = {}
        for start, watts, band in self._demands(usage):
            known = peaks.setdefault((bisect_right(begins, start) - 1, band), {})
            key = self._peak_key(start, part)
            known[key] = max(known.get(key, self.floor_watts), watts)
        return {place: list(known.values()) for place, known in peaks.items()}

    def _figure(self, peaks: list[int], part: Part) -> int:
        highest = sorted(peaks, reverse=True)[: self.highest or None]
        return divide(sum(highest), len(highest), part.rule)

    # The same charge, told apart into what is measured and what follows from it

    def figures(self, part: Part, usage: KnownUsage) -> list[DemandFigure]:
        """Return where each figure comes from, in `usage`, whose energy is not looked at."""
        intervals = stretches(self.interval, part, self.year_begins)
        begins = [stretch.begin for stretch in intervals]
        found: dict[tuple[int, int], dict[object, list[tuple[int, ...]]]] = {}
        for start, slots, band in self._windows(usage):
            if any(price for _, price in self.scales[band]):
                peaks = found.setdefault((bisect_right(begins, start) - 1, band), {})
                peaks.setdefault(self._peak_key(start, part), []).append(slots)
        return [
            DemandFigure(band, intervals[number], tuple(map(tuple, peaks.values())))
            for (number, band), peaks in sorted(found.items(), key=lambda item: item[0])
        ]

    def peaks_of(self, figure: DemandFigure) -> int:
        """Return how many of a figure's peaks count."""
        return min(self.highest or len(figure.peaks), len(figure.peaks))

    def amount_of(self, figure: DemandFigure, watts: int, part: Part) -> int:
        """Return what a figure comes to, in 10^-9, if the peaks that count sum to so many watts."""
        mean = divide(watts, self.peaks_of(figure), part.rule)
        return self._line("", mean, self.scales[figure.band], figure.stretch, part).nano

    # The same charge with memory

    def key_of(self, band: int, stretch: Stretch) -> MemoryKey:
        """Return the key of an interval's peak."""
        return MemoryKey(self.name, band, day_number(stretch.first))

    def own(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, int]:
        """Return the peaks of a part, in watts, the floor at least: one for each of `figures`."""
        intervals = stretches(self.interval, part, self.year_begins)
        peaks = self._peaks(part, usage, [stretch.begin for stretch in intervals])
        return {
            self.key_of(band, intervals[number]): self._figure(found, part)
            for (number, band), found in sorted(peaks.items())
            if any(price for _, price in self.scales[band])
        }

    def remembered(
        self,
        part: Part,
        own: Mapping[MemoryKey, V],
        carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[list[MemoryLine[V]], dict[MemoryKey, V]]:
        """Return a line for each interval and band, and what is carried on."""
        lines, known = list[MemoryLine[V]](), dict(carried)
        intervals = stretches(self.interval, part, self.year_begins)
        for stretch in intervals:
            for band in range(len(self.scales)):
                key = self.key_of(band, stretch)
                if key not in own:
                    continue
                # an interval billed in part before has one peak: the greater of both
                peak = arithmetic.most(own[key], known[key]) if key in known else own[key]
                known[key] = peak
                watts = self._looked_back(key, known, part, arithmetic)
                label = self._label(band, stretch if len(intervals) > 1 else None)
                lines.append(self._hidden_line(label, band, watts, stretch, part, arithmetic))
        shape = self.memory_shape
        assert shape is not None
        return lines, shape.kept(known, part.clock.day_of(part.end))

    def _looked_back(
        self, key: MemoryKey, known: Mapping[MemoryKey, V], part: Part, arithmetic: Arithmetic[V]
    ) -> V:
        assert self.look_back is not None
        rule, count = self.look_back.rule, self.look_back.intervals
        first = interval_before(self.interval, key.day, count, self.year_begins)
        if self.look_back.is_within_year:
            first = max(first, interval_days(Interval.YEAR, key.day, self.year_begins)[0])
        before = [
            known[other]
            for other in sorted(known)
            if other[:2] == key[:2] and first <= other.day < key.day
        ]
        if not before:
            return known[key]
        if rule is LookBackRule.MEAN:
            total = reduce(lambda value, other: value + other, before, known[key])
            return arithmetic.quotient(total, len(before) + 1, part.rule)
        highest = reduce(arithmetic.most, before)
        if self.look_back.share_ppm != MILLION:
            highest = arithmetic.quotient(highest * self.look_back.share_ppm, MILLION, part.rule)
        return arithmetic.most(known[key], highest)

    def _hidden_line(
        self, label: str, band: int, watts: V, stretch: Stretch, part: Part,
        arithmetic: Arithmetic[V],
    ) -> MemoryLine[V]:  # fmt: skip
        scale = self.scales[band]
        nano = watts * scale[0][1]
        if self.stepped:
            nano = arithmetic.constant(scale[0][1] * NANO_PER_MICRO)
            nothing, one = arithmetic.constant(0), arithmetic.constant(1)
            for (limit, price), (_, following) in pairwise(scale):
                above = arithmetic.most(watts - arithmetic.constant(limit), nothing)
                is_above = arithmetic.least(above, one)  # watts are whole
                nano = nano + is_above * ((following - price) * NANO_PER_MICRO)
        times = self._times(stretch, part)
        nano = arithmetic.quotient(nano * times.numerator, times.denominator, part.rule)
        rate = scale[0][1] if len(scale) == 1 else None
        return MemoryLine(label, watts, "W", rate, nano)

    def _label(self, band: int, stretch: Stretch | None) -> str:
        parts = [self.timetable.names[band]] if len(self.scales) > 1 else []
        if stretch is not None:
            parts.append(f"{stretch.first:%Y-%m-%d}"[: 7 if self.interval != "day" else 10])
        return ", ".join(parts)

    def _line(
        self, label: str, watts: int, scale: Scale, stretch: Stretch, part: Part
    ) -> ChargeLine:
        price = next(price for limit, price in scale if watts <= limit or not limit)
        nano = price * NANO_PER_MICRO if self.stepped else price * watts
        nano = share_of(nano, self._times(stretch, part), part.rule)
        return ChargeLine(label, watts, "W", price, nano)

    def _times(self, stretch: Stretch, part: Part) -> Fraction:
        """Return for how many of what the price is for a stretch is billed."""
        inside = Part(
            stretch.begin, stretch.end, part.period_begin, part.period_end, part.clock, part.rule
        )
        return share(self.per, inside)

    # Demands, as (moment, watts, band)

    def _demands(self, usage: KnownUsage) -> Iterator[tuple[int, int, int]]:
        window, energy = self.window_seconds or usage.seconds, usage.import_wh
        for start, slots, band in self._windows(usage):
            used = energy[slots[0]] if len(slots) == 1 else sum(energy[slot] for slot in slots)
            yield start, used * HOUR // window, band

    def _windows(self, usage: KnownUsage) -> Iterator[tuple[int, tuple[int, ...], int]]:
        """Yield start, slots (their indices in `usage`) and band of each window that is full."""
        window = self.window_seconds or usage.seconds
        count, rest = divmod(window, usage.seconds)
        if rest:
            raise UnbillableReadings(
                f"slots of {usage.seconds} s do not fill the window of {window} s",
                component=f"charge {self.name}",
            )
        try:
            bands = bands_of(self.timetable, self.scales, usage.starts, usage.seconds)
        except UnpricedSlot as error:
            raise error.within(f"charge {self.name}") from None
        if count == 1:
            for slot, (start, band) in enumerate(zip(usage.starts, bands, strict=True)):
                yield start, (slot,), band
            return
        known: dict[int, list[int]] = {}
        for slot, start in enumerate(usage.starts):
            known.setdefault(start // window * window, []).append(slot)
        for start, slots in known.items():
            if len(slots) == count:
                yield start, tuple(slots), bands[slots[0]]

    def _peak_key(self, start: int, part: Part) -> object:
        if self.figure is Figure.PEAK:
            return None
        day = part.clock.day_of(start)
        return day if self.figure is Figure.DAILY else date_of(day).replace(day=1)

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        members: dict[int | str, CborValue] = {
            "timetable": self.timetable.canonical(),
            "scales": self.scales,
            "stepped": int(self.stepped),
            "figure": self.figure,
            "highest": self.highest,
            "floor": self.floor_watts,
            "window": self.window_seconds,
            "interval": self.interval,
            "per": self.per,
        }
        if self.look_back is not None:
            members["look_back"] = self.look_back.canonical()
        return members | year_start_member(self.year_begins)

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "DemandCharge":
        """Return the charge that a document holds."""
        return cls(
            name=name,
            timetable=timetable_from_canonical(fields.value("timetable")),
            scales=fields.pairs_of_each("scales"),
            stepped=fields.flag("stepped"),
            figure=fields.choice("figure", Figure),
            highest=fields.integer("highest"),
            floor_watts=fields.integer("floor"),
            window_seconds=fields.integer("window"),
            interval=fields.choice("interval", Interval),
            per=fields.choice("per", Interval),
            look_back=LookBack.from_canonical(fields.value("look_back"))
            if "look_back" in fields
            else None,
            year_begins=read_year_start(fields),
        )
