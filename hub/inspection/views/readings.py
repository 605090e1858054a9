# SPDX-License-Identifier: Apache-2.0
"""What was used when: a period in buckets, each with its energy, states, price bands and cost.

A bucket's energy is the sum of the slots that are known; the missing ones are counted and never
filled. Its cost is what `tariffs.compute_bill` makes of just its slots, so that a month's cost is
to the last digit that of the month's bill; hours and slots have the charges by energy alone, since
fixed charges and taxes belong to days.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from struct import Struct
from typing import Final
from zoneinfo import ZoneInfo

from hub.device import Device
from hub.inspection.views.bucket import UseBucket, adds_up, bucket_of, sum_of_buckets
from hub.inspection.views.bucket_cache import BucketCache, BucketKey
from hub.inspection.views.calendar import By, buckets, calendar_period
from hub.inspection.views.corrections import CorrectedDayView, corrected_days
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.meters import MeterSwap, swaps_between
from hub.inspection.views.money import Money
from hub.inspection.views.pricing import Pricing
from hub.inspection.views.slots import local_date, slots_between
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Medium, Period

STEP: Final = 300
"""Every slot ends at a multiple of this: zones' clocks are set to quarter-hours."""
NO_TARIFF: Final = bytes(32)
NO_DAY: Final = bytes(32)
FURTHER_METER: Final = b"meterlet summary of meter 1"
_TIMES: Final = Struct(">qq")


@dataclass(frozen=True, slots=True)
class ReadingsView:
    """A period in buckets."""

    zone: str
    slot_seconds: int
    period: Period
    by: By
    buckets: tuple[UseBucket, ...]
    total: UseBucket
    tariffs: tuple[str, ...]
    """The names of the tariffs that hold in the period."""
    feeds_in: bool = False
    """Whether the meter counts what is fed in."""
    corrected: tuple[CorrectedDayView, ...] = ()
    """Days whose readings came late or were replaced."""
    swaps: tuple[MeterSwap, ...] = ()
    """The meters that were exchanged in the period."""
    medium: Medium = Medium.ELECTRICITY
    """What the meter measures: what is called energy here is in whole steps of its registers."""
    meter: str = ""
    """The name of a further meter."""

    @property
    def clock(self) -> ZoneInfo:
        """The clock that people read; days may begin at another hour than midnight."""
        return wall_zone(self.zone)


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
    device: Device,
    period: Period,
    by: By,
    tariffs: TariffBook | None = None,
    kept: BucketCache | None = None,
) -> ReadingsView:
    """Return a period in buckets, priced under `tariffs`; buckets of days are taken from `kept`.

    Raises `VaultTampered` where stored bytes are not what was stored.
    """
    zone, minutes = device.description.zone, device.main.slot_minutes
    view = _Cutting(device, tariffs or TariffBook(), period, by, kept)
    bounds = period.bounds(zone)
    cut = view.cut(list(buckets(period, by, zone, minutes)), bounds)
    parts = view.book.parts(*bounds)
    return ReadingsView(
        zone=zone,
        slot_seconds=60 * minutes,
        period=period,
        by=by,
        buckets=tuple(cut[:-1]),
        total=cut[-1],
        tariffs=tuple(dict.fromkeys(tariff.name for _, _, tariff in parts if tariff is not None)),
        feeds_in=device.feed_in is not None,
        corrected=corrected_days(device, period),
        swaps=swaps_between(device, *bounds),
        medium=device.description.medium,
        meter=device.name,
    )


def warm(device: Device, tariffs: TariffBook, kept: BucketCache) -> None:
    """Make and keep every day, week, month and year there are readings of."""
    span = device.main.journal.span()
    if span is None:
        return
    for year in range(span[0].year, span[1].year + 1):
        whole = calendar_period(By.YEAR, date(year, 1, 1))
        for by in (By.DAY, By.MONTH):
            readings_view(device, whole, by, tariffs, kept)
        weeks = Period(
            calendar_period(By.WEEK, whole.first).first, calendar_period(By.WEEK, whole.last).last
        )
        readings_view(device, weeks, By.WEEK, tariffs, kept)


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


