# SPDX-License-Identifier: Apache-2.0
"""Importers lose nothing: what a source says is in the tariff, or that is left out by name."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import MalformedTariff, compute_bill
from tariffs.importers._writing import Imported
from tariffs.importers.ceem import import_ceem
from tariffs.importers.modul3 import import_modul3
from tariffs.importers.pge import import_pge
from tariffs.importers.transcribed import FORMULA, import_transcribed
from tariffs.source import load_toml

PACIFIC = ZoneInfo("America/Los_Angeles")
HEADER = (
    "Rate Plan Name,Rate Plan Code,Before/After Baseline,Season Name,Start Date,End Date,"
    "Start Time,End Time,Cost in cents"
)
SEASONS = {"Summer": ("June 1", "Sept 30", 13_500), "Winter": ("Oct 1", "May 31", 11_000)}
BASELINES = {season: watt_hours for season, (_, _, watt_hours) in SEASONS.items()}
Plan = list[tuple[str, str, int, int, int]]
"""Tier, season, first hour, last hour and cents of each row."""


def clock(hour: int) -> str:
    return f"{hour % 12 or 12}:00 {'AM' if hour % 24 < 12 else 'PM'}"


def csv_of(plan: Plan) -> str:
    rows = [HEADER]
    for tier, season, first, until, cents in plan:
        begin, end, _ = SEASONS[season]
        rows.append(
            f"Plan,P-1,{tier},{season} Season,{begin},{end},{clock(first)},{clock(until)},{cents}"
        )
    return "\n".join(rows) + "\n"


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan of seasons and times, with tiers that differ by the same all day, or none."""
    plan: Plan = []
    tiered = draw(st.booleans())
    for season in SEASONS:
        cuts = sorted(draw(st.sets(st.integers(1, 23), max_size=3)))
        less = draw(st.integers(1, 15))
        for first, until in zip([0, *cuts], [*cuts, 24], strict=True):
            cents = draw(st.integers(20, 90))
            if tiered:
                plan.append(("Below Baseline", season, first, until, cents - less))
                plan.append(("Above Baseline", season, first, until, cents))
            else:
                plan.append(("", season, first, until, cents))
    return plan


def independent(plan: Plan, first: date, days: int, uses: list[int]) -> Fraction:
    """Price a period by the rows themselves: above the baseline, less what is below it."""
    total = Fraction(0)
    for season in SEASONS:
        of_season = 0
        season_days = 0
        above: Fraction = Fraction(0)
        for number in range(days):
            day = first + timedelta(number)
            if ("Summer" if 6 <= day.month <= 9 else "Winter") != season:
                continue
            season_days += 1
            for hour in range(24):
                use = uses[24 * number + hour]
                of_season += use
                [cents] = [
                    row[4] for row in plan
                    if row[1] == season and row[2] <= hour < row[3] and row[0] != "Below Baseline"
                ]  # fmt: skip
                above += Fraction(use * cents, 100_000)
        less = {
            a[4] - b[4]
            for a in plan for b in plan
            if a[0] == "Above Baseline" and b[0] == "Below Baseline" and a[1:4] == b[1:4]
            and a[1] == season
        }  # fmt: skip
        total += above
        if less:
            below = min(of_season, season_days * BASELINES[season])
            total -= Fraction(below * less.pop(), 100_000)
    return total


@settings(max_examples=40, deadline=None)
@given(plans(), st.integers(0, 20), st.integers(0, 999))
def test_a_californian_plan_costs_what_its_rows_say(plan: Plan, shift: int, seed: int) -> None:
    found = import_pge(csv_of(plan))
    assert found.left_out == {}
    tariff = load_toml(found["us-pge-p-1-2025"])
    first, days = date(2025, 5, 12) + timedelta(shift), 31
    begin = int(datetime(first.year, first.month, first.day, tzinfo=PACIFIC).timestamp())
    uses = [(hour * 7919 + seed) % 1900 for hour in range(24 * days)]
    bill = compute_bill(tariff, [begin + 3600 * hour for hour in range(24 * days)], 3600, uses)
    assert Fraction(bill.total_exact, 10**bill.exact_decimals) == independent(
        plan, first, days, uses
    )


@settings(max_examples=60, deadline=None)
@given(plans(), st.data())
def test_a_row_less_or_more_is_never_passed_over(plan: Plan, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(plan) - 1))
    tier, season, first, until, cents = plan[place]
    spoiled = data.draw(
        st.sampled_from(
            [
                [*plan[:place], *plan[place + 1 :]],
                [*plan, plan[place]],
                [*plan, (tier, season, first, until, cents + 1)],
                [*plan, ("On Baseline", season, first, until, cents)],
                [*plan, ("" if tier else "Above Baseline", season, first, until, cents)],
            ]
        )
    )
    found = import_pge(csv_of(spoiled))
    assert not found
    assert list(found.left_out) == ["us-pge-p-1-2025"]


