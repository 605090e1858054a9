# SPDX-License-Identifier: Apache-2.0
"""The page Readings: an hour, day, week, month, year or any days, beside others if wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from hub.device import Device
from hub.inspection.locales.catalogue import Catalogue
from hub.inspection.views.bucket import UseBucket
from hub.inspection.views.calendar import By, calendar_period, period_before
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.door import door_view
from hub.inspection.views.live import fine_uses, newest_day, today
from hub.inspection.views.readings import ReadingsView, compare, readings_view
from hub.inspection.views.slots import local_date
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.charts import LEVELS, bar_chart
from hub.inspection.web.forms import BadInput, date_of
from hub.inspection.web.meter_tabs import meter_tabs
from hub.inspection.web.page_request import Page, PageRequest, require_days
from protocols.metrology import Period
from tariffs import TariffError

HOUR: Final = 3_600
ONE_DAY: Final = timedelta(days=1)
VIEWS: Final = ("hour", "day", "week", "month", "year", "days")
LONGEST_PERIOD: Final = 3_700
MOST_BARS: Final = 62
"""Days that are drawn day by day unless another cut is chosen."""
CUTS: Final[Mapping[str, tuple[By, ...]]] = {
    "hour": (By.SLOT,),
    "day": (By.HOUR, By.SLOT),
    "week": (By.DAY, By.HOUR),
    "month": (By.DAY, By.WEEK),
    "year": (By.MONTH, By.WEEK),
    "days": (By.DAY, By.WEEK, By.MONTH),
}
"""How each view may be cut; the first is what is shown unless another is chosen."""


@dataclass(frozen=True, slots=True)
class ViewChoice:
    """What the address chooses."""

    view: str
    at: date
    hour: int
    """Of the hour view: how many hours after the day's begin."""
    by: By
    beside: date | None
    """A day in the period to compare with; the first of it, where any days are shown."""
    last: date
    """Of the view of any days: the last one."""
    meter: str = ""
    """The name of a further meter."""

    @property
    def period(self) -> Period:
        """The days of the view."""
        return self.period_at(self.at)

    @property
    def unit(self) -> By | None:
        """What the view is one of; None for any days."""
        if self.view == "days":
            return None
        return By.DAY if self.view == "hour" else By(self.view)

    def period_at(self, day: date) -> Period:
        """Return the period of this kind that a day is in; of any days, that it begins."""
        if self.unit is None:
            return Period(day, day + (self.last - self.at))
        return calendar_period(self.unit, day)

    def link(self, **changes: Any) -> str:
        """Return the address of the view with some members changed."""
        view, at = changes.get("view", self.view), changes.get("at", self.at)
        parts = [f"view={view}", f"at={at}"]
        if view == "days":
            # From another view: the days that it shows.
            shown = self.period
            last = self.last if self.view == view else shown.last
            if self.view != view and "at" not in changes:
                parts[1] = f"at={shown.first}"
            parts.append(f"last={changes.get('last', last)}")
        if view == "hour":
            parts.append(f"hour={changes.get('hour', self.hour)}")
        by = changes.get("by", self.by if view == self.view else CUTS[view][0])
        if by is not CUTS[view][0]:
            parts.append(f"by={by}")
        beside = changes.get("beside", self.beside if view == self.view else None)
        if beside is not None:
            parts.append(f"beside={beside}")
        if meter := changes.get("meter", self.meter):
            parts.append(f"meter={meter}")
        return "/readings?" + "&".join(parts)


def show_readings(request: PageRequest) -> Response:
    """Show a period."""
    with request.look() as look:
        device, book, request = look.device, look.book, request.about(look.device)
        words = request.words
        choice = _choice(request, device)
        view = readings_view(device, choice.period, choice.by, book, look.kept)
        buckets, peak, minutes, other, comparison = view.buckets, view.total.peak, None, None, None
        if is_hour := choice.view == "hour":
            begin = _hour_begin(view, choice)
            hour = range(begin, begin + HOUR)
            buckets = tuple(bucket for bucket in buckets if bucket.begin in hour)
            minutes = [use for use in fine_uses(device, choice.at) if use.begin in hour]
            peaks = [bucket.peak for bucket in buckets if bucket.peak is not None]
            peak = max(peaks, key=lambda peak: peak.energy_wh, default=None)
            before, after = _hour_link(device, begin - HOUR), _hour_link(device, begin + HOUR)
        else:
            before, after = _moved(choice, -1), _moved(choice, +1)
        if choice.beside is not None and not is_hour:
            period = choice.period_at(choice.beside)
            other = readings_view(device, period, choice.by, book, look.kept)
            comparison = compare(view, other)
        levels = band_levels(book, view)
        return request.page(
            "readings.html",
            choice=choice,
            meters=meter_tabs(
                look.hub, device, words, lambda name: choice.link(meter=name, beside=None)
            ),
            day_begins=_day_begins(words, view),
            views=VIEWS,
            cuts=CUTS[choice.view],
            view=view,
            rows=buckets,
            levels=levels,
            chart=_chart(words, choice, buckets, levels, other),
            other=other,
            comparison=comparison,
            labels=[label(words, choice.by, bucket) for bucket in buckets],
            links=[None if is_hour else _closer(device, choice, bucket) for bucket in buckets],
            peak=peak,
            peak_link=_hour_link(device, peak.begin) if peak else None,
            before=before,
            after=after,
            usual=None if is_hour else period_before(choice.period, choice.unit).first,
            minutes=minutes,
            door=door_view(device),
        )


