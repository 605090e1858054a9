# SPDX-License-Identifier: Apache-2.0
from datetime import date
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import Tariff, TariffError, UnbillableReadings, UnpricedSlot, charged_days
from tariffs.clock import ZoneClock, date_of, day_number
from tariffs.source import load_toml
from tests.tariffs.plans import Plan, local_days_halved, moments, plans

HOUR = 3600


def toml(bands: str, zone: str = "Europe/Berlin", more: str = "") -> str:
    return f"""
format = 1
name = "test"
revision = 1
currency = "EUR"
zone = "{zone}"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = {{ rule = "half-up", decimals = 2 }}
{more}
[[charge]]
name = "energy"
kind = "energy"
{bands}
"""


def day_night(zone: str = "Europe/Berlin", more: str = "") -> Tariff:
    bands = """
[[charge.band]]
name = "day"
price = "0.30"
when = { times = "06:00-22:00" }
[[charge.band]]
name = "night"
price = "0.20"
"""
    return load_toml(toml(bands, zone, more))


@settings(deadline=None, max_examples=150)
@given(plans(), st.data())
def test_prices_are_those_of_a_calendar_read_slot_by_slot(plan: Plan, data: st.DataObject) -> None:
    slot = data.draw(st.sampled_from([300, 900, 1800]))
    start = data.draw(moments(slot))
    starts = [start + slot * i for i in range(data.draw(st.integers(1, 3 * 86400 // slot)))]
    tariff = load_toml(plan.toml())
    expected = [int(plan.price_at(start) * 10**6) for start in starts]
    assert tariff.prices(starts, slot) == expected
    assert tariff.bands(starts, slot) == [f"b{plan.band_at(start)}" for start in starts]


@settings(deadline=None, max_examples=50)
@given(plans(), st.data())
def test_scattered_slots_have_the_prices_they_have_in_a_row(
    plan: Plan, data: st.DataObject
) -> None:
    tariff = load_toml(plan.toml())
    slots = data.draw(st.sets(st.integers(0, 366 * 48 - 1), min_size=1, max_size=40))
    starts = [tariff.begin + 1800 * slot for slot in sorted(slots)]
    assert tariff.prices(starts, 1800) == [tariff.prices([start], 1800)[0] for start in starts]


@settings(deadline=None)
@given(plans(), moments(3600))
def test_a_slot_is_priced_only_if_its_whole_length_has_one_price(plan: Plan, start: int) -> None:
    tariff = load_toml(plan.toml())
    inside = {plan.price_at(moment) for moment in range(start, start + 7200, 60)}
    if len(inside) == 1:
        assert tariff.prices([start], 7200) == [inside.pop() * 10**6]
    else:
        with pytest.raises(UnpricedSlot, match="lies across the bands") as caught:
            tariff.prices([start], 7200)
        assert caught.value.start == start
        assert caught.value.component == "charge energy"


def test_the_days_the_clock_changes_have_23_and_25_hours_of_bands() -> None:
    tariff = day_night()
    clock = ZoneClock("Europe/Berlin")
    for day, hours in ((date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 6, 1), 24)):
        begin, end = clock.day_begin(day_number(day)), clock.day_begin(day_number(day) + 1)
        starts = list(range(begin, end, HOUR))
        assert len(starts) == hours
        assert tariff.bands(starts, HOUR).count("day") == 16


def test_a_standard_time_clock_ignores_summer_time() -> None:
    tariff = day_night("Europe/London", 'clock = "standard"')
    begin = ZoneClock("UTC").day_begin(day_number(date(2025, 7, 1)))
    bands = tariff.bands([begin + HOUR * i for i in range(24)], HOUR)
    assert bands == ["night"] * 6 + ["day"] * 16 + ["night"] * 2


def test_the_standard_time_of_dublin_is_that_of_its_winter() -> None:
    july = ZoneClock("UTC").day_begin(day_number(date(2025, 7, 1)))
    assert ZoneClock("Europe/Dublin", standard=True).span(july)[2] == 0
    assert ZoneClock("Australia/Lord_Howe", standard=True).span(july)[2] == 37800


def test_slots_outside_the_validity_are_refused_by_name() -> None:
    tariff = day_night()
    for start, how in ((tariff.begin - 900, "begins before"), (tariff.end, "begins after")):
        with pytest.raises(UnpricedSlot, match=how) as caught:
            tariff.prices([start], 900)
        assert caught.value.start == start
    with pytest.raises(UnpricedSlot, match="reaches beyond"):
        tariff.prices([tariff.end - 900], 1800)
    assert tariff.prices([tariff.begin, tariff.end - 900], 900) == [200_000, 200_000]
    assert tariff.prices([], 900) == []


@pytest.mark.parametrize("starts", [[1735686000 + 900, 1735686000], [1735686000] * 2])
def test_slots_out_of_order_are_refused(starts: list[int]) -> None:
    with pytest.raises(UnbillableReadings, match="not in order"):
        day_night().prices(starts, 900)


@settings(deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"]),
    st.integers(0, 366 * 12 * 96),
    st.integers(0, 400),
    st.integers(0, 400),
)
def test_standing_days_add_up_over_adjoining_periods(zone: str, a: int, b: int, c: int) -> None:
    begin = 1199145600 + a * 900
    middle, end = begin + b * 900, begin + (b + c) * 900
    whole = charged_days(zone, begin, end)
    assert whole == charged_days(zone, begin, middle) + charged_days(zone, middle, end)
    assert whole == local_days_halved(zone, begin, end)


def test_a_date_that_its_zone_skipped_is_no_day() -> None:
    clock = ZoneClock("Pacific/Apia")
    begin = clock.day_begin(day_number(date(2011, 12, 29)))
    end = clock.day_begin(day_number(date(2012, 1, 1)))
    assert [str(date_of(day)) for day in clock.days_begun(begin, end)] == [
        "2011-12-29",
        "2011-12-31",
    ]


def test_a_day_whose_midnight_is_jumped_over_begins_at_the_jump() -> None:
    clock = ZoneClock("America/Sao_Paulo")
    day = day_number(date(2018, 11, 4))
    begin = clock.day_begin(day)
    assert clock.day_of(begin) == day
    assert clock.day_of(begin - 1) == day - 1
    assert clock.day_begin(day + 1) - begin == 23 * HOUR


@given(st.sampled_from(["Europe/Dublin", "Africa/Casablanca", "America/St_Johns"]), st.data())
def test_spans_hold_the_offset_of_every_moment(zone: str, data: st.DataObject) -> None:
    from datetime import datetime

    moment = data.draw(st.integers(0, 2 * 10**9))
    begin, end, offset = ZoneClock(zone).span(moment)
    assert begin <= moment < end
    for probe in (begin, moment, end - 1):
        found = datetime.fromtimestamp(probe, ZoneInfo(zone)).utcoffset()
        assert found is not None
        assert found.total_seconds() == offset


def test_a_price_is_read_to_the_micro_unit() -> None:
    tariff = load_toml(toml('price = "0.000001"'))
    assert tariff.prices([tariff.begin], 900) == [1]
    assert Fraction(tariff.prices([tariff.begin], 900)[0], 10**6) == Fraction("0.000001")


def test_what_is_drawn_has_a_price_whatever_feed_in_is_credited() -> None:
    head = (
        'format = 1\nname = "sun"\nrevision = 1\ncurrency = "EUR"\nzone = "Europe/Berlin"\n'
        "valid_from = 2025-01-01\nvalid_until = 2026-01-01\n"
        'rounding = { rule = "half-up", decimals = 2 }\n'
    )
    energy = '[[charge]]\nname = "energy"\nkind = "energy"\nprice = "0.2"\n'
    sun = '[[charge]]\nname = "sun"\nkind = "feed-in"\nprice = "0.08"\n'
    peak = '[[charge]]\nname = "peak"\nkind = "demand"\nprice_per_kw = "4"\n'
    starts = [1_740_787_200, 1_740_788_100]
    tariff = load_toml(head + energy + sun)
    assert tariff.drawn_prices(starts, 900) == [200_000, 200_000]
    assert tariff.drawn_prices(starts, 900) == load_toml(head + energy).prices(starts, 900)
    with pytest.raises(TariffError, match="no price for a slot by itself"):
        tariff.prices(starts, 900)
    with pytest.raises(TariffError, match="charge peak"):
        load_toml(head + energy + sun + peak).drawn_prices(starts, 900)
