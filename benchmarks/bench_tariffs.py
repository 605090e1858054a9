# SPDX-License-Identifier: Apache-2.0
"""Pricing a month of 2,976 slots, next to a `datetime` for every slot and every band.

pytest benchmarks/bench_tariffs.py --benchmark-only     groups: each with its naive way
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tariffs import Tariff, compute_bill
from tariffs.clock import day_number
from tariffs.energy import EnergyCharge
from tariffs.schedule import Schedule
from tariffs.source import load_toml

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "tariffs"
NAMES = ("gb-economy7-2013", "it-bioraria-2025", "de-modul3-2025")
OTHERS = ("be-capacity-2025", "us-baseline-tou-2025", "au-solar-demand-2025")
SLOTS = 2976
QUARTER = 900

Benchmark = Callable[..., Any]


def example(name: str) -> Tariff:
    return load_toml((EXAMPLES / f"{name}.toml").read_text())


def month(tariff: Tariff) -> list[int]:
    begin = tariff.begin + 59 * 86400  # a month in which the clock changes
    return [begin + QUARTER * i for i in range(SLOTS)]


def naive_price(charge: EnergyCharge, start: int) -> int:
    """Look a price up the way a tariff reads: local time, weekday, holiday, each rule in turn."""
    schedule = charge.timetable
    assert isinstance(schedule, Schedule)
    local = datetime.fromtimestamp(start, ZoneInfo(schedule.clock.zone))
    if schedule.clock.standard:
        dst = local.dst()
        local = local - dst if dst else local
    holiday = schedule.holidays is not None and day_number(local.date()) in schedule.holidays
    kind = 7 if holiday else local.weekday()
    minute = local.hour * 60 + local.minute
    rest = 0
    for rules, price in zip(schedule.rules, charge.prices, strict=True):
        if not rules:
            rest = price
        for rule in rules:
            dated = not rule.dates or any(one.includes(local.date()) for one in rule.dates)
            if rule.days >> kind & 1 and dated and any(a <= minute < b for a, b in rule.times):
                return price
    return rest


@pytest.mark.parametrize("name", NAMES)
def bench_price_a_month(benchmark: Benchmark, name: str) -> None:
    benchmark.group = f"price 2,976 slots of {name}"  # type: ignore[attr-defined]
    tariff = example(name)
    benchmark(tariff.prices, month(tariff), QUARTER)


@pytest.mark.parametrize("name", NAMES)
def bench_price_a_month_naively(benchmark: Benchmark, name: str) -> None:
    benchmark.group = f"price 2,976 slots of {name}"  # type: ignore[attr-defined]
    tariff = example(name)
    starts = month(tariff)
    charges = [one for one in tariff.versions[0].charges if isinstance(one, EnergyCharge)]

    def naive() -> list[int]:
        return [sum(naive_price(one, start) for one in charges) for start in starts]

    assert benchmark(naive) == tariff.prices(starts, QUARTER)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def bench_bill_a_month(benchmark: Benchmark, name: str) -> None:
    benchmark.group = "the bill of 2,976 slots"  # type: ignore[attr-defined]
    tariff = example(name)
    use: list[int | None] = [100] * SLOTS
    benchmark(compute_bill, tariff, month(tariff), QUARTER, use, export_wh=use)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def bench_decode(benchmark: Benchmark, name: str) -> None:
    benchmark.group = "decode a document"  # type: ignore[attr-defined]
    benchmark(Tariff.decode, example(name).encode())


def bench_decode_a_year_of_half_hourly_prices(benchmark: Benchmark) -> None:
    benchmark.group = "decode a document"  # type: ignore[attr-defined]
    benchmark(Tariff.decode, half_hourly().encode())


def bench_price_a_month_of_half_hours(benchmark: Benchmark) -> None:
    benchmark.group = "price 2,976 slots of a series"  # type: ignore[attr-defined]
    tariff = half_hourly()
    benchmark(tariff.prices, month(tariff), QUARTER)


def half_hourly() -> Tariff:
    listed = ", ".join(f'"0.{price:04}"' for price in range(17_520 % 10_000, 9_999))
    text = (EXAMPLES / "gb-economy7-2013.toml").read_text()
    head, charges = text.split("[[charge]]", 1)
    steps = charges[charges.index("[[step]]") :]
    series = 'name = "spot"\nkind = "series"\nstep = "30min"\nbegin = 2013-01-01T00:00:00Z\n'
    return load_toml(f"{head}[[charge]]\n{series}prices = [{listed}{f', {listed}' * 7}]\n{steps}")
