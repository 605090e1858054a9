# SPDX-License-Identifier: Apache-2.0
from datetime import date, timedelta
from itertools import pairwise

import pytest

from hub.device import Device
from hub.inspection.api.json_readings import readings_json
from hub.inspection.export.csv_rows import readings_rows
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket import adds_up, peak_in, sum_of_buckets
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By, buckets, calendar_period, period_before
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.live import fine_uses, power_now
from hub.inspection.views.money import Money
from hub.inspection.views.readings import compare, readings_view, warm
from hub.inspection.views.slots import slots_between
from hub.readings import Reading
from protocols.metrology import Period
from tariffs import Tariff, compute_bill
from tariffs.source import load_toml
from tests.hub.inspection.conftest import GAP, NOON
from tests.hub.inspection.test_estimates import FLAT

MARCH = Period(date(2025, 3, 20), date(2025, 3, 31))
ALL = Period(date(2025, 3, 17), date(2025, 4, 6))


@pytest.mark.parametrize("by", list(By))
def test_buckets_fill_the_period_and_sum_to_its_total(
    home: Device, book: TariffBook, by: By
) -> None:
    view = readings_view(home, ALL, by, book)
    begin, end = ALL.bounds("Europe/Berlin")
    assert (view.buckets[0].begin, view.buckets[-1].end) == (begin, end)
    assert all(a.end == b.begin for a, b in pairwise(view.buckets))
    assert sum(b.energy_wh or 0 for b in view.buckets) == view.total.energy_wh
    assert sum(b.states.known for b in view.buckets) == view.total.states.known
    assert sum(b.states.missing for b in view.buckets) == view.total.states.missing == 12
    assert sum(b.unknown_seconds for b in view.buckets) == view.total.unknown_seconds
    energy = Money.total(b.energy_cost for b in view.buckets if b.energy_cost)
    assert energy == view.total.energy_cost


@pytest.mark.parametrize(
    ("day", "hours", "quarters"),
    [(date(2025, 3, 29), 24, 96), (date(2025, 3, 30), 23, 92), (date(2024, 10, 27), 25, 100)],
)
def test_a_day_has_as_many_hours_as_the_clock_gives_it(
    home: Device, day: date, hours: int, quarters: int
) -> None:
    one = Period(day, day)
    assert len(readings_view(home, one, By.HOUR).buckets) == hours
    assert len(readings_view(home, one, By.SLOT).buckets) == quarters


def test_a_gap_stays_a_gap(home: Device) -> None:
    day = Period(date(2025, 3, 25), date(2025, 3, 25))
    view = readings_view(home, day, By.HOUR)
    gone = [bucket for bucket in view.buckets if GAP[0] <= bucket.begin < GAP[1]]
    assert [bucket.energy_wh for bucket in gone] == [None, None, None]
    assert [bucket.states.missing for bucket in gone] == [4, 4, 4]
    assert all(bucket.peak is None for bucket in gone)
    assert all(bucket.states.missing == 0 for bucket in view.buckets if bucket not in gone)
    fine = [use for use in fine_uses(home, date(2025, 3, 25)) if use.energy_wh is None]
    assert [(use.begin, use.end) for use in fine] == [GAP]
    assert fine[0].watts is None


def test_today_is_provisional_and_ends_with_the_last_reading(home: Device) -> None:
    today = Period(date(2025, 4, 1), date(2025, 4, 1))
    view = readings_view(home, today, By.SLOT)
    known = [bucket for bucket in view.buckets if bucket.energy_wh is not None]
    assert len(known) == 48
    assert known[-1].end == NOON
    assert all(bucket.is_provisional for bucket in known)
    assert view.total.states.missing == 0
    assert view.total.unknown_seconds == 12 * 3600
    used = sum(use.energy_wh or 0 for use in fine_uses(home, date(2025, 4, 1)))
    assert view.total.energy_wh == used
    assert not readings_view(home, MARCH, By.DAY).total.is_provisional


