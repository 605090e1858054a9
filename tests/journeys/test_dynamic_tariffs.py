# SPDX-License-Identifier: Apache-2.0
"""Prices that change from slot to slot, billed end to end by consent, on real prices."""

import csv
import gzip
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.command import ROOT, Meterlet
from tests.support.town import METER, Town, done, refused

HEAD = """
format = 1
name = "{name}"
revision = 1
currency = "{currency}"
zone = "{zone}"
valid_from = {first}
valid_until = {until}
rounding = {{ rule = "half-even", decimals = 2 }}

[[charge]]
name = "market"
kind = "series"
file = "prices.csv"
column = "price"
unit = "{unit}"
step = "{step}"
price_rule = "half-even"

[[step]]
name = "tax"
kind = "tax"
percent = "{percent}"
"""


def write(folder: Path, rows: list[tuple[str, str]], **said: str) -> Path:
    text = "".join(f"{time},{price}\n" for time, price in rows)
    (folder / "prices.csv").write_text("time,price\n" + text)
    tariff = folder / "tariff.toml"
    tariff.write_text(HEAD.format(**said))
    return tariff


def verified(ran: Any) -> dict[str, Any]:
    assert ran.returncode == 0, ran.stderr
    facts: dict[str, Any] = json.loads(ran.stdout)
    assert facts["verified"] is True
    assert facts["fee"]["rounded"] == facts["fee_recomputed"]["rounded"]
    return facts


def test_a_month_of_2024_at_the_german_spot_price(
    meterlet: Meterlet, shared: Path, tmp_path: Path
) -> None:
    with gzip.open(shared / "data/prices/de_lu_day_ahead_2024_60min.csv.gz", "rt") as file:
        rows = [(row["utc_start"], row["ct_per_kWh"]) for row in csv.DictReader(file)]
    tariff = write(
        tmp_path, rows, name="spot", currency="EUR", zone="Europe/Berlin", first="2024-05-01",
        until="2024-06-01", unit="ct/kWh", step="1h", percent="19",
    )  # fmt: skip
    facts = verified(meterlet("demo", "--tariff", tariff, "--month", "2024-05", "--json"))
    assert facts["slots"] == 2976
    known = facts["known"]["supplier"]
    assert (known["numbers"], known["bundles"]) == (1, 1)
    assert facts["raw_readings_left_house"] == 0


def test_a_london_home_pays_agile_to_the_penny(
    meterlet: Meterlet, shared: Path, tmp_path: Path
) -> None:
    """Octopus Agile as it was ten years later, on the same weekdays."""
    london = shared / "data/households/lcl_london_60households_2013_30min.csv.gz"
    zone, back = ZoneInfo("Europe/London"), timedelta(weeks=522)
    prices: dict[datetime, str] = {}
    with gzip.open(
        shared / "data/prices/gb_octopus_agile_2022-11_2023-12_30min.csv.gz", "rt"
    ) as file:
        for row in csv.DictReader(file):
            local = datetime.fromisoformat(row["start"]).replace(tzinfo=zone)
            prices[local.astimezone(UTC) - back] = row["import_p_per_kWh"]
    rows = [(f"{time:%Y-%m-%dT%H:%M:%SZ}", price) for time, price in prices.items()]
    said = {"name": "agile", "currency": "GBP", "zone": "Europe/London", "unit": "p/kWh"}
    said |= {"first": "2013-02-01", "step": "30min", "percent": "5"}
    home = "--readings", london, "--column", "MAC000002", "--interval", "30min"
    year = write(tmp_path, rows, until="2013-12-01", **said)
    ran = meterlet("demo", *home, "--month", "2013-02", "--tariff", year, "--json")
    assert (ran.returncode, "a question carries 65,000" in ran.stderr) == (4, True)
    rows = [row for row in rows if "2013-01-31" <= row[0] < "2013-03-02"]
    tariff = write(tmp_path, rows, until="2013-03-01", **said)
    facts = verified(meterlet("demo", *home, "--month", "2013-02", "--tariff", tariff, "--json"))
    total, missing = Decimal(0), 0
    with gzip.open(london, "rt") as file:
        for row in csv.DictReader(file):
            start = datetime.fromisoformat(row["start"]).replace(tzinfo=UTC)
            if (start.year, start.month) == (2013, 2):
                missing += not row["MAC000002"]
                if row["MAC000002"]:
                    pounds = (Decimal(prices[start]) / 100).quantize(Decimal("1e-6"))
                    total += pounds * Decimal(row["MAC000002"])
    total *= Decimal("1.05")
    assert (
        Decimal(facts["fee_recomputed"]["exact"]).scaleb(-facts["fee_recomputed"]["exact_decimals"])
        == total
    )
    assert facts["fee"]["rounded"] == str(total.quantize(Decimal("0.01"), ROUND_HALF_EVEN))
    assert len(facts["missing_slots"]) == missing


def test_the_embedded_example_says_what_it_takes(meterlet: Meterlet) -> None:
    ran = meterlet("demo", "--tariff", ROOT / "examples/tariffs/de-spot-2025-03.toml")
    assert ran.returncode == 0, ran.stderr
    assert "every 15 minutes may have a price of their own" in ran.stdout
    assert "prices that change from slot to slot take this consent" in ran.stdout


def test_an_ordinary_consent_does_not_stretch_so_far(town: Town) -> None:
    """The same question to a hub whose resident agreed to ordinary bills: refused, on record."""
    text = (ROOT / "examples/tariffs/de-spot-2025-03.toml").read_text()
    # Without the part that is the same at all times, prices near zero are far from the others.
    lone = re.sub(r'\[\[charge\]\]\nname = "network and levies".*?\n\n', "", text, flags=re.DOTALL)
    assert lone != text
    spot = town.folder / "lone.toml"
    spot.write_text(lone)
    shutil.copy(ROOT / "examples/tariffs/de-spot-2025-03.csv", town.folder)
    with town.serving() as address:
        code, line = refused(*town.request(address, spot))
        assert (code, "6985 (it may not tell: " in line) == (5, True)
        done(*town.request(address))
    shown = json.loads(done("inspect", "releases", "--hub", town.hub, "--json"))
    assert shown["known"]["supplier"]["nothing_finer_than_minutes"] >= 480
    ledger = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    assert [(entry["kind"], entry["meter"]) for entry in ledger["entries"]] == [("bill", METER)]