def test_tiers_that_differ_by_the_hour_are_left_out() -> None:
    plan: Plan = []
    for season in SEASONS:
        plan += [("Below Baseline", season, 0, 12, 30), ("Above Baseline", season, 0, 12, 40)]
        plan += [("Below Baseline", season, 12, 24, 30), ("Above Baseline", season, 12, 24, 41)]
    found = import_pge(csv_of(plan))
    assert "differ by another amount" in found.left_out["us-pge-p-1-2025"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Cost in cents", "Cost in cents,Demand", "line 2: no source can say 'Demand'"),
        (",40\n", ",4O\n", "line 2: not a price, season or time"),
        ("June 1", "June 2", "line 2: not a price, season or time: Summer Season from 06-02"),
        ("12:00 AM,12", "1:00 AM,12", "summer: 00:00 has no price"),
        (",40\n", ",NaN\n", "not a price"),
    ],
)
def test_what_a_row_says_otherwise_is_named(old: str, new: str, why: str) -> None:
    text = csv_of([("", season, 0, 24, 40) for season in SEASONS])
    changed = text.replace(old, new, 1)
    if "Demand" in new:
        changed = changed.replace(",40\n", ",40,9.5\n")
    found = import_pge(changed)
    assert why in found.left_out["us-pge-p-1-2025"]


CEEM = [{"Tariffs": [{
    "Tariff ID": "TR1", "Name": "a", "Provider": "P", "State": "NSW", "Distributor": "D",
    "Year": 2019, "Discount (%)": 5, "Parameters": {
        "Daily": {"Value": 1.1, "Unit": "$/day"}, "FiT": {"Value": 0.1, "Unit": "$/kWh"},
        "TOU": {"Peak": {"TimeIntervals": {"T1": ["00:00", "12:00"]}, "Value": 0.4},
                "Off": {"TimeIntervals": {"T1": ["12:00", "24:00"]}, "Value": 0.2}},
    }}]}]  # fmt: skip
MODUL3 = {"time_zone": "Europe/Berlin", "operators": {"n": [{
    "year": 2025, "quarters": ["Q1", "Q2", "Q3", "Q4"], "ct_per_kWh": {"LOW": 4, "HIGH": 9},
    "daily": [{"from": "00:00", "to": "12:00", "band": "LOW"},
              {"from": "12:00", "to": "24:00", "band": "HIGH"}]}]}}  # fmt: skip
TRANSCRIBED = [
    {"id": "flat", "currency": "GBP", "time_zone": "Europe/London", "source": "s",
     "energy": [{"kind": "flat", "pence_per_kWh": "14.2"}]},
    {"id": "spot", "currency": "EUR", "time_zone": "Europe/Berlin", "source": "s",
     "energy": [{"kind": "index_hourly", "index_file": "a.csv", "unit": "ct/kWh net"}]},
    {"id": "years", "currency": "EUR", "time_zone": "Europe/Berlin", "source": "s",
     "versions": [{"valid_from": "2025-01-01", "valid_to_excl": "2026-01-01", "ct_per_kWh": "30",
                   "EUR_per_month": "9"}]},
]  # fmt: skip
FILES: list[tuple[Callable[[str], Imported], Any]] = [
    (import_ceem, CEEM), (import_modul3, MODUL3), (import_transcribed, TRANSCRIBED),
]  # fmt: skip


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where the objects of a JSON value are."""
    if isinstance(value, dict):
        yield path
        for key, member in value.items():
            yield from objects(member, (*path, key))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from objects(member, (*path, number))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_a_member_that_no_importer_knows_is_never_passed_over(
    file: tuple[Callable[[str], Imported], Any], data: st.DataObject
) -> None:
    importer, content = file
    whole = importer(json.dumps(content))
    assert not whole.left_out
    for source in whole.values():
        assert "format = 1" in source
    changed = deepcopy(content)
    path = data.draw(st.sampled_from(list(objects(content))))
    place = changed
    for step in path:
        place = place[step]
    place["Demand"] = data.draw(st.sampled_from([5, "x", {"Value": 2.5}, [1], True]))
    try:
        found = importer(json.dumps(changed))
    except MalformedTariff:
        return  # the file is refused
    # As the name of a band or an operator it may be a part like the others.
    assert found.left_out or any("Demand" in source for source in found.values())


def test_of_several_ways_to_price_energy_none_is_chosen() -> None:
    both = deepcopy(CEEM)
    both[0]["Tariffs"][0]["Parameters"]["FlatRate"] = {"Value": 0.3}  # type: ignore[index]
    found = import_ceem(json.dumps(both))
    assert found.left_out == {"tr1 a": "its energy is priced by TOU and FlatRate"}


def test_a_price_in_another_unit_is_no_price() -> None:
    cents = json.dumps(CEEM).replace('"Unit": "$/kWh"', '"Unit": "c/kWh"')
    found = import_ceem(cents)
    assert found.left_out == {"tr1 a": "a price in 'c/kWh', not in $/kWh"}


def test_what_the_file_adds_to_an_index_is_added() -> None:
    spot = deepcopy(TRANSCRIBED[1])
    spot["energy"][0]["plus_ct_per_kWh"] = 2.5  # type: ignore[index]
    found = import_transcribed(json.dumps([spot]), markup="0.1")
    assert 'add = "0.125"' in found["spot"]


def test_a_formula_is_taken_only_as_it_is_known() -> None:
    entry = {
        "id": "agile", "currency": "GBP", "time_zone": "Europe/London", "source": "s",
        "energy": [{"kind": "index_formula", "formula": FORMULA, "cap_p_per_kWh": "100",
                    "region": {"C": [2.0, 12]}}],
    }  # fmt: skip
    assert import_transcribed(json.dumps([entry]), column="p")["agile"]
    assert "not at hand" in import_transcribed(json.dumps([entry])).left_out["agile"]
    changed = json.dumps([entry]).replace("1.05", "1.2")
    found = import_transcribed(changed, column="p")
    assert "another formula than" in found.left_out["agile"]