def test_provisional_slots_are_those_that_will_be_certified(device: Device) -> None:
    begin, end = Period(date(2025, 4, 1), date(2025, 4, 1)).bounds("Europe/Berlin")
    before = slots_between(device, begin, end)
    latest = device.main.vault.latest(device.main.channel)
    assert latest is not None
    rest = [Reading(NOON + 300 * n, latest.register_wh + 9 * n) for n in range(1, 150)]
    device.main.vault.append(device.main.channel, rest)
    assert device.main.certify() == 1
    after = slots_between(device, begin, end)
    assert list(after.use_wh[: len(before)]) == list(before.use_wh)
    assert list(after.states[: len(before)]) == list(before.states)
    assert len(after) == 96


def test_a_period_costs_what_its_bill_comes_to(home: Device, tariff: Tariff) -> None:
    uses = home.main.uses(MARCH)
    starts = [time for use in uses for time in use.grid.boundaries()[:-1]]
    bill = compute_bill(
        tariff,
        starts,
        900,
        [wh for use in uses for wh in use.uses],
        [state for use in uses for state in use.states],
    )
    view = readings_view(home, MARCH, By.DAY, TariffBook.only(tariff))
    assert view.total.cost == Money.of_bill(bill)
    assert Money.total(bucket.cost for bucket in view.buckets if bucket.cost) == view.total.cost
    assert view.tariffs == (tariff.name,)


def test_without_a_tariff_there_is_no_cost_and_the_reason_is_said(home: Device) -> None:
    view = readings_view(home, MARCH, By.DAY)
    assert view.total.cost is None
    assert view.total.reason == "no tariff is known for this time"
    assert view.total.bands == ()


def test_the_peak_is_the_slot_with_the_highest_use(home: Device) -> None:
    day = Period(date(2025, 3, 31), date(2025, 3, 31))
    slots = slots_between(home, *day.bounds("Europe/Berlin"))
    peak = peak_in(slots)
    assert peak is not None
    assert peak.energy_wh == max(slots.use_wh)
    assert slots.use_wh[slots.starts.index(peak.begin)] == peak.energy_wh
    assert peak.watts == 4 * peak.energy_wh
    assert peak_in(slots_between(home, 1_704_063_600, 1_704_150_000)) is None


