# SPDX-License-Identifier: Apache-2.0
"""The main job through real processes, on the embedded household and on real readings."""

import csv
import gzip
import json
import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import ROOT, Meterlet, run_meterlet


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    done = run_meterlet("demo", "--json")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("applet machine, step") for line in done.stderr.splitlines())
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_the_embedded_household_gets_a_verified_bill(outcome: dict[str, Any]) -> None:
    assert outcome["schema"] == "meterlet.demo/1"
    assert (outcome["days"], outcome["slots"], outcome["readings"]) == (31, 2972, 2973)
    assert outcome["verified"] is True
    fee, again = outcome["fee"], outcome["fee_recomputed"]
    assert fee == {name: again[name] for name in ("rounded", "currency")}  # and no exact amount
    exact = Decimal(again["exact"]).scaleb(-again["exact_decimals"])
    assert abs(exact - Decimal(outcome["fee"]["rounded"])) <= Decimal("0.005")
    assert "synthetic" in outcome["household"]


def test_the_fee_is_the_sum_of_its_items(outcome: dict[str, Any]) -> None:
    items = sum(int(item["amount_exact"]) for item in outcome["items"])
    assert items == outcome["fee_recomputed"]["exact"]
    energy = [item for item in outcome["items"] if item["kind"] == "energy"]
    assert len(energy) == 2
    for item in energy:
        assert int(item["amount_exact"]) == item["quantity"] * item["rate"] * 10**6


def test_nothing_but_the_statement_left_the_house(outcome: dict[str, Any]) -> None:
    assert outcome["raw_readings_left_house"] == 0
    (release,) = outcome["released"]
    assert (release["recipient"], release["purpose"]) == ("supplier", "billing")
    assert 0 < release["bytes"] < outcome["bytes_left_house"] < release["bytes"] + 2_000
    known = outcome["known"]["supplier"]
    assert (known["numbers"], known["bundles"]) == (1, 1)
    assert "one number about your use (March 2025;" in known["in_words"]["en"]
    assert known["nothing_finer_than_minutes"] > 8 * 60


def test_every_station_is_timed(outcome: dict[str, Any]) -> None:
    assert {"machine", "meter", "certifier", "channel, applet and proof", "inspection"} <= set(
        outcome["timings"]
    )


def test_another_seed_is_another_household(meterlet: Meterlet, outcome: dict[str, Any]) -> None:
    other = json.loads(meterlet("demo", "--seed", 2, "--json").stdout)
    assert other["verified"] is True
    assert other["fee"]["rounded"] != outcome["fee"]["rounded"]


@pytest.fixture
def london(shared: Path) -> Path:
    return shared / "data" / "households" / "lcl_london_60households_2013_30min.csv.gz"