def _day_begins(words: Catalogue, view: ReadingsView) -> str:
    """Return when the meter's days begin, where that is not at midnight."""
    begin = words.clock(view.period.bounds(view.zone)[0])
    return "" if begin == "00:00" else begin


def _hour_begin(view: ReadingsView, choice: ViewChoice) -> int:
    begin, end = view.period.bounds(view.zone)
    if begin + HOUR * choice.hour >= end:
        raise BadInput(f"{choice.at} has no hour {choice.hour}", "hour")
    return begin + HOUR * choice.hour


def minutes_of(request: PageRequest) -> Response:
    """Return a day's readings as they came, for the chart that zooms: times and watts."""
    with request.device() as hub:
        device = request.meter(hub)
        day = date_of(request.http.query_params, "at", today(device))
        uses = list(fine_uses(device, day))
    return JSONResponse(
        {
            "begin": [use.begin for use in uses],
            "end": [use.end for use in uses],
            "watts": [use.watts for use in uses],
        }
    )


def band_levels(book: TariffBook, view: ReadingsView) -> dict[str, int]:
    """Return each band's temperature, 0 the cheapest, by its price in the week from the view on."""
    begin, end = view.period.bounds(view.zone)
    prices: dict[str, int] = {}
    for since, _, tariff in book.parts(begin, end):
        if tariff is None:
            continue
        starts = list(range(since, min(tariff.end, since + 8 * 24 * HOUR), view.slot_seconds))
        try:
            bands = tariff.bands(starts, view.slot_seconds)
            of_slots = tariff.drawn_prices(starts, view.slot_seconds)
        except TariffError:
            continue  # such as blocks: no slot has a price by itself
        for band, price in zip(bands, of_slots, strict=True):
            prices[band] = max(prices.get(band, price), price)
    distinct = sorted(set(prices.values()))
    most = max(len(distinct) - 1, 1)
    return {
        band: (LEVELS - 1) * distinct.index(price) // most if len(distinct) > 1 else 1
        for band, price in prices.items()
    }


def label(words: Catalogue, by: By, bucket: UseBucket) -> str:
    """Return what stands under a bucket's bar."""
    match by:
        case By.SLOT | By.HOUR:
            return words.clock(bucket.begin)
        case By.MONTH:
            return words.month_name(bucket.begin)
        case _:
            return words.short_day(bucket.begin)


def _chart(
    words: Catalogue,
    choice: ViewChoice,
    buckets: Sequence[UseBucket],
    levels: Mapping[str, int],
    other: ReadingsView | None,
) -> Any:
    if not buckets:
        return None
    titles = [
        f"{words.minute(bucket.begin)}: {words.energy(bucket.energy_wh)}" for bucket in buckets
    ]
    return bar_chart(
        words.t(f"readings.chart_{words.flow_key}", period=words.period(choice.period)),
        buckets,
        [label(words, choice.by, bucket) for bucket in buckets],
        titles,
        levels,
        () if other is None else [bucket.energy_wh for bucket in other.buckets],
        words.unit,
    )


def _closer(device: Device, choice: ViewChoice, bucket: UseBucket) -> str:
    """Return the address of what shows a bucket more finely."""
    if not choice.by.is_of_days:
        return _hour_link(device, bucket.begin)
    return choice.link(view=str(choice.by), at=local_date(device, bucket.begin))


def _hour_link(device: Device, time: int) -> str:
    day = local_date(device, time)
    begin = Period(day, day).bounds(device.description.zone)[0]
    meter = f"&meter={device.name}" if device.name else ""
    return f"/readings?view=hour&at={day}&hour={(time - begin) // HOUR}{meter}"


def _moved(choice: ViewChoice, by: int) -> str:
    period = choice.period
    if choice.unit is None:
        period = choice.period_at(period.first + by * timedelta(days=period.day_count))
        return choice.link(at=period.first, last=period.last, beside=None)
    at = period.first - ONE_DAY if by < 0 else period.last + ONE_DAY
    return choice.link(at=choice.period_at(at).first, beside=None)


def readings_link(period: Period, name: str = "") -> str:
    """Return the address of the readings of a period: a day, a month, a year, or any days.

    `name` is that of a further meter.
    """
    meter = f"&meter={name}" if name else ""
    for view in (By.DAY, By.MONTH, By.YEAR):
        if calendar_period(view, period.first) == period:
            return f"/readings?view={view}&at={period.first}{meter}"
    by = "" if period.day_count <= MOST_BARS else f"&by={By.MONTH}"
    return f"/readings?view=days&at={period.first}&last={period.last}{by}{meter}"


def _choice(request: PageRequest, device: Device) -> ViewChoice:
    view = request.query("view", "day")
    if view not in VIEWS:
        raise BadInput(f"there is no view of a {view[:20]!r}", "view")
    by = request.query("by", CUTS[view][0])
    hour = request.query("hour", "0")
    if by not in CUTS[view]:
        raise BadInput(f"a {view} is not shown by {by[:20]!r}", "by")
    if not (hour.isascii() and hour.isdecimal() and len(hour) <= 2):
        raise BadInput(f"{hour[:20]!r} is no hour of a day", "hour")
    names = ("at", "last", "beside")
    fields = {name: request.query(name) for name in names}
    at = date_of(fields, "at", newest_day(device))
    beside = date_of(fields, "beside") if request.query("beside") else None
    last = date_of(fields, "last", at) if view == "days" else at
    require_days(at, last, LONGEST_PERIOD)
    return ViewChoice(view, at, int(hour), By(by), beside, last, device.name)


PAGES: Final = (
    Page("/readings", show_readings, ResidentRole.READER),
    Page("/readings/minutes", minutes_of, ResidentRole.READER),
)
