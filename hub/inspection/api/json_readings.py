# SPDX-License-Identifier: Apache-2.0
"""Readings as JSON has them: in buckets, between each other, and what was set aside."""

from collections.abc import Iterable
from datetime import date
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType, field

from hub.inspection.api.json_views import (
    CorrectedDayJson,
    ExchangeJson,
    JsonView,
    Moment,
    MoneyJson,
    Unit,
    exchanges_json,
    medium_facts,
    period_days,
)
from hub.inspection.views.bucket import BandUse, StateCounts, UseBucket
from hub.inspection.views.calendar import By
from hub.inspection.views.door import SetAsideView
from hub.inspection.views.live import FineUse
from hub.inspection.views.readings import Comparison, ReadingsView
from hub.meters.odd import Odd
from hub.text import local_text
from protocols.metrology import Medium
from sml_codec import Obis


class DeviceJson(JsonView, frozen=True):
    """A meter, and how far its days go."""

    meter: str
    register: str
    feed_in_register: str | None
    zone: str
    slot_minutes: int
    first_day: date | None
    last_day: date | None
    certified_days: int
    last_reading: Moment | None
    log_entries: int


class PowerJson(JsonView, frozen=True):
    """The mean power over the last stretch of readings."""

    watts: int
    within_watts: int
    begin: Moment
    end: Moment
    register_wh: int


class _Peak(JsonView, frozen=True):
    begin: Moment
    seconds: int
    energy_wh: int
    watts: int


class _Bucket(JsonView, frozen=True):
    begin: Moment
    end: Moment
    local_from: Moment
    local_until: Moment
    energy_wh: int | None
    fed_in_wh: int | None = field(name="feed_in_wh")
    states: StateCounts = field(name="slots")
    unknown_seconds: int
    unattributed_wh: int
    is_provisional: bool = field(name="provisional")
    peak: _Peak | None
    bands: list[BandUse]
    price_micro: int | None
    energy_cost: MoneyJson | None
    cost: MoneyJson | None
    reason: str = field(name="no_cost_because")


class ReadingsJson(JsonView, frozen=True):
    """A period in buckets. What is called energy is in `unit`, litres of a meter of volume."""

    medium: str
    unit: Unit
    zone: str
    slot_seconds: int
    first_day: date
    last_day: date
    by: By
    tariffs: list[str]
    total: _Bucket
    buckets: list[_Bucket]
    corrected_days: list[CorrectedDayJson]
    """Days whose readings came late or were replaced after they had been certified."""
    meter_exchanges: list[ExchangeJson] | UnsetType = UNSET


class ComparisonJson(JsonView, frozen=True):
    """Two periods and their difference."""

    now: ReadingsJson
    before: ReadingsJson
    energy_difference_wh: int | None
    energy_ratio_ppm: int | None
    cost_difference: MoneyJson | None


class _FineUse(JsonView, frozen=True):
    begin: Moment
    end: Moment
    energy_wh: int | None
    watts: int | None
    is_suspect: bool = field(name="suspect")


class FineJson(JsonView, frozen=True):
    """A day between its readings. Of a meter of volume watt-hours are litres, watts litres/h."""

    medium: str
    unit: Unit
    day: date
    uses: list[_FineUse]


class _OddTelegram(JsonView, frozen=True):
    number: int
    kind: Odd
    reason: str
    meter: str
    time: Moment | None
    """The moment that it would stand for, where that is known."""
    arrived: Moment
    registers: dict[str, int]
    """What the hub's registers show in it, in watt-hours, by OBIS code."""


class SetAsideJson(JsonView, frozen=True):
    """Telegrams that could not be taken as readings, the newest first."""

    total: int
    """How many are set aside."""
    beyond: int
    """How many more came when there was no more room; they are not kept."""
    set_aside: list[_OddTelegram]
    """The newest of them."""


def set_aside_json(view: SetAsideView) -> SetAsideJson:
    """Return what is set aside."""
    telegrams = [
        _OddTelegram.of(
            one.telegram,
            number=one.number,
            meter=one.telegram.meter.hex(),
            arrived=one.telegram.arrival,
            registers={str(Obis(code)): wh for code, wh in one.telegram.registers.items()},
        )
        for one in view.newest
    ]
    return SetAsideJson.of(view, set_aside=telegrams)


def readings_json(view: ReadingsView) -> ReadingsJson:
    """Return a readings view."""
    zone = view.clock
    return ReadingsJson.of(
        view,
        **medium_facts(view.medium),
        **period_days(view.period),
        total=_bucket(view.total, zone),
        buckets=[_bucket(bucket, zone) for bucket in view.buckets],
        corrected_days=[CorrectedDayJson.of(one) for one in view.corrected],
        meter_exchanges=exchanges_json(view.swaps),
    )


def _bucket(bucket: UseBucket, zone: ZoneInfo) -> _Bucket:
    return _Bucket.of(
        bucket,
        local_from=local_text(bucket.begin, zone),
        local_until=local_text(bucket.end, zone),
    )


def comparison_json(comparison: Comparison) -> ComparisonJson:
    """Return two views and their difference."""
    now, before = map(readings_json, (comparison.now, comparison.before))
    return ComparisonJson.of(comparison, now=now, before=before)


def fine_json(day: date, uses: Iterable[FineUse], medium: Medium) -> FineJson:
    """Return a day between its readings."""
    return FineJson.of(None, **medium_facts(medium), day=day, uses=list(uses))