def test_a_real_london_month_is_billed_to_the_penny(meterlet: Meterlet, london: Path) -> None:
    """Against a calculation of its own, row by row, in decimals."""
    tariff = ROOT / "examples" / "tariffs" / "gb-economy7-2013.toml"
    done = meterlet(
        "demo", "--readings", london, "--column", "MAC000002", "--unit", "kWh",
        "--interval", "30min", "--zone", "UTC", "--month", "2013-03", "--tariff", tariff, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    total, missing = Decimal(0), 0
    with gzip.open(london, "rt") as file:
        for row in csv.DictReader(file):
            start = datetime.fromisoformat(row["start"]).replace(tzinfo=UTC)
            if (start.year, start.month) == (2013, 3):
                if not row["MAC000002"]:
                    missing += 1
                    continue
                minute = 60 * start.hour + start.minute  # the bands follow GMT
                price = Decimal("0.0628") if 30 <= minute < 450 else Decimal("0.1593")
                total += price * Decimal(row["MAC000002"])
    total = (total + 31 * Decimal("0.2055")) * Decimal("1.05")
    assert outcome["fee_recomputed"]["exact"] == int(total.scaleb(15))
    assert outcome["fee"]["rounded"] == str(total.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
    assert len(outcome["missing_slots"]) == missing
    assert outcome["slots"] == 31 * 48
    assert outcome["verified"] is True


def test_missing_slots_are_listed_and_not_billed(meterlet: Meterlet, tmp_path: Path) -> None:
    readings = tmp_path / "gaps.csv"
    rows = [f"2025-01-{day:02}T{hour:02}:00:00,0.5" for day in range(1, 32) for hour in range(24)]
    rows[100] = rows[100].replace("0.5", "")
    del rows[200:203]
    readings.write_text("start,home\n" + "\n".join(rows) + "\n")
    done = meterlet(
        "demo", "--readings", readings, "--column", "home", "--interval", "1h",
        "--zone", "Europe/Berlin", "--month", "2025-01", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["missing_slots"] == [
        "2025-01-05T03:00:00Z",
        "2025-01-09T07:00:00Z",
        "2025-01-09T08:00:00Z",
        "2025-01-09T09:00:00Z",
    ]
    billed = sum(i["quantity"] for i in outcome["items"] if i["kind"] == "energy")
    assert billed == (744 - 4) * 500


@pytest.mark.parametrize(
    ("name", "kinds", "peaks"),
    [
        ("us-baseline-tou-2025", {"energy", "blocks", "minimum", "tax", "rounding"}, 0),
        ("be-capacity-2025", {"energy", "blocks", "demand", "standing", "cap", "tax"}, 1),
    ],
)
def test_blocks_and_demand_are_billed_privately(
    meterlet: Meterlet, name: str, kinds: set[str], peaks: int
) -> None:
    done = meterlet("demo", "--tariff", ROOT / "examples/tariffs" / f"{name}.toml", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["verified"] is True
    assert facts["fee"]["rounded"] == facts["fee_recomputed"]["rounded"]
    assert {item["kind"] for item in facts["items"]} == kinds
    assert facts["raw_readings_left_house"] == 0
    (release,) = facts["released"]
    assert release["statement"] == "+".join(sorted({"blocks", "linear", *["demand"] * peaks}))
    least = 100_000 if peaks else 10_000  # the slots go along where they are compared
    assert least < release["bytes"] < min(facts["bytes_left_house"], 12 * least)
    assert facts["known"]["supplier"]["peaks"] == peaks
    assert facts["known"]["supplier"]["numbers"] == 1
    assert facts["known"]["supplier"]["nothing_finer_than_minutes"] >= 8 * 60


def test_a_load_variable_tariff_is_billed_privately(meterlet: Meterlet) -> None:
    """Limits of power, in bands and in events: some lies above one, and nothing says when."""
    tariff = ROOT / "examples/tariffs/de-load-variable-2025.toml"
    done = meterlet("demo", "--tariff", tariff, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["verified"] is True
    assert facts["verdict"] == "matches"
    assert facts["fee"]["rounded"] == facts["fee_recomputed"]["rounded"]
    used = {item["label"]: item["quantity"] for item in facts["items"]}
    assert used["evening, block 2"] > 0
    assert facts["raw_readings_left_house"] == 0
    (release,) = facts["released"]
    assert release["statement"] == "excess+linear"
    known = facts["known"]["supplier"]
    assert known["numbers"] == 1
    assert known["nothing_finer_than_minutes"] >= 9 * 60  # the shortages of March


def test_what_the_guard_refuses_is_said_to_the_resident_alone(
    meterlet: Meterlet, tmp_path: Path
) -> None:
    """Prices that are far apart need a consent by bits."""
    text = (ROOT / "examples/tariffs/gb-economy7-2013.toml").read_text()
    text = text.replace("2013-01-01", "2025-01-01").replace("2014-01-01", "2026-01-01")
    far = re.sub(r'price = "[0-9.]+"', 'price = "0.0012"', text, count=1)
    tariff = tmp_path / "far.toml"
    tariff.write_text(far)
    done = meterlet("demo", "--tariff", tariff)
    assert done.returncode == 5
    assert "resident: not told to the supplier: price: its prices differ by a factor" in done.stdout
    assert done.stderr.startswith("meterlet: the hub refused: 6985")