def test_the_power_now_is_said_with_what_it_can_be_off(home: Device) -> None:
    power = power_now(home)
    assert power is not None
    assert power.end == NOON
    seconds = power.end - power.begin
    assert 0 < seconds <= 900
    assert power.within_watts == -(-3600 // seconds)


def test_two_periods_are_compared_by_energy_and_cost(home: Device, book: TariffBook) -> None:
    week = calendar_period(By.WEEK, date(2025, 3, 26))
    assert week == Period(date(2025, 3, 24), date(2025, 3, 30))
    before = period_before(week, By.WEEK)
    assert before == Period(date(2025, 3, 17), date(2025, 3, 23))
    both = compare(
        readings_view(home, week, By.DAY, book), readings_view(home, before, By.DAY, book)
    )
    now_wh, before_wh = both.now.total.energy_wh, both.before.total.energy_wh
    assert now_wh is not None
    assert before_wh is not None
    assert both.energy_difference_wh == now_wh - before_wh
    assert both.energy_ratio_ppm == 1_000_000 * (now_wh - before_wh) // before_wh
    assert both.cost_difference is not None
    assert period_before(Period.month(2025, 3), By.MONTH) == Period.month(2025, 2)
    year = calendar_period(By.YEAR, date(2025, 5, 5))
    assert period_before(year, By.YEAR) == calendar_period(By.YEAR, date(2024, 5, 5))


def test_kept_buckets_are_the_ones_made_anew(home: Device, book: TariffBook) -> None:
    with open_inspection(home) as database:
        kept = BucketCache.of(home, database)
        warm(home, book, kept)
        for period in (MARCH, ALL, Period(date(2025, 1, 1), date(2025, 12, 31))):
            for by in By:
                fresh = readings_view(home, period, by, book)
                assert readings_view(home, period, by, book, kept) == fresh
                assert readings_view(home, period, by, book, kept) == fresh
        other = readings_view(home, MARCH, By.DAY, None, kept)
        assert other.total.cost is None


def test_a_kept_bucket_that_was_changed_or_moved_is_made_again(
    device: Device, book: TariffBook
) -> None:
    fresh = readings_view(device, MARCH, By.DAY, book)
    with open_inspection(device) as database:
        kept = BucketCache.of(device, database)
        readings_view(device, MARCH, By.DAY, book, kept)
        rows = database.connection.execute("SELECT begin, sealed FROM summary").fetchall()
        assert len(rows) == 12
        database.connection.execute(
            "UPDATE summary SET (nonce, sealed) = (SELECT nonce, sealed FROM summary LIMIT 1)"
        )
        assert readings_view(device, MARCH, By.DAY, book, kept) == fresh
        database.connection.execute("UPDATE summary SET sealed = zeroblob(40)")
        assert readings_view(device, MARCH, By.DAY, book, kept) == fresh
        plain = (device.folder / "inspection.db").read_bytes()
    assert b"night and weekend" not in plain


def test_what_is_kept_of_today_gives_way_as_readings_come_in(
    device: Device, book: TariffBook
) -> None:
    today = Period(date(2025, 4, 1), date(2025, 4, 1))
    with open_inspection(device) as database:
        kept = BucketCache.of(device, database)
        before = readings_view(device, today, By.DAY, book, kept).total
        latest = device.main.vault.latest(device.main.channel)
        assert latest is not None
        more = [Reading(NOON + 900, latest.register_wh + 77)]
        device.main.vault.append(device.main.channel, more)
        after = readings_view(device, today, By.DAY, book, kept).total
    assert (after.energy_wh or 0) - (before.energy_wh or 0) == 77
    assert after.unknown_seconds == before.unknown_seconds - 900


def test_json_and_csv_say_the_same(home: Device, book: TariffBook) -> None:
    view = readings_view(home, MARCH, By.DAY, book)
    facts = readings_json(view).as_json()
    header, *rows = readings_rows(view)
    for bucket, row in zip(facts["buckets"], rows, strict=True):
        line = dict(zip(header, row, strict=True))
        assert line["start_utc"] == bucket["from"]
        assert int(line["energy_wh"]) == bucket["energy_wh"]
        money = bucket["cost"]
        assert line["cost"].replace(".", "").lstrip("0") == str(money["exact"]).rstrip("0")
    assert rows[10][2] == "2025-03-30T00:00:00+01:00"
    assert rows[10][3] == "2025-03-31T00:00:00+02:00"


def test_a_day_the_calendar_skipped_makes_no_bucket() -> None:
    days = Period(date(2011, 12, 29), date(2011, 12, 31))
    assert len(list(buckets(days, By.DAY, "Pacific/Apia", 15))) == 2
    weeks = list(buckets(days, By.WEEK, "Pacific/Apia", 15))
    assert weeks == [days.bounds("Pacific/Apia")]
    assert timedelta(seconds=weeks[0][1] - weeks[0][0]) == timedelta(days=2)


ADDS_UP = FLAT + '[[charge]]\nname = "base"\nkind = "standing"\nper_day = "0.3945"\n'
MONTHLY = FLAT + '[[charge]]\nname = "base"\nkind = "standing"\nper_month = "9.99"\n'
TAXED = ADDS_UP + '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\n'


@pytest.mark.parametrize(
    ("source", "adds"), [(FLAT, True), (ADDS_UP, True), (TAXED, True), (MONTHLY, False)]
)
def test_a_total_is_added_up_only_where_the_bill_comes_to_the_same(
    home: Device, source: str, adds: bool
) -> None:
    words = {"name": "flat", "price": "0.2999", "revision": 1, "since": "2025-03-27"}
    late = load_toml(source.format(**words))
    early = load_toml(source.format(**{**words, "since": "2025-01-01", "price": "0.1"}))
    begin, end = ALL.bounds("Europe/Berlin")
    for book in (TariffBook.only(early), TariffBook((early, late)), TariffBook.only(late)):
        assert adds_up(book, begin, end) is adds
        for by in (By.DAY, By.WEEK, By.MONTH):
            fresh = readings_view(home, ALL, by, book)
            with open_inspection(home) as database:
                kept = BucketCache.of(home, database)
                assert readings_view(home, ALL, by, book, kept) == fresh
            if adds and fresh.total.cost is not None:
                assert sum_of_buckets(fresh.buckets, begin, end) == fresh.total
