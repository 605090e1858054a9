# SPDX-License-Identifier: Apache-2.0
"""Bills that nobody has sent: under another tariff, and of a month that is not over.

Nothing leaves the hub for either. The forecast's method is `same-weekday means`: a slot to come is
taken to use what the slots of the same weekday and local time used on average in the four weeks
before, rounded down; where none of them is known, all days' slots of that time. What is fed in is
expected likewise. It is tried on months that are over, each from the same day of the month, and how
far it was off is said with it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.calendar import utc_offset
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.money import Money
from hub.inspection.views.pricing import bill_of
from hub.inspection.views.slots import SlotRun, local_date, readings_of, slots_between
from protocols.metrology import Period, SlotState
from tariffs import Bill, Tariff, TariffError

FORECAST_METHOD: Final = "same-weekday means of the four weeks before"
HISTORY_DAYS: Final = 28
LEAST_DAYS: Final = 7
MOST_BACKTESTS: Final = 6
MILLION: Final = 1_000_000
DAY: Final = 86_400
THURSDAY: Final = 3
"""The weekday of 1 January 1970; Monday is 0."""

TimeOfWeek = tuple[int, int]
"""Weekday and local minute; weekday −1 stands for any."""


@dataclass(frozen=True, slots=True)
class TariffOffer:
    """What a period would have cost under a tariff."""

    tariff: Tariff
    bill: Bill | None
    reason: str = ""
    """Why there is no bill."""

    @property
    def cost(self) -> Money | None:
        """What the bill comes to, before its rounding."""
        return None if self.bill is None else Money.of_bill(self.bill)


@dataclass(frozen=True, slots=True)
class Backtest:
    """A forecast of a month that is over, and what it came to."""

    period: Period
    forecast: Money
    actual: Money

    @property
    def error_ppm(self) -> int:
        """How far the forecast was above the actual amount, in millionths of it; rounded down."""
        decimals = max(self.forecast.decimals, self.actual.decimals)
        actual = self.actual.scaled(decimals)
        return (self.forecast.scaled(decimals) - actual) * MILLION // actual


@dataclass(frozen=True, slots=True)
class BillForecast:
    """What a period will come to."""

    tariff: Tariff
    period: Period
    known_until: int
    """Up to here the slots are those that were read."""
    known_wh: int
    energy_wh: int
    """Known and expected together."""
    so_far: Money | None
    bill: Bill
    backtests: tuple[Backtest, ...]
    """The latest first; empty where there is no full month before with four weeks before it."""

    @property
    def cost(self) -> Money:
        """What the bill will come to, before its rounding."""
        return Money.of_bill(self.bill)

    @property
    def mean_error_ppm(self) -> int | None:
        """How far the backtests were off on average, whichever way."""
        if not self.backtests:
            return None
        return sum(abs(test.error_ppm) for test in self.backtests) // len(self.backtests)

    @property
    def worst_error_ppm(self) -> int | None:
        """How far the worst backtest was off."""
        return max((abs(test.error_ppm) for test in self.backtests), default=None)


def offers(device: Device, period: Period, tariffs: Sequence[Tariff]) -> list[TariffOffer]:
    """Return what a period would have cost under each tariff, as far as there are readings of it.

    Raises `InspectionError` where there are none.
    """
    slots = readings_of(device, period)
    costs = []
    for tariff in tariffs:
        try:
            costs.append(TariffOffer(tariff, bill_of(tariff, slots)))
        except TariffError as error:
            costs.append(TariffOffer(tariff, None, str(error)))
    return costs


def forecast(
    device: Device,
    book: TariffBook,
    period: Period,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BillForecast:
    """Return what a period that has begun, such as this month, will come to.

    `progress` is told before each forecast, of this month and of earlier ones, how many are done,
    of how many at most; it may raise.

    Raises `InspectionError` where no tariff is known for it, it is over, or the readings do not
    reach back a week; `TariffError` where the tariff does not price it.
    """
    begin, end = period.bounds(device.description.zone)
    tariff = book.at(begin)
    if tariff is None:
        raise InspectionError("no tariff is known for this time")
    known = slots_between(device, begin, end)
    if not len(known):
        raise InspectionError(f"there are no readings of {period.first} to {period.last} yet")
    if known.end >= end:
        raise InspectionError(f"{period.first} to {period.last} is over: its bill can be computed")
    progress(0, 1 + MOST_BACKTESTS)
    whole = _completed(device, known, begin, end)
    backtests = _backtests(device, tariff, period, known.end - begin, progress)
    return BillForecast(
        tariff=tariff,
        period=period,
        known_until=known.end,
        known_wh=sum(known.use_wh),
        energy_wh=sum(whole.use_wh),
        so_far=Money.of_bill(bill_of(tariff, known)),
        bill=bill_of(tariff, whole),
        backtests=tuple(backtests),
    )


def _completed(device: Device, known: SlotRun, begin: int, end: int) -> SlotRun:
    """Return the slots of [begin, end): the known ones, and after them what is expected."""
    until = known.end if len(known) else begin
    history = slots_between(device, until - HISTORY_DAYS * DAY, until)
    if len(history) * history.seconds < LEAST_DAYS * DAY:
        raise InspectionError(f"a forecast needs readings of {LEAST_DAYS} days")
    starts = list(range(until, end, known.seconds))

    def expected(energy: Sequence[int], states: Sequence[SlotState]) -> list[int]:
        means = _means(history.starts, energy, states, device.zone)
        return _expected(means, starts, device.zone)

    guessed = [SlotState.ESTIMATED] * len(starts)
    whole = SlotRun(
        known.seconds,
        [*known.starts, *starts],
        [*known.use_wh, *expected(history.use_wh, history.states)],
        [*known.states, *guessed],
        known.certified_until,
    )
    if history.fed_in_wh is None or history.fed_in_states is None:
        return whole
    return replace(
        whole,
        fed_in_wh=[*(known.fed_in_wh or ()), *expected(history.fed_in_wh, history.fed_in_states)],
        fed_in_states=[*(known.fed_in_states or ()), *guessed],
    )


def _means(
    starts: Sequence[int], energy: Sequence[int], states: Sequence[SlotState], zone: ZoneInfo
) -> Mapping[TimeOfWeek, int]:
    sums: dict[TimeOfWeek, int] = defaultdict(int)
    counts: dict[TimeOfWeek, int] = defaultdict(int)
    times = _times_of_week(starts, zone)
    for (weekday, minute), use, state in zip(times, energy, states, strict=True):
        if state is SlotState.MISSING:
            continue
        for key in ((weekday, minute), (-1, minute)):
            sums[key] += use
            counts[key] += 1
    return {key: total // counts[key] for key, total in sums.items()}


def _expected(means: Mapping[TimeOfWeek, int], starts: Sequence[int], zone: ZoneInfo) -> list[int]:
    every = [use for (day, _), use in means.items() if day == -1]
    # Of no slot of its time is anything known: an hour that the clock shows once a year.
    rare = sum(every) // len(every) if every else 0
    return [
        means.get((weekday, minute), means.get((-1, minute), rare))
        for weekday, minute in _times_of_week(starts, zone)
    ]


def _times_of_week(starts: Sequence[int], zone: ZoneInfo) -> Iterator[TimeOfWeek]:
    offsets: dict[int, int | None] = {}
    for start in starts:
        day = start // DAY
        if day not in offsets:
            before, after = _offset(day * DAY, zone), _offset((day + 1) * DAY, zone)
            offsets[day] = before if before == after else None
        offset = offsets[day]
        local = start + (_offset(start, zone) if offset is None else offset)
        yield (local // DAY + THURSDAY) % 7, local % DAY // 60


def _offset(time: int, zone: ZoneInfo) -> int:
    return utc_offset(datetime.fromtimestamp(time, zone), zone)


def _backtests(
    device: Device,
    tariff: Tariff,
    period: Period,
    elapsed: int,
    progress: Callable[[int, int], None],
) -> list[Backtest]:
    """Return how forecasts of earlier months, as far into them as now, have done."""
    span = device.main.journal.span()
    tests: list[Backtest] = []
    last = period.first - timedelta(days=1)
    while span is not None and len(tests) < MOST_BACKTESTS:
        month = Period.month(last.year, last.month)
        begin, end = month.bounds(device.description.zone)
        since = local_date(device, begin) - timedelta(days=HISTORY_DAYS)
        if since < span[0] or month.last > span[1]:
            break
        progress(1 + len(tests), 1 + MOST_BACKTESTS)
        test = _backtest(device, tariff, month, min(begin + elapsed, end - 1))
        if test is not None:
            tests.append(test)
        last = month.first - timedelta(days=1)
    return tests


def _backtest(device: Device, tariff: Tariff, month: Period, until: int) -> Backtest | None:
    """Return how a forecast at `until` has done; None where the month's bill is not whole."""
    begin, end = month.bounds(device.description.zone)
    slots = slots_between(device, begin, end)
    if SlotState.MISSING in slots.states:
        return None
    known = slots.between(begin, until)
    try:
        predicted = bill_of(tariff, _completed(device, known, begin, end))
        actual = bill_of(tariff, slots)
    except TariffError:
        return None
    if actual.total_exact <= 0:
        return None
    return Backtest(month, Money.of_bill(predicted), Money.of_bill(actual))
