# SPDX-License-Identifier: Apache-2.0
"""A year of real households, priced by the command and again in decimals, row by row."""

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from click.testing import CliRunner

from meterlet.commands.tariff import tariff
from tests.support.shared import LONDON, SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[2]
HOUSEHOLDS = SHARED / "data" / "households"
AUSGRID = HOUSEHOLDS / "ausgrid_customer12_2011-07_2012-06_30min_pv.csv.gz"
EXAMPLES = ROOT / "examples" / "tariffs"
pytestmark = needs_shared(LONDON)


def rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        yield from csv.DictReader(file)


def priced(*arguments: str | Path) -> dict[str, object]:
    result = CliRunner().invoke(tariff, ["price", *map(str, arguments), "--json", "--no-slots"])
    assert result.exit_code == 0, result.stderr
    data: dict[str, object] = json.loads(result.stdout)
    return data


def test_a_london_year_of_day_and_night() -> None:
    found = priced(
        EXAMPLES / "gb-economy7-2013.toml", LONDON, "--column", "MAC000002", "--interval",
        "30min", "--zone", "UTC", "--year", "2013",
    )  # fmt: skip
    total, missing = Decimal(0), 0
    for row in rows(LONDON):
        start = datetime.fromisoformat(row["start"])
        if not row["MAC000002"]:
            missing += 1
            continue
        minute = 60 * start.hour + start.minute  # the bands follow GMT
        price = Decimal("0.0628") if 30 <= minute < 450 else Decimal("0.1593")
        total += price * Decimal(row["MAC000002"])
    total = (total + 365 * Decimal("0.2055")) * Decimal("1.05")
    assert found["total_exact"] == int(total.scaleb(15))
    assert len(found["missing_slots"]) == missing  # type: ignore[arg-type]


def test_an_australian_year_with_solar_panels_blocks_and_demand(tmp_path: Path) -> None:
    source = (EXAMPLES / "au-solar-demand-2025.toml").read_text()
    begin, end = source.index("dates = ["), source.index("]\n\n[[charge]]") + 1
    source = source[:begin] + "dates = [2011-12-26, 2012-01-02]" + source[end:]
    source = source.replace("2025-01-01", "2011-07-01").replace("2026-01-01", "2012-07-01")
    source = source.replace('"Australia/Sydney"', '"Australia/Brisbane"')  # no summer time
    path = tmp_path / "solar.toml"
    path.write_text(source)
    found = priced(
        path, AUSGRID, "--column", "consumption_kWh", "--export-column", "pv_generation_kWh",
        "--interval", "30min", "--zone", "Australia/Brisbane",
    )  # fmt: skip
    quarters: dict[tuple[int, int], Decimal] = {}
    peaks: dict[tuple[int, int], int] = {}
    credit, sum_kwh, before = Decimal(0), Decimal(0), 0
    for row in rows(AUSGRID):
        start = datetime.fromisoformat(next(iter(row.values())))
        kwh = Decimal(row["consumption_kWh"])
        sum_kwh += kwh
        used, before = int(sum_kwh * 1000) - before, int(sum_kwh * 1000)
        quarter = start.year, (start.month - 1) // 3
        quarters[quarter] = quarters.get(quarter, Decimal(0)) + used
        holiday = start.date().isoformat() in ("2011-12-26", "2012-01-02")
        if start.weekday() < 5 and not holiday and 15 <= start.hour < 21 and (
            start.month in (11, 12, 1, 2, 3)
        ):  # fmt: skip
            month = start.year, start.month
            peaks[month] = max(peaks.get(month, 0), 2 * used)
        price = Decimal("0.137") if 15 <= start.hour < 19 else Decimal("0.058")
        credit += price * Decimal(row["pv_generation_kWh"])
    usage, limit = Decimal(0), Decimal(1_250_000)
    for wh in quarters.values():
        usage += min(wh, limit) * Decimal("0.3214") / 1000
        usage += max(wh - limit, Decimal(0)) * Decimal("0.2904") / 1000
    demand = sum(
        Decimal(watts) / 1000 * Decimal("0.2471") * days_in(*month)
        for month, watts in peaks.items()
    )
    due = (usage + demand + 366 * Decimal("1.0654")) * Decimal("0.86") * Decimal("1.1") - credit
    total = Decimal(str(found["total"]))
    # Feed-in is rounded to whole watt-hours by the register, so compare the rest exactly.
    items: list[dict[str, object]] = found["items"]  # type: ignore[assignment]
    decimals = int(str(found["exact_decimals"]))
    amounts = [one["amount_exact"] for one in items if one["component"] != "solar feed-in"]
    paid = sum((Decimal(str(amount)) for amount in amounts), Decimal(0))
    assert paid.scaleb(-decimals) == due + credit
    assert abs(total - due.quantize(Decimal("0.01"), ROUND_HALF_UP)) <= Decimal("0.01")


def days_in(year: int, month: int) -> int:
    first = datetime(year, month, 1)
    return ((first + timedelta(31)).replace(day=1) - first).days