@dataclass(slots=True)
class _Cutting:
    """Makes the buckets of one view, or finds them where they are kept."""

    device: Device
    book: TariffBook
    period: Period
    by: By
    kept: BucketCache | None
    _fingerprints: dict[date, bytes] = field(init=False, default_factory=dict)
    _certified: date | None = field(init=False, default=None)
    _provisional: bytes = field(init=False, default=b"")

    def cut(self, pieces: Sequence[tuple[int, int]], whole: tuple[int, int]) -> list[UseBucket]:
        """Return the bucket of each piece, and last that of the whole."""
        of_days = self.by.is_of_days
        if self.kept is None:
            wanted = [(bounds, of_days) for bounds in pieces]
            return self._make([*wanted, (whole, True)])
        self._look()
        if not of_days:
            [total] = self._kept(self.kept, [whole])
            return [*self._make([(bounds, False) for bounds in pieces]), total]
        cut = self._kept(self.kept, pieces)
        if not adds_up(self.book, *whole):
            return [*cut, *self._kept(self.kept, [whole])]
        total = sum_of_buckets(cut, *whole) or self._kept(self.kept, [whole])[0]
        return [*cut, total]

    def _kept(self, kept: BucketCache, pieces: Sequence[tuple[int, int]]) -> list[UseBucket]:
        """Return buckets of days, made and kept where they are not."""
        keys = [self._key(*bounds) for bounds in pieces]
        cached = kept.find(keys)
        missing = [key for key in keys if key not in cached]
        made = self._make([((key.begin, key.end), True) for key in missing])
        fresh = list(zip(missing, made, strict=True))
        kept.keep(fresh)
        cached |= dict(fresh)
        return [cached[key] for key in keys]

    def _make(self, wanted: Sequence[tuple[tuple[int, int], bool]]) -> list[UseBucket]:
        if not wanted:
            return []
        begin = min(begin for (begin, _), _ in wanted)
        end = max(end for (_, end), _ in wanted)
        slots = slots_between(self.device, begin, end)
        pricing = Pricing(self.book, slots)
        return [bucket_of(slots, pricing, *bounds, whole_days=days) for bounds, days in wanted]

    def _look(self) -> None:
        """Find out what buckets are made from."""
        meter = self.device.main
        self._fingerprints = self._days(self.period.first, self.period.last)
        span = meter.journal.span()
        self._certified = None if span is None else span[1]
        if self._certified is None or self.period.last > self._certified:
            latest = meter.vault.latest(meter.channel)
            reached = 0 if latest is None else latest.time // STEP
            last = b""
            if self._certified is not None:
                last = self._days(self._certified, self._certified)[self._certified]
            self._provisional = last + _TIMES.pack(reached, 0)

    def _days(self, first: date, last: date) -> dict[date, bytes]:
        """Return a digest of each certified day, of all registers."""
        drawn = self.device.main.journal.fingerprints(first, last)
        if self.device.feed_in is None:
            return drawn
        fed_in = self.device.feed_in.journal.fingerprints(first, last)
        return {
            day: sha256(digest + fed_in.get(day, NO_DAY)).digest() for day, digest in drawn.items()
        }

    def _key(self, begin: int, end: int) -> BucketKey:
        subject = sha256()
        if self.device.name:  # a further meter's buckets are none of the hub's own
            channel = self.device.main.channel
            subject.update(sha256(FURTHER_METER + channel.meter + channel.register).digest())
        for since, until, tariff in self.book.parts(begin, end):
            digest = NO_TARIFF if tariff is None else tariff.digest
            subject.update(_TIMES.pack(since, until) + digest)
        last = local_date(self.device, end - 1)
        if self._certified is not None and last <= self._certified:
            return BucketKey(begin, end, subject.digest(), self._fingerprints.get(last, NO_TARIFF))
        return BucketKey(begin, end, subject.digest(), sha256(self._provisional).digest())
