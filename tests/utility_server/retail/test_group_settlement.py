# SPDX-License-Identifier: Apache-2.0
"""A supplier's customers settled as one: the same number as one by one, and nobody's own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocols.metrology import Period
from tariffs import PriceIndex, UnpricedSlot
from tariffs.energy import PriceSeries
from tests.support.settlement import agile
from tests.support.command import Meterlet, run_meterlet
from tests.support.aggregation import terms
from tests.support.homes import SLOT, ZONE, rows_of
from utility_server.errors import CannotVerify
from utility_server.retail.group_settlement import Group, resolution_of, weighting_of, worth_of

JANUARY = Period.month(2013, 1)


def facts(homes: dict[str, dict[int, int]]) -> dict[str, Any]:
    """What `meterlet utility aggregate --json` says of the homes."""
    begin, end = JANUARY.bounds(ZONE)
    starts = list(range(begin, end, SLOT))
    return {
        "schema": "meterlet.utility.aggregate/1",
        "verified": True,
        "region": "north",
        "resolution_minutes": 30,
        "homes": len(homes),
        "missing_home_slots": sum(start not in rows for rows in homes.values() for start in starts),
        "starts": starts,
        "sums_wh": [sum(rows.get(start, 0) for rows in homes.values()) for start in starts],
        "culprits": [],
    }


def encoded(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode()


SMALL = {
    "schema": "meterlet.utility.aggregate/1", "verified": True, "region": "north",
    "resolution_minutes": 60, "homes": 5, "missing_home_slots": 0,
    "starts": [1_704_067_200, 1_704_070_800], "sums_wh": [100, 200],
}  # fmt: skip


def test_a_group_is_worth_what_its_homes_are_one_by_one() -> None:
    index, homes = agile(), rows_of(JANUARY)
    one_by_one = sum(
        (index.prices.prices[(start - index.prices.begin) // SLOT] or 0) * wh
        for rows in homes.values()
        for start, wh in rows.items()
    )
    group = Group.decode(encoded(facts(homes)))
    assert (group.homes, group.missing > 0) == (60, True)
    assert worth_of(group, index) == one_by_one
    late = replace(group, starts=tuple(start + 10**8 * 4 for start in group.starts))
    with pytest.raises(UnpricedSlot):
        worth_of(late, index)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"verified": False}, "the sum was not verified"),
        ({"verified": 1}, "not a"),
        ({"sums_wh": None}, "not a"),
        ({"sums_wh": [100]}, "not a"),
        ({"sums_wh": [100, 2.0]}, "not a"),
        ({"sums_wh": [100, True]}, "not a"),
        ({"sums_wh": [100, -1]}, "not a"),
        ({"starts": [1_704_070_800, 1_704_067_200]}, "not a"),
        ({"starts": [], "sums_wh": []}, "not a"),
        ({"resolution_minutes": 1440}, "not a"),
        ({"schema": "meterlet.utility.bill/1"}, "not a"),
    ],
)
def test_what_is_no_verified_sum_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotVerify, match=why):
        Group.decode(encoded({**SMALL, **change}))


SPOT = PriceIndex(
    "spot", 7, "EUR", "EUR/MWh", "UTC",
    PriceSeries(1_735_686_000, 3600, tuple(range(-4000, 4760))),
)  # fmt: skip
"""2025 in Berlin, hour by hour."""


@pytest.mark.parametrize("minutes", [15, 30, 60])
@pytest.mark.parametrize("month", [3, 10])
def test_each_slot_of_a_month_has_its_hours_price_whatever_the_clock_does(
    month: int, minutes: int
) -> None:
    period = Period.month(2025, month)
    begin, end = period.bounds("Europe/Berlin")
    weighting = weighting_of(SPOT, period, "Europe/Berlin", minutes)
    about = terms(2048, minutes, period, zone="Europe/Berlin", weighting=weighting)
    assert about.use_count == len(weighting.prices)
    first = (begin - SPOT.prices.begin) // 3600
    hours = SPOT.prices.prices[first : first + (end - begin) // 3600]
    assert weighting.prices == tuple(hour for hour in hours for _ in range(60 // minutes))
    assert (weighting.name, weighting.currency) == ("spot revision 7", "EUR")
    assert weighting.index == SPOT.between(begin, end).digest


@pytest.mark.parametrize(
    ("change", "zone", "why"),
    [
        ({"prices": SPOT.prices.prices[:100]}, "UTC", "there is no price at"),
        ({"step_seconds": 1800}, "UTC", "has several prices"),
        ({"prices": (*SPOT.prices.prices[:2000], None) * 4}, "UTC", "no price at"),
        ({"prices": (1 << 40,) * 8760}, "UTC", "does not fit 4 bytes"),
        ({}, "Asia/Kathmandu", "has several prices"),  # 5:45 hours before UTC
        ({}, "Nowhere/Land", "no time zone"),
    ],
)
def test_an_index_without_just_one_price_for_each_slot_settles_nothing(
    change: dict[str, Any], zone: str, why: str
) -> None:
    index = replace(SPOT, prices=replace(SPOT.prices, **change))
    with pytest.raises(CannotVerify, match=why):
        weighting_of(index, Period.month(2025, 3), zone, 60)


@pytest.mark.parametrize(
    ("step", "minutes"), [(300, 5), (900, 15), (1800, 30), (3600, 60), (7200, 60), (86_400, 60)]
)
def test_an_indexs_step_up_to_an_hour_is_what_has_one_price(step: int, minutes: int) -> None:
    assert resolution_of(replace(SPOT, prices=replace(SPOT.prices, step_seconds=step))) == minutes


@pytest.fixture
def meterlet() -> Meterlet:
    return run_meterlet


def test_the_command_shares_out_groups(meterlet: Meterlet, tmp_path: Path) -> None:
    spot = tmp_path / "spot.csv"
    spot.write_text("utc,ct\n2024-01-01T00:00:00Z,-3.5\n2024-01-01T01:00:00Z,12.345\n")
    made = meterlet(
        "index", "import", spot, "--series", "spot", "--currency", "EUR", "--column", "ct",
        "--unit", "ct/kWh", "--step", 60, "-o", tmp_path / "spot.index",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert meterlet("utility", "init", tmp_path / "grid").returncode == 0
    (tmp_path / "north.json").write_bytes(encoded(SMALL))
    (tmp_path / "south.json").write_bytes(encoded({**SMALL, "sums_wh": [0, 777]}))
    settle = (
        "utility", "settle", "--utility", tmp_path / "grid", "--index", tmp_path / "spot.index",
        "--sums", f"North={tmp_path / 'north.json'}",
    )  # fmt: skip
    done = meterlet(*settle, "--sums", f"South={tmp_path / 'south.json'}", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    north, south = 100 * -35_000 + 200 * 123_450, 777 * 123_450
    assert {name: one["exact"] for name, one in told["suppliers"].items()} == {
        "North": str(north),
        "South": str(south),
    }
    assert (told["total"], told["provisional"]) == (f"{round((north + south) / 10**9, 2)}", False)
    assert meterlet(*settle, "--month", "2024-01").returncode == 2
    again = meterlet(*settle, "--sums", f"North={tmp_path / 'south.json'}")
    assert again.returncode == 2
    (tmp_path / "north.json").write_bytes(encoded({**SMALL, "verified": False}))
    refused = meterlet(*settle)
    assert (refused.returncode, "was not verified" in refused.stderr) == (4, True)
