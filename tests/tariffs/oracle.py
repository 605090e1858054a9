# SPDX-License-Identifier: Apache-2.0
"""A second way to reckon every component: slot by slot, day by day, with `datetime` and `Fraction`.

Shares no code with the package. Slow and plain on purpose.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache
from math import floor
from zoneinfo import ZoneInfo

Tiers = list[tuple[Fraction | None, Fraction]]
"""Up to kWh (or kW), None for the last; and the price."""


def nano_rounded(amount: Fraction, rule: str, unit: Fraction = Fraction(1, 10**9)) -> Fraction:
    scaled = amount / unit
    whole = floor(abs(scaled))
    rest = abs(scaled) - whole
    up = {
        "down": False,
        "half-up": rest >= Fraction(1, 2),
        "half-even": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1),
    }[rule]
    return (whole + up) * unit * (-1 if scaled < 0 else 1)


@cache
def local_time(zone: str, moment: int) -> datetime:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None)


@cache
def charged(zone: str, begin: int, end: int) -> list[date]:
    first = local_time(zone, begin).date() - timedelta(2)
    found = []
    for n in range((end - begin) // 86400 + 6):
        day = first + timedelta(n)
        start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()
        if begin <= start + 43200 < end:
            found.append(day)
    return found


@dataclass
class World:
    """A household's slots under one clock."""

    zone: str
    begin: int
    seconds: int
    use: list[int | None]
    rule: str = "half-even"

    @property
    def end(self) -> int:
        return self.begin + self.seconds * len(self.use)

    @property
    def starts(self) -> list[int]:
        return [self.begin + self.seconds * i for i in range(len(self.use))]

    def known(self) -> Iterator[tuple[int, int]]:
        for start, use in zip(self.starts, self.use, strict=True):
            if use is not None:
                yield start, use

    def local(self, moment: int) -> datetime:
        return local_time(self.zone, moment)

    def days(self, begin: int, end: int) -> list[date]:
        """The dates whose noon, 12 hours after they begin, is in [begin, end)."""
        return charged(self.zone, begin, end)

    # Intervals: a key for each date, and the dates that share a key

    def key(self, interval: str, day: date) -> object:
        return {
            "day": day,
            "month": (day.year, day.month),
            "quarter": (day.year, (day.month - 1) // 3),
            "year": day.year,
            "period": None,
        }[interval]

    def share(self, interval: str, key: object) -> Fraction:
        if interval == "period":
            return Fraction(1)
        mine = [day for day in self.days(self.begin, self.end) if self.key(interval, day) == key]
        first = self.local(self.begin).date() - timedelta(366)
        around = [first + timedelta(n) for n in range(366 + 70 + 368)]
        return Fraction(len(mine), sum(self.key(interval, day) == key for day in around))

    def keys(self, interval: str) -> list[object]:
        return list(dict.fromkeys(self.key(interval, self.local(t).date()) for t in self.starts))

    def times(self, per: str) -> Fraction:
        if per == "day":
            return Fraction(len(self.days(self.begin, self.end)))
        return sum((self.share(per, key) for key in self.keys(per)), Fraction(0))

    # Charges

    def fixed(self, price: Fraction, per: str) -> Fraction:
        return nano_rounded(price * self.times(per), self.rule)

    def energy(self, price: Callable[[datetime], Fraction]) -> Fraction:
        return sum(
            (price(self.local(start)) * Fraction(use, 1000) for start, use in self.known()),
            Fraction(0),
        )

    def blocks(
        self, bands: Callable[[datetime], int], tiers: list[Tiers], kind: str, interval: str
    ) -> Fraction:
        total = Fraction(0)
        for key in self.keys(interval):
            for band, steps in enumerate(tiers):
                uses = [
                    use
                    for start, use in self.known()
                    if self.key(interval, self.local(start).date()) == key
                    and bands(self.local(start)) == band
                ]
                bounds = [self.bound(limit, kind, interval, key, band, bands) for limit, _ in steps]
                for amount in uses if kind == "power" else [sum(uses)]:
                    total += self.tiered(amount, bounds, [price for _, price in steps])
        return total

    def bound(
        self, limit: Fraction | None, kind: str, interval: str, key: object, band: int,
        bands: Callable[[datetime], int],
    ) -> int | None:  # fmt: skip
        if limit is None:
            return None
        if kind == "power":
            return int(limit * 1000 * self.seconds / 3600)
        if kind == "energy":
            return floor(limit * 1000 * self.share(interval, key))
        inside = {
            self.local(t).date()
            for t in range(self.begin, self.end, 60 * 15)
            if self.key(interval, self.local(t).date()) == key and bands(self.local(t)) == band
        }
        charged = [
            day
            for day in self.days(self.begin, self.end)
            if self.key(interval, day) == key and day in inside
        ]
        return int(limit * 1000) * len(charged)

    @staticmethod
    def tiered(use: int, bounds: list[int | None], prices: list[Fraction]) -> Fraction:
        """Walk up the tiers a watt-hour's stretch at a time."""
        cost, at = Fraction(0), 0
        for bound, price in zip(bounds, prices, strict=True):
            top = use if bound is None else min(bound, use)
            if top > at:
                cost += (top - at) * price / 1000
                at = top
        return cost

    def demand(
        self, inside: Callable[[datetime], bool], figure: str, highest: int, floor_kw: Fraction,
        window: int, interval: str, price: Callable[[int], Fraction], per: str,
    ) -> Fraction:  # fmt: skip
        total = Fraction(0)
        known = dict(self.known())
        for key in self.keys(interval):
            peaks: dict[object, int] = {}
            for start in range(self.begin // window * window, self.end, window):
                slots = range(start, start + window, self.seconds)
                if not all(slot in known for slot in slots):
                    continue
                local = self.local(start)
                if not inside(local) or self.key(interval, local.date()) != key:
                    continue
                watts = floor(Fraction(sum(known[slot] for slot in slots) * 3600, window))
                group = {
                    "peak": None,
                    "mean-of-daily-peaks": local.date(),
                    "mean-of-monthly-peaks": (local.year, local.month),
                }[figure]
                peaks[group] = max(peaks.get(group, int(floor_kw * 1000)), watts)
            if not peaks:
                continue
            top = sorted(peaks.values(), reverse=True)[: highest or len(peaks)]
            mean = nano_rounded(Fraction(sum(top), len(top)), self.rule, Fraction(1))
            part = self.part(interval, key)
            times = part.times(per)
            if per == "period":
                days = [len(one.days(one.begin, one.end)) for one in (part, self)]
                spans = [one.end - one.begin for one in (part, self)]
                times = Fraction(*days) if days[1] else Fraction(*spans)
            total += nano_rounded(price(int(mean)) * times, self.rule)
        return total

    def part(self, interval: str, key: object) -> "World":
        """The slots of one interval, as a world of their own."""
        slots = [t for t in self.starts if self.key(interval, self.local(t).date()) == key]
        return World(self.zone, slots[0], self.seconds, [0] * len(slots), self.rule)
